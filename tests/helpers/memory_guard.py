"""Tensors that nobody wrote hold NaN, and no matrix product may have any of it within its reach.

On CPUs with AMX, oneDNN loads the rows of a 16-bit left operand in whole 64 bytes. Elsewhere the numbers behind a row
are not read and no result could tell, so `products_keep_away_from_nan` looks at them itself: it fails on every machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mdm_core.ops.gce import autograd as gce_autograd

BYTES = 64  # one row of an AMX tile
# which argument of a product is its left operand
LEFT = dict.fromkeys(("matmul", "mm", "bmm", "linear"), 0)
LEFT |= dict.fromkeys(("addmm", "addmm_", "baddbmm", "baddbmm_", "_addmm_activation"), 1)
# operators whose insides are Python: a mode looks in only where it calls them itself
OPENED = {
    definition._qualname: definition
    for definition in vars(gce_autograd).values()
    if isinstance(definition, torch._library.custom_ops.CustomOpDef)
}


@contextlib.contextmanager
def poisoned_memory() -> Iterator[None]:
    """Every tensor of torch.empty and its like is filled with NaN (integers: with their largest)."""
    memory: Any = torch.utils.deterministic  # a module with a property, which no type checker knows
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = True
    try:
        assert torch.empty(3, dtype=torch.bfloat16).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


def reach_of(matrix: Tensor) -> Tensor | None:
    """What stands behind each row (or column) of half numbers, up to whole 64 bytes; None: nothing does."""
    if (
        matrix.dim() < 2
        or matrix.element_size() != 2
        or not matrix.is_floating_point()
        or matrix.numel() == 0
    ):
        return None
    if matrix.stride(-1) != 1:
        matrix = matrix.mT
    if matrix.stride(-1) != 1:
        return None
    whole = BYTES // matrix.element_size()
    behind = min(-matrix.shape[-1] % whole, matrix.stride(-2) - matrix.shape[-1])
    # the last row may end the memory
    behind = min(behind, matrix.untyped_storage().nbytes() // matrix.element_size() - _end(matrix))
    if behind <= 0:
        return None
    first = matrix.storage_offset() + matrix.shape[-1]
    return matrix.as_strided((*matrix.shape[:-1], behind), matrix.stride(), first)


def _end(matrix: Tensor) -> int:
    """The place in the storage behind the matrix's last number."""
    steps = zip(matrix.shape, matrix.stride(), strict=True)
    return int(matrix.storage_offset()) + sum((n - 1) * step for n, step in steps) + 1


class products_keep_away_from_nan(TorchDispatchMode):
    """Within: fails at a product with NaN or infinity behind the left operand's rows. `count`: products seen."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name
        if name in OPENED:
            with self:
                return OPENED[name]._init_fn(*args, **kwargs)
        place = LEFT.get(name.removeprefix("aten::"))
        if place is not None:
            self.count += 1
            behind = reach_of(args[place])
            assert behind is None or behind.isfinite().all(), (name, args[place].shape, args[place].stride())
        return func(*args, **kwargs)
