"""The training loss as people call it: arguments checked, backend and schedule chosen (see autograd.py)."""

from __future__ import annotations

from numbers import Integral
from typing import Literal, overload

import torch
from torch import Tensor
from torch.autograd import forward_ad

from mdm_core.groups import Groups
from mdm_core.ops.backend import choose_backend, fold_bias, is_integer, refuse_sharded
from mdm_core.ops.gce import arguments as gce_arguments
from mdm_core.ops.gce import autograd as gce_autograd
from mdm_core.ops.gce import reference as gce_reference


@overload
def linear_grouped_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    groups: Groups | None = None,
    *,
    bias: Tensor | None = None,
    group_weight: float | tuple[float, ...] = 0.2,
    ce_weight: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    row_weight: Tensor | None = None,
    z_loss: float = 0.0,
    return_lse: Literal[False] = False,
    backend: str = "auto",
    schedule: str = "auto",
    tile_bytes: int | None = None,
) -> Tensor: ...


@overload
def linear_grouped_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    groups: Groups | None = None,
    *,
    bias: Tensor | None = None,
    group_weight: float | tuple[float, ...] = 0.2,
    ce_weight: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    row_weight: Tensor | None = None,
    z_loss: float = 0.0,
    return_lse: Literal[True],
    backend: str = "auto",
    schedule: str = "auto",
    tile_bytes: int | None = None,
) -> tuple[Tensor, Tensor]: ...


@overload
def linear_grouped_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    groups: Groups | None = None,
    *,
    bias: Tensor | None = None,
    group_weight: float | tuple[float, ...] = 0.2,
    ce_weight: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    row_weight: Tensor | None = None,
    z_loss: float = 0.0,
    return_lse: bool,
    backend: str = "auto",
    schedule: str = "auto",
    tile_bytes: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]: ...


def linear_grouped_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    groups: Groups | None = None,
    *,
    bias: Tensor | None = None,
    group_weight: float | tuple[float, ...] = 0.2,
    ce_weight: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    row_weight: Tensor | None = None,
    z_loss: float = 0.0,
    return_lse: bool = False,
    backend: str = "auto",
    schedule: str = "auto",
    tile_bytes: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Cross-entropy plus grouped cross-entropy of a linear head, never storing the [N, V] logits.

    Equals, in plain PyTorch, with C_j(y) the group of y at level j:

        z    = hidden @ weight.T + bias                                      # [N, V]
        lse  = z.logsumexp(1)                                                # [N]
        ce   = lse - z[n, y]
        gce  = lse - z.masked_fill(v not in C_j(y), -inf).logsumexp(1)       # one per level
        loss = ce_weight * ce + sum_j group_weight_j * gce_j + z_loss * lse ** 2
        loss = loss * row_weight, and 0 where target == ignore_index
        mean = loss.sum() / (target != ignore_index).sum()

    hidden, weight: [N, D] and [V, D], floating point. Gradients flow into these two and the bias. Under autocast the
        products run in the autocast dtype, while the weight's gradient keeps its fp32 sum unrounded.
    target: integers [N] of any width, in [0, V) or ignore_index. Ignored rows have no part in anything, whatever
        hidden holds there, NaN too. ignore_index: any integer of 64 bits, even one that target's type cannot hold.
    bias: [V], or None. It rides as one more column of the head, so each call copies the weight once; who calls
        often with the same head can keep [weight | bias] and give [hidden | 1].
    groups: None for plain cross-entropy. group_weight: lambda, one number for all levels or one per level.
    reduction: "mean" (0 if every row is ignored), "sum" or "none".
    row_weight: [N], a constant factor per row; it does not enter the mean's denominator. As in PyTorch, 0 times an
        undefined loss is undefined: a row to leave out is named by ignore_index.
    return_lse: also return LSE(z) [N] (0 for ignored rows), for logging; no gradient flows through it.
    schedule: "rows" computes the gradient in the forward (mean and sum only; the backward may run once);
        "vocabulary" recomputes the logits in the backward; "auto" takes rows for mean and sum, unless so few
        rows fit in tile_bytes (under 80 on a CPU, under 512 on a GPU) that vocabulary is faster.
    tile_bytes: how many bytes of logits may be in flight; by default 384 rows of them on a CPU, but from 16 to
        72 MiB, and on a GPU 1 GiB or a 32nd of its memory.
    backend: "auto" is triton on a GPU where it is installed, torch elsewhere; reference computes the lines above
        as they stand, logits stored. Triton leaves fp64 and groups of more than a thousand members to torch.

    Returns the loss, fp32 (fp64 for fp64 inputs): [] or, for "none", [N]. Deterministic: a rerun is bitwise
    equal. NaN and infinite logits show up in the loss. Differentiable once, in reverse: a second derivative, forward
    mode and the transforms of torch.func are refused in one sentence, and served by backend="reference".
    """
    for name, x in (("hidden", hidden), ("weight", weight), ("target", target), ("bias", bias)):
        refuse_sharded(name, x)
    coefficients = _check_gce(
        hidden, weight, target, groups, group_weight, ce_weight, ignore_index, reduction, row_weight, schedule
    )
    hidden, weight = fold_bias(hidden, weight, bias)
    backend = choose_backend(backend, hidden.device)
    groups = None if groups is None else groups.to(hidden.device)
    dtype = torch.promote_types(hidden.dtype, weight.dtype)
    if torch.is_autocast_enabled(hidden.device.type) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(hidden.device.type)

    # [N]  first: a narrow type would take another value for an ignore_index it cannot hold
    target = target.long()
    valid = target != ignore_index  # [N]
    label = target.where(valid, -1)  # [N]
    if (
        label.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and ((target < 0) & valid | (label >= len(weight))).any()
    ):
        raise ValueError(
            f"Targets must be token ids from 0 to {len(weight) - 1}, or ignore_index ({ignore_index})."
        )
    sums = torch.promote_types(dtype, torch.float32)
    scale = valid.to(sums)  # [N]
    if row_weight is not None:
        scale = row_weight.detach().to(sums).where(valid, 0)  # [N]
    if reduction == "mean":
        scale = scale / valid.sum().clamp(min=1)

    if backend == "reference":
        levels = [] if groups is None else groups.levels
        loss, lse = gce_reference.row_losses(
            hidden.to(dtype), weight.to(dtype), label, levels, coefficients, z_loss
        )
        loss = loss * scale if reduction == "none" else (loss * scale).sum()
        return (loss, lse) if return_lse else loss

    if not torch.compiler.is_compiling():
        _refuse_transforms(hidden, weight)
    if backend == "triton" and (dtype == torch.float64 or (groups is not None and not groups.has_table)):
        backend = "torch"  # the kernels know neither fp64 nor groups of a thousand members and more
    tables, widths = gce_arguments.flatten(groups, backend)
    tile_bytes = tile_bytes or 0  # 0: as much as does good (see schedules.rows_per_tile)
    if schedule == "auto":
        size, device = len(weight), hidden.device
        few = gce_arguments.few_rows_fit(len(hidden), size, widths, dtype, device, tile_bytes, backend)
        schedule = "vocabulary" if few or reduction == "none" else "rows"
    wants = [torch.is_grad_enabled() and x.requires_grad for x in (hidden, weight)]
    if any(wants) and schedule == "rows":
        witness = gce_autograd.witness_of(hidden, weight)
        loss, lse, *_ = gce_autograd.gce_rows(
            hidden,
            weight,
            label,
            scale,
            witness,
            tables,
            widths,
            coefficients,
            z_loss,
            dtype,
            tile_bytes,
            *wants,
            backend,
        )
    else:
        loss, lse, *_ = gce_autograd.gce_forward(
            hidden,
            weight,
            label,
            tables,
            widths,
            coefficients,
            z_loss,
            dtype,
            tile_bytes,
            any(wants),
            backend,
        )
        loss = loss * scale if reduction == "none" else (loss * scale).sum()
    return (loss, lse.detach()) if return_lse else loss


def _refuse_transforms(hidden: Tensor, weight: Tensor) -> None:
    """Forward mode would go through the operators without a tangent, and torch.func fails with a riddle."""
    forward = forward_ad._current_level >= 0 and any(
        forward_ad.unpack_dual(x).tangent is not None for x in (hidden, weight)
    )
    if forward or torch._C._are_functorch_transforms_active():
        raise RuntimeError(
            "linear_grouped_cross_entropy knows neither forward-mode derivatives nor the transforms of torch.func; "
            'use backend="reference" for them, which stores the logits.'
        )


def _check_gce(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    groups: Groups | None,
    group_weight: float | tuple[float, ...],
    ce_weight: float,
    ignore_index: int,
    reduction: str,
    row_weight: Tensor | None,
    schedule: str,
) -> list[float]:
    """Reject wrong arguments with one sentence; return (ce_weight, *group weights)."""
    if hidden.dim() != 2 or weight.dim() != 2 or hidden.shape[1] != weight.shape[1]:
        raise ValueError(
            f"hidden [N, D] and weight [V, D] do not fit: {list(hidden.shape)} and {list(weight.shape)}."
        )
    if not hidden.is_floating_point() or not weight.is_floating_point():
        raise ValueError("hidden and weight must be floating point.")
    if target.shape != hidden.shape[:1] or not is_integer(target):
        raise ValueError(
            f"target must hold one integer per row of hidden, not {list(target.shape)} {target.dtype}."
        )
    if not isinstance(ignore_index, Integral) or not -(2**63) <= int(ignore_index) < 2**63:
        raise ValueError(f"ignore_index must be an integer of 64 bits, not {ignore_index!r}.")
    if row_weight is not None and row_weight.shape != target.shape:
        raise ValueError(f"row_weight must hold one number per row of hidden, not {list(row_weight.shape)}.")
    if groups is not None and groups.vocab_size != weight.shape[0]:
        raise ValueError(
            f"Groups over {groups.vocab_size} tokens do not fit a head of {weight.shape[0]} tokens."
        )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"Unknown reduction {reduction!r}; choose mean, sum or none.")
    if schedule not in ("auto", "rows", "vocabulary") or (schedule == "rows" and reduction == "none"):
        raise ValueError(f"Schedule {schedule!r} does not serve reduction {reduction!r}; use auto.")
    levels = 0 if groups is None else len(groups.levels)
    per_level = (
        [float(group_weight)] * levels
        if isinstance(group_weight, int | float)
        else [float(g) for g in group_weight]
    )
    if levels and len(per_level) != levels:
        raise ValueError(f"{len(per_level)} group weights were given for {levels} group levels.")
    return [float(ce_weight), *per_level[:levels]]
