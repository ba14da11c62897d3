"""Locks and repaint masks: pixels <-> token cells, and the composite that keeps the user's own pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageFilter


def as_cells(region: Any, grid: tuple[int, int], image_size: int, name: str = "region") -> np.ndarray:
    """Any way to say where -> bool [h, w] of token cells.

    Args:
        region: None (nothing), bool [h, w] of cells, bool [L], bool [H, W] of pixels, a list of cell indices,
            or a PIL image whose bright pixels are inside. A pixel mask selects every cell that it touches.
    """
    h, w = grid
    if region is None:
        return np.zeros(grid, bool)
    if isinstance(region, Image.Image):
        region = np.asarray(region.convert("L").resize((image_size, image_size), Image.NEAREST)) > 127
    try:
        array = np.asarray(region)
    except ValueError:
        raise ValueError(f"{name} has rows of different lengths") from None
    if array.ndim == 1 and array.dtype != bool and array.size <= h * w:
        if array.size == 0:
            return np.zeros(grid, bool)
        if not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() >= h * w:
            raise ValueError(f"{name} as a list must hold cell numbers from 0 to {h * w - 1}")
        if len(np.unique(array)) != array.size:
            raise ValueError(
                f"{name} as a list must name each cell once; for on/off values use true and false"
            )
        cells = np.zeros(h * w, bool)
        cells[array] = True
        return cells.reshape(grid)
    if array.dtype == bool:
        if array.shape == (h, w):
            return array.copy()
        if array.shape == (h * w,):
            return array.reshape(grid).copy()
        if array.shape == (image_size, image_size):
            return array.reshape(h, image_size // h, w, image_size // w).any((1, 3))
    raise ValueError(
        f"{name} must be true/false values of shape {h}x{w} (cells) or {image_size}x{image_size} (pixels), "
        f"or a list of cell numbers; got {array.dtype} {'x'.join(map(str, array.shape))}"
    )


def as_pixels(cells: np.ndarray, image_size: int) -> np.ndarray:
    """bool [h, w] cells -> bool [H, W] pixels."""
    return np.kron(cells, np.ones((image_size // cells.shape[0], image_size // cells.shape[1]), bool))


def composite(
    original: Image.Image, painted: Image.Image, cells: np.ndarray, feather: int = 3
) -> Image.Image:
    """`painted` inside the cells, `original` outside; the seam is feathered inwards by `feather` pixels.

    Pixels outside the cells stay exactly the original's.
    """
    inside = as_pixels(cells, original.size[0])
    mask = Image.fromarray(inside.astype(np.uint8) * 255)
    if feather:
        soft = np.asarray(mask.filter(ImageFilter.BoxBlur(feather)), np.float32)
        # 255 deep inside; a blurred edge has about half at the border: stretch that to 0 and keep it inside
        soft = np.clip((soft - 127.5) * 2, 0, 255) * inside
        mask = Image.fromarray(soft.astype(np.uint8))
    return Image.composite(painted, original, mask)
