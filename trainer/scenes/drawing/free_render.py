"""Scenes of any world -> pixels: sprites of any size, anywhere, leaning a little, with the shadow they cast.

All arithmetic is in integers, so that the CPU and a GPU give exactly the same picture, as in `render.py`. A sprite is
reduced by whole factors (boxes of 1 to 4 pixels a side) to the smallest picture that is no smaller than it is drawn,
and read from there bilinearly: at most two of its pixels go into one.

What is drawn at once: on a CPU the sprites whose windows are of one size, elsewhere all that are the first, the second,
... of their scenes, in the largest of their windows. A window only has to be large enough: around a sprite nothing
changes. So a GPU gets tens of kernels a batch instead of thousands, which took ten times as long to start as to run.

Legend: K sprites drawn at once, n sprites, S side of a reduced sprite, W side of the window that one is drawn in,
B scenes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import COLOUR_NAMES
from trainer.scenes.drawing.grounds import paint_ground
from trainer.scenes.drawing.render import colour_ramp, recolour
from trainer.scenes.generator import VARIANTS, sprite_index
from trainer.scenes.scene import SceneBatch
from trainer.scenes.spec import SceneSpec

REDUCTIONS = (4, 3, 2, 1)
STEP = 16  # windows have a multiple of this many pixels a side: few sizes, much drawn at once
CACHE = 128 << 20  # bytes of reduced sprites that a CPU keeps
# the shadow of a thing: core and rim, each (half width, half height in shares of the foot, shift to the right, alpha)
CORE, RIM = (0.5, 0.12, 0.02, 104), (0.62, 0.2, 0.06, 72)


class FreeBank:
    """The sprites of an atlas, drawn on demand: rows as in `scenes.sprite_index`, any size up to the atlas' cell.

    On a GPU all sprites lie there as the artist drew them (147 kB each at 192 pixels; those of all styles and objects
    of the world are 0.99 GB). On a CPU the atlas hands out one at a time, and the last `cache` bytes of reduced ones
    are kept. Raises ValueError for unknown styles.
    """

    def __init__(
        self,
        atlas: Atlas,
        spec: SceneSpec,
        n_objects: int | None = None,
        styles: list[str] | tuple[str, ...] | None = None,
        device: torch.device | str = "cpu",
        cache: int = CACHE,
    ):
        self.atlas, self.spec, self.device, self.cache = atlas, spec, torch.device(device), cache
        self.n_objects = len(atlas) if n_objects is None else int(n_objects)
        self.styles = spec.styles_in(atlas.styles) if styles is None else list(styles)
        if unknown := [s for s in self.styles if s not in atlas.styles]:
            raise ValueError(f"Unknown style {unknown}: choose from {', '.join(atlas.styles)}.")
        self.rows = self.n_objects * len(self.styles) * VARIANTS
        self._order = {o.name: o.index for o in atlas.objects[: self.n_objects]}
        ramps = np.stack([colour_ramp(c) for c in COLOUR_NAMES])
        self.ramps = torch.from_numpy(ramps).to(self.device)  # [8, 256, 3]
        self.feet = np.full((self.n_objects * len(self.styles), 3), -1, np.int64)  # left, right, bottom
        side = (len(spec.grounds), spec.looks, spec.image, spec.image, 3)
        # numpy leaves untouched zeros out of memory: a CPU pays only for the grounds that were used
        self._grounds = torch.from_numpy(np.zeros(side, np.uint8)).to(self.device)
        self._painted = np.zeros(side[:2], bool)
        self._kept: OrderedDict[tuple[int, int], Tensor] = OrderedDict()
        self._bytes = 0
        self._drawn: Tensor | None = None
        if self.device.type != "cpu":
            self._upload()

    def _upload(self) -> None:
        """Bring every sprite to the device, the styles side by side: reading a sheet is most of the work."""
        have = [
            i * len(self.styles) + k
            for i in range(self.n_objects)
            for k, style in enumerate(self.styles)
            if self.atlas.has(i, style)
        ]
        self._place = np.full(len(self.feet), -1, np.int64)
        self._place[have] = np.arange(len(have))
        shape = (len(have), self.atlas.cell, self.atlas.cell, 4)
        self._drawn = torch.empty(shape, dtype=torch.uint8, device=self.device)
        with ThreadPoolExecutor(min(8, len(self.styles))) as pool:
            list(pool.map(self._upload_style, range(len(self.styles))))

    def _upload_style(self, style: int) -> None:
        assert self._drawn is not None
        for index, sprite in self.atlas.each(self.styles[style]):
            if index < self.n_objects:
                thing = index * len(self.styles) + style
                self.feet[thing] = foot(sprite)
                self._drawn[self._place[thing]] = torch.from_numpy(np.ascontiguousarray(sprite)).to(
                    self.device
                )

    def index(self, name: str, style: str, colour: str | None = None) -> int:
        """Row of a sprite by the object's name. Raises ValueError for what the bank lacks."""
        if name not in self._order or style not in self.styles:
            raise ValueError(f"The bank holds no {name!r} in the {style!r} style.")
        return sprite_index(self._order[name], self.styles.index(style), colour, len(self.styles))

    def _sprite(self, thing: int) -> np.ndarray:
        index, style = divmod(thing, len(self.styles))
        sprite = self.atlas.sprite(index, self.styles[style])
        if self.feet[thing, 2] < 0:
            self.feet[thing] = foot(sprite)
        return sprite

    def reduced(self, rows: np.ndarray, by: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Sprites of the rows at 1 / by of the cell, premultiplied, RGBA packed, one after the other.

        Returns int32 [sum of S * S], and where each begins, int64 [n].
        """
        side = self.atlas.cell // by
        if self._drawn is None:
            return self._remembered(rows, by), np.cumsum(side**2) - side**2
        place = torch.from_numpy(self._place[rows // VARIANTS]).to(self.device)
        sprites = self._tinted(self._drawn[place], rows % VARIANTS)
        parts, starts, end = [], np.zeros(len(rows), np.int64), 0
        for k in np.unique(by).tolist():
            mine = np.flatnonzero(by == k)
            parts.append(reduce(sprites[torch.from_numpy(mine).to(self.device)], k).flatten())
            starts[mine] = end + np.arange(len(mine)) * (self.atlas.cell // k) ** 2
            end += len(parts[-1])
        return torch.cat(parts), starts

    def _remembered(self, rows: np.ndarray, by: np.ndarray) -> Tensor:
        """The same on a CPU, one at a time; what was made last is kept."""
        out = []
        for row, k in zip(rows.tolist(), by.tolist(), strict=True):
            if (row, k) not in self._kept:
                sprite = torch.from_numpy(np.ascontiguousarray(self._sprite(row // VARIANTS)))[None]
                made = reduce(self._tinted(sprite, np.array([row % VARIANTS])), k)[0]
                self._kept[row, k] = made
                self._bytes += made.nbytes
            self._kept.move_to_end((row, k))
            out.append(self._kept[row, k].flatten())
        while self._bytes > self.cache and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return torch.cat(out)

    def _tinted(self, sprites: Tensor, colours: np.ndarray) -> Tensor:
        if (some := np.flatnonzero(colours)).size:
            mine, ramp = (torch.from_numpy(v).to(self.device) for v in (some, colours[some] - 1))
            sprites[mine] = recolour(sprites[mine], self.ramps[ramp])
        return sprites

    def ground(self, background: np.ndarray, look: np.ndarray) -> Tensor:
        """uint8 [B, image, image, 3], a copy."""
        for g, k in sorted(set(zip(background.tolist(), look.tolist(), strict=True))):
            if not self._painted[g, k]:
                painted = paint_ground(self.spec.grounds[g], k, self.spec.image)
                self._grounds[g, k] = torch.from_numpy(painted).to(self.device)
                self._painted[g, k] = True
        index = (torch.from_numpy(background).to(self.device), torch.from_numpy(look).to(self.device))
        return self._grounds[index]


def foot(sprite: np.ndarray) -> tuple[int, int, int]:
    """Where a sprite touches the ground: left and right end of its lowest eighth, and its lowest row."""
    ink = sprite[..., 3] > 96
    rows = np.flatnonzero(ink.any(1))
    if not len(rows):
        return 0, len(sprite), len(sprite)
    low = np.flatnonzero(ink[max(rows[-1] - len(sprite) // 8, rows[0]) : rows[-1] + 1].any(0))
    return int(low[0]), int(low[-1]) + 1, int(rows[-1]) + 1


def reduce(sprites: Tensor, by: int) -> Tensor:
    """uint8 [n, s, s, 4], not premultiplied -> premultiplied means of by x by boxes, packed: int32 [n, s/by, s/by]."""
    n, s = sprites.shape[:2]
    pixels = sprites.to(torch.int32)
    alpha = pixels[..., 3:]
    pixels = torch.cat([pixels[..., :3] * alpha, alpha * 255], -1)  # in 255ths of a level
    side = s // by
    if by > 1:
        pixels = pixels[:, : side * by, : side * by].reshape(n, side, by, side, by, 4).sum((2, 4))
    unit = 255 * by * by
    pixels = torch.div(pixels + unit // 2, unit, rounding_mode="floor").to(torch.uint8)
    return pixels.contiguous().view(torch.int32)[..., 0]


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
    angle = np.zeros_like(batch.size) if batch.angle is None else batch.angle
    # one pixel more than there are: what would lie outside of a picture goes there
    flat = torch.zeros((b * image * image + 1, 3), dtype=torch.uint8, device=bank.device)
    flat[:-1] = bank.ground(batch.background, look).view(-1, 3)
    scene, slot = np.nonzero(used)  # [all sprites] each
    if len(scene):
        row, size, xy, lean = batch.sprite[used], batch.size[used], batch.xy[used], angle[used]
        by = _reduction(size, bank.atlas.cell)
        pairs, which = np.unique(np.stack([row, by], 1), axis=0, return_inverse=True)
        packed, starts = bank.reduced(*pairs.T)
        if bank.spec.shadows:
            horizon = bank.spec.horizon[batch.background, look]  # [B]
            _shadows(flat, bank, scene, row // VARIANTS, size, xy, lean, horizon[scene])
        _sprites(flat, bank, packed, starts[which.reshape(-1)], by, scene, slot, size, xy, lean)
    return flat[:-1].view(b, image, image, 3)


def _reduction(size: np.ndarray, cell: int) -> np.ndarray:
    """The largest whole factor by which a sprite may be reduced and still be no smaller than it is drawn."""
    out = np.ones_like(size)
    for by in reversed(REDUCTIONS):
        out = np.where((cell // by >= size) & (cell % by == 0), by, out)
    return out


def _lots(
    order: np.ndarray, width: np.ndarray, some: np.ndarray, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """(window, indices int64 [K]) of what is drawn at once, the first of each scene first; `some` of all."""
    window = (np.ceil(width / STEP) * STEP).astype(np.int64)
    for k in np.unique(order[some]).tolist():
        now = np.flatnonzero(some & (order == k))
        sizes = np.unique(window[now]) if device.type == "cpu" else window[now].max(keepdims=True)
        for side in sizes.tolist():
            lot = now[window[now] == side] if device.type == "cpu" else now
            yield side, torch.from_numpy(lot).to(device)


def _places(flat: Tensor, image: int, scene: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Where pixels of scenes lie in `flat`, int64; the last place for those outside of a picture."""
    within = (row >= 0) & (row < image) & (column >= 0) & (column < image)
    return torch.where(within, (scene * image + row) * image + column, len(flat) - 1).long()


def _sprites(
    flat: Tensor,
    bank: FreeBank,
    packed: Tensor,
    starts: np.ndarray,
    by: np.ndarray,
    scene: np.ndarray,
    slot: np.ndarray,
    size: np.ndarray,
    xy: np.ndarray,
    lean: np.ndarray,
) -> None:
    """Draw all sprites over their scenes, in place, slot by slot."""
    turn, s = np.deg2rad(lean), bank.atlas.cell // by
    # a point of the window, in half pixels from its middle -> a point of the sprite, in 65,536ths of a pixel
    cos, sin = (np.round(f(turn) * (s / size * 32768)) for f in (np.cos, np.sin))
    numbers = np.stack([starts, s, scene, size, *xy.T, cos, sin], 1).astype(np.int32)
    told = torch.from_numpy(numbers).to(flat.device)
    width = size * (np.abs(np.cos(turn)) + np.abs(np.sin(turn))) + 2
    for window, lot in _lots(slot, width, np.ones(len(scene), bool), flat.device):
        _over(flat, bank.spec.image, packed, told[lot], window)


def _over(flat: Tensor, image: int, packed: Tensor, told: Tensor, window: int) -> None:
    """Draw K sprites in windows of one size, in place; no two of one scene. told: int32 [K, 8]."""
    start, s, scene, size, x, y, cos, sin = told[:, :, None, None].unbind(1)  # [K, 1, 1] each
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


def _shadows(
    flat: Tensor,
    bank: FreeBank,
    scene: np.ndarray,
    thing: np.ndarray,
    size: np.ndarray,
    xy: np.ndarray,
    lean: np.ndarray,
    horizon: np.ndarray,
) -> None:
    """Darken the ground where things touch it: a core under the foot, and a rim to the right, away from the light."""
    cell = bank.atlas.cell
    left, right, bottom = bank.feet[thing].T
    turn, scale = np.deg2rad(lean), size / cell
    dx, dy = ((left + right) / 2 - cell / 2) * scale, (bottom - cell / 2) * scale
    x = xy[:, 0] + size / 2 + dx * np.cos(turn) - dy * np.sin(turn)
    y = xy[:, 1] + size / 2 + dx * np.sin(turn) + dy * np.cos(turn)
    wide = np.clip((right - left) * scale, size * 0.3, None)
    # no two shadows of one scene at once: they may share pixels
    order = np.zeros(len(scene), np.int64)
    for k in range(1, int(np.bincount(scene).max())):
        order[k:] += scene[k:] == scene[:-k]
    radii = [np.maximum(wide * f, 1) for part in (CORE, RIM) for f in part[:2]]
    numbers = np.round(np.stack([scene, x, y, *radii, wide * CORE[2], wide * RIM[2]], 1)).astype(np.int32)
    told = torch.from_numpy(numbers).to(flat.device)
    for window, lot in _lots(order, wide * 2, y > horizon + 3, flat.device):
        _shadow(flat, bank.spec.image, told[lot], window)


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
