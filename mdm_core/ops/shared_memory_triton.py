"""Shared memory of a GPU, and how many pipeline stages of a product's tile fit into it.

A program of a product holds in shared memory the operands of the stages it has on the way,

    buffers * (rows + columns) * depth * bytes of a number,

and while they are there, whatever its epilogue sends through shared memory. Products that read their operands from
shared memory while they run (Hopper, Blackwell for data centres) need a buffer per stage; elsewhere a stage's operands
are in registers by then, and one buffer less will do. Of the sampling kernel's tile for half precision, 128 x 256 x 64
and three stages, that is 3 * 384 * 64 * 2 = 147,456 bytes on an H100, and 32,768 more for a block of 64 logits of each
row in fp32: 180,224 of the 232,448 that there are. Cards for games have 101,376, and get two stages: 81,920.

Triton 3.4 to 3.9 share it out like that; 3.3 takes more behind the product, which only `launch` finds out.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from mdm_core.ops.backend import constant_result

Tile = tuple[int, int, int, int, int]  # rows, columns and depth of a product's tile, warps, stages
BARRIERS = 256  # bytes for what the stages wait on, and for rounding up
ASYNCHRONOUS = (9, 10)  # major compute capabilities whose products read shared memory while they run
PLENTY = 1 << 30  # where kernels are interpreted


def needed(tile: Tile, size: int, behind: int, capability: int) -> int:
    """Bytes of shared memory that a product's program takes, at most.

    Args:
        tile: with the stages asked for.
        size: bytes of a number of the operands.
        behind: bytes that the epilogue sends through shared memory at a time, in a loop with the product.
        capability: the major compute capability.
    """
    rows, columns, depth, _, stages = tile
    buffers = stages if capability in ASYNCHRONOUS else max(1, stages - 1)
    return buffers * (rows + columns) * depth * size + behind + BARRIERS


def fit(tile: Tile, size: int, behind: int, capability: int, available: int) -> Tile:
    """The tile with as many of its stages as fit; with one, where nothing does."""
    stages = tile[-1]
    while stages > 1 and needed((*tile[:-1], stages), size, behind, capability) > available:
        stages -= 1
    return (*tile[:-1], stages)


def fit_on(tile: Tile, size: int, behind: int, device: torch.device) -> Tile:
    """`fit` on a device."""
    return fit(tile, size, behind, capability(device), available(device))


# the compiler refuses to trace questions to the driver
@constant_result
def available(device: torch.device) -> int:
    """Bytes of shared memory that one program may have."""
    if device.type != "cuda":
        return PLENTY
    return _available(torch.cuda.current_device() if device.index is None else device.index)


@cache
def _available(index: int) -> int:
    from triton.runtime import driver

    return int(driver.active.utils.get_device_properties(index)["max_shared_mem"])


def capability(device: torch.device) -> int:
    """The major compute capability; 0 where there is none."""
    return torch.cuda.get_device_capability(device)[0] if device.type == "cuda" else 0


def launch(kernel: Any, grid: tuple[int, ...], stages: int, *arguments: Any, **options: Any) -> None:
    """kernel[grid](...), with fewer stages where they are refused all the same: another compiler, another estimate.

    Nothing has run by then, so the next try starts from the same memory.
    """
    from triton.runtime.errors import OutOfResources

    variant = (id(kernel), *(value for value in options.values() if isinstance(value, int)))
    stages = min(stages, _most.get(variant, stages))
    while True:
        try:
            kernel[grid](*arguments, num_stages=stages, **options)
            return
        except OutOfResources:
            if stages == 1:
                raise
            stages -= 1
            _most[variant] = stages


_most: dict[tuple[int, ...], int] = {}  # of each variant of a kernel that was refused: stages to begin with
