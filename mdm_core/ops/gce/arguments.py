"""What the custom operators of grouped cross-entropy take and give: plain tensors, rows that count, units, refusals."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor

from mdm_core.groups import Groups, Partition
from mdm_core.ops.backend import constant_result
from mdm_core.ops.gce import pytorch as gce_torch
from mdm_core.ops.gce import schedules


def flatten(groups: Groups | None, backend: str) -> tuple[list[Tensor], list[int]]:
    """Group levels as operator arguments, which the backend's `view` takes up again.

    tables: the levels' tensors, or for triton every token's patch; widths: per level, negative for kNN lists.
    """
    if groups is None:
        return [], []
    if backend == "triton":
        return list(groups.patch_table()), [level.width for level in groups.levels]
    tables = [table for level in groups.levels for table in level.tensors()]
    return tables, [level.width if isinstance(level, Partition) else -level.width for level in groups.levels]


def engine_for(backend: str) -> ModuleType:
    if backend == "triton":
        from mdm_core.ops.gce import objective_triton as gce_triton

        return gce_triton
    return gce_torch


def slots_of(widths: list[int]) -> int:
    """Patch slots per row: the target and each level's members."""
    return 1 + sum(abs(width) for width in widths)


@constant_result
def _tile_costs(backend: str, dtype: torch.dtype) -> tuple[int, int]:
    """Bytes of a tile's logit, and of a patch slot beside it."""
    engine = engine_for(backend)
    return engine.bytes_per_logit(dtype), engine.bytes_per_slot()


def few_rows_fit(
    count: int,
    vocab_size: int,
    widths: list[int],
    dtype: torch.dtype,
    device: torch.device,
    tile_bytes: int,
    backend: str,
) -> bool:
    """Whether the rows schedule would need so many tiles that the vocabulary schedule is faster."""
    logit, slot = _tile_costs(backend, dtype)
    fit = schedules.rows_per_tile(vocab_size, tile_bytes, device, logit, slot * slots_of(widths))
    return fit < schedules.FEW_ROWS["cuda" if device.type == "cuda" else "cpu"] and fit < count


# Gradients of fp16 logits are kept at most this large, or twice: probabilities of 1 / V are normal numbers then, and
# sums over the vocabulary stay below 65,504 for weights up to hundreds.
HALF_UNIT = 64.0
NOT_TWICE = (
    "linear_grouped_cross_entropy is not twice differentiable: its gradient cannot be differentiated again. "
    'Use backend="reference", which stores the logits, for penalties on gradients and Hessian products.'
)


def refuse(ctx: Any, *unused: Any) -> NoReturn:
    raise RuntimeError(NOT_TWICE)


def counted(hidden: Tensor, target: Tensor) -> Tensor:
    """hidden [n, D] with zeros for the rows to leave out, so that no product meets what those hold, NaN too.

    On a CPU these rows are not here any more (see `used_rows`).
    """
    return hidden if target.device.type == "cpu" else hidden.where((target >= 0)[:, None], 0)


def power_of_two(values: Tensor) -> Tensor:
    """The largest power of two up to values [], by which one divides without rounding; 1 for 0, inf and NaN."""
    _, exponent = torch.frexp(values)
    usual = (values >= 2.0**-100) & (values <= 2.0**100)
    return torch.ldexp(torch.ones_like(values), exponent.where(usual, 1) - 1)


def used_rows(target: Tensor) -> Tensor | None:
    """Indices of rows that count, or None for "use every row as it is".

    Leaving rows out saves work on the CPU; on a GPU it would have to wait for the device to count them.
    """
    if target.device.type == "cpu" and (target < 0).any():
        return (target >= 0).nonzero()[:, 0]
    return None


def spread(values: Tensor, used: Tensor | None, count: int) -> Tensor:
    """Put the used rows' values back among zeros: the inverse of `values[used]`."""
    if used is None:
        return values
    return values.new_zeros(count, *values.shape[1:]).index_copy_(0, used, values)


def no_gradient(tables: int) -> tuple[list[None], list[None] | None]:
    """The backward's answer for (tables, widths): torch.library takes an empty list for a list of tensors."""
    return ([None] * tables, None) if tables else ([], [])
