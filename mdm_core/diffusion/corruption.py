"""The forward process of training: x0 -> zt. Some tokens are masked, some of the visible ones are flipped.

Flips are what teaches token editing: the model sees wrong visible tokens and learns to say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mdm_core.checks import real_number
from mdm_core.diffusion.regions import draw_regions
from mdm_core.diffusion.schedule import mask_ratio
from mdm_core.groups import Groups
from mdm_core.settings import SCHEDULES


@dataclass(frozen=True)
class CorruptionConfig:
    """How x0 is corrupted. The three flip shares are relative weights."""

    schedule: str = "cosine"  # of the mask ratio over u ~ U(0, 1)
    flip: float = 0.2  # probability that a visible token is replaced
    flip_uniform: float = 1.0  # share of flips drawn from the whole vocabulary
    flip_group: float = 0.0  # share drawn from the token's own GCE group
    flip_self: float = 0.0  # share drawn by the model itself (`draft`): its own mistakes
    complementary: bool = False  # the second half of the batch is masked where the first half is not
    # share of the pictures that lose tokens within one region only (a rectangle, a brush stroke, a half), as when
    # people repaint: what lies outside is whole
    region: float = 0.0

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        for name in ("flip", "flip_uniform", "flip_group", "flip_self"):
            object.__setattr__(self, name, real_number(name, getattr(self, name), 0, 1e6))
        if not isinstance(self.complementary, bool):
            raise ValueError(f"complementary must be True or False, got {self.complementary!r}")
        object.__setattr__(self, "region", real_number("region", self.region, 0, 1))
        if self.region and self.complementary:
            raise ValueError(
                "region and complementary masks exclude each other: set one of them to 0 or False"
            )
        if self.flip >= 1:
            raise ValueError(f"flip must be in [0, 1), got {self.flip}")
        if self.flip and self.flip_uniform + self.flip_group + self.flip_self == 0:
            raise ValueError("with flip > 0 at least one flip share must be positive")


@dataclass(frozen=True)
class Corrupted:
    """zt int64 [B, L]; masked and flipped bool [B, L]; ratio float [B], the share that was to be masked."""

    zt: Tensor
    masked: Tensor
    flipped: Tensor
    ratio: Tensor


def corrupt(
    x0: Tensor,
    mask_id: int,
    config: CorruptionConfig = CorruptionConfig(),
    *,
    groups: Groups | None = None,
    draft: Callable[[Tensor, Tensor], Tensor] | None = None,
    generator: torch.Generator | None = None,
    grid: tuple[int, int] | None = None,
    things: Tensor | None = None,
) -> Corrupted:
    """Corrupt a batch of clean tokens.

    Args:
        x0: int64 [B, L], ids in 0..mask_id-1.
        mask_id: id of the mask token, which is the vocabulary size V.
        groups: needed when config.flip_group > 0.
        draft: (zt [B, L], where bool [B, L]) -> the model's proposals for the n places of `where`, int64 [n],
            without gradient; needed when config.flip_self > 0.
        grid: rows and columns of the tokens, for config.region > 0 (by default a square).
        things: bool [B, L], the tokens of a thing in each picture (none: all False); with config.region > 0 they
            are the region of every other picture that has such.
    """
    B, L = x0.shape
    device = x0.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=generator)

    half = B // 2 if config.complementary else 0
    ratio = mask_ratio(rand(B), config.schedule)  # [B]
    noise = rand(B, L)
    if half:
        noise[half : 2 * half] = 1 - noise[:half]
        ratio[half : 2 * half] = 1 - ratio[:half]
    region: Tensor | None = None
    room: Tensor | int = L  # cells that may be masked
    if config.region > 0:
        region = _regions(B, L, grid, config.region, things, generator, device)
        room = region.sum(1)  # [B]
        noise = noise.masked_fill(~region, 2.0)
    # exactly round(ratio * L) masks an image (or its region), at least one: the lowest noise is masked
    rank = noise.argsort(1).argsort(1)  # [B, L]
    count = (ratio * room).round().clamp_min(1).long()
    if half:
        count[half : 2 * half] = (L - count[:half]).clamp_min(1)
    masked = rank < count[:, None]  # [B, L]

    flipped = (rand(B, L) < config.flip) & ~masked
    if region is not None:
        flipped &= region
    shares = torch.tensor([config.flip_uniform, config.flip_group, config.flip_self])
    edges = (shares.cumsum(0) / shares.sum().clamp_min(1e-9)).tolist()
    pick = rand(B, L)
    from_group = flipped & (pick >= edges[0]) & (pick < edges[1])
    from_self = flipped & (pick >= edges[1])

    # another token, uniformly: x0 + 1..V-1 modulo V never is x0
    other = torch.randint(1, mask_id, (B, L), device=device, generator=generator)
    zt = torch.where(flipped, (x0 + other) % mask_id, x0)
    if config.flip_group > 0:
        if groups is None:
            raise ValueError("flip_group > 0 needs groups")
        zt = torch.where(from_group, _neighbour(x0, groups, rand(B, L)), zt)
    if config.flip_self > 0:
        if draft is None:
            raise ValueError("flip_self > 0 needs a draft function")
        # the places to be flipped are masked too, so that the draft guesses them as it would while sampling
        zt[from_self] = draft(torch.where(masked | from_self, mask_id, zt), from_self)
    zt = torch.where(masked, mask_id, zt)
    return Corrupted(zt, masked, (zt != x0) & ~masked, ratio)


def _regions(
    B: int,
    L: int,
    grid: tuple[int, int] | None,
    share: float,
    things: Tensor | None,
    generator: torch.Generator | None,
    device: torch.device,
) -> Tensor:
    """bool [B, L]: where each picture may lose tokens; everywhere for 1 - share of them."""
    side = math.isqrt(L)
    grid = grid or (side, side)
    if grid[0] * grid[1] != L:
        raise ValueError(f"region > 0 needs the grid of the {L} tokens: they are no square")
    region = draw_regions(B, grid, generator, device).flatten(1)
    u = torch.rand(2, B, 1, device=device, generator=generator)
    if things is not None:
        region = torch.where((u[0] < 0.5) & things.any(1, keepdim=True), things, region)
    return region | (u[1] >= share)


def _neighbour(x0: Tensor, groups: Groups, u: Tensor) -> Tensor:
    """Another member of each token's groups, drawn with u ~ U(0, 1); the token itself if it is alone. All [B, L]."""
    patch = groups.patch(x0.flatten())
    other = patch.keep & (patch.ids != x0.flatten()[:, None])  # [B*L, K]
    n = other.sum(-1)  # [B*L]
    nth = (u.flatten() * n).long().clamp_max((n - 1).clamp_min(0))
    hit = other & (other.cumsum(-1) == nth[:, None] + 1)  # exactly one a row where n > 0
    return torch.where(n > 0, (patch.ids * hit).sum(-1), x0.flatten()).view_as(x0)
