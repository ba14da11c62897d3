"""Three schedules of grouped cross-entropy over a linear head; none of them ever holds the [N, V] logits.

    schedule     for                               FLOPs   extra bytes beyond the outputs
    streaming    the loss alone                    2 NDV   one tile of logits
    rows         mean and sum, with gradient       6 NDV   one tile of whole rows, fp32 [V, D] for half types
    vocabulary   any reduction, gradient later     8 NDV   one tile of all rows, fp32 [N, D] for half types

"Rows" computes the gradient during the forward, where the logits are at hand; "vocabulary" recomputes the
logits in the backward, when the upstream gradient of each row is known. Rows reads and writes all of the weight's
gradient once a tile, so where only few rows fit in a tile, vocabulary is the faster of the two.

The arithmetic on a tile is an `engine`'s: the module pytorch.py or objective_triton.py. `groups` is what the engine's
`view` made of the group levels. Legend: N rows, D width, V vocabulary, n rows of a tile, K patch slots.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from mdm_core.ops.backend import constant_result
from mdm_core.ops.gce.pytorch import Stats, row_stats
from mdm_core.ops.gemm import accumulate_, multiply_, reach, roomy, seal_

GCE_TILE_BYTES = {"cpu": 72 << 20, "cuda": 1 << 30}  # at most; on a GPU also at most 1/32 of its memory
CPU_ENOUGH = 384, 16 << 20  # rows and bytes of a tile from which on a CPU gains nothing from larger ones
FEW_ROWS = {"cpu": 80, "cuda": 512}  # with fewer to a tile, "vocabulary" is the faster schedule
# What a schedule takes beside the hidden states, and what it gives.
P = ParamSpec("P")
R = TypeVar("R")
# Columns after a tile of part of the vocabulary: the first takes the patch slots of other tiles, and none is so far
# behind the tile that a product could read beyond them (see gemm.py).
SPARE = 32


def _without_autocast(schedule: Callable[Concatenate[Tensor, P], R]) -> Callable[Concatenate[Tensor, P], R]:
    """Types are chosen here, number by number; an outer autocast must not choose again."""

    @wraps(schedule)
    def run(hidden: Tensor, /, *rest: P.args, **options: P.kwargs) -> R:
        with torch.autocast(hidden.device.type, enabled=False):
            return schedule(hidden, *rest, **options)

    return run


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type sums are kept in: at least fp32."""
    return torch.promote_types(dtype, torch.float32)


@constant_result
def default_bytes(device: torch.device) -> int:
    """How many bytes of logits may be in flight where the caller sets no limit."""
    if device.type != "cuda":
        return GCE_TILE_BYTES["cpu"]
    return min(GCE_TILE_BYTES["cuda"], torch.cuda.get_device_properties(device).total_memory // 32)


def rows_per_tile(
    columns: int, tile_bytes: int, device: torch.device, bytes_per_logit: int, patch_bytes: int = 0
) -> int:
    """How many rows of `columns` logits and a patch make a tile; from 128 on, whole 128s.

    They fill tile_bytes, or for tile_bytes = 0 as much as does good on the device.
    """
    row_bytes = bytes_per_logit * columns + patch_bytes
    rows = max(1, (tile_bytes or default_bytes(device)) // row_bytes)
    if not tile_bytes and device.type == "cpu":
        rows = min(rows, max(CPU_ENOUGH[0], CPU_ENOUGH[1] // row_bytes))
    return rows if rows < 128 else rows // 128 * 128


def even_chunks(total: int, at_most: int) -> list[tuple[int, int]]:
    """Ranges of nearly equal length that cover range(total), none above at_most; whole 128s if at_most is."""
    count = -(-total // at_most)
    size = -(-total // max(1, count))
    if at_most % 128 == 0:
        size = -(-size // 128) * 128
    return [(start, min(start + size, total)) for start in range(0, total, max(1, size))]


@_without_autocast
def rows(
    hidden: Tensor,  # [N, D]
    weight: Tensor,  # [V, D], the same dtype
    target: Tensor,  # int64 [N], in range
    scale: Tensor,  # [N]  what each row's loss is multiplied with
    groups: Any,
    coefficients: list[float],
    z_loss: float,
    slots: int,
    tile_bytes: int,
    need_hidden: bool,
    grad_weight: Tensor | None,  # wide [V, D], overwritten; None: not needed
    engine: ModuleType,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Row losses and LSEs [N], and the gradient of sum(scale * loss) by hidden; grad_weight is filled."""
    (count, _), size = hidden.shape, weight.shape[0]
    loss = hidden.new_empty(count, dtype=wide(hidden.dtype))  # [N]
    lse = torch.empty_like(loss)  # [N]
    grad_hidden = hidden.new_empty(hidden.shape) if need_hidden else None  # [N, D]
    fit = rows_per_tile(
        size, tile_bytes, hidden.device, engine.bytes_per_logit(hidden.dtype), slots * engine.bytes_per_slot()
    )
    chunks = even_chunks(count, max(1, min(fit, -(-count // 2))))  # never all of [N, V] at once
    buffer = hidden.new_empty(chunks[0][1] if chunks else 0, reach(size, hidden))  # [n, V or a little more]
    seal_(buffer, size)
    for first, stop in chunks:
        part, tile = roomy(hidden[first:stop]), buffer[: stop - first, :size]  # [n, D], [n, V]
        multiply_(tile, part, weight.t())
        loss[first:stop], lse[first:stop] = engine.rows_(
            tile, groups, target[first:stop], scale[first:stop], coefficients, z_loss
        )
        if grad_hidden is not None:
            multiply_(grad_hidden[first:stop], tile, weight)  # [n, V] @ [V, D]
        if grad_weight is not None:
            accumulate_(grad_weight, tile.t(), part, first=first == 0)  # [V, n] @ [n, D]
    if grad_weight is not None and count == 0:
        grad_weight.zero_()
    return loss, lse, grad_hidden


@_without_autocast
def streaming(
    hidden: Tensor,  # [N, D]
    weight: Tensor,  # [V, D]
    target: Tensor,  # int64 [N], in range
    groups: Any,
    coefficients: list[float],
    z_loss: float,
    slots: int,
    tile_bytes: int,
    keep_slots: bool,
    engine: ModuleType,
) -> Stats:
    """Every row's statistics, from one pass over the vocabulary; keep_slots if a gradient is to follow."""
    whole = engine.stream(hidden, weight, target, groups, coefficients, z_loss, keep_slots)
    if whole is not None:
        return whole
    (count, _), size = hidden.shape, weight.shape[0]
    if keep_slots and hidden.is_cuda:
        # the very tiles that `vocabulary` will compute again: the GPU's library multiplies other shapes in another
        # order, and exp(z - LSE) of a sure row is only as exact as the two passes agree on z
        chunks, parts = [(0, count)][:count], vocabulary_chunks(hidden, size, tile_bytes, engine)
    else:
        columns = min(size, engine.STREAM_COLUMNS)
        tile_bytes = min(tile_bytes or engine.STREAM_BYTES, engine.STREAM_BYTES)
        fit = rows_per_tile(
            columns + SPARE, tile_bytes, hidden.device, engine.bytes_per_logit(hidden.dtype), 64 * slots
        )
        chunks, parts = even_chunks(count, fit), even_chunks(size, columns)
    buffer = hidden.new_empty(chunks[0][1] if chunks else 0, (parts[0][1] if parts else 0) + SPARE)
    # [N] each
    top, lse, loss, rest_factor = (hidden.new_empty(count, dtype=wide(hidden.dtype)) for _ in range(4))
    slot = top.new_empty(count, slots if keep_slots else 0)  # [N, K]
    for first, stop in chunks:
        part = roomy(hidden[first:stop])  # [n, D]
        patch = engine.patch_of(groups, target[first:stop])
        outside = top.new_full((stop - first,), -torch.inf)  # [n]  running maximum outside the patch
        rest, patch_logits = torch.zeros_like(outside), top.new_zeros(patch.ids.shape)  # [n], [n, K]
        for v0, v1 in parts:
            tile = buffer[: stop - first, : v1 - v0 + 1]  # [n, v1 - v0 and a spare column]
            multiply_(tile[:, :-1], part, weight[v0:v1].t())
            engine.absorb_(tile, v0, patch, outside, rest, patch_logits)
        full = torch.maximum(outside, patch_logits.amax(1))  # [n]
        stats = row_stats(full, rest * (outside - full).exp(), patch_logits, patch, coefficients, z_loss)
        top[first:stop], lse[first:stop], loss[first:stop] = stats.top, stats.lse, stats.loss
        rest_factor[first:stop] = stats.rest
        if keep_slots:
            slot[first:stop] = stats.slot
    return Stats(top, lse, loss, slot, rest_factor)


@_without_autocast
def vocabulary(
    hidden: Tensor,  # [N, D]
    weight: Tensor,  # [V, D]
    target: Tensor,  # int64 [N], in range
    scale: Tensor,  # [N]  upstream gradient of each row's loss
    groups: Any,
    stats: Stats,  # from `streaming` with keep_slots
    tile_bytes: int,
    need_hidden: bool,
    grad_weight: Tensor | None,  # [V, D], overwritten, each part once; None: not needed
    engine: ModuleType,
) -> Tensor | None:
    """The gradient of sum(scale * loss) by hidden [N, D] (wide); grad_weight is filled in place."""
    (count, width), size = hidden.shape, weight.shape[0]
    if count == 0 and grad_weight is not None:
        grad_weight.zero_()
    patch, hidden = engine.patch_of(groups, target), roomy(hidden)
    grad_hidden = hidden.new_zeros(count, width, dtype=wide(hidden.dtype)) if need_hidden else None
    chunks = vocabulary_chunks(hidden, size, tile_bytes, engine)
    buffer = hidden.new_empty(count, (chunks[0][1] if chunks else 0) + SPARE)
    for v0, v1 in chunks:
        tile = buffer[:, : v1 - v0 + 1]  # [N, v1 - v0 and a spare column]
        multiply_(tile[:, :-1], hidden, weight[v0:v1].t())
        engine.tile_gradient_(tile, v0, patch, stats, scale)
        seal_(buffer, v1 - v0)
        if grad_hidden is not None:
            accumulate_(grad_hidden, tile[:, :-1], weight[v0:v1], first=v0 == 0)
        if grad_weight is not None:
            accumulate_(grad_weight[v0:v1], tile[:, :-1].t(), hidden, first=True)
    return grad_hidden


def vocabulary_chunks(
    hidden: Tensor, size: int, tile_bytes: int, engine: ModuleType
) -> list[tuple[int, int]]:
    """Ranges of the vocabulary whose tile of all rows fits in tile_bytes: never all of [N, V] at once."""
    if len(hidden) == 0:
        return []
    fit = rows_per_tile(len(hidden), tile_bytes, hidden.device, engine.bytes_per_logit(hidden.dtype))
    return even_chunks(size, min(fit, -(-size // 2)))
