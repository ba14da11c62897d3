"""Locks and repaint masks: pixels <-> token cells, and the composite that keeps the user's own pixels."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from mdm_core.images.pictures import loaded, split, turn_of, upright

FAINT = 0.1  # of full: what a mask has below this is noise of its compression
Box = tuple[float, float, float, float]  # left, top, right, bottom


def centre_box(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest box of the model's shape (height, width) in the middle of a picture of `size` (width, height)."""
    (width, height), (h, w) = size, shape
    across, down = min(width, max(1, round(height * w / h))), min(height, max(1, round(width * h / w)))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def as_cells(
    region: Any,
    grid: tuple[int, int],
    image_size: int | tuple[int, int],
    name: str = "region",
    picture: tuple[int, int] | None = None,
) -> np.ndarray:
    """Any way to say where -> bool [h, w] of token cells.

    Args:
        region: None (nothing), bool [h, w] of cells, bool [L], a list of cell numbers, or a mask of pixels: a PIL
            image, or an array [H, W] of true/false, of 0/1, of 0..255 or of floats 0..1. A cell is inside when
            any painted pixel of it is. Painted is what is brighter than half or, in a mask that is transparent
            somewhere, what is more opaque than half, in whatever colour.
        image_size: pixels (height, width) of the model's pictures, or of a side.
        picture: (width, height) of the upright picture that the mask belongs to. A mask of its size or aspect is
            cut like the picture itself. Without a picture a mask has the aspect of the model's.
    Raises:
        ValueError: what is no region, does not fit, or is a lock that lies wholly outside what is kept.
    """
    h, w = grid
    shape = (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])
    if region is None:
        return np.zeros(grid, bool)
    if isinstance(region, Image.Image):
        return _of_mask(painted(region, name), grid, shape, name, picture)
    if isinstance(region, Tensor):
        region = region.detach().cpu()
    try:
        array = np.asarray(region)
    except ValueError:
        raise ValueError(f"{name} has rows of different lengths") from None
    if array.ndim == 1 and array.dtype != bool and array.size <= h * w:
        return _of_numbers(array, grid, name)
    if array.dtype == bool and array.shape == (h * w,):
        return array.reshape(grid).copy()
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.dtype == np.uint8 and array.shape[2] in (3, 4):
        array = painted(Image.fromarray(array), name)
    exact = [grid, shape] + ([picture[::-1]] if picture else [])
    fits = array.ndim == 2 and (
        array.shape in exact or all(a >= b for a, b in zip(array.shape, shape, strict=True))
    )
    on = _switched(array, name) if fits else None
    if on is None:
        raise ValueError(
            f"{name} must be true/false values of shape {h}x{w} (cells) or {shape[0]}x{shape[1]} (pixels), a mask "
            f"image, or a list of cell numbers; got {array.dtype} {'x'.join(map(str, array.shape))}"
        )
    return on.copy() if on.shape == grid else _of_mask(on, grid, shape, name, picture)


def painted(mask: Image.Image, name: str = "region") -> np.ndarray:
    """A mask image of any mode -> bool [H, W], turned upright like a picture."""
    colour, alpha = split(loaded(mask))
    if alpha is not None and np.asarray(alpha).min(initial=255) < 255:
        on = alpha  # a layer of a paint program: any colour is paint
    elif colour.mode == "L":
        on = colour
    else:  # the brightest channel: a red stroke is a stroke
        on = Image.fromarray(np.asarray(colour.convert("RGB")).max(2))
    return _above_half(np.asarray(upright(on, turn_of(mask))), 255, name)


def _above_half(values: np.ndarray, top: float, name: str) -> np.ndarray:
    """Values 0..top as true/false; ValueError where all that is there is too faint, instead of losing it."""
    on = values > top // 2 if top > 1 else values > 0.5
    if not on.any() and values.max(initial=0) > FAINT * top:
        raise ValueError(
            f"nothing in the mask of {name} is brighter, or more opaque, than half: paint it stronger"
        )
    return on


def _of_numbers(array: np.ndarray, grid: tuple[int, int], name: str) -> np.ndarray:
    cells = np.zeros(grid[0] * grid[1], bool)
    if array.size == 0:
        return cells.reshape(grid)
    if not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() >= cells.size:
        raise ValueError(f"{name} as a list must hold cell numbers from 0 to {cells.size - 1}")
    if len(np.unique(array)) != array.size:
        raise ValueError(f"{name} as a list must name each cell once; for on/off values use true and false")
    cells[array] = True
    return cells.reshape(grid)


def _switched(array: np.ndarray, name: str) -> np.ndarray | None:
    """Values [H, W] as true/false where their meaning is clear, else None."""
    if array.dtype == bool:
        return array
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array) or array.size == 0:
        return None
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):  # nothing is, of values that are no numbers
        return None
    if high <= 1:
        return _above_half(array, 1, name)
    known = array.dtype == np.uint8 or set(np.unique(array)) <= {0, 255}
    return _above_half(array, 255, name) if known else None


def _of_mask(
    on: np.ndarray, grid: tuple[int, int], shape: tuple[int, int], name: str, picture: tuple[int, int] | None
) -> np.ndarray:
    """Painted pixels [H, W] -> cells [h, w], cut as the picture is."""
    size, model = on.shape[::-1], shape[::-1]
    if picture and size != model and _alike(size, picture):
        box = centre_box(picture, shape)
        across, down = size[0] / picture[0], size[1] / picture[1]
        cells = _touched(on, (box[0] * across, box[1] * down, box[2] * across, box[3] * down), grid)
    elif size == model or (_alike(size, model) and not picture):
        cells = _touched(on, (0, 0, *size), grid)
    else:
        wanted = picture or model
        raise ValueError(
            f"{name} is a mask of {size[0]}x{size[1]} pixels, which does not lie over {wanted[0]}x{wanted[1]}: "
            f"give a mask of {'the picture' if picture else 'that'}'s size or aspect"
        )
    if on.any() and not cells.any():
        effect = "the region is empty" if name == "region" else f"{name} would hold nothing"
        raise ValueError(f"{effect}: all of it lies outside the middle of the picture that is kept")
    return cells


def _alike(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether (width, height) `a` is `b` scaled and rounded: off by at most a pixel a side."""
    low = max((n - 1) / m for n, m in zip(a, b, strict=True))
    return low <= min((n + 1) / m for n, m in zip(a, b, strict=True))


def _touched(on: np.ndarray, box: Box, grid: tuple[int, int]) -> np.ndarray:
    """bool [h, w]: the cells of the box in which any pixel lies that is on; a pixel may lie in several."""
    left, top, right, bottom = box
    rows = np.stack([on[a:b].any(0) for a, b in _spans(top, bottom, grid[0], on.shape[0])])  # [h, W]
    return np.stack([rows[:, a:b].any(1) for a, b in _spans(left, right, grid[1], on.shape[1])], 1)


def _spans(start: float, stop: float, count: int, length: int) -> list[tuple[int, int]]:
    """The pixels [a, b) that each of `count` equal parts of start..stop overlaps."""
    edge = [start + (stop - start) * i / count for i in range(count + 1)]
    slack = 1e-6  # of a pixel: edges that meet do not overlap
    return [
        (max(0, math.floor(a + slack)), min(length, max(math.floor(a + slack) + 1, math.ceil(b - slack))))
        for a, b in pairwise(edge)
    ]


def as_pixels(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool [h, w] cells -> bool [H, W] pixels of a picture of `size` (width, height), a multiple of the cells."""
    return np.kron(cells, np.ones((size[1] // cells.shape[0], size[0] // cells.shape[1]), bool))


def composite(
    original: Image.Image, painted: Image.Image, cells: np.ndarray, feather: int = 3
) -> Image.Image:
    """`painted` inside the cells, `original` outside; the seam is feathered inwards by `feather` pixels.

    Pixels outside the cells stay exactly the original's.
    """
    inside = as_pixels(cells, original.size)
    mask = Image.fromarray(inside.astype(np.uint8) * 255)
    if feather:
        soft = np.asarray(mask.filter(ImageFilter.BoxBlur(feather)), np.float32)
        # 255 deep inside; a blurred edge has about half at the border: stretch that to 0 and keep it inside
        soft = np.clip((soft - 127.5) * 2, 0, 255) * inside
        mask = Image.fromarray(soft.astype(np.uint8))
    return Image.composite(painted, original, mask)


def nearest_visible(ids: Tensor, masked: Tensor) -> Tensor:
    """For every cell the id of the nearest visible cell [B, h, w]; of equals the upper, then the left; 0 without any.

    Exact in the Euclidean distance and separable: the nearest cell of every column first, then the nearest of those
    along the row. Time is that of L log w for L cells, memory that of L, and nothing is done where nothing is masked.
    """
    there: np.ndarray = ~masked.cpu().numpy()  # [B, h, w]
    if there.all():
        return ids
    h = there.shape[1]
    near = torch.where(masked.flatten(1).all(1)[:, None, None], 0, ids)
    # [R] each: the rows with something to find
    image, y = np.nonzero(~np.all(there, 2) & np.any(there, (1, 2), keepdims=True)[..., 0])
    if len(y):
        row = _nearest_row(there)[image, y]  # [R, w]
        found = torch.from_numpy(_nearest_place(row, y, h)).to(ids.device)  # [R, w]
        at, line = torch.from_numpy(image).to(ids.device), torch.from_numpy(y).to(ids.device)  # [R] each
        near[at, line] = ids.flatten(1)[at[:, None], found]
    return near


def _nearest_row(there: np.ndarray) -> np.ndarray:
    """bool [B, h, w] -> the row of the nearest cell of the same column that is there [B, h, w]; h where none is."""
    h = there.shape[1]
    y = np.arange(h)[:, None]  # [h, 1]
    above = np.maximum.accumulate(np.where(there, y, -2 * h), 1)
    below = np.minimum.accumulate(np.where(there, y, 3 * h)[:, ::-1], 1)[:, ::-1]
    row = np.where(y - above <= below - y, above, below)
    return np.where((row < 0) | (row >= h), h, row)


def _nearest_place(row: np.ndarray, y: np.ndarray, h: int) -> np.ndarray:
    """Which of w cells, one a column, is nearest to each cell of line y: its number in the grid, [R, w].

    row: [R, w] of those cells, h where a column has none. y: [R].

    From column x, column q is seen at hw (x - q)^2 + c_q, where c_q is hw times its squared distance from the line
    plus its number in the grid: sums of equal distance differ by the number alone, and none are equal. Of such
    parabolas, all of one width, the lowest only moves right as x does. So every second x is sought between the
    answers at its two sides, level by level: w + (the x of that level) sums a line and level.
    """
    R, w = row.shape
    q = np.arange(w)
    away = np.where(row < h, row - y[:, None], 2 * (h + w))  # none: farther than any
    c = away**2 * (h * w) + np.where(row < h, row, 0) * w + q  # [R, w]
    lowest = np.empty((R, w), np.int64)
    # the answer's column for x = -1 .. w; beyond both ends stand the first and the last
    found = np.zeros((R, w + 2), np.int64)
    found[:, -1] = w - 1
    stride = 1 << (w - 1).bit_length()
    half = stride
    while half:
        x = np.arange(half % stride, w, 2 * half)  # of this level; of the first level 0 alone
        low, high = found[:, np.maximum(x - half, -1) + 1], found[:, np.minimum(x + half, w) + 1]  # [R, x]
        count = (high - low + 1).ravel()
        begin = np.cumsum(count) - count
        line, here = np.repeat(np.repeat(np.arange(R), len(x)), count), np.repeat(np.tile(x, R), count)
        column = np.arange(len(line)) + np.repeat(low.ravel() - begin, count)
        sums = c[line, column] + (here - column) ** 2 * (h * w)
        lowest[:, x] = np.minimum.reduceat(sums, begin).reshape(R, len(x)) % (h * w)
        found[:, x + 1] = lowest[:, x] % w
        half //= 2
    return lowest
