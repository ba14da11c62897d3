"""What happens to one drawing on its way into the atlas: trimmed, fitted, measured, made easy to pack."""

from __future__ import annotations

import numpy as np
from PIL import Image


def content(image: Image.Image) -> tuple[int, int, int, int]:
    """Box of what is visible. Raises ValueError for an empty picture."""
    box = image.getchannel("A").point(lambda a: 255 if a > 16 else 0).getbbox()
    if box is None:
        raise ValueError("An icon drew nothing.")
    return box


def fit(image: Image.Image, cell: int = 96, margin: int = 2) -> Image.Image:
    """Trim to the visible content and fit it, centred, into the cell. Returns RGBA cell x cell."""
    image = image.crop(content(image))
    room = cell - 2 * margin
    scale = room / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    size = (width, height)
    image = image.resize(size, Image.Resampling.LANCZOS)
    sprite = Image.new("RGBA", (cell, cell), (0, 0, 0, 0))
    sprite.paste(image, ((cell - size[0]) // 2, (cell - size[1]) // 2))
    return sprite


def mean_colour(sprite: Image.Image) -> list[int]:
    """Alpha-weighted mean RGB: used to keep sprites off backgrounds of their own colour."""
    pixels = np.asarray(sprite, np.float64).reshape(-1, 4)
    return [round(v) for v in (pixels[:, :3] * pixels[:, 3:]).sum(0) / pixels[:, 3].sum()]


def near_lossless(sprite: Image.Image, smooth: int, edge: int) -> Image.Image:
    """The sprite with fewer distinct values, so that lossless packing costs half.

    A pixel is smooth where its four neighbours differ from it by less than edge: there each channel goes to the
    nearest multiple of smooth, elsewhere to the nearest multiple of edge; 255 stays 255. No value moves by more than
    half a step, and 1, 1 changes nothing. The idea is that of WebP's own near-lossless mode, which Pillow does not
    offer, with gradients made coarser too.
    """
    if smooth == edge == 1:
        return sprite
    values = np.asarray(sprite).astype(np.int16)
    # transparent black, whatever the colour was, so that nothing is stored that nobody sees
    values = np.where(values[..., 3:] == 0, 0, values)
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    uneven = np.max([np.abs(side - values).max(-1) for side in around], axis=0) >= edge
    step = np.where(uneven, edge, smooth)[..., None]
    coarse = np.where(values == 255, 255, np.minimum((values + step // 2) // step * step, 255))
    return Image.fromarray(coarse.astype(np.uint8), "RGBA")
