"""Pictures from visitors: every mode and format becomes plain RGB, hostile files get one sentence, pixels stay."""

import base64
import struct
import zlib

import numpy as np
import pytest
from picture_files import gradient, saved
from PIL import Image

from ui.bring import upload
from ui.server.form import Refused
from ui.server.picture import picture


def bomb(width, height):
    """A PNG of a few hundred bytes that claims width x height pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 9))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_each_format_is_read(kind):
    got = upload.read_image(saved(gradient(), kind))
    assert got.mode == "RGB" and got.size == (64, 48) and got.info == {}
    assert np.abs(np.asarray(got, int) - np.asarray(gradient(), int)).mean() < 12


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "I;16", "CMYK"])
def test_each_mode_becomes_rgb(mode):
    image = gradient().convert("L").convert("I;16") if mode == "I;16" else gradient().convert(mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(gradient().convert("L"), np.uint16) * 257)
    got = upload.read_image(saved(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert got.mode == "RGB" and got.size == (64, 48)
    wanted = np.asarray(gradient().convert("L"), int)
    assert mode == "1" or np.abs(np.asarray(got.convert("L"), int) - wanted).mean() < 20


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    assert np.asarray(upload.read_image(saved(clear))).min() == 255
    palette = Image.new("P", (32, 32), 0)
    palette.putpalette([200, 0, 0] * 256)
    assert np.asarray(upload.read_image(saved(palette, "PNG", transparency=0))).min() == 255


def test_only_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (32, 32), c) for c in ("red", "green", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.asarray(upload.read_image(data))[16, 16].tolist() == [255, 0, 0] or kind == "WEBP"
        assert np.asarray(upload.read_image(data))[16, 16, 0] > 240


def test_photographs_are_turned_upright_and_lose_their_metadata():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    exif[0x010E] = "where I live"
    got = upload.read_image(saved(gradient(64, 48), "JPEG", exif=exif, quality=95))
    assert got.size == (48, 64) and got.info == {} and not got.getexif()
    assert b"where I live" not in saved(got, "PNG")
    turned = gradient(64, 48).rotate(-90, expand=True)
    assert np.abs(np.asarray(got, int) - np.asarray(turned, int)).mean() < 6


def test_a_wrong_suffix_does_not_matter():
    """The name never reaches the server: only the bytes count."""
    assert upload.read_image(saved(gradient(), "BMP")).size == (64, 48)


HOSTILE = {
    "text": b"this is no picture",
    "html": b"<script>alert(1)</script>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "tiff": saved(gradient(), "TIFF"),
    "icon": saved(gradient(), "ICO"),
    "bomb": bomb(60_000, 60_000),
    "bomb below Pillow's own limit": bomb(9_000, 9_000),
    "one pixel": saved(Image.new("RGB", (1, 1))),
    "a line": saved(Image.new("RGB", (4000, 1))),
    "no pixels": bomb(0, 0),
    "cut off png": saved(gradient(256, 256))[:200],
    "cut off jpeg": saved(gradient(256, 256), "JPEG")[:400],
    "cut off webp": saved(gradient(256, 256), "WEBP")[:120],
    "cut off gif": saved(gradient(256, 256), "GIF")[:900],
    "header only": b"\x89PNG\r\n\x1a\n",
    "garbled": saved(gradient())[:60] + b"\xff" * 400,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_sentence(name):
    with pytest.raises(Refused) as refused:
        upload.read_image(HOSTILE[name])
    sentence = str(refused.value)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 130


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_lose_the_picture():
    data = saved(gradient(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert upload.read_image(data).size == (64, 48)


def test_huge_but_honest_is_refused_before_it_is_decoded():
    with pytest.raises(Refused, match="6,000 x 6,000 pixels: make it smaller, up to 25 million fit"):
        upload.read_image(saved(Image.new("1", (6_000, 6_000))))
    with pytest.raises(Refused, match="12,000 x 12,000 pixels: make it smaller, up to 25 million fit"):
        upload.read_image(saved(Image.new("1", (12_000, 12_000))))
    small = saved(gradient(), "JPEG")
    at = small.index(b"\xff\xc0")
    large = small[: at + 5] + struct.pack(">HH", 9_000, 12_000) + small[at + 9 :]
    with pytest.raises(Refused, match="12,000 x 9,000 pixels: make it smaller, up to 80 million fit"):
        upload.read_image(large)


@pytest.mark.parametrize("value", [None, 5, ["a"], {}, "not base64!", "é" * 40, "data:image/png;base64", ""])
def test_what_is_no_base64_is_refused(value):
    with pytest.raises(Refused):
        upload.bytes_of(value)


def test_bytes_come_from_base64_and_data_uris_up_to_the_limit():
    text = base64.b64encode(b"abc").decode()
    assert upload.bytes_of(text) == upload.bytes_of(f"data:image/png;base64,{text}") == b"abc"
    with pytest.raises(Refused, match="up to 8 MiB"):
        upload.bytes_of(base64.b64encode(b"a" * (upload.MAX_BYTES + 1)).decode())


# ---- the picture under an edit ------------------------------------------------------------------------------


@pytest.fixture
def under(tiny):
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    return upload.ground(tiny, saved(Image.fromarray(noise)))


def test_an_upload_is_shown_as_it_came(tiny, under):
    assert under.tokens.shape == (16,) and (under.width, under.height) == (32, 32)
    assert np.array_equal(np.asarray(picture(tiny, under.tokens, under)), np.asarray(under.image))


def test_a_repaint_changes_no_pixel_outside_its_region(tiny, under):
    region = np.zeros(tiny.grid, bool)
    region[1:3, 2:4] = True
    start = np.where(region, tiny.vocab_size, under.tokens.reshape(tiny.grid))
    outside = ~np.kron(region, np.ones((8, 8), bool))
    for record in tiny.stream("a cat", tokens=start, region=region, steps=4):
        shown = np.asarray(picture(tiny, record.tokens, under))
        assert np.array_equal(shown[outside], np.asarray(under.image)[outside])
    changed = (record.tokens != under.tokens).reshape(tiny.grid)
    assert changed[region].all()  # the noise has no token in common with what was painted
    decoded = np.asarray(tiny.decode(record.tokens.reshape(tiny.grid)))
    inner = np.zeros((32, 32), bool)
    inner[8 + 4 : 24 - 4, 16 + 4 : 32] = True  # deeper inside than the feather reaches
    inner[:, 28:] = False
    assert np.array_equal(shown[inner], decoded[inner])


def test_masked_cells_of_an_upload_are_stone_to_their_edge(tiny, under):
    hole = under.tokens.copy()
    hole[0] = tiny.vocab_size
    shown = np.asarray(picture(tiny, hole, under))
    assert (shown[:8, :8] == (201, 196, 188)).all()
    assert np.array_equal(shown[8:], np.asarray(under.image)[8:])


def test_without_an_upload_the_model_draws_everything(tiny):
    tokens = np.zeros(tiny.grid, np.int32)
    assert np.array_equal(np.asarray(picture(tiny, tokens, None)), np.asarray(tiny.decode(tokens)))
