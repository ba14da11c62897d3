"""Scenes of any world -> pixels: sprites of any size, anywhere, leaning a little, with the shadow they cast.

All arithmetic is in integers, so that the CPU and a GPU give exactly the same picture, as in `render.py`. A sprite is
reduced by whole factors (boxes of 1 to 4 pixels a side) to the smallest picture that is no smaller than it is drawn,
and read from there bilinearly: at most two of its pixels go into one.

Legend: K sprites drawn at once, n sprites, S side of a reduced sprite, W side of the window that one is drawn in,
B scenes, H side of the canvas: a picture with an empty border `EDGE` wide, so that nothing needs to be clipped.
"""

from __future__ import annotations

from collections import OrderedDict
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

EDGE = 64
REDUCTIONS = (4, 3, 2, 1)
STEP = 16  # windows have a multiple of this many pixels a side: few shapes, much drawn at once
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

    def reduced(self, rows: np.ndarray, by: int) -> Tensor:
        """Sprites of the rows at 1 / by of the cell, premultiplied, RGBA packed: int32 [n, S, S]."""
        if self._drawn is not None:
            place = torch.from_numpy(self._place[rows // VARIANTS]).to(self.device)
            return reduce(self._tinted(self._drawn[place], rows % VARIANTS), by)
        out = []
        for row in rows.tolist():
            if (row, by) not in self._kept:
                sprite = torch.from_numpy(np.ascontiguousarray(self._sprite(row // VARIANTS)))[None]
                made = reduce(self._tinted(sprite, np.array([row % VARIANTS])), by)[0]
                self._kept[row, by] = made
                self._bytes += made.nbytes
            self._kept.move_to_end((row, by))
            out.append(self._kept[row, by])
        while self._bytes > self.cache and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return torch.stack(out)

    def _tinted(self, sprites: Tensor, colours: np.ndarray) -> Tensor:
        for colour in np.unique(colours[colours > 0]).tolist():
            mine = torch.from_numpy(np.flatnonzero(colours == colour)).to(self.device)
            sprites[mine] = recolour(sprites[mine], self.ramps[colour - 1])
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
    b, image, side = len(batch), bank.spec.image, bank.spec.image + 2 * EDGE
    look = np.zeros(b, np.int64) if batch.look is None else batch.look
    angle = np.zeros_like(batch.size) if batch.angle is None else batch.angle
    canvas = torch.zeros((b, side, side, 3), dtype=torch.uint8, device=bank.device)
    canvas[:, EDGE:-EDGE, EDGE:-EDGE] = bank.ground(batch.background, look)
    flat = canvas.view(-1, 3)  # [B * H * H, 3]
    scene, slot = np.nonzero(used)  # [all sprites] each
    row, size, xy, lean = batch.sprite[used], batch.size[used], batch.xy[used], angle[used]
    by = _reduction(size, bank.atlas.cell)
    groups = list(_groups(slot, by, _window(size, lean)))
    stacks = {}
    for k in np.unique(by).tolist():
        rows, inverse = np.unique(row[by == k], return_inverse=True)
        at = np.zeros(len(row), np.int64)
        at[by == k] = inverse
        stacks[k] = (bank.reduced(rows, k), at)
    if bank.spec.shadows:
        horizon = bank.spec.horizon[batch.background, look]  # [B]
        _shadows(flat, bank, side, scene, row // VARIANTS, size, xy, lean, horizon[scene])
    for reduction, window, some in groups:
        stack, at = stacks[reduction]
        _sprites(flat, stack, at[some], side, scene[some], size[some], xy[some], lean[some], window)
    return canvas[:, EDGE : EDGE + image, EDGE : EDGE + image].contiguous()


def _reduction(size: np.ndarray, cell: int) -> np.ndarray:
    """The largest whole factor by which a sprite may be reduced and still be no smaller than it is drawn."""
    out = np.ones_like(size)
    for by in reversed(REDUCTIONS):
        out = np.where((cell // by >= size) & (cell % by == 0), by, out)
    return out


def _window(size: np.ndarray, lean: np.ndarray) -> np.ndarray:
    turn = np.abs(np.cos(np.deg2rad(lean))) + np.abs(np.sin(np.deg2rad(lean)))
    # of the parity of the size, so that sprites that stand straight fall on whole pixels
    return (np.ceil(size * turn / STEP) * STEP).astype(np.int64) + size % 2


def _groups(slot: np.ndarray, by: np.ndarray, window: np.ndarray):
    """(reduction, window, indices) of sprites that are drawn at once, the first slot first."""
    keys, which = np.unique(np.stack([slot, by, window], 1), axis=0, return_inverse=True)
    which = which.reshape(-1)
    for i, (_, reduction, side) in enumerate(keys.tolist()):
        yield reduction, side, np.flatnonzero(which == i)


def _sprites(
    flat: Tensor,
    stack: Tensor,
    at: np.ndarray,
    side: int,
    scene: np.ndarray,
    size: np.ndarray,
    xy: np.ndarray,
    lean: np.ndarray,
    window: int,
) -> None:
    """Draw K sprites in windows of one size over their scenes, in place. No two of one scene at once."""
    device, s = flat.device, stack.shape[1]
    turn, scale = np.deg2rad(lean), s / size * 65536
    # a point of the window, in half pixels from its middle -> a point of the sprite, in 65,536ths of a pixel
    cos, sin = (np.round(f(turn) * scale / 2).astype(np.int64) for f in (np.cos, np.sin))
    half = torch.arange(window, device=device) * 2 + 1 - window  # [W]
    cos, sin = (torch.from_numpy(v).to(device)[:, None, None] for v in (cos, sin))
    middle = s * 32768 - 32768
    u = half[None, None] * cos + half[None, :, None] * sin + middle  # [K, W, W]
    v = half[None, :, None] * cos - half[None, None] * sin + middle
    iu, iv = u >> 16, v >> 16
    inside = (iu >= -1) & (iu < s) & (iv >= -1) & (iv < s)
    fu, fv = ((u >> 8) & 255).to(torch.int32)[..., None], ((v >> 8) & 255).to(torch.int32)[..., None]
    base = torch.from_numpy(at).to(device)[:, None, None] * (s * s)
    x0, x1 = iu.clamp(0, s - 1), (iu + 1).clamp(0, s - 1)
    y0, y1 = base + iv.clamp(0, s - 1) * s, base + (iv + 1).clamp(0, s - 1) * s
    packed = stack.view(-1)

    def read(index: Tensor) -> Tensor:
        return packed[index][..., None].view(torch.uint8).to(torch.int32)  # [K, W, W, 4]

    upper = read(y0 + x0) * (256 - fu) + read(y0 + x1) * fu
    lower = read(y1 + x0) * (256 - fu) + read(y1 + x1) * fu
    drawn = (upper * (256 - fv) + lower * fv + 32768) >> 16
    drawn = drawn * inside[..., None]
    left = xy[:, 0] + EDGE - (window - size) // 2
    top = xy[:, 1] + EDGE - (window - size) // 2
    pixel = _pixels(scene, top, left, side, window, window, device)
    clear = 255 - drawn[..., 3:]
    behind = flat[pixel].to(torch.int32)
    mixed = drawn[..., :3] + torch.div(behind * clear + 127, 255, rounding_mode="floor")
    flat[pixel] = mixed.clamp_(max=255).to(torch.uint8)


def _pixels(scene, top, left, side: int, height: int, width: int, device) -> Tensor:
    """Flat indices of K windows: int64 [K, height, width]."""
    corner = torch.from_numpy((scene * side + top) * side + left).to(device)[:, None, None]
    return corner + torch.arange(height, device=device)[:, None] * side + torch.arange(width, device=device)


def _shadows(
    flat: Tensor,
    bank: FreeBank,
    side: int,
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
    stands = y > horizon + 3
    where = np.round(np.stack([x, y], 1)).astype(np.int64)
    # no two shadows of one scene at once: they may share pixels
    order = np.zeros(len(scene), np.int64)
    for k in range(1, int(np.bincount(scene).max()) if len(scene) else 0):
        order[k:] += scene[k:] == scene[:-k]
    span = (np.ceil(wide * 2 / (2 * STEP)) * 2 * STEP).astype(np.int64)
    keys, which = np.unique(np.stack([order, span], 1), axis=0, return_inverse=True)
    which = which.reshape(-1)
    for i, (_, width) in enumerate(keys.tolist()):
        some = np.flatnonzero((which == i) & stands)
        if len(some):
            _shadow(flat, side, scene[some], where[some], wide[some], width)


def _shadow(flat: Tensor, side: int, scene: np.ndarray, at: np.ndarray, wide: np.ndarray, width: int) -> None:
    device, height = flat.device, width // 2
    x = torch.arange(width, device=device) - width // 2  # [width]
    y = torch.arange(height, device=device) - height // 2
    dark = torch.zeros((len(scene), height, width), dtype=torch.int64, device=device)
    for half, tall, shift, strength in (CORE, RIM):
        # places in 4,096ths of the ellipse's radii
        rx = torch.from_numpy(np.maximum(np.round(wide * half), 1).astype(np.int64)).to(device)
        ry = torch.from_numpy(np.maximum(np.round(wide * tall), 1).astype(np.int64)).to(device)
        off = torch.from_numpy(np.round(wide * shift).astype(np.int64)).to(device)
        u = torch.div((x - off[:, None]) * 4096, rx[:, None], rounding_mode="floor")[:, None]  # [K, 1, width]
        v = torch.div(y * 4096, ry[:, None], rounding_mode="floor")[:, :, None]  # [K, height, 1]
        near = (4096 - ((u * u + v * v) >> 12)).clamp_min(0)  # [K, height, width], 4,096 in the middle
        dark = dark + ((near * near * strength) >> 24)
    clear = (255 - dark.clamp_max(160))[..., None].to(torch.int32)
    left, top = at[:, 0] + EDGE - width // 2, at[:, 1] + EDGE - height // 2 - 1
    # a foot at the very edge: the window stays on the canvas
    left, top = np.clip(left, 0, side - width), np.clip(top, 0, side - height)
    pixel = _pixels(scene, top, left, side, height, width, device)
    flat[pixel] = torch.div(flat[pixel].to(torch.int32) * clear + 127, 255, rounding_mode="floor").to(
        torch.uint8
    )
