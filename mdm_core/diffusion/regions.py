"""Regions that people repaint, as masks for training: rectangles, brush strokes, half pictures.

All on the grid of tokens: bool [B, h, w], drawn from the given generator on its device; every region has a cell in it
and leaves one out (a grid of a single cell is all region).
"""

from __future__ import annotations

import torch
from torch import Tensor

SHAPES = ("rectangle", "brush", "half")
STROKE = 10  # discs of a brush stroke


def draw_regions(
    count: int, grid: tuple[int, int], generator: torch.Generator | None, device: torch.device | str
) -> Tensor:
    """`count` regions, each of a shape drawn evenly from `SHAPES`: bool [count, h, w]."""
    kind = torch.randint(0, len(SHAPES), (count,), device=device, generator=generator)
    drawn = [f(count, grid, generator, device) for f in (rectangles, strokes, halves)]
    return torch.stack(drawn)[kind, torch.arange(count, device=device)]


def _lines(grid: tuple[int, int], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Middles of the cells in shares of the picture: y [1, h, 1] and x [1, 1, w]."""
    y, x = ((torch.arange(n, device=device) + 0.5) / n for n in grid)
    return y[None, :, None], x[None, None, :]


def _proper(mask: Tensor) -> Tensor:
    """Regions with at least one cell, and, where the grid has more than one, not all of them."""
    flat = mask.flatten(1)
    flat[:, flat.shape[1] // 2] |= ~flat.any(1)
    if flat.shape[1] > 1:
        flat[:, 0] &= ~flat.all(1)
    return flat.view_as(mask)


def rectangles(
    count: int,
    grid: tuple[int, int],
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Rectangles of 0.15 to 0.75 of a side each way, anywhere inside: bool [count, h, w]."""
    y, x = _lines(grid, device)
    u = torch.rand(4, count, 1, 1, device=device, generator=generator)
    height, width = 0.15 + 0.6 * u[0], 0.15 + 0.6 * u[1]
    top, left = u[2] * (1 - height), u[3] * (1 - width)
    return _proper((y >= top) & (y < top + height) & (x >= left) & (x < left + width))


def strokes(
    count: int,
    grid: tuple[int, int],
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """What a brush paints: discs of one size along a path that bends as it goes. bool [count, h, w]."""
    y, x = _lines(grid, device)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=generator)

    radius = 0.05 + 0.1 * rand(count, 1, 1)
    turn = (rand(count, 1) * 6.2832 + ((rand(count, STROKE) - 0.5) * 1.6).cumsum(1))[..., None, None]
    step = 0.9 * radius[:, None]
    at_y = 0.15 + 0.7 * rand(count, 1, 1, 1) + (step * turn.sin()).cumsum(1)  # [count, STROKE, 1, 1]
    at_x = 0.15 + 0.7 * rand(count, 1, 1, 1) + (step * turn.cos()).cumsum(1)
    # discs beyond the first few are there or not: dabs as well as strokes
    long = 3 + rand(count, 1, 1, 1) * (STROKE - 3)
    used = torch.arange(STROKE, device=device)[None, :, None, None] < long
    near = (y[:, None] - at_y) ** 2 + (x[:, None] - at_x) ** 2 <= radius[:, None] ** 2
    return _proper((near & used).any(1))


def halves(
    count: int,
    grid: tuple[int, int],
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """One side of a straight line through the middle third, mostly level or upright: bool [count, h, w]."""
    y, x = _lines(grid, device)
    u = torch.rand(4, count, 1, 1, device=device, generator=generator)
    quarter = (u[0] * 4).floor() * (torch.pi / 2)
    angle = torch.where(u[3] < 0.7, quarter, u[0] * 2 * torch.pi)
    cut = (u[1] - 0.5) / 3
    return _proper((y - 0.5) * angle.sin() + (x - 0.5) * angle.cos() > cut)


def boxes(corners: Tensor, grid: tuple[int, int], patch: int, border: int = 0) -> Tensor:
    """Cells that boxes touch, and `border` more around them: bool [B, h, w].

    corners: int [B, N, 4], left, top, right, bottom in pixels (right and bottom just outside); an empty box, with
    right <= left, touches nothing. The mask is of all N boxes of a picture together.
    """
    h, w = grid
    left, top, right, bottom = corners.unbind(-1)  # [B, N] each
    real = ((right > left) & (bottom > top))[..., None, None]
    rows, columns = (torch.arange(n, device=corners.device) for n in (h, w))
    first_x = torch.div(left, patch, rounding_mode="floor")[..., None, None] - border
    first_y = torch.div(top, patch, rounding_mode="floor")[..., None, None] - border
    last_x = torch.div(right - 1, patch, rounding_mode="floor")[..., None, None] + border
    last_y = torch.div(bottom - 1, patch, rounding_mode="floor")[..., None, None] + border
    inside_y = (rows[:, None] >= first_y) & (rows[:, None] <= last_y)  # [B, N, h, 1]
    inside_x = (columns >= first_x) & (columns <= last_x)  # [B, N, 1, w]
    return (inside_y & inside_x & real).any(1)
