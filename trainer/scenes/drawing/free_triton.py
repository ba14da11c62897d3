"""The pictures of `free_render` on a GPU, in two kernels: one reduces sprites, one draws every tile of a picture whole.

The same integers as there, so the same pictures. A batch that was a hundred small operations, each of which read and
wrote windows as large as its largest sprite, is two launches that write every pixel once.

Legend: n sprites, B scenes, S slots, side s of a reduced sprite.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from trainer.scenes.drawing.render import CONTRAST

PIXELS = 1024  # of a reduced sprite that one program makes
TILE = (16, 64)  # rows and columns of a picture that one program draws
# of a thing in the table: its sprite (8 numbers), the window of the sprite, the shadow (8), the window of the shadow
COLUMNS = 18


@triton.jit
def _shade(rgb, mean, ramp, CONTRAST: tl.constexpr):
    """The colour of a ramp that a pixel is given, packed; see `render.recolour`."""
    luma = ((rgb & 255) * 77 + ((rgb >> 8) & 255) * 150 + ((rgb >> 16) & 255) * 29) >> 8
    shade = 128 + ((luma - mean) * CONTRAST >> 8)
    shade = tl.minimum(tl.maximum(shade, 0), 255)
    red = tl.load(ramp + shade * 3).to(tl.int32)
    green = tl.load(ramp + shade * 3 + 1).to(tl.int32)
    blue = tl.load(ramp + shade * 3 + 2).to(tl.int32)
    return red | (green << 8) | (blue << 16)


@triton.jit
def _reduce_kernel(
    sprites,
    ramps,
    pairs,
    packed,
    CELL: tl.constexpr,
    CONTRAST: tl.constexpr,
    PIXELS: tl.constexpr,
):
    pair = pairs + tl.program_id(0) * 5
    place, by, start = tl.load(pair).to(tl.int64), tl.load(pair + 1), tl.load(pair + 2)
    colour, mean = tl.load(pair + 3), tl.load(pair + 4)
    side = CELL // by
    at = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    if tl.program_id(1) * PIXELS < side * side:
        within = at < side * side
        first = sprites + place * CELL * CELL + at // side * by * CELL + at % side * by
        red = tl.zeros((PIXELS,), tl.int32)
        green = tl.zeros((PIXELS,), tl.int32)
        blue = tl.zeros((PIXELS,), tl.int32)
        solid = tl.zeros((PIXELS,), tl.int32)
        for k in range(by * by):
            pixel = tl.load(first + k // by * CELL + k % by, mask=within, other=0)
            alpha = (pixel >> 24) & 255
            if colour > 0:
                pixel = _shade(pixel, mean, ramps + (colour - 1) * 768, CONTRAST)
            red += (pixel & 255) * alpha
            green += ((pixel >> 8) & 255) * alpha
            blue += ((pixel >> 16) & 255) * alpha
            solid += alpha * 255
        unit = 255 * by * by
        red, green = (red + unit // 2) // unit, (green + unit // 2) // unit
        blue, solid = (blue + unit // 2) // unit, (solid + unit // 2) // unit
        tl.store(packed + start + at, red | (green << 8) | (blue << 16) | (solid << 24), mask=within)


@triton.jit
def _floor(a, b):
    """a / b rounded down, for b > 0: the language rounds towards zero."""
    quotient = a // b
    return tl.where((a % b != 0) & (a < 0), quotient - 1, quotient)


@triton.jit
def _dark(across, down, rx, ry, shift, STRENGTH: tl.constexpr):
    u = tl.minimum(tl.maximum(_floor((across - shift) * 4096, rx), -8192), 8192)
    v = tl.minimum(tl.maximum(_floor(down * 4096, ry), -8192), 8192)
    near = tl.maximum(4096 - ((u * u + v * v) >> 12), 0)
    return (near * near * STRENGTH) >> 24


@triton.jit
def _blend(a, b, c, d, SHIFT: tl.constexpr, fu, fv):
    """One channel of four packed pixels between which a point lies, in 65,536ths."""
    upper = ((a >> SHIFT) & 255) * (256 - fu) + ((b >> SHIFT) & 255) * fu
    lower = ((c >> SHIFT) & 255) * (256 - fu) + ((d >> SHIFT) & 255) * fu
    return (upper * (256 - fv) + lower * fv + 32768) >> 16


@triton.jit
def _over(drawn, behind, clear):
    return tl.minimum(drawn + (behind * clear + 127) // 255, 255)


@triton.jit
def _paint_kernel(
    grounds,
    ground,
    packed,
    table,
    out,
    IMAGE: tl.constexpr,
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CORE: tl.constexpr,
    RIM: tl.constexpr,
    ROWS: tl.constexpr,
    WIDE: tl.constexpr,
):
    scene = tl.program_id(0).to(tl.int64)
    across: tl.constexpr = (IMAGE + WIDE - 1) // WIDE
    row0, column0 = tl.program_id(1) // across * ROWS, tl.program_id(1) % across * WIDE
    row = row0 + tl.arange(0, ROWS)[:, None]  # [ROWS, 1]
    column = column0 + tl.arange(0, WIDE)[None, :]  # [1, WIDE]
    within = (row < IMAGE) & (column < IMAGE)
    at = (row * IMAGE + column) * 3
    under = grounds + tl.load(ground + scene) * (IMAGE * IMAGE * 3)
    red = tl.load(under + at, mask=within, other=0).to(tl.int32)
    green = tl.load(under + at + 1, mask=within, other=0).to(tl.int32)
    blue = tl.load(under + at + 2, mask=within, other=0).to(tl.int32)
    things = table + scene * (SLOTS * COLUMNS)
    for slot in range(SLOTS):
        t = things + slot * COLUMNS + 9
        wide, x, y = tl.load(t + 8), tl.load(t), tl.load(t + 1)
        left, top = x - wide // 2, y - 1 - wide // 4
        near = (left < column0 + WIDE) & (left + wide > column0)
        if near & (top < row0 + ROWS) & (top + wide // 2 > row0) & (wide > 0):
            dark = _dark(column - x, row - y + 1, tl.load(t + 2), tl.load(t + 3), tl.load(t + 6), CORE)
            dark += _dark(column - x, row - y + 1, tl.load(t + 4), tl.load(t + 5), tl.load(t + 7), RIM)
            inside = (column >= left) & (column < left + wide) & (row >= top) & (row < top + wide // 2)
            clear = tl.where(inside, 255 - tl.minimum(dark, 160), 255)
            red = (red * clear + 127) // 255
            green = (green * clear + 127) // 255
            blue = (blue * clear + 127) // 255
    for slot in range(SLOTS):
        t = things + slot * COLUMNS
        start, s, size = tl.load(t), tl.load(t + 1), tl.load(t + 2)
        x, y, cos, sin = tl.load(t + 3), tl.load(t + 4), tl.load(t + 5), tl.load(t + 6)
        left, top, side = x - tl.load(t + 7), y - tl.load(t + 7), tl.load(t + 8)
        near = (left < column0 + WIDE) & (left + side > column0)
        if near & (top < row0 + ROWS) & (top + side > row0) & (size > 0):
            # half pixels from the middle of the sprite
            i, j = (column - x) * 2 + 1 - size, (row - y) * 2 + 1 - size
            u = i * cos + j * sin + s * 32768 - 32768
            v = j * cos - i * sin + s * 32768 - 32768
            inside = (u > -65536) & (u < s * 65536) & (v > -65536) & (v < s * 65536)
            inside = inside & (column >= left) & (column < left + side) & (row >= top) & (row < top + side)
            fu, fv = (u >> 8) & 255, (v >> 8) & 255
            u, v = u >> 16, v >> 16
            x0, x1 = tl.minimum(tl.maximum(u, 0), s - 1), tl.minimum(tl.maximum(u + 1, 0), s - 1)
            y0 = start + tl.minimum(tl.maximum(v, 0), s - 1) * s
            y1 = start + tl.minimum(tl.maximum(v + 1, 0), s - 1) * s
            a = tl.load(packed + y0 + x0, mask=inside, other=0)
            b = tl.load(packed + y0 + x1, mask=inside, other=0)
            c = tl.load(packed + y1 + x0, mask=inside, other=0)
            d = tl.load(packed + y1 + x1, mask=inside, other=0)
            clear = 255 - _blend(a, b, c, d, 24, fu, fv)
            red = _over(_blend(a, b, c, d, 0, fu, fv), red, clear)
            green = _over(_blend(a, b, c, d, 8, fu, fv), green, clear)
            blue = _over(_blend(a, b, c, d, 16, fu, fv), blue, clear)
    here = out + scene * (IMAGE * IMAGE * 3) + at
    tl.store(here, red.to(tl.uint8), mask=within)
    tl.store(here + 1, green.to(tl.uint8), mask=within)
    tl.store(here + 2, blue.to(tl.uint8), mask=within)


def reduced(sprites: Tensor, ramps: Tensor, pairs: Tensor, total: int, smallest: int) -> Tensor:
    """Sprites at 1 / by of the cell, premultiplied, RGBA packed, one after the other: int32 [total].

    sprites: uint8 [N, cell, cell, 4] as the artist drew them; ramps: uint8 [8, 256, 3]; pairs: int32 [n, 5] of place,
    by, where it begins, colour (0: as drawn), mean luminance; smallest: of all `by`.
    """
    packed = torch.empty(total, dtype=torch.int32, device=sprites.device)
    cell = sprites.shape[1]
    _reduce_kernel[(len(pairs), triton.cdiv((cell // smallest) ** 2, PIXELS))](
        sprites.view(torch.int32), ramps, pairs, packed, CELL=cell, CONTRAST=CONTRAST, PIXELS=PIXELS
    )
    return packed


def paint(
    grounds: Tensor,
    ground: Tensor,
    packed: Tensor,
    table: Tensor,
    strengths: tuple[int, int],
    tile: tuple[int, int] = TILE,
) -> Tensor:
    """Pictures uint8 [B, image, image, 3]: the ground, all shadows, all sprites in the order of their slots.

    grounds: uint8 [G, image, image, 3]; ground: int64 [B], which of them; packed: of `reduced`; table: int32
    [B, S, COLUMNS], of each thing its sprite (start, s, size, x, y, cos, sin: see `free_render`), how far its window
    begins before x and y, the window's side, and its shadow (x, y, radii of core and rim, shifts, the window's side);
    0 where there is none. strengths: of core and rim.
    """
    (scenes, slots, columns), image = table.shape, grounds.shape[1]
    out = torch.empty((scenes, image, image, 3), dtype=torch.uint8, device=grounds.device)
    rows, wide = tile
    _paint_kernel[(scenes, triton.cdiv(image, rows) * triton.cdiv(image, wide))](
        grounds,
        ground,
        packed,
        table,
        out,
        IMAGE=image,
        SLOTS=slots,
        COLUMNS=columns,
        CORE=strengths[0],
        RIM=strengths[1],
        ROWS=rows,
        WIDE=wide,
    )
    return out
