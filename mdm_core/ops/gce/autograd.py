"""Grouped cross-entropy as custom operators: one for eager, autocast and `torch.compile(fullgraph=True)`.

    chisel::gce_rows       loss and both gradients at once (mean and sum)
    chisel::gce_forward    loss and what a later backward needs (reduction "none", or no gradient at all)
    chisel::gce_backward   both gradients, from those statistics and the upstream gradient of each row
    chisel::gce_scale_     gradients times the upstream gradient, in place: the backward of gce_rows
    chisel::gce_scale      the same out of place, where a graph of the backward is asked for

Arguments shared by all three:
    hidden [N, D], weight [V, D]: any dtype; computed in `dtype`. target int64 [N]: -1 for rows to leave out.
    tables, widths: the group levels as plain tensors (see arguments.flatten). backend: "torch" or "triton".
Gradients come back in the dtype of what they are gradients of; the weight's is summed in fp32 first. None of them
can be differentiated again, and trying to says so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mdm_core.ops.gce import schedules
from mdm_core.ops.gce.arguments import (
    HALF_UNIT,
    counted,
    engine_for,
    no_gradient,
    power_of_two,
    refuse,
    slots_of,
    spread,
    used_rows,
)
from mdm_core.ops.gce.pytorch import Stats


@torch.library.custom_op("chisel::gce_rows", mutates_args=())
def gce_rows(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    scale: Tensor,
    witness: Tensor,
    tables: list[Tensor],
    widths: list[int],
    coefficients: list[float],
    z_loss: float,
    dtype: torch.dtype,
    tile_bytes: int,
    need_hidden: bool,
    need_weight: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """sum(scale * loss) [], LSE [N], and its gradients by hidden and weight (empty tensors if not needed).

    The gradients still want their units [2]: in fp16 they would be rounded to nothing at their true size of 1/N, and
    the upstream gradient that makes up for it (loss scaling) is only known in the backward. Units are powers of two.
    witness: see `witness_of`.
    """
    used = used_rows(target)
    rows = slice(None) if used is None else used
    sums = schedules.wide(dtype)
    w = weight.to(dtype)  # [V, D]
    h = counted(hidden[rows].to(dtype), target[rows])  # [N, D]
    dw = weight.new_empty(weight.shape, dtype=sums) if need_weight else None  # [V, D]
    valid = target[rows] >= 0  # [N]
    row_scale = scale[rows].to(sums).where(valid, 0)  # [N]
    units = row_scale.new_ones(2)  # of dh, of dw
    if dtype == torch.float16 and len(row_scale):
        # []  of a logit's gradient, roughly
        most = row_scale.abs().amax() * sum(abs(c) for c in coefficients)
        units = units * (power_of_two(most) / HALF_UNIT)
    engine = engine_for(backend)
    loss, lse, dh = schedules.rows(
        h,
        w,
        target[rows].clamp(min=0),
        row_scale / units[0],
        engine.view(tables, widths, len(w), w.device),
        coefficients,
        z_loss,
        slots_of(widths),
        tile_bytes,
        need_hidden,
        dw,
        engine,
    )
    if dw is not None and weight.dtype == torch.float16 and dw.numel():
        low, high = dw.aminmax()
        more = power_of_two(torch.maximum(-low, high)) * 2.0**-13  # the largest becomes 2^13 to 2^14
        dw.mul_(1 / more)
        units = torch.stack([units[0], units[1] * more])
    total = (loss.where(valid, 0) * row_scale).sum()  # []
    lse = spread(lse.where(valid, 0), used, len(target))
    dh = hidden.new_empty(0) if dh is None else spread(dh, used, len(target)).to(hidden.dtype)
    dw = weight.new_empty(0) if dw is None else dw.to(weight.dtype)
    return total, lse, dh, dw, units


@gce_rows.register_fake
def _(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    scale: Tensor,
    witness: Tensor,
    tables: list[Tensor],
    widths: list[int],
    coefficients: list[float],
    z_loss: float,
    dtype: torch.dtype,
    tile_bytes: int,
    need_hidden: bool,
    need_weight: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    sums = schedules.wide(dtype)
    dh = hidden.new_empty(hidden.shape if need_hidden else 0)
    dw = weight.new_empty(weight.shape if need_weight else 0)
    units = hidden.new_empty(2, dtype=sums)
    return hidden.new_empty((), dtype=sums), hidden.new_empty(len(target), dtype=sums), dh, dw, units


def witness_of(hidden: Tensor, weight: Tensor) -> Tensor:
    """An empty tensor that depends on both: through it a second derivative finds the way to its refusal.

    Unlike hidden itself it costs no memory until the backward.
    """
    return torch.cat([x[:0].flatten() for x in (hidden, weight)])


@torch.library.custom_op("chisel::gce_scale_", mutates_args={"gradients"})
def gce_scale_(gradients: list[Tensor], factors: Tensor, backend: str) -> None:
    """Multiply gradients in place with their factors, wide [one per gradient], rounding once."""
    for gradient, factor in zip(gradients, factors, strict=True):
        engine_for(backend).scale_(gradient, factor)


@gce_scale_.register_fake
def _(gradients: list[Tensor], factors: Tensor, backend: str) -> None:
    return None


@torch.library.custom_op("chisel::gce_scale", mutates_args=())
def gce_scale(
    dh: Tensor, dw: Tensor, factors: Tensor, witness: Tensor, backend: str
) -> tuple[Tensor, Tensor]:
    """dh and dw times their factors [2]. That is all the backward of gce_rows can give; see `refuse`."""
    dh, dw = dh.clone(), dw.clone()
    for gradient, factor in zip((dh, dw), factors, strict=True):
        engine_for(backend).scale_(gradient, factor)
    return dh, dw


@gce_scale.register_fake
def _(dh: Tensor, dw: Tensor, factors: Tensor, witness: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return torch.empty_like(dh), torch.empty_like(dw)


gce_scale.register_autograd(refuse)


def _rows_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output[2:], inputs[4])
    ctx.needs, ctx.tables, ctx.backend = inputs[11:13], len(inputs[5]), inputs[13]
    ctx.set_materialize_grads(False)


def _rows_backward(ctx: Any, upstream: Tensor | None, *unused: Any) -> tuple[Any, ...]:
    if upstream is None:  # nothing but the LSE was used
        return None, None, None, None, None, *no_gradient(ctx.tables), *[None] * 7
    # In place: the gradients were made for this one use. A second backward is refused by autograd's version
    # check. fp64 is for checking, and gradcheck runs the backward over and over, so there a copy is made.
    dh, dw, units, witness = ctx.saved_tensors
    factors = units * upstream  # [2]
    if torch.is_grad_enabled() or upstream.dtype == torch.float64:
        dh, dw = gce_scale(dh, dw, factors, witness, ctx.backend)
    else:
        # as outputs of gce_rows they carry its history; a gradient has none
        dh, dw = dh.detach(), dw.detach()
        which = [i for i in (0, 1) if ctx.needs[i]]
        factors = factors if len(which) == 2 else factors[which[0] : which[0] + 1]
        gce_scale_([(dh, dw)[i] for i in which], factors, ctx.backend)
    dh, dw = dh if ctx.needs[0] else None, dw if ctx.needs[1] else None
    return dh, dw, None, None, None, *no_gradient(ctx.tables), *[None] * 7


gce_rows.register_autograd(_rows_backward, setup_context=_rows_context)


@torch.library.custom_op("chisel::gce_forward", mutates_args=())
def gce_forward(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    tables: list[Tensor],
    widths: list[int],
    coefficients: list[float],
    z_loss: float,
    dtype: torch.dtype,
    tile_bytes: int,
    keep_slots: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Row losses and LSEs [N], and for the backward: row maximum [N], patch gradient [N, K], factor [N]."""
    used = used_rows(target)
    rows = slice(None) if used is None else used
    engine = engine_for(backend)
    h = hidden[rows].to(dtype)  # [N, D]
    stats = schedules.streaming(
        # a row's loss is its own affair: only sums over rows, which a gradient makes, must not meet NaN of another
        counted(h, target[rows]) if keep_slots else h,
        weight.to(dtype),
        target[rows].clamp(min=0),
        engine.view(tables, widths, len(weight), weight.device),
        coefficients,
        z_loss,
        slots_of(widths),
        tile_bytes,
        keep_slots,
        engine,
    )
    valid = target[rows] >= 0  # [N]
    loss, lse = stats.loss.where(valid, 0), (stats.lse + stats.top).where(valid, 0)  # [N], [N]
    given = (loss, lse, stats.top, stats.slot, stats.rest)
    loss, lse, top, slot, rest = (spread(value, used, len(target)) for value in given)
    return loss, lse, top, slot, rest


@gce_forward.register_fake
def _(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    tables: list[Tensor],
    widths: list[int],
    coefficients: list[float],
    z_loss: float,
    dtype: torch.dtype,
    tile_bytes: int,
    keep_slots: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    row = [hidden.new_empty(len(target), dtype=schedules.wide(dtype)) for _ in range(4)]
    slot = row[0].new_empty(len(target), slots_of(widths) if keep_slots else 0)
    return row[0], row[1], row[2], slot, row[3]


@torch.library.custom_op("chisel::gce_backward", mutates_args=())
def gce_backward(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    upstream: Tensor,
    tables: list[Tensor],
    widths: list[int],
    top: Tensor,
    slot: Tensor,
    rest: Tensor,
    dtype: torch.dtype,
    tile_bytes: int,
    need_hidden: bool,
    need_weight: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Gradients of sum(upstream * loss) by hidden and weight (empty tensors if not needed)."""
    used = used_rows(target)
    rows = slice(None) if used is None else used
    sums = weight.dtype if weight.dtype in (dtype, schedules.wide(dtype)) else dtype
    dw = weight.new_empty(weight.shape, dtype=sums) if need_weight else None  # [V, D]
    stats = Stats(top[rows], top[rows], top[rows], slot[rows], rest[rows])
    scale = upstream[rows].to(top.dtype).where(target[rows] >= 0, 0)  # [N]
    engine = engine_for(backend)
    dh = schedules.vocabulary(
        counted(hidden[rows].to(dtype), target[rows]),
        weight.to(dtype),
        target[rows].clamp(min=0),
        scale,
        engine.view(tables, widths, len(weight), weight.device),
        stats,
        tile_bytes,
        need_hidden,
        dw,
        engine,
    )
    dh = hidden.new_empty(0) if dh is None else spread(dh, used, len(target)).to(hidden.dtype)
    dw = weight.new_empty(0) if dw is None else dw.to(weight.dtype)
    return dh, dw


@gce_backward.register_fake
def _(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    upstream: Tensor,
    tables: list[Tensor],
    widths: list[int],
    top: Tensor,
    slot: Tensor,
    rest: Tensor,
    dtype: torch.dtype,
    tile_bytes: int,
    need_hidden: bool,
    need_weight: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    dh = hidden.new_empty(hidden.shape if need_hidden else 0)
    dw = weight.new_empty(weight.shape if need_weight else 0)
    return dh, dw


gce_backward.register_autograd(refuse)


def _forward_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    hidden, weight, target, tables, ctx.widths, _, _, ctx.dtype, ctx.tile_bytes, _, ctx.backend = inputs
    ctx.save_for_backward(hidden, weight, target, *output[2:], *tables)
    ctx.set_materialize_grads(False)


def _forward_backward(ctx: Any, upstream: Tensor | None, *unused: Any) -> tuple[Any, ...]:
    hidden, weight, target, top, slot, rest, *tables = ctx.saved_tensors
    need_hidden, need_weight = ctx.needs_input_grad[:2]
    if upstream is None:  # nothing but the LSE was used
        return None, None, None, *no_gradient(len(tables)), *[None] * 6
    dh, dw = gce_backward(
        hidden,
        weight,
        target,
        upstream,
        tables,
        ctx.widths,
        top,
        slot,
        rest,
        ctx.dtype,
        ctx.tile_bytes,
        need_hidden,
        need_weight,
        ctx.backend,
    )
    dh, dw = dh if need_hidden else None, dw if need_weight else None
    return dh, dw, None, *no_gradient(len(tables)), *[None] * 6


gce_forward.register_autograd(_forward_backward, setup_context=_forward_context)
