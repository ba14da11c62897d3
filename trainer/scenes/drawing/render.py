"""Scenes -> pixels, a batch at a time, in integers: the CPU and a GPU give exactly the same picture.

Legend: n bank rows, s sprite side, K sprites drawn, B scenes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import BACKGROUNDS, COLOUR_NAMES, COLOURS, IMAGE, paint
from trainer.scenes.generator import SIZES, VARIANTS, as_batch, sprite_index
from trainer.scenes.scene import Scene, SceneBatch
from trainer.scenes.spec import EMOJI_128

UNIT = 4096  # weights of the resampling filter are integers that sum to this
CONTRAST = 230  # of 256: how much of a sprite's shading a recolouring keeps


def colour_ramp(colour: str) -> np.ndarray:
    """uint8 [256, 3]: shade -> the colour -> light, the colour itself at 128."""
    dark, base, light = (np.array(c, np.float64) for c in COLOURS[colour])
    position = np.arange(256)[:, None]
    low = dark + (base - dark) * np.minimum(position / 128, 1)
    high = base + (light - base) * np.maximum((position - 128) / 127, 0)
    return np.round(np.where(position < 128, low, high)).astype(np.uint8)


def _luma(sprites: torch.Tensor) -> torch.Tensor:
    """int64 [n, s, s], by the weights of Rec. 601."""
    rgb = sprites.to(torch.int64)
    return (rgb[..., 0] * 77 + rgb[..., 1] * 150 + rgb[..., 2] * 29) >> 8


def mean_luma(sprites: torch.Tensor) -> torch.Tensor:
    """Mean luminance where sprites uint8 [n, s, s, 4] are solid, int64 [n], rounded down."""
    alpha = sprites[..., 3].to(torch.int64)
    total = alpha.sum((1, 2)).clamp_min(1)
    return torch.div((_luma(sprites) * alpha).sum((1, 2)), total, rounding_mode="floor")


def recolour(sprites: torch.Tensor, ramp: torch.Tensor) -> torch.Tensor:
    """Give sprites one hue and keep their shading. Integer arithmetic.

    The luminance of each pixel, taken relative to the sprite's mean, picks a colour from the ramp: the mean
    lands on the colour itself, so that black and white animals take the hue too.

    sprites: uint8 [n, s, s, 4]; ramp: uint8 [256, 3], or [n, 256, 3] with one for each sprite. Returns uint8
    [n, s, s, 4].
    """
    mean = mean_luma(sprites)
    shade = (128 + ((_luma(sprites) - mean[:, None, None]) * CONTRAST >> 8)).clamp_(0, 255)
    if ramp.ndim == 3:
        shade += torch.arange(len(ramp), device=ramp.device)[:, None, None] * ramp.shape[1]
    return torch.cat([ramp.reshape(-1, 3)[shade], sprites[..., 3:]], dim=-1)


def area_weights(size: int, out: int) -> torch.Tensor:
    """Area filter from size to out pixels, float64 [out, size] holding integers, each row summing to UNIT."""
    weights = np.zeros((out, size))
    edges = np.linspace(0, size, out + 1)
    for i in range(out):
        for j in range(int(edges[i]), min(size, int(np.ceil(edges[i + 1])))):
            weights[i, j] = min(j + 1, edges[i + 1]) - max(j, edges[i])
    weights = np.round(weights / weights.sum(1, keepdims=True) * UNIT)
    weights[np.arange(out), weights.argmax(1)] += UNIT - weights.sum(1)
    return torch.from_numpy(weights)


def shrink(sprites: torch.Tensor, out: int) -> torch.Tensor:
    """Premultiply sprites and scale them down by the area filter.

    float64 holds every integer sum exactly (255^2 * 4096^2 < 2^53), so that no order of summation, hence no
    device, gives another result; each value is rounded once.

    sprites: uint8 [n, s, s, 4], not premultiplied. Returns uint8 [n, out, out, 4], premultiplied.
    """
    pixels = sprites.to(torch.float64)  # [n, s, s, 4]
    rgb, alpha = pixels[..., :3], pixels[..., 3:]
    pixels = torch.cat([rgb * alpha, alpha * 255], dim=-1)  # [n, s, s, 4], in 255ths of a level
    if (size := sprites.shape[1]) != out:
        weights = area_weights(size, out).to(sprites.device)  # [out, s]
        pixels = torch.einsum("os,nsxc->noxc", weights, pixels)  # [n, out, s, 4]
        pixels = torch.einsum("os,nxsc->nxoc", weights, pixels) / UNIT**2  # [n, out, out, 4]
    return torch.floor(pixels / 255 + 0.5).to(torch.uint8)


class SpriteBank:
    """Every sprite at every size, premultiplied: for each size one uint8 tensor [n, s, s, 4] on the device.

    n = objects * styles * 9 (as drawn, and 8 colours), in the order of `scenes.sprite_index`, for the same
    n_objects and styles as the SceneGenerator's. On the CPU rows are made when first asked for, on a GPU
    all at once (colours=False leaves the recoloured ones for later there too).
    Raises ValueError for unknown styles.
    """

    def __init__(
        self,
        atlas: Atlas,
        n_objects: int | None = None,
        styles: Sequence[str] | None = None,
        sizes: Sequence[int] = SIZES,
        colours: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        self.n_objects = len(atlas) if n_objects is None else int(n_objects)
        self.styles = list(atlas.styles if styles is None else styles)
        self._order = {o.name: o.index for o in atlas.objects[: self.n_objects]}
        self.sizes, self.device = tuple(sizes), torch.device(device)
        if unknown := [s for s in self.styles if s not in atlas.styles]:
            raise ValueError(f"Unknown style {unknown}: choose from {', '.join(atlas.styles)}.")
        self.rows = self.n_objects * len(self.styles) * VARIANTS
        drawn = np.zeros((self.n_objects * len(self.styles), atlas.cell, atlas.cell, 4), np.uint8)
        for i in range(self.n_objects):
            for j, style in enumerate(self.styles):
                if atlas.has(i, style):
                    drawn[i * len(self.styles) + j] = atlas.sprite(i, style)
        # [objects * styles, 96, 96, 4], as the artist drew them
        self.drawn = torch.from_numpy(drawn).to(self.device)
        # -> [8, 256, 3]
        self.ramps = torch.from_numpy(np.stack([colour_ramp(c) for c in COLOUR_NAMES])).to(self.device)
        # -> [G, 128, 128, 3]
        self.grounds = torch.from_numpy(np.stack([paint(b) for b in BACKGROUNDS])).to(self.device)
        self.sprites, self._ready = {}, {s: np.zeros(self.rows, bool) for s in self.sizes}
        for s in self.sizes:
            shape = (self.rows, s, s, 4)
            # numpy leaves untouched zeros out of memory: a CPU bank costs only the rows that were used
            self.sprites[s] = (
                torch.from_numpy(np.zeros(shape, np.uint8))
                if self.device.type == "cpu"
                else torch.zeros(shape, dtype=torch.uint8, device=self.device)
            )
        if self.device.type != "cpu":
            self.prepare(np.arange(0, self.rows, 1 if colours else VARIANTS), self.sizes)

    def prepare(self, rows: np.ndarray, sizes: tuple[int, ...]) -> None:
        """Make the rows that are not there yet at these sizes."""
        rows = np.unique(rows)
        rows = rows[~np.all([self._ready[s][rows] for s in sizes], axis=0)]
        if not len(rows):
            return
        step = 64 if self.device.type == "cpu" else 512
        for colour in np.unique(rows % VARIANTS):
            same = rows[rows % VARIANTS == colour]
            for chunk in np.split(same, range(step, len(same), step)):
                target = torch.from_numpy(chunk).to(self.device)
                sprites = self.drawn[torch.div(target, VARIANTS, rounding_mode="floor")]
                if colour:
                    sprites = recolour(sprites, self.ramps[colour - 1])
                for s in sizes:
                    self.sprites[s][target] = shrink(sprites, s)
        for s in sizes:
            self._ready[s][rows] = True

    def index(self, name: str, style: str, colour: str | None = None) -> int:
        """Row of a sprite by the object's name. Raises ValueError for what the bank lacks."""
        if name not in self._order or style not in self.styles:
            raise ValueError(f"The bank holds no {name!r} in the {style!r} style.")
        return sprite_index(self._order[name], self.styles.index(style), colour, len(self.styles))


def paste(
    flat: torch.Tensor, bank: SpriteBank, scene: np.ndarray, sprite: np.ndarray, size: int, xy: np.ndarray
) -> None:
    """Draw K sprites of one size over their scenes, in place. Sprites that share pixels need a call each.

    flat: uint8 [B * 128 * 128, 3]; scene, sprite: int [K], a scene's number and a row of the bank; xy: [K, 2].
    """
    device = flat.device
    corner = (scene * IMAGE + xy[:, 1]) * IMAGE + xy[:, 0]  # [K], flat index of the top-left pixel
    side = torch.arange(size, device=device)
    pixel = torch.from_numpy(corner).to(device)[:, None, None] + side[:, None] * IMAGE + side  # [K, s, s]
    drawn = bank.sprites[size][torch.from_numpy(sprite).to(device)]  # [K, s, s, 4]
    behind = flat[pixel].to(torch.int32)  # [K, s, s, 3]
    clear = 255 - drawn[..., 3:].to(torch.int32)  # [K, s, s, 1]
    mixed = drawn[..., :3] + torch.div(behind * clear + 127, 255, rounding_mode="floor")
    flat[pixel] = mixed.clamp_(max=255).to(torch.uint8)


def render(batch: SceneBatch, bank: SpriteBank) -> torch.Tensor:
    """Draw a batch: sprites over the background, slot by slot. Returns uint8 [B, 128, 128, 3] on the device.

    Raises ValueError when the batch holds sprites or sizes the bank lacks (another n_objects or styles).
    """
    used = batch.sprite >= 0  # [B, 4]
    if used.any() and batch.sprite.max() >= bank.rows:
        raise ValueError(
            "The batch names sprites the bank does not hold: build both for the same objects and styles."
        )
    if missing := set(np.unique(batch.size[used]).tolist()) - set(bank.sizes):
        raise ValueError(f"The bank holds no sprites of {sorted(missing)} pixels.")
    for s in bank.sizes:
        bank.prepare(batch.sprite[used & (batch.size == s)], (s,))
    device = bank.device
    canvas = bank.grounds[torch.from_numpy(batch.background).to(device)]  # [B, 128, 128, 3], a copy
    flat = canvas.view(-1, 3)  # [B * 128 * 128, 3]
    for slot in range(batch.sprite.shape[1]):
        for s in bank.sizes:
            scene = np.flatnonzero(used[:, slot] & (batch.size[:, slot] == s))  # [K]
            if not len(scene):
                continue
            paste(flat, bank, scene, batch.sprite[scene, slot], s, batch.xy[scene, slot])
    return canvas


def render_one(scene: Scene, bank: SpriteBank) -> Image.Image:
    """One scene as a 128x128 RGB picture."""
    batch = as_batch([scene], EMOJI_128, lambda s, obj: bank.index(obj.name, s.style, obj.colour))
    return Image.fromarray(render(batch, bank)[0].cpu().numpy())
