"""Photographs and clip art for the image tokenizer, packed into one file of WebP pictures.

    mkdir -p /tmp/pictures && cd /tmp/pictures
    apt-get download gnome-backgrounds mate-backgrounds plasma-workspace-wallpapers ukui-wallpapers \\
        gcompris-qt-data tuxpaint-stamps-default openclipart-png \\
        lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 palapeli-data
    for deb in *.deb; do dpkg -x "$deb" "${deb%%_*}"; done
    pip download --no-deps scikit-image==0.26.0 scikit-learn==1.9.1
    for wheel in *.whl; do python -m zipfile -e "$wheel" "${wheel%%-*}"; done
    cd - && python -m trainer tokenizer photos /tmp/pictures --out runs/photos.safetensors
    python -m trainer tokenizer photos /tmp/pictures --image-size 256 --limit-mib 120 --out runs/photos_256.safetensors

Debian 12 holds these packages, and PyPI these wheels; nothing is fetched by Chisel itself, and no picture ships
with it, only the decoder's weights that saw them. Licences (each package's own copyright file has the details):
see SOURCES. Whole sources are held out: of those no picture is ever trained on, and a picture that looks like
a held-out one is dropped from training.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import struct
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mdm_core.paths import located
from trainer.command import ask, out_file, run_command
from trainer.settings.tokenizer import HELD_SIDE, Photos


def stored_side(size: int) -> int:
    """Pixels a side of a stored training picture: room for a random crop of `size`."""
    return size * 5 // 4


SIDE = stored_side(HELD_SIDE)
TWIN = 12.0  # mean difference of 8x8 thumbnails (0..255) under which two pictures are the same one
LARGEST = 60_000_000  # pixels of a picture that is read


@dataclass(frozen=True)
class Source:
    """Pictures of one folder under the root: files matching `pattern`, `crops` stored of each."""

    folder: str
    pattern: str
    crops: int
    licence: str
    held_out: bool = False
    every: int = 1  # take one picture in so many


SOURCES = (
    Source("gnome-backgrounds", r"\.webp$", 16, "GPL-2+"),
    Source("mate-backgrounds", r"(nature|abstract|desktop)/[^_]*\.(jpg|png)$", 16, "GPL-2+"),
    Source(
        "plasma-workspace-wallpapers", r"images/(5120x2880|3840x2160|2560x1600|1920x1200)\.\w+$", 16, "GPL-2+"
    ),
    Source("ukui-wallpapers", r"\.(jpg|png)$", 16, "CC-BY-SA-3.0"),
    Source(
        "gcompris-qt-data",
        r"(explore_\w+|details|categorization|paintings|louis-braille)\.rcc$",
        8,
        "GPL-3+, CC-BY, CC-BY-SA, CC0, public domain",
    ),
    Source("gcompris-qt-data", r"lang\.rcc$", 2, "GPL-3+, CC-BY-SA"),
    Source("tuxpaint-stamps-default", r"\.png$", 2, "GPL-2, public domain"),
    Source("openclipart-png", r"\.png$", 1, "public domain", every=2),
    Source("gcompris-qt-data", r"erase\.rcc$", 1, "GPL-3+, CC-BY, CC-BY-SA, public domain", True),
    Source("lomiri-wallpapers-16.04", r"_[^/]*\.jpg$", 1, "CC-BY-4.0, CC-BY-SA-4.0", True),
    Source("lomiri-wallpapers-20.04", r"_[^/]*\.jpg$", 1, "CC-BY-SA-4.0", True),
    Source("palapeli-data", r"collection/[^/]*\.jpg$", 1, "GPL-2+, CC-BY-SA", True),
    Source(
        "scikit_image",
        r"(astronaut|chelsea|coffee|rocket|motorcycle_left|camera|grass|brick|gravel|coins|hubble_deep_field)\.\w+$",
        1,
        "CC0, public domain",
        True,
    ),
    Source("scikit_learn", r"images/\w+\.jpg$", 1, "CC-BY-2.0", True),
)


def pictures(root: Path, source: Source) -> Iterator[tuple[str, bytes]]:
    """(name, encoded bytes) of every picture of a source, sorted by name."""
    paths = [p for p in sorted((root / source.folder).rglob("*")) if p.is_file() and not p.is_symlink()]
    names = [(p, p.relative_to(root).as_posix()) for p in paths]
    for path, name in [n for n in names if re.search(source.pattern, n[1])][:: source.every]:
        if path.suffix == ".rcc":
            yield from ((f"{name}#{i}", b) for i, b in enumerate(unpack(path.read_bytes())))
        else:
            yield name, path.read_bytes()


def unpack(archive: bytes) -> Iterator[bytes]:
    """The WebP pictures inside a Qt resource file, which stores them as they are."""
    end = 0
    for found in re.finditer(rb"RIFF(....)WEBP", archive, re.DOTALL):
        if found.start() >= end:
            end = found.start() + 8 + struct.unpack("<I", found.group(1))[0]
            yield archive[found.start() : end]


def square(
    image: Image.Image, box: tuple[float, float, float, float], side: int, ground: tuple
) -> Image.Image:
    """Cut a box, scale it to `side`, and flatten transparency on a colour."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, ground), rgba)
    return image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS, box=box)


def crops(encoded: bytes, name: str, count: int, held_out: bool, size: int = HELD_SIDE) -> list[Image.Image]:
    """The centre square, then random squares of 35 to 100 % of its side; seeded by the picture's name.

    A transparent picture stands on white, as an upload would, or half of the time on a random colour. `size`: of a
    held-out one; those to train on have room for crops of it.
    """
    stored = stored_side(size)
    image = Image.open(io.BytesIO(encoded))
    if image.width * image.height > LARGEST:
        return []
    image.draft("RGB", (4 * stored, 4 * stored))
    image.load()
    side = min(image.size)
    if side < 48 or max(image.size) > 8 * side:
        return []
    left, top = (image.width - side) // 2, (image.height - side) // 2
    centre = (left, top, left + side, top + side)
    if held_out:
        return [square(image, centre, size, (255, 255, 255))]
    rng, result = random.Random(name), []
    for i in range(count):
        box: tuple[float, float, float, float] = centre
        if i:
            s = max(side * rng.uniform(0.35, 1.0), min(side, stored / 2))
            x, y = rng.uniform(0, image.width - s), rng.uniform(0, image.height - s)
            box = (x, y, x + s, y + s)
        white = rng.random() < 0.5
        ground = (255, 255, 255) if white else tuple(rng.randrange(256) for _ in range(3))
        result.append(square(image, box, stored, ground))
    return result


def thumbnail(image: Image.Image) -> np.ndarray:
    """float32 [8, 8, 3]."""
    return np.asarray(image.resize((8, 8), Image.Resampling.BOX), np.float32)


def packed(job: tuple[bytes, str, int, bool, int]) -> tuple[list[bytes], np.ndarray | None, str]:
    """The stored crops of one picture, a thumbnail of its centre, and what was wrong with it."""
    encoded, name, count, held_out, size = job
    try:
        images = crops(encoded, name, count, held_out, size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return [], None, f"{name}: {error}"
    files = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", lossless=held_out, quality=88, method=4)
        files.append(buffer.getvalue())
    return files, thumbnail(images[0]) if images else None, ""


def pack(root: Path, out: Path, limit: int, processes: int = 2, size: int = HELD_SIDE) -> dict:
    """Write the pictures under `root` to `out`, for pictures of `size` pixels, at most `limit` bytes; the record.

    ValueError when a source is missing. Over the limit, pictures are dropped at random from all sources.
    """
    if missing := sorted({s.folder for s in SOURCES if not (root / s.folder).is_dir()}):
        raise ValueError(
            f"{root} lacks {', '.join(missing)}: the head of trainer/tokenizer/photos.py says how to get them"
        )
    jobs, seen = [], set()
    for source in SOURCES:
        for name, encoded in pictures(root, source):
            digest = hashlib.sha256(encoded).digest()
            if digest not in seen:
                seen.add(digest)
                jobs.append((source, (encoded, name, source.crops, source.held_out, size)))
    with ProcessPoolExecutor(processes) as pool:
        results = list(pool.map(packed, [job for _, job in jobs], chunksize=16))
    held = np.stack(
        [t for (s, _), (_, t, _) in zip(jobs, results, strict=True) if s.held_out and t is not None]
    )
    skipped: Counter[str] = Counter()
    kept: list[tuple[Source, bytes]] = []
    for (source, _), (files, small, error) in zip(jobs, results, strict=True):
        if error or small is None:
            skipped["unreadable" if error else "too small, narrow or huge"] += 1
        elif not source.held_out and np.abs(held - small).mean((1, 2, 3)).min() < TWIN:
            skipped["like a held-out picture"] += 1
        else:
            kept += [(source, f) for f in files]
    test = [(s, f) for s, f in kept if s.held_out]
    train = [(s, f) for s, f in kept if not s.held_out]
    random.Random(0).shuffle(train)
    room = limit - sum(len(f) for _, f in test)
    sizes = np.cumsum([len(f) for _, f in train])
    train = train[: int(np.searchsorted(sizes, room, "right"))]
    record = {
        "side": stored_side(size),
        "held_side": size,
        "train": len(train),
        "held_out": len(test),
        "skipped": dict(skipped),
        "sources": [
            {
                "folder": s.folder,
                "pattern": s.pattern,
                "licence": s.licence,
                "held_out": s.held_out,
                "pictures": sum(k == s for k, _ in train + test),
            }
            for s in SOURCES
        ],
    }
    save_file(
        {
            part: torch.from_numpy(np.frombuffer(b"".join(f for _, f in files), np.uint8).copy())
            for part, files in (("train", train), ("held_out", test))
        }
        | {
            f"{part}_ends": torch.tensor([len(f) for _, f in files]).cumsum(0)
            for part, files in (("train", train), ("held_out", test))
        },
        str(out),
        metadata={"pictures": json.dumps(record)},
    )
    return record


def load_pictures(path: Path, part: str = "train", count: int | None = None) -> Tensor:
    """Pictures of a packed file, uint8 [n, s, s, 3]: `part` "train" (s = 160) or "held_out" (s = 128), or larger.

    ValueError when the file is not one that `pack` wrote.
    """
    path = located(path)
    try:
        with safe_open(str(path), framework="np") as file:
            data, ends = file.get_tensor(part), file.get_tensor(f"{part}_ends")[:count]
    except Exception as error:
        what = "is no file of packed pictures" if Path(path).exists() else "does not exist"
        raise ValueError(f"{path} {what}: make one with `python -m trainer tokenizer photos`") from error
    starts = np.concatenate([[0], ends[:-1]])

    def read(span: tuple[int, int]) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data[span[0] : span[1]].tobytes())).convert("RGB"))

    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
        return torch.from_numpy(np.stack(list(pool.map(read, zip(starts, ends, strict=True)))))


def cut(pictures: Tensor, n: int, side: int, generator: torch.Generator) -> Tensor:
    """n random crops, flipped, turned and a third of them recoloured, uint8 [n, side, side, 3].

    pictures: uint8 [N, s, s, 3] with s >= side, on any device; generator: on the CPU, so that devices agree.
    """

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    room, device = pictures.shape[1] - side + 1, pictures.device
    row = (rand(n) * len(pictures)).long().to(device)[:, None, None]
    y, x = ((rand(n, 1) * room).long() + torch.arange(side) for _ in range(2))  # [n, side]
    y, x = (torch.where(rand(n, 1) < 0.5, a.flip(1), a).to(device) for a in (y, x))
    turn = (rand(n, 1, 1) < 0.5).to(device)
    gain = torch.where(rand(n, 1, 1, 1) < 0.33, rand(n, 1, 1, 3) * 0.5 + 0.7, torch.ones(1)).to(device)
    y, x = torch.where(turn, x[:, None], y[:, :, None]), torch.where(turn, y[:, :, None], x[:, None])
    out = pictures[row, y, x]  # [n, side, side, 3]
    return (out.float() * gain).round().clamp(0, 255).to(torch.uint8)


def main() -> None:
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    args = ask(Photos, __doc__)
    out_file(args.out, (".safetensors",))
    if not args.root.is_dir():
        raise ValueError(f"{args.root} is no folder: give one with a sub-folder for each package")
    print(
        json.dumps(
            pack(args.root, args.out, int(args.limit_mib * 2**20), args.processes, args.image_size), indent=1
        )
    )


if __name__ == "__main__":
    run_command(main)
