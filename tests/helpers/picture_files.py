"""Pictures on disk for tests: captioned folders, and files that are broken in every way that Pillow knows."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200), "yellow": (230, 200, 40)}


def disc(colour: str, side: int = 48, kind: str = "RGB") -> Image.Image:
    """A disc of a named colour on white."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    pixels = np.full((side, side, 3), 255, np.uint8)
    pixels[(x * x + y * y) < (side * 0.35) ** 2] = COLOURS[colour]
    return Image.fromarray(pixels).convert(kind)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few bytes that claims width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def captioned_folder(root: Path, n: int = 24, side: int = 48) -> list[str]:
    """Write n discs with metadata.jsonl; returns the captions in the order of the names."""
    root.mkdir(parents=True, exist_ok=True)
    lines, captions = [], []
    for i in range(n):
        colour = list(COLOURS)[i % 4]
        disc(colour, side).save(root / f"{i:05d}.png")
        captions.append(f"a {colour} disc number {i}")
        lines.append(json.dumps({"file_name": f"{i:05d}.png", "text": captions[-1]}))
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return captions


def tar_shard(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


# ---- colour profiles, built by hand


def matrix_profile(r, g, b, gamma=2.2):
    """A version 2 profile; the columns are adapted to D50."""

    def s15(x):
        return struct.pack(">i", round(x * 65536))

    def xyz(t):
        return b"XYZ \0\0\0\0" + b"".join(map(s15, t))

    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz((0.9642, 1, 0.8249)),
        b"rXYZ": xyz(r),
        b"gXYZ": xyz(g),
        b"bXYZ": xyz(b),
    }
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(tags, b"RGB ")


def grey_profile(gamma):
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(x * 65536)) for x in (0.9642, 1, 0.8249))
    desc = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78
    return _profile({b"desc": desc, b"cprt": b"text\0\0\0\0none\0", b"wtpt": white, b"kTRC": curve}, b"GRAY")


def _profile(tags, space):
    at, table, data = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for k, v in tags.items():
        v += b"\0" * (-len(v) % 4)
        table += k + struct.pack(">II", at + len(data), len(v))
        data += v
    head = struct.pack(
        ">I4sI4s4s4s", 128 + len(table) + len(data), b"\0" * 4, 0x02400000, b"mntr", space, b"XYZ "
    )
    white = b"".join(struct.pack(">i", round(x * 65536)) for x in (0.9642, 1, 0.8249))
    return (head + b"\0" * 12 + b"acsp" + b"\0" * 28 + white).ljust(128, b"\0") + table + data


def saved(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def gradient(width=64, height=48):
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8))
