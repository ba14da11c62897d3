"""The sprites and grounds that free scenes are drawn with, at hand on the device that draws."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from mdm_core.ops.backend import choose_backend
from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import COLOUR_NAMES
from trainer.scenes.drawing.grounds import paint_ground
from trainer.scenes.drawing.render import colour_ramp, mean_luma, recolour
from trainer.scenes.generator import VARIANTS, sprite_index
from trainer.scenes.spec import SceneSpec
from trainer.transfer import onto

CACHE = 128 << 20  # bytes of reduced sprites that a CPU keeps


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
        self.kernels = choose_backend("auto", self.device) == "triton"
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
        means = [mean_luma(some) for some in self._drawn.split(256)]
        self._means = torch.cat(means).cpu().numpy()  # [N]

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

    def grounds(self, background: np.ndarray, look: np.ndarray) -> tuple[Tensor, Tensor]:
        """All grounds, uint8 [G, image, image, 3], those that are asked for painted; and which they are, int64 [B]."""
        looks = self.spec.looks
        which = background * looks + look
        for g, k in (divmod(n, looks) for n in np.unique(which).tolist()):
            if not self._painted[g, k]:
                painted = paint_ground(self.spec.grounds[g], k, self.spec.image)
                self._grounds[g, k] = torch.from_numpy(painted).to(self.device)
                self._painted[g, k] = True
        return self._grounds.flatten(0, 1), onto(which, self.device)

    def ground(self, background: np.ndarray, look: np.ndarray) -> Tensor:
        """uint8 [B, image, image, 3], a copy."""
        grounds, which = self.grounds(background, look)
        return grounds[which]

    def packed(self, rows: np.ndarray, by: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """What `reduced` returns, made by the kernel."""
        from trainer.scenes.drawing import free_triton

        assert self._drawn is not None
        pixels = (self.atlas.cell // by) ** 2
        starts = np.cumsum(pixels) - pixels
        place = self._place[rows // VARIANTS]
        pairs = np.stack([place, by, starts, rows % VARIANTS, self._means[place]], 1).astype(np.int32)
        made = free_triton.reduced(
            self._drawn, self.ramps, onto(pairs, self.device), int(pixels.sum()), int(by.min())
        )
        return made, starts


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
