"""One picture file of unknown origin -> a square of pixels, or one sentence about what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mdm_core.images.pictures import FORMATS, SUFFIXES, read
from trainer import checks

__all__ = ["SUFFIXES", "Framing", "read_picture", "square"]

MOST_PIXELS = 80_000_000  # a decompression bomb claims more; a camera's picture has 10 to 60 millions
LEAST_SIDE = 16  # pixels
MOST_SIDE = 8192  # of the squares


@dataclass(frozen=True)
class Framing:
    """How a square is cut from a picture.

    side: pixels of the result. crop: smallest share of the shorter side that a random square keeps; 1.0 takes
    the centre square. flip: mirror half of the pictures.
    """

    side: int = 128
    crop: float = 1.0
    flip: bool = False

    def __post_init__(self) -> None:
        checks.numbers(self, ("crop",), 0.1, 1.0)
        checks.wholes(self, ("side",), 8, MOST_SIDE)
        checks.flags(self, "flip")


def read_picture(source: bytes | Path, hint: int = 0) -> Image.Image:
    """Any readable picture as RGB, as a viewer would show it (see `mdm_core.images.pictures`).

    hint: pixels a side that will be needed; a larger JPEG is decoded at a fraction of its size.
    ValueError says in a few words why a file is no usable picture.
    """
    return read(source, formats=FORMATS, most=MOST_PIXELS, least=LEAST_SIDE, hint=hint)


def square(image: Image.Image, framing: Framing, rng: np.random.Generator | None = None) -> np.ndarray:
    """Cut and scale a square, uint8 [side, side, 3]; without rng the centre square, never mirrored."""
    short, side = min(image.size), framing.side
    cut = float(short)
    if rng is not None and framing.crop < 1:
        cut = short * rng.uniform(framing.crop, 1)
        x, y = rng.uniform(0, image.width - cut), rng.uniform(0, image.height - cut)
    else:
        x, y = (image.width - short) // 2, (image.height - short) // 2
    pixels = np.array(image.resize((side, side), Image.Resampling.LANCZOS, box=(x, y, x + cut, y + cut)))
    if rng is not None and framing.flip and rng.random() < 0.5:
        pixels = pixels[:, ::-1].copy()
    return pixels
