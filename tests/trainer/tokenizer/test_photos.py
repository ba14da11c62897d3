"""Packing photographs: held-out pictures never reach training, transparency, Qt archives, crops on the fly."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.tokenizer import photos
from trainer.tokenizer.data import TokenizerData, held_out_pictures
from trainer.tokenizer.photos import HELD_SIDE, SIDE, Source, cut, load_pictures, pack, unpack


def noise(seed: int, side: int = 200) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return Image.fromarray(small).resize((side, side), Image.BICUBIC)


def encoded(image: Image.Image, kind: str = "WEBP") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(
        photos,
        "SOURCES",
        (
            Source("a", r"\.png$", 3, "CC0"),
            Source("b", r"\.rcc$", 1, "CC0"),
            Source("t", r"\.png$", 1, "CC0", True),
        ),
    )
    for name in "abt":
        (tmp_path / name).mkdir()
    for i in range(4):
        noise(i).save(tmp_path / "a" / f"{i}.png")
    (tmp_path / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    noise(9).resize((180, 180)).save(tmp_path / "a" / "twin.png")  # looks like the held-out one
    noise(9).save(tmp_path / "t" / "held.png")
    (tmp_path / "b" / "x.rcc").write_bytes(b"qres" + encoded(noise(5)) + b"\0\0" + encoded(noise(6)) + b"end")
    return tmp_path


def test_pack_keeps_held_out_pictures_out_of_training(root):
    record = pack(root, root / "p.safetensors", 1 << 24, processes=1)
    assert record["train"] == 4 * 3 + 2 and record["held_out"] == 1
    assert record["skipped"] == {"unreadable": 1, "like a held-out picture": 1}
    train, held = load_pictures(root / "p.safetensors"), load_pictures(root / "p.safetensors", "held_out")
    assert train.shape == (14, SIDE, SIDE, 3) and held.shape == (1, HELD_SIDE, HELD_SIDE, 3)
    expected = noise(9).resize((HELD_SIDE, HELD_SIDE), Image.LANCZOS)
    assert np.array_equal(held[0].numpy(), np.asarray(expected))  # stored without loss


def test_pack_respects_the_limit_and_names_what_is_missing(root):
    full = pack(root, root / "p.safetensors", 1 << 24, processes=1)
    limit = (root / "p.safetensors").stat().st_size // 2
    half = pack(root, root / "q.safetensors", limit, processes=1)
    assert half["held_out"] == full["held_out"] and 0 < half["train"] < full["train"]
    (root / "t" / "held.png").unlink()
    (root / "t").rmdir()
    with pytest.raises(ValueError, match="lacks t"):
        pack(root, root / "r.safetensors", 1 << 24, processes=1)


def test_archives_yield_their_pictures_whole():
    parts = [encoded(noise(i)) for i in range(3)]
    assert list(unpack(b"head" + b"--".join(parts))) == parts


def test_transparency_stands_on_white_when_held_out():
    clear = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    image = photos.crops(encoded(clear, "PNG"), "x", 1, True)[0]
    assert np.asarray(image).min() == 255


def test_cut_gives_flipped_and_turned_crops_and_depends_on_the_generator_alone():
    picture = torch.arange(20 * 20 * 3).remainder(251).to(torch.uint8).view(1, 20, 20, 3)
    a = cut(picture, 64, 16, torch.Generator().manual_seed(1))
    b = cut(picture, 64, 16, torch.Generator().manual_seed(1))
    assert a.shape == (64, 16, 16, 3) and torch.equal(a, b)
    windows = picture.unfold(1, 16, 1).unfold(2, 16, 1).permute(0, 1, 2, 4, 5, 3).flatten(0, 2)
    found = 0
    for crop in a:
        forms = [crop, crop.flip(0), crop.flip(1), crop.flip(0, 1)]
        forms += [f.transpose(0, 1) for f in forms]
        found += any((windows == f).flatten(1).all(1).any() for f in forms)
    assert 30 <= found <= 55  # a third are recoloured


def test_another_file_is_refused(tmp_path):
    (tmp_path / "p.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no file of packed pictures"):
        load_pictures(tmp_path / "p.safetensors")
    with pytest.raises(ValueError, match="does not exist"):
        load_pictures(tmp_path / "q.safetensors")


def test_pictures_are_packed_for_larger_tokenizers_too(root):
    file = root / "large.safetensors"
    record = pack(root, file, 1 << 24, processes=1, size=256)
    assert (record["side"], record["held_side"]) == (320, 256)
    assert load_pictures(file).shape[1:] == (320, 320, 3)
    assert held_out_pictures(file, 256).shape == (1, 256, 256, 3)
    data = TokenizerData(file, 1.0, 2, 256)
    assert data.pixels(data.source.batch(0), 0, 0.0).shape == (2, 256, 256, 3)
    with pytest.raises(ValueError, match="are for 256 pixels a side: pack them again with --image-size 128"):
        TokenizerData(file, 1.0, 2, 128)
