"""Scenes of any world -> pixels: sprites of any size, anywhere, leaning a little, with the shadow they cast.

All arithmetic is in integers, so that the CPU and a GPU give exactly the same picture, as in `render.py`. A sprite is
reduced by whole factors (boxes of 1 to 4 pixels a side) to the smallest picture that is no smaller than it is drawn,
and read from there bilinearly: at most two of its pixels go into one.

What is drawn at once: the sprites whose windows are of one size, of those that are the first, the second, ... of their
scenes. A window only has to be large enough: around a sprite nothing changes. A GPU does the same in two kernels, see
`free_triton`; where their language is not installed it takes this way.

Legend: K sprites drawn at once, n sprites, S side of a reduced sprite, W side of the window that one is drawn in,
B scenes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.scenes.drawing.bank import FreeBank
from trainer.scenes.generator import VARIANTS
from trainer.scenes.scene import SceneBatch
from trainer.transfer import onto

REDUCTIONS = (4, 3, 2, 1)
STEP = 16  # windows have a multiple of this many pixels a side: few sizes, much drawn at once
# the shadow of a thing: core and rim, each (half width, half height in shares of the foot, shift to the right, alpha)
CORE, RIM = (0.5, 0.12, 0.02, 104), (0.62, 0.2, 0.06, 72)


@dataclass(frozen=True)
class Things:
    """All sprites of a batch, scene by scene and slot by slot, as integers."""

    scene: np.ndarray  # [n]
    slot: np.ndarray  # [n]
    sprite: (
        np.ndarray
    )  # [n, 7]: where it begins, side s, size, x, y, and cosine and sine of the turn: see `_of_sprites`
    window: np.ndarray  # [n], side of the window that holds it
    shadow: np.ndarray  # [n, 8]: x, y, radii of core and rim, shifts of both: see `_of_shadows`
    shaded: np.ndarray  # [n], side of the window that holds the shadow; 0: it casts none


def draw(batch: SceneBatch, bank: FreeBank) -> Tensor:
    """Draw a batch: shadows on the ground, then sprites slot by slot. uint8 [B, image, image, 3] on the device.

    Raises ValueError when the batch holds sprites that the bank lacks, or larger ones than the atlas has.
    """
    used = batch.sprite >= 0  # [B, slots]
    if used.any() and batch.sprite.max() >= bank.rows:
        raise ValueError(
            "The batch names sprites the bank does not hold: build both for the same objects and styles."
        )
    if used.any() and batch.size[used].max() > bank.atlas.cell:
        raise ValueError(
            f"The atlas holds sprites of {bank.atlas.cell} pixels, and a scene asks for larger ones."
        )
    b, image = len(batch), bank.spec.image
    look = np.zeros(b, np.int64) if batch.look is None else batch.look
    if not used.any():
        return bank.ground(batch.background, look)
    packed, things = _things(batch, bank, used, look)
    if bank.kernels:
        return _painted(batch, bank, packed, things, look)
    # one pixel more than there are: what would lie outside of a picture goes there
    flat = torch.zeros((b * image * image + 1, 3), dtype=torch.uint8, device=bank.device)
    flat[:-1] = bank.ground(batch.background, look).view(-1, 3)
    scene = things.scene
    # no two shadows of one scene at once: they may share pixels
    order = np.zeros(len(scene), np.int64)
    for k in range(1, int(np.bincount(scene).max())):
        order[k:] += scene[k:] == scene[:-k]
    told = torch.from_numpy(np.concatenate([scene[:, None], things.shadow], 1).astype(np.int32)).to(
        flat.device
    )
    for window, lot in _lots(order, things.shaded, flat.device):
        _shadow(flat, image, told[lot], window)
    told = torch.from_numpy(np.concatenate([scene[:, None], things.sprite], 1).astype(np.int32)).to(
        flat.device
    )
    for window, lot in _lots(things.slot, things.window, flat.device):
        _over(flat, image, packed, told[lot], window)
    return flat[:-1].view(b, image, image, 3)


def _things(batch: SceneBatch, bank: FreeBank, used: np.ndarray, look: np.ndarray) -> tuple[Tensor, Things]:
    """The reduced sprites of a batch, int32 [all pixels], and all that is to be known of where they are drawn."""
    scene, slot = np.nonzero(used)  # [n] each
    angle = np.zeros_like(batch.size) if batch.angle is None else batch.angle
    row, size, xy, lean = batch.sprite[used], batch.size[used], batch.xy[used], angle[used]
    by = _reduction(size, bank.atlas.cell)
    pairs, which = np.unique(row * (max(REDUCTIONS) + 1) + by, return_inverse=True)
    reduce_ = bank.packed if bank.kernels else bank.reduced
    packed, starts = reduce_(*divmod(pairs, max(REDUCTIONS) + 1))
    sprite, window = _of_sprites(starts[which], bank.atlas.cell // by, size, xy, lean)
    horizon = bank.spec.horizon[batch.background, look][scene]
    shadow, shaded = _of_shadows(bank, row // VARIANTS, size, xy, lean, horizon)
    return packed, Things(scene, slot, sprite, window, shadow, shaded)


def _painted(batch: SceneBatch, bank: FreeBank, packed: Tensor, things: Things, look: np.ndarray) -> Tensor:
    """The pictures of a batch by the kernel."""
    from trainer.scenes.drawing import free_triton

    table = np.zeros((*batch.sprite.shape, free_triton.COLUMNS), np.int32)
    size = things.sprite[:, 2]
    own = things.window - (things.window - size) % 2  # of the parity of the size, as in `_over`
    every = [things.sprite, ((own - size) // 2)[:, None], own[:, None]]
    table[things.scene, things.slot] = np.concatenate([*every, things.shadow, things.shaded[:, None]], 1)
    grounds, ground = bank.grounds(batch.background, look)
    return free_triton.paint(grounds, ground, packed, onto(table, bank.device), (CORE[3], RIM[3]))


def _reduction(size: np.ndarray, cell: int) -> np.ndarray:
    """The largest whole factor by which a sprite may be reduced and still be no smaller than it is drawn."""
    out = np.ones_like(size)
    for by in reversed(REDUCTIONS):
        out = np.where((cell // by >= size) & (cell % by == 0), by, out)
    return out


def _windows(width: np.ndarray) -> np.ndarray:
    """Sides of the windows for things of a width."""
    return (np.ceil(width / STEP) * STEP).astype(np.int64)


def _lots(order: np.ndarray, window: np.ndarray, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """(window, indices int64 [K]) of what is drawn at once, the first of each scene first; nothing where it is 0."""
    for k in np.unique(order).tolist():
        now = np.flatnonzero((order == k) & (window > 0))
        for side in np.unique(window[now]).tolist():
            yield side, torch.from_numpy(now[window[now] == side]).to(device)


def _places(flat: Tensor, image: int, scene: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Where pixels of scenes lie in `flat`, int64; the last place for those outside of a picture."""
    within = (row >= 0) & (row < image) & (column >= 0) & (column < image)
    return torch.where(within, (scene * image + row) * image + column, len(flat) - 1).long()


def _of_sprites(
    starts: np.ndarray, s: np.ndarray, size: np.ndarray, xy: np.ndarray, lean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What `_over` is told of sprites, int64 [n, 7], and the sides of their windows, int64 [n]."""
    turn = np.deg2rad(lean)
    # a point of the window, in half pixels from its middle -> a point of the sprite, in 65,536ths of a pixel
    cos, sin = (np.round(f(turn) * (s / size * 32768)) for f in (np.cos, np.sin))
    told = np.stack([starts, s, size, *xy.T, cos, sin], 1).astype(np.int64)
    return told, _windows(size * (np.abs(np.cos(turn)) + np.abs(np.sin(turn))) + 2)


def _over(flat: Tensor, image: int, packed: Tensor, told: Tensor, window: int) -> None:
    """Draw K sprites in windows of one size, in place; no two of one scene. told: int32 [K, 8]."""
    scene, start, s, size, x, y, cos, sin = told[:, :, None, None].unbind(1)  # [K, 1, 1] each
    # of the parity of the size, so that sprites that stand straight fall on whole pixels
    own = window - (window - size) % 2
    at = torch.arange(window, dtype=torch.int32, device=flat.device)
    i, j = at * 2 + 1 - own, at[:, None] * 2 + 1 - own  # [K, 1, W] and [K, W, 1]
    middle = s * 32768 - 32768
    u, v = i * cos + j * sin + middle, j * cos - i * sin + middle  # [K, W, W]
    inside = (u > -65536) & (u < s * 65536) & (v > -65536) & (v < s * 65536)
    fu, fv = ((u >> 8) & 255)[..., None], ((v >> 8) & 255)[..., None]
    u, v = u >> 16, v >> 16
    # all reads stay within the sprite: coordinates are clamped to 0..s - 1
    last = s - 1
    x0, x1 = u.clamp_min(0).minimum(last), (u + 1).clamp_min(0).minimum(last)
    y0, y1 = (start + f.clamp_min(0).minimum(last) * s for f in (v, v + 1))

    def read(index: Tensor) -> Tensor:
        return packed[index.long()][..., None].view(torch.uint8).to(torch.int32)  # [K, W, W, 4]

    upper = read(y0 + x0) * (256 - fu) + read(y0 + x1) * fu
    lower = read(y1 + x0) * (256 - fu) + read(y1 + x1) * fu
    drawn = ((upper * (256 - fv) + lower * fv + 32768) >> 16) * inside[..., None]
    margin = (own - size) // 2
    place = _places(flat, image, scene, y - margin + at[:, None], x - margin + at)
    clear = 255 - drawn[..., 3:]
    behind = flat[place].to(torch.int32)
    mixed = drawn[..., :3] + torch.div(behind * clear + 127, 255, rounding_mode="floor")
    flat[place] = mixed.clamp_(max=255).to(torch.uint8)


def _of_shadows(
    bank: FreeBank, thing: np.ndarray, size: np.ndarray, xy: np.ndarray, lean: np.ndarray, horizon: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What `_shadow` is told, int64 [n, 8], and the sides of the windows, int64 [n]; 0 where nothing is cast.

    Shadows darken the ground where things touch it: a core under the foot, and a rim to the right, away from the light.
    """
    cell = bank.atlas.cell
    left, right, bottom = bank.feet[thing].T
    turn, scale = np.deg2rad(lean), size / cell
    dx, dy = ((left + right) / 2 - cell / 2) * scale, (bottom - cell / 2) * scale
    x = xy[:, 0] + size / 2 + dx * np.cos(turn) - dy * np.sin(turn)
    y = xy[:, 1] + size / 2 + dx * np.sin(turn) + dy * np.cos(turn)
    wide = np.clip((right - left) * scale, size * 0.3, None)
    radii = [np.maximum(wide * f, 1) for part in (CORE, RIM) for f in part[:2]]
    told = np.round(np.stack([x, y, *radii, wide * CORE[2], wide * RIM[2]], 1)).astype(np.int64)
    return told, np.where((y > horizon + 3) & bank.spec.shadows, _windows(wide * 2), 0)


def _shadow(flat: Tensor, image: int, told: Tensor, width: int) -> None:
    """Darken under K things in windows of one size, in place; no two of one scene. told: int32 [K, 9]."""
    scene, x, y, *ellipses = told[:, :, None, None].unbind(1)  # [K, 1, 1] each
    core, rim, shifts = ellipses[:2], ellipses[2:4], ellipses[4:]
    across = torch.arange(width, dtype=torch.int32, device=flat.device) - width // 2
    down = torch.arange(width // 2, dtype=torch.int32, device=flat.device)[:, None] - width // 4
    dark = torch.zeros((), dtype=torch.int32, device=flat.device)
    for (rx, ry), shift, strength in zip((core, rim), shifts, (CORE[3], RIM[3]), strict=True):
        # places in 4,096ths of the ellipse's radii; further than two of them nothing is dark
        u = torch.div((across - shift) * 4096, rx, rounding_mode="floor").clamp(-8192, 8192)  # [K, 1, width]
        v = torch.div(down * 4096, ry, rounding_mode="floor").clamp(-8192, 8192)  # [K, width / 2, 1]
        near = (4096 - ((u * u + v * v) >> 12)).clamp_min(0)  # [K, width / 2, width], 4,096 in the middle
        dark = dark + ((near * near * strength) >> 24)
    clear = (255 - dark.clamp_max(160))[..., None]
    place = _places(flat, image, scene, y + down - 1, x + across)
    flat[place] = torch.div(flat[place].to(torch.int32) * clear + 127, 255, rounding_mode="floor").to(
        torch.uint8
    )
