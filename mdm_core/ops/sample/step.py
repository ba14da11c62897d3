"""The sampling step as people call it: arguments checked, backend chosen (see pytorch.py and sample_triton.py)."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mdm_core.ops.backend import choose_backend, fold_bias, is_integer, refuse_sharded
from mdm_core.ops.sample import pytorch as sample_torch
from mdm_core.ops.sample import reference as sample_reference

LOG = logging.getLogger(__name__)


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
    bias: Tensor | None = None,
    temperature: float = 1.0,
    seed: int | Tensor,
    step: int,
    row_ids: Tensor | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    draw: Tensor | None = None,
    backend: str = "auto",
) -> SampleStep:
    """Draw a token per row from a linear head, and weigh it against the best and the current one.

    Equals, in plain PyTorch:

        z     = hidden @ weight.T + bias                                 # [N, V]
        token ~ Categorical(softmax(z / temperature)), within the top-k / top-p set if one is asked for
        p     = z.softmax(1);  confidence, current_p = p[n, token], p[n, current]
        best_p, second_p = p.topk(2);  best = z.argmax(1);  entropy = -(p * p.log()).sum(1)

    hidden: [N, D], guidance already folded in. weight: [V, D]; the product runs in the weight's dtype.
    bias: [V], or None; rounded to the weight's dtype. As for the loss, each call copies the weight once for it.
    current: integers [N]; V (the mask id) means the row has no current token yet.
    temperature: 0 takes the best token. top_p acts on the probabilities at this temperature, after top_k.
    seed, step, row_ids: a row's draw depends on these, its hidden state and the weight, and on nothing else:
        not on the batch, the row's place in it, tiles or the backend. row_ids: [N], default 0 .. N-1. seed
        may be an int64 tensor [N], one per row, so that pictures of different seeds can share a batch.
    draw: bool [N], or None for all: rows that need a drawn token. The others are given the best one, which costs less.
    backend: as for the loss. Triton leaves fp64 to torch. With top-k or top-p torch holds the logits of 64 rows,
        triton those of 64 MiB or 128 rows.
    """
    for name, x in (("hidden", hidden), ("weight", weight), ("current", current), ("bias", bias)):
        refuse_sharded(name, x)
    _check_sample(hidden, weight, current, temperature, seed, step, row_ids, top_k, top_p, draw)
    hidden, weight = fold_bias(hidden, weight, bias)
    device, count = hidden.device, len(hidden)
    if row_ids is None:
        row_ids = torch.arange(count, device=device)
    if not isinstance(seed, Tensor):
        seed = torch.full((count,), seed, dtype=torch.long, device=device)
    # kernels walk over the rows: views that skip or repeat entries become arrays of their own
    seed, row_ids, current = (x.to(device).long().contiguous() for x in (seed, row_ids, current))
    arguments = (hidden, weight, current, float(temperature), seed, step, row_ids)
    chosen = backend != "auto"
    backend = choose_backend(backend, device)
    with torch.autocast(device.type, enabled=False):  # nothing is rounded beyond the weight's dtype
        if backend == "reference":
            return _only(draw, SampleStep(*sample_reference.sample_rows(*arguments, top_k, top_p)))
        if backend == "triton" and weight.dtype != torch.float64:
            made = _by_kernels((*arguments, top_k, top_p), chosen)
            if made is not None:
                return _only(draw, made)
        draw = None if draw is None else draw.to(device)
        return SampleStep(*sample_torch.sample_rows(*arguments, top_k, top_p, draw))


def _by_kernels(arguments: tuple[Any, ...], chosen: bool) -> SampleStep | None:
    """None where not even their smallest variant has room on this GPU, unless who calls has chosen kernels."""
    from mdm_core.ops.sample import sample_triton

    try:
        return SampleStep(*sample_triton.sample_rows(*arguments))
    except sample_triton.NoRoom as error:
        if chosen:
            raise
        _warn_once(str(error))
        return None


@cache
def _warn_once(why: str) -> None:
    LOG.warning("No room for the sampling kernels on this GPU, PyTorch draws instead: %s", why)


def _only(draw: Tensor | None, made: SampleStep) -> SampleStep:
    """With the best token wherever none was to be drawn."""
    if draw is None:
        return made
    draw = draw.to(made.token.device)
    token = torch.where(draw, made.token, made.best)
    return made._replace(token=token, confidence=torch.where(draw, made.confidence, made.best_p))


def _check_sample(
    hidden: Tensor,
    weight: Tensor,
    current: Tensor,
    temperature: float,
    seed: int | Tensor,
    step: int,
    row_ids: Tensor | None,
    top_k: int | None,
    top_p: float | None,
    draw: Tensor | None,
) -> None:
    """Reject wrong arguments with one sentence."""
    if hidden.dim() != 2 or weight.dim() != 2 or hidden.shape[1] != weight.shape[1]:
        raise ValueError(
            f"hidden [N, D] and weight [V, D] do not fit: {list(hidden.shape)} and {list(weight.shape)}."
        )
    for name, ids in (("current", current), ("row_ids", row_ids), ("seed", seed)):
        if isinstance(ids, Tensor) and (ids.shape != hidden.shape[:1] or not is_integer(ids)):
            raise ValueError(
                f"{name} must hold one integer per row of hidden, not {list(ids.shape)} {ids.dtype}."
            )
    if draw is not None and (draw.dtype != torch.bool or draw.shape != hidden.shape[:1]):
        raise ValueError(
            f"draw must say True or False of each row of hidden, not {list(draw.shape)} {draw.dtype}."
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
