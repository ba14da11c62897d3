"""A second opinion without any training: the atlas sprite that lies nearest to what is at a place.

The verifier says where; this says what. The place is snapped to the lattice, the ground is taken to be the named
ground nearest to the picture's border, and the place is compared at 16x16 with every sprite drawn on that ground.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.judge.detector import COLOURS, NOTHING, Detection
from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import BACKGROUNDS, COLOUR_NAMES, IMAGE, PATCH, paint
from trainer.scenes.drawing.render import colour_ramp, recolour, shrink
from trainer.scenes.generator import SIZES

SIDE = 16
FAR = 28.0  # root mean square error in grey levels beyond which no sprite is near


class Templates:
    """All sprites of some objects and styles, small. T templates, n places, P = 256 pixels of a template."""

    def __init__(self, atlas: Atlas, n_objects: int, styles: list[str], device: str | torch.device = "cpu"):
        self.device = torch.device(device)
        names, drawn = [], []
        for obj in atlas.objects[:n_objects]:
            for style in styles:
                if atlas.has(obj.index, style):
                    names.append(obj.name)
                    drawn.append(torch.from_numpy(atlas.sprite(obj.index, style).copy()))
        sprites = _plain(shrink(torch.stack(drawn), 2 * SIDE))  # hues are mixed at twice the size
        variants = [sprites] + [recolour(sprites, torch.from_numpy(colour_ramp(c))) for c in COLOUR_NAMES]
        # -> [T, 16, 16, 4], premultiplied
        small = torch.stack([shrink(v, SIDE) for v in variants], 1).flatten(0, 1)
        self.names = [name for name in names for _ in variants]
        self.colours = [c for _ in names for c in COLOURS]
        flat = small.float().div(255).flatten(1, 2).to(self.device)  # [T, P, 4]
        colour, alpha = flat[..., :3].flatten(1), flat[..., 3]  # [T, 3P], [T, P]
        wide = alpha.repeat_interleave(3, 1)  # [T, 3P]
        self.pull = torch.cat([colour, wide, colour * wide, wide * wide], 1)  # [T, 12P]
        self.own = colour.square().sum(1)  # [T]
        self.grounds = (
            torch.from_numpy(np.stack([paint(b) for b in BACKGROUNDS])).float().div(255).to(self.device)
        )

    def ground(self, images: Tensor) -> Tensor:
        """float [B, 128, 128, 3] -> the nearest ground of each, by the outermost pixels: [B, 128, 128, 3]."""
        edge = torch.ones(IMAGE, IMAGE, dtype=torch.bool, device=self.device)
        edge[3:-3, 3:-3] = False
        far = torch.stack([(images[:, edge] - g[edge]).abs().mean((1, 2)) for g in self.grounds], 1)  # [B, G]
        return self.grounds[far.argmin(1)]

    @torch.no_grad()
    def rename(self, images: Tensor, found: list[list[Detection]]) -> list[list[Detection]]:
        """The detections of uint8 pictures [B, 128, 128, 3] with names and colours of the nearest sprites."""
        pixels = images.to(self.device).float() / 255
        grounds = self.ground(pixels)
        which = [(b, k, d) for b, ds in enumerate(found) for k, d in enumerate(ds)]
        out = [list(ds) for ds in found]
        for start in range(0, len(which), 256):
            part = which[start : start + 256]
            places = [_snap(d.box) for _, _, d in part]
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


def _snap(box: tuple[float, float, float, float]) -> tuple[int, int, int]:
    """A box -> (left, top, side) as scenes place sprites."""
    left, top, right, bottom = box
    side = min(SIZES, key=lambda s: abs(s - (right - left + bottom - top) / 2))
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    return *(min(max(0, round(v / PATCH) * PATCH), IMAGE - side) for v in (x, y)), side


def crops(images: Tensor, place: tuple[int, int, int]) -> Tensor:
    """[n, 128, 128, 3] -> the square at the place in each, area-averaged to 16x16, flat [n, 3P]."""
    x, y, side = place
    square = images[:, y : y + side, x : x + side].permute(0, 3, 1, 2)  # [n, 3, s, s]
    double = F.interpolate(square, scale_factor=2.0)  # every side is then a multiple of 16
    return F.avg_pool2d(double, 2 * side // SIDE).permute(0, 2, 3, 1).flatten(1)
