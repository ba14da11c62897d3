"""The two fused operators of Chisel; neither ever stores the [N, V] logits.

    linear_grouped_cross_entropy    the training loss, from hidden states to gradients
    sample_step                     one sampling step's decision data, from hidden states to tokens

Each has three backends that agree: reference (the definition), torch (any device) and triton (CUDA).
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import torch
from torch import Tensor

from mdm_core.groups import Groups
from mdm_core.ops import gce_autograd, gce_reference, sample_reference, sample_torch
from mdm_core.ops.gce_schedules import GCE_TILE_BYTES as GCE_TILE_BYTES

BACKENDS = ("auto", "reference", "torch", "triton")


def choose_backend(backend: str, device: torch.device) -> str:
    """Resolve "auto": Triton on a GPU where it is installed, PyTorch operations otherwise."""
    if backend not in BACKENDS:
        raise ValueError(f"Unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}.")
    if backend != "auto":
        return backend
    return "triton" if device.type == "cuda" and _triton_installed() else "torch"


# the compiler refuses to trace the search for a package
@torch.compiler.assume_constant_result
def _triton_installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def describe_backend(device: torch.device | str) -> str:
    """One line for a start-up message: which backend the fused operators use on this device."""
    device = torch.device(device)
    backend = choose_backend("auto", device)
    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {torch.get_num_threads()} threads"
    )
    return f"fused operators: {backend} backend on {where} (PyTorch {torch.__version__})"


def linear_grouped_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    groups: Groups | None = None,
    *,
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

        z    = hidden @ weight.T                                             # [N, V]
        lse  = z.logsumexp(1)                                                # [N]
        ce   = lse - z[n, y]
        gce  = lse - z.masked_fill(v not in C_j(y), -inf).logsumexp(1)       # one per level
        loss = ce_weight * ce + sum_j group_weight_j * gce_j + z_loss * lse ** 2
        loss = loss * row_weight, and 0 where target == ignore_index
        mean = loss.sum() / (target != ignore_index).sum()

    hidden, weight: [N, D] and [V, D], floating point. Gradients flow into these two. Under autocast the
        products run in the autocast dtype, while the weight's gradient keeps its fp32 sum unrounded.
    target: integers [N], in [0, V) or ignore_index.
    groups: None for plain cross-entropy. group_weight: lambda, one number for all levels or one per level.
    reduction: "mean" (0 if every row is ignored), "sum" or "none".
    row_weight: [N], a constant factor per row; it does not enter the mean's denominator.
    return_lse: also return LSE(z) [N] (0 for ignored rows), for logging; no gradient flows through it.
    schedule: "rows" computes the gradient in the forward (mean and sum only; the backward may run once);
        "vocabulary" recomputes the logits in the backward; "auto" takes rows for mean and sum, unless so few
        rows fit in tile_bytes (under 80 on a CPU, under 512 on a GPU) that vocabulary is faster.
    tile_bytes: how many bytes of logits may be in flight; by default 384 rows of them on a CPU, but from 16 to
        72 MiB, and on a GPU 1 GiB or a 32nd of its memory.
    backend: "auto" is triton on a GPU where it is installed, torch elsewhere; reference computes the lines above
        as they stand, logits stored. Triton leaves fp64 and groups of more than a thousand members to torch.

    Returns the loss, fp32 (fp64 for fp64 inputs): [] or, for "none", [N]. Deterministic: a rerun is bitwise
    equal. NaN and infinite logits show up in the loss. Not twice differentiable.
    """
    coefficients = _check_gce(
        hidden, weight, target, groups, group_weight, ce_weight, reduction, row_weight, schedule
    )
    backend = choose_backend(backend, hidden.device)
    groups = None if groups is None else groups.to(hidden.device)
    dtype = torch.promote_types(hidden.dtype, weight.dtype)
    if torch.is_autocast_enabled(hidden.device.type) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(hidden.device.type)

    valid = target != ignore_index  # [N]
    label = torch.where(valid, target, -1).long()  # [N]
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
        scale = scale * row_weight.detach().to(sums)
    if reduction == "mean":
        scale = scale / valid.sum().clamp(min=1)

    if backend == "reference":
        levels = [] if groups is None else groups.levels
        loss, lse = gce_reference.row_losses(
            hidden.to(dtype), weight.to(dtype), label, levels, coefficients, z_loss
        )
        loss = loss * scale if reduction == "none" else (loss * scale).sum()
        return (loss, lse) if return_lse else loss

    if backend == "triton" and (dtype == torch.float64 or groups is not None and not groups.has_table):
        backend = "torch"  # the kernels know neither fp64 nor groups of a thousand members and more
    tables, widths = gce_autograd.flatten(groups, backend)
    tile_bytes = tile_bytes or 0  # 0: as much as does good (see gce_schedules.rows_per_tile)
    if schedule == "auto":
        size, device = len(weight), hidden.device
        few = gce_autograd.few_rows_fit(len(hidden), size, widths, dtype, device, tile_bytes, backend)
        schedule = "vocabulary" if few or reduction == "none" else "rows"
    wants = [torch.is_grad_enabled() and x.requires_grad for x in (hidden, weight)]
    if any(wants) and schedule == "rows":
        loss, lse, _, _ = gce_autograd.gce_rows(
            hidden, weight, label, scale, tables, widths, coefficients, z_loss, dtype, tile_bytes, *wants,
            backend,
        )  # fmt: skip
    else:
        loss, lse, *_ = gce_autograd.gce_forward(
            hidden, weight, label, tables, widths, coefficients, z_loss, dtype, tile_bytes, any(wants),
            backend,
        )  # fmt: skip
        loss = loss * scale if reduction == "none" else (loss * scale).sum()
    return (loss, lse.detach()) if return_lse else loss


def _check_gce(
    hidden, weight, target, groups, group_weight, ce_weight, reduction, row_weight, schedule
) -> list[float]:
    """Reject wrong arguments with one sentence; return (ce_weight, *group weights)."""
    if hidden.dim() != 2 or weight.dim() != 2 or hidden.shape[1] != weight.shape[1]:
        raise ValueError(
            f"hidden [N, D] and weight [V, D] do not fit: {list(hidden.shape)} and {list(weight.shape)}."
        )
    if not hidden.is_floating_point() or not weight.is_floating_point():
        raise ValueError("hidden and weight must be floating point.")
    if target.shape != hidden.shape[:1] or target.is_floating_point():
        raise ValueError(
            f"target must hold one integer per row of hidden, not {list(target.shape)} {target.dtype}."
        )
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


class SampleStep(NamedTuple):
    """What one forward pass says about each row; all but the draw itself is at temperature 1."""

    token: Tensor  # int64 [N]  the drawn token
    confidence: Tensor  # fp32 [N]   p(token)
    best: Tensor  # int64 [N]  the most likely token, the lowest id among equals
    best_p: Tensor  # fp32 [N]   p(best)
    second_p: Tensor  # fp32 [N]   the second largest probability
    current_p: Tensor  # fp32 [N]   p(current token), 0 where there is none
    entropy: Tensor  # fp32 [N]   in nats


@torch.no_grad()
def sample_step(
    hidden: Tensor,
    weight: Tensor,
    current: Tensor,
    *,
    temperature: float = 1.0,
    seed: int | Tensor,
    step: int,
    row_ids: Tensor | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    backend: str = "auto",
) -> SampleStep:
    """Draw a token per row from a linear head, and weigh it against the best and the current one.

    Equals, in plain PyTorch:

        z     = hidden @ weight.T                                        # [N, V]
        token ~ Categorical(softmax(z / temperature)), within the top-k / top-p set if one is asked for
        p     = z.softmax(1);  confidence, current_p = p[n, token], p[n, current]
        best_p, second_p = p.topk(2);  best = z.argmax(1);  entropy = -(p * p.log()).sum(1)

    hidden: [N, D], guidance already folded in. weight: [V, D]; the product runs in the weight's dtype.
    current: integers [N]; V (the mask id) means the row has no current token yet.
    temperature: 0 takes the best token. top_p acts on the probabilities at this temperature, after top_k.
    seed, step, row_ids: a row's draw depends on these, its hidden state and the weight, and on nothing else:
        not on the batch, the row's place in it, tiles or the backend. row_ids: [N], default 0 .. N-1. seed
        may be an int64 tensor [N], one per row, so that pictures of different seeds can share a batch.
    backend: as for the loss. Triton leaves top-k, top-p and fp64 to torch, which then holds the logits of 64 rows.
    """
    _check_sample(hidden, weight, current, temperature, seed, step, row_ids, top_k, top_p)
    device, count = hidden.device, len(hidden)
    if row_ids is None:
        row_ids = torch.arange(count, device=device)
    if not isinstance(seed, Tensor):
        seed = torch.full((count,), seed, dtype=torch.long, device=device)
    # kernels walk over the rows: views that skip or repeat entries become arrays of their own
    seed, row_ids, current = (x.to(device).long().contiguous() for x in (seed, row_ids, current))
    arguments = (hidden, weight, current, float(temperature), seed, step, row_ids)
    backend = choose_backend(backend, device)
    with torch.autocast(device.type, enabled=False):  # nothing is rounded beyond the weight's dtype
        if backend == "reference":
            return SampleStep(*sample_reference.sample_rows(*arguments, top_k, top_p))
        if backend == "triton" and top_k is None and top_p is None and weight.dtype != torch.float64:
            from mdm_core.ops import sample_triton

            return SampleStep(*sample_triton.sample_rows(*arguments))
        return SampleStep(*sample_torch.sample_rows(*arguments, top_k, top_p))


def _check_sample(hidden, weight, current, temperature, seed, step, row_ids, top_k, top_p) -> None:
    """Reject wrong arguments with one sentence."""
    if hidden.dim() != 2 or weight.dim() != 2 or hidden.shape[1] != weight.shape[1]:
        raise ValueError(
            f"hidden [N, D] and weight [V, D] do not fit: {list(hidden.shape)} and {list(weight.shape)}."
        )
    for name, ids in (("current", current), ("row_ids", row_ids), ("seed", seed)):
        if isinstance(ids, Tensor) and (ids.shape != hidden.shape[:1] or ids.is_floating_point()):
            raise ValueError(
                f"{name} must hold one integer per row of hidden, not {list(ids.shape)} {ids.dtype}."
            )
    if isinstance(seed, int) and not -(2**63) <= seed < 2**63:
        raise ValueError(f"The seed must fit in 64 bits, and {seed} does not.")
    if not 0 <= step < 2**31:
        raise ValueError(f"The step must lie between 0 and 2^31, not {step}.")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"The temperature must be a finite number, 0 or more, not {temperature}.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie above 0 and at most at 1, not {top_p}.")
