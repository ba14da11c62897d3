"""The three readers of pictures side by side, and picture files put together byte by byte."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from mdm_core.images.pictures import plain
from trainer.data.pictures import read_picture
from ui.bring.upload import read_image

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def library(data):
    return plain(Image.open(io.BytesIO(data)))


READERS: dict[str, Callable[[bytes], Image.Image]] = {
    "library": library,
    "page": read_image,
    "trainer": read_picture,
}


def alike(data, page=True):
    """The pixels [H, W, 3] that every reader makes of a file."""
    got = {name: np.asarray(r(data), int) for name, r in READERS.items() if page or name != "page"}
    for name, pixels in got.items():
        assert np.array_equal(pixels, got["library"]), name
    return got["library"]


def chunk(kind, data, crc=None):
    return (
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def with_chunk(png, *chunks):
    at = png.index(b"IDAT") - 4
    return png[:at] + b"".join(chunks) + png[at:]


def raw_png(depth, colour, row, *chunks, width=8):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 8, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress((b"\0" + row) * 8))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body + chunk(b"IEND", b"")


def with_segment(jpeg, marker, body):
    return jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
