"""Grouped cross-entropy over tiles of logits, in PyTorch operations (CPU and any device PyTorch knows).

Legend
    n    rows of a tile              V    its columns
    K    patch slots per row         J    1 + group levels (level 0 is the target itself)

Plain cross-entropy is the GCE of the one-token group {y}, so every term has the same shape: a group C with
weight w. With S_in, S_out the exp-sums inside and outside C, and P = S_in / (S_in + S_out):

    loss     = w * log1p(S_out / S_in)
    gradient = w * exp(z_v - LSE)                       outside C
             = -w * exp(z_v - LSE_C) * (1 - P)          inside C,  1 - P = S_out / (S_in + S_out)

Both are sums of positive parts, so nothing cancels, however sure the model is. Only the few tokens in some
group of the row (the *patch*, [n, K]) need this care; all other logits share one formula. A tile therefore
costs one exponential per element: gather the patch, set it to -inf in the tile, exponentiate and sum the
rest, then write the patch back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mdm_core.groups import Level, Neighbours, Partition, Patch, patch_levels

STREAM_COLUMNS = 8192  # of the vocabulary at a time, when only the loss is asked for
SCALED = 1 << 18  # half numbers at a time that are worked on in an fp32 copy
STREAM_BYTES = 16 << 20  # and the logits in flight then: the forward alone gains nothing from more


def bytes_per_logit(dtype: torch.dtype) -> int:
    """A half tile is worked on in an fp32 copy."""
    return dtype.itemsize if dtype.itemsize >= 4 else dtype.itemsize + 4


def bytes_per_slot() -> int:
    """What a row's patch takes in the rows schedule: ids, memberships, logits, gradients."""
    return 64


@dataclass
class Stats:
    """What the gradient needs of each row; all relative to the row's maximum logit."""

    top: Tensor  # [n]     the largest logit
    lse: Tensor  # [n]     LSE(z - top)
    loss: Tensor  # [n]     the row's loss
    slot: Tensor  # [n, K]  d loss / d logit of each patch slot
    rest: Tensor  # [n]     d loss / d logit of any other token v, divided by exp(z_v - top)


def row_stats(
    top: Tensor, rest: Tensor, patch_logits: Tensor, patch: Patch, coefficients: list[float], z_loss: float
) -> Stats:
    """The whole objective, from the patch and one number per row for everything else.

    top [n]: row maximum; rest [n]: sum of exp(z - top) outside the patch; patch_logits [n, K].
    """
    z = patch_logits - top[:, None]  # [n, K]
    weight = torch.tensor(coefficients, dtype=z.dtype, device=z.device)  # [J]
    member = patch.inside & patch.keep[..., None]  # [n, K, J]
    outside = ~patch.inside & patch.keep[..., None]  # [n, K, J]
    log_rest = rest.log()  # [n]

    spread = z[..., None]  # [n, K, 1]
    lse_in = spread.masked_fill(~member, -torch.inf).logsumexp(1)  # [n, J]  LSE over C
    lse_out = spread.masked_fill(~outside, -torch.inf).logsumexp(1)  # [n, J]  the patch's part of it
    lse_out = torch.logaddexp(log_rest[:, None], lse_out)  # [n, J]  LSE outside C
    lse = torch.logaddexp(log_rest, z.masked_fill(~patch.keep, -torch.inf).logsumexp(1))  # [n]
    odds = lse_out - lse_in  # [n, J]  log(S_out / S_in)
    lse_full = lse + top  # [n]
    loss = torch.logaddexp(odds, odds.new_zeros(())) @ weight + z_loss * lse_full.square()  # [n]

    p = (z - lse[:, None]).exp()  # [n, K]
    pull = (spread - lse_in[:, None, :]).exp()  # [n, K, J]  softmax over C
    pull = pull * odds.sigmoid()[:, None, :]  # [n, K, J]  times 1 - P
    z_push = 2 * z_loss * lse_full  # [n]
    slot = torch.where(patch.inside, -pull, p[..., None]) @ weight + z_push[:, None] * p  # [n, K]
    push = weight.sum() + z_push  # [n]
    return Stats(top, lse, loss, slot, push * (-lse).exp())


def view(tables: list[Tensor], widths: list[int], vocab_size: int, device: torch.device) -> list[Level]:
    """Group levels from operator arguments: three tensors per partition, one per kNN list (width < 0)."""
    rest = list(tables)
    levels: list[Level] = []
    for width in widths:
        if width > 0:
            levels.append(Partition(width, group_of=rest.pop(0), order=rest.pop(0), offsets=rest.pop(0)))
        else:
            levels.append(Neighbours(-width, neighbours=rest.pop(0)))
    return levels


def patch_of(levels: list[Level], target: Tensor) -> Patch:
    """The patch of each row. target: int64 [n], in range."""
    return patch_levels(target, levels)


def rows_(
    tile: Tensor, levels: list[Level], target: Tensor, scale: Tensor, coefficients: list[float], z_loss: float
) -> tuple[Tensor, Tensor]:
    """Rows schedule: a tile of whole rows becomes its gradient times scale [n]; returns loss and LSE [n]."""
    patch = patch_of(levels, target)
    z = tile if tile.dtype in (torch.float32, torch.float64) else tile.float()  # [n, V]
    top = z.amax(1)  # [n]
    patch_logits = z.gather(1, patch.ids)  # [n, K]
    z.scatter_(1, patch.ids, -torch.inf)
    rest = z.sub_(top[:, None]).exp_().sum(1)  # [n]
    stats = row_stats(top, rest, patch_logits, patch, coefficients, z_loss)
    z.mul_((stats.rest * scale)[:, None])
    z.scatter_(1, patch.ids, stats.slot * scale[:, None])
    if z is not tile:
        tile.copy_(z)
    return stats.loss, stats.lse + stats.top


def stream(*arguments: Any) -> None:
    """The streaming schedule in kernels of its own: there are none here (see objective_triton)."""
    return


def scale_(values: Tensor, factor: Tensor) -> None:
    """values *= factor [], wide; half types are rounded once, after the product."""
    if values.dtype == factor.dtype:
        values.mul_(factor)
        return
    if factor.device.type == "cpu" and factor == 1:
        return
    for part in values.view(-1).split(SCALED):
        part.copy_(part.to(factor.dtype).mul_(factor))


def absorb_(tile: Tensor, first: int, patch: Patch, top: Tensor, rest: Tensor, patch_logits: Tensor) -> None:
    """Streaming: fold the logits of tokens first : first + V into the running top, rest and patch_logits.

    The tile has one spare column at its end, where patch slots of other tiles are sent. Here `top` is the
    running maximum outside the patch.
    """
    column, here = _locate(tile, first, patch)
    patch_logits.copy_(torch.where(here, tile.gather(1, column).to(patch_logits.dtype), patch_logits))
    tile.scatter_(1, column, -torch.inf)
    z = tile[:, :-1].to(top.dtype)  # [n, V]
    higher = torch.maximum(top, z.amax(1)).clamp(min=torch.finfo(top.dtype).min)  # [n]
    rest.mul_((top - higher).exp()).add_(z.sub_(higher[:, None]).exp_().sum(1))
    top.copy_(higher)


def tile_gradient_(tile: Tensor, first: int, patch: Patch, stats: Stats, scale: Tensor) -> None:
    """Vocabulary schedule: the logits of tokens first : first + V become their gradient times scale [n]."""
    column, _ = _locate(tile, first, patch)
    z = tile if tile.dtype == stats.top.dtype else tile.to(stats.top.dtype)  # [n, V + 1]
    z.sub_(stats.top[:, None]).exp_().mul_((stats.rest * scale)[:, None])
    z.scatter_(1, column, stats.slot * scale[:, None])
    if z is not tile:
        tile.copy_(z)


def _locate(tile: Tensor, first: int, patch: Patch) -> tuple[Tensor, Tensor]:
    """Column of each patch slot in the tile, the spare last one for slots elsewhere; and which are here."""
    spare = tile.shape[1] - 1
    column = patch.ids - first  # [n, K]
    here = (column >= 0) & (column < spare)  # [n, K]
    return torch.where(here, column, column.new_full((), spare)), here
