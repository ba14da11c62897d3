"""A second opinion without any training: the atlas sprite that lies nearest to what is at a place.

The verifier says where; this says what. The place is snapped to the lattice where a world's things stand on it, the
ground is taken to be the named ground (and its look) nearest to the picture's border, and the place is compared at
16x16 with every sprite drawn on that ground. Blind to lean and shadow, so that it is surer of things on the lattice.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.judge.detector import COLOURS, NOTHING, Detection
from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import COLOUR_NAMES, paint
from trainer.scenes.drawing.grounds import paint_ground
from trainer.scenes.drawing.render import colour_ramp, recolour, shrink
from trainer.scenes.spec import EMOJI_128, SceneSpec

SIDE = 16
FAR = 28.0  # root mean square error in grey levels beyond which no sprite is near


class Templates:
    """All sprites of some objects and styles, small. T templates, n places, P = 256 pixels of a template."""

    def __init__(
        self,
        atlas: Atlas,
        n_objects: int,
        styles: list[str],
        device: str | torch.device = "cpu",
        spec: SceneSpec = EMOJI_128,
    ):
        self.device, self.spec = torch.device(device), spec
        names, small = [], []
        for obj in atlas.objects[:n_objects]:
            drawn = [s for s in styles if atlas.has(obj.index, s)]
            names += [obj.name] * len(drawn)
            if drawn:
                whole = np.stack([atlas.sprite(obj.index, s) for s in drawn])
                # hues are mixed at twice the size
                small.append(_plain(shrink(torch.from_numpy(whole), 2 * SIDE)))
        sprites = torch.cat(small)
        variants = [sprites] + [recolour(sprites, torch.from_numpy(colour_ramp(c))) for c in COLOUR_NAMES]
        # -> [T, 16, 16, 4], premultiplied
        tiny = torch.stack([shrink(v, SIDE) for v in variants], 1).flatten(0, 1)
        self.names = [name for name in names for _ in variants]
        self.colours = [c for _ in names for c in COLOURS]
        flat = tiny.float().div(255).flatten(1, 2).to(self.device)  # [T, P, 4]
        colour, alpha = flat[..., :3].flatten(1), flat[..., 3]  # [T, 3P], [T, P]
        wide = alpha.repeat_interleave(3, 1)  # [T, 3P]
        self.pull = torch.cat([colour, wide, colour * wide, wide * wide], 1)  # [T, 12P]
        self.own = colour.square().sum(1)  # [T]
        self.grounds = torch.from_numpy(_painted(spec)).to(self.device)  # uint8 [G, H, H, 3]

    def ground(self, images: Tensor) -> Tensor:
        """float [B, H, H, 3] -> the nearest ground of each, by the outermost pixels: [B, H, H, 3]."""
        edge = torch.ones(self.spec.image, self.spec.image, dtype=torch.bool, device=self.device)
        edge[3:-3, 3:-3] = False
        rims = self.grounds[:, edge].float().div(255)
        far = torch.stack([(images[:, edge] - g).abs().mean((1, 2)) for g in rims], 1)  # [B, G]
        return self.grounds[far.argmin(1)].float().div(255)

    @torch.no_grad()
    def rename(self, images: Tensor, found: list[list[Detection]]) -> list[list[Detection]]:
        """The detections of uint8 pictures [B, H, H, 3] with names and colours of the nearest sprites."""
        pixels = images.to(self.device).float() / 255
        grounds = torch.cat([self.ground(part) for part in pixels.split(64)])
        which = [(b, k, d) for b, ds in enumerate(found) for k, d in enumerate(ds)]
        out = [list(ds) for ds in found]
        for start in range(0, len(which), 256):
            part = which[start : start + 256]
            places = [_place(d.box, self.spec) for _, _, d in part]
            seen = torch.cat([crops(pixels[b : b + 1], p) for (b, _, _), p in zip(part, places, strict=True)])
            behind = torch.cat(
                [crops(grounds[b : b + 1], p) for (b, _, _), p in zip(part, places, strict=True)]
            )
            error, best = self.nearest(seen, behind)
            for (b, k, d), e, i in zip(part, error.tolist(), best.tolist(), strict=True):
                name = self.names[i] if e <= FAR else NOTHING
                out[b][k] = dataclasses.replace(d, name=name, colour=self.colours[i])
        return out

    def nearest(self, seen: Tensor, behind: Tensor) -> tuple[Tensor, Tensor]:
        """Crops and their grounds [n, 3P] -> root mean square error (grey levels) and index of the best template.

        With c the template's premultiplied colour and a its alpha, |seen - c - (1 - a) behind|^2 splits into
        products of what belongs to the place and what belongs to the template, so that one matmul does it.
        """
        d = seen - behind  # [n, 3P]
        place = torch.cat([-2 * d, 2 * d * behind, -2 * behind, behind.square()], 1)  # [n, 12P]
        error = d.square().sum(1, keepdim=True) + place @ self.pull.T + self.own  # [n, T]
        least, best = error.min(1)
        return (least.clamp_min(0) / seen.shape[1]).sqrt() * 255, best


def _plain(premultiplied: Tensor) -> Tensor:
    """uint8 [n, s, s, 4] premultiplied -> not premultiplied."""
    rgb, alpha = premultiplied[..., :3].float(), premultiplied[..., 3:].float()
    rgb = (rgb * 255 / alpha.clamp_min(1)).round().clamp(0, 255)
    return torch.cat([rgb, alpha], -1).to(torch.uint8)


def _painted(spec: SceneSpec) -> np.ndarray:
    """Every ground in every look."""
    if spec is EMOJI_128:
        return np.stack([paint(b) for b in spec.grounds])
    return np.stack([paint_ground(b, k, spec.image) for b in spec.grounds for k in range(spec.looks)])


def _place(box: tuple[float, float, float, float], spec: SceneSpec) -> tuple[int, int, int]:
    """A box -> (left, top, side) as scenes place sprites: on the lattice, or in whole pixels."""
    left, top, right, bottom = box
    mean, step = (right - left + bottom - top) / 2, spec.patch if spec.snapped == 1 else 1
    if spec.snapped == 1:
        side = min(spec.sizes, key=lambda s: abs(s - mean))
    else:
        side = min(max(SIDE, round(mean)), spec.image)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    x, y = (min(max(0, round(v / step) * step), spec.image - side) for v in (x, y))
    return x, y, side


def crops(images: Tensor, place: tuple[int, int, int]) -> Tensor:
    """[n, H, H, 3] -> the square at the place in each, area-averaged to 16x16, flat [n, 3P]."""
    x, y, side = place
    square = images[:, y : y + side, x : x + side].permute(0, 3, 1, 2)  # [n, 3, s, s]
    if side % (SIDE // 2):
        return F.adaptive_avg_pool2d(square, SIDE).permute(0, 2, 3, 1).flatten(1)
    double = F.interpolate(square, scale_factor=2.0)  # every side is then a multiple of 16
    return F.avg_pool2d(double, 2 * side // SIDE).permute(0, 2, 3, 1).flatten(1)
