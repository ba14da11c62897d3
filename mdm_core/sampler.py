"""Sampling: the step, and the loop over steps, with token editing, locks and repaint regions.

One step of one image (see `denoise`):
  1. one forward pass; guidance is folded into the hidden states before the head;
  2. for every position a sampled token, its confidence, the best token, and p(current token);
  3. commit the surest masked positions, as many as the schedule says;
  4. edit visible positions where the model now prefers another token;
after the last step, polish: edit-only passes until nothing changes. The edited state is what is returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mdm_core.config import EDITS, MAX_STEPS, ORDERS, SampleConfig, own
from mdm_core.ops import SampleStep
from mdm_core.schedule import mask_ratio
from mdm_core.trajectory import StepRecord

__all__ = ["EDITS", "MAX_SEED", "MAX_STEPS", "ORDERS", "Live", "Predict", "check", "check_seed", "sample"]

MAX_SEED = 2**32 - 1

# tokens int64 [B, L], seeds (see `Live`), step number -> SampleStep with fields [B, L]
Predict = Callable[[torch.Tensor, Sequence[int], int], SampleStep]


def check(config: SampleConfig) -> None:
    """ValueError with one sentence for the user unless these are settings; they have checked themselves."""
    if not isinstance(config, SampleConfig):
        raise ValueError(f"the sampler takes a SampleConfig, got {type(config).__name__}")


def check_seed(seed: Any) -> int:
    """`seed` as int, or ValueError."""
    seed = own(seed)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise ValueError(f"the seed must be a whole number from 0 to {MAX_SEED}, got {seed!r}")
    return seed


class Live(list[int]):
    """The seeds of the images that still run; `rows` says which of the batch they are, as seeds may repeat."""

    def __init__(self, seeds: Iterable[int], rows: Iterable[int]):
        super().__init__(seeds)
        self.rows = list(rows)


@dataclass
class _State:
    """One image while it is sampled. All arrays [L]."""

    tokens: np.ndarray  # int64; mask_id where masked
    locked: np.ndarray  # bool: as the user locked them, shown in the records
    free: np.ndarray  # bool: may change: inside the region and not locked
    rest: np.ndarray  # int: first step at which a token may be edited again
    edits: np.ndarray  # int: edits so far
    halton: np.ndarray  # float: lower goes first under order="halton"
    random: np.random.Generator
    seed: int
    n_start: int = 0  # masked tokens at the start
    done: bool = False
    records: list[StepRecord] = field(default_factory=list)


@dataclass(frozen=True)
class _Prediction:
    """The columns of SampleStep for one image, numpy [L]."""

    token: np.ndarray
    confidence: np.ndarray
    best: np.ndarray
    best_p: np.ndarray
    second_p: np.ndarray
    current_p: np.ndarray
    entropy: np.ndarray


def sample(
    predict: Predict,
    tokens: np.ndarray,
    config: SampleConfig,
    seeds: Sequence[int],
    *,
    mask_id: int,
    grid: tuple[int, int],
    locked: np.ndarray | None = None,
    region: np.ndarray | None = None,
) -> Iterator[list[StepRecord | None]]:
    """Run the sampler on a batch of independent images.

    Args:
        predict: the forward pass and the fused sampling step, see `Predict`.
        tokens: int [B, L]; mask_id where a token is to be made, anything else is context that may be edited.
        seeds: one for each image; results do not depend on what else is in the batch.
        locked: bool [B, L] or [L]; these tokens never change.
        region: bool [B, L] or [L]; tokens outside never change either (default: everything is inside).
    Yields:
        first the start records, then one list per step, an entry per image: its StepRecord, or None once
        the image has finished polishing before the others.
    """
    check(config)
    tokens = np.asarray(tokens, dtype=np.int64)
    B, L = tokens.shape
    locked = _rows(locked, (B, L), False)
    region = _rows(region, (B, L), True)
    if ((tokens == mask_id) & (locked | ~region)).any():
        raise ValueError("a masked token cannot be locked or lie outside the region: it would stay masked")
    states = [
        _State(
            tokens[b].copy(), locked[b], region[b] & ~locked[b], np.zeros(L, int), np.zeros(L, int),
            _halton_rank(grid), np.random.default_rng([check_seed(seeds[b]), 0x0C415E1]), int(seeds[b]),
            n_start=int((tokens[b] == mask_id).sum()),
        )
        for b in range(B)
    ]  # fmt: skip

    def forward(step: int) -> list[_Prediction]:
        live = [s for s in states if not s.done]
        seeds = Live([s.seed for s in live], [b for b, s in enumerate(states) if not s.done])
        out = predict(torch.from_numpy(np.stack([s.tokens for s in live])), seeds, step)
        columns = {name: getattr(out, name).cpu().numpy() for name in _Prediction.__dataclass_fields__}
        rows = iter([_Prediction(**{k: v[i] for k, v in columns.items()}) for i in range(len(live))])
        return [None if s.done else next(rows) for s in states]

    yield [_start_record(s, mask_id, config) for s in states]
    steps = config.steps if any(s.n_start for s in states) else 0
    for k in range(1, steps + 1):
        for s in states:
            s.done = s.n_start == 0  # an image without masks waits for the polish passes
        predictions = forward(k)
        yield [
            None if p is None else denoise(s, p, k, config, mask_id)
            for s, p in zip(states, predictions, strict=True)
        ]
    for s in states:
        s.done = config.edit != "overwrite"
    for k in range(steps + 1, steps + config.polish + 1):
        if all(s.done for s in states):
            return
        predictions = forward(k)
        yield [
            None if p is None else polish(s, p, k, config, mask_id)
            for s, p in zip(states, predictions, strict=True)
        ]


def denoise(s: _State, p: _Prediction, k: int, config: SampleConfig, mask_id: int) -> StepRecord:
    """Step k of config.steps on one image: commit, then edit."""
    masked = s.tokens == mask_id
    # commit: as many as the schedule asks, the surest first
    n = commit_quota(int(masked.sum()), s.n_start, k, config)
    committed = commit_order(s, p, masked, k, config)[:n]
    if config.order == "threshold":
        sure = np.flatnonzero(masked & (p.confidence > config.mask_threshold))
        committed = np.union1d(committed, sure)
    # edit: decided on the same forward pass, before the new tokens are written
    edited = np.zeros((0, 3), np.int64)
    low, high = config.edit_window
    if config.edit != "off" and low <= k / config.steps <= high:
        last = k == config.steps
        if config.edit == "overwrite" or not last:  # a remask at the last step would stay masked
            edited = edit_rows(s, p, ~masked, k, config, mask_id)
    confidence = np.where(masked, p.best_p, p.current_p)
    s.tokens[committed] = p.token[committed]
    confidence[committed] = p.confidence[committed]
    s.rest[committed] = k + 1 + config.edit_cooldown
    _write_edits(s, p, edited, k, config, confidence, mask_id)
    return _record(s, k, "unmask", committed, edited, confidence, p.entropy, config)


def polish(s: _State, p: _Prediction, k: int, config: SampleConfig, mask_id: int) -> StepRecord:
    """An edit-only pass; the image is done when nothing is left to edit."""
    edited = edit_rows(s, p, s.tokens != mask_id, k, config, mask_id)
    waiting = edit_candidates(s, p, s.tokens != mask_id, config).any()  # resting tokens count as not done
    s.done = len(edited) == 0 and not waiting
    confidence = p.current_p.copy()
    _write_edits(s, p, edited, k, config, confidence, mask_id)
    return _record(s, k, "polish", np.zeros(0, np.int64), edited, confidence, p.entropy, config)


def commit_quota(n_masked: int, n_start: int, k: int, config: SampleConfig) -> int:
    """How many tokens step k commits: enough to reach the schedule, at least one, all at the last step."""
    if k >= config.steps:
        return n_masked
    t = torch.tensor(1 - k / config.steps, dtype=torch.float64)
    target = math.floor(float(mask_ratio(t, config.schedule)) * n_start)  # still masked after this step
    return min(n_masked, max(1, n_masked - target))


def commit_order(s: _State, p: _Prediction, masked: np.ndarray, k: int, config: SampleConfig) -> np.ndarray:
    """Masked positions, those to be committed first at the front.

    The noise is annealed from its base value as (1 - k/T); it is drawn for all positions at every step, so the
    random stream does not depend on what is masked or edited.
    """
    noise = s.random.gumbel(size=masked.shape)
    if config.order == "halton":
        score = -s.halton
    elif config.order == "random":
        score = noise
    else:
        if config.order == "entropy":
            score = -p.entropy.astype(np.float64)
        elif config.order == "margin":
            score = (p.best_p - p.second_p).astype(np.float64)
        else:  # confidence, threshold: MaskGIT (Chang et al. 2022)
            score = np.log(np.maximum(p.confidence.astype(np.float64), 1e-30))
        score = score + config.gumbel * (1 - k / config.steps) * noise
    positions = np.flatnonzero(masked)
    return positions[np.argsort(-score[positions], kind="stable")]


def edit_candidates(s: _State, p: _Prediction, visible: np.ndarray, config: SampleConfig) -> np.ndarray:
    """bool [L]: visible, free, and the model prefers another token surely enough."""
    return (
        visible & s.free & (s.edits < config.edit_cap) & (p.best != s.tokens)
        & (p.best_p > config.edit_threshold) & (p.best_p - p.current_p > config.edit_margin)
    )  # fmt: skip


def edit_rows(
    s: _State, p: _Prediction, visible: np.ndarray, k: int, config: SampleConfig, mask_id: int
) -> np.ndarray:
    """Rows (position, from, to) of the edits of step k, the best gains first, within the budget."""
    candidates = np.flatnonzero(edit_candidates(s, p, visible, config) & (s.rest <= k))
    if config.edit_budget == 0 or len(candidates) == 0:
        return np.zeros((0, 3), np.int64)
    budget = max(1, math.floor(config.edit_budget * int((visible & s.free).sum())))
    gain = (p.best_p - p.current_p)[candidates]
    chosen = candidates[np.argsort(-gain, kind="stable")][:budget]
    to = p.best[chosen] if config.edit == "overwrite" else np.full(len(chosen), mask_id)
    return np.stack([chosen, s.tokens[chosen], to], axis=1).astype(np.int64)


def _write_edits(s, p, edited, k, config, confidence, mask_id) -> None:
    where = edited[:, 0]
    s.tokens[where] = edited[:, 2]
    s.edits[where] += 1
    s.rest[where] = k + 1 + config.edit_cooldown
    confidence[where] = p.best_p[where]


def _record(s, k, phase, committed, edited, confidence, entropy, config) -> StepRecord:
    return StepRecord(
        step=k,
        phase=phase,
        tokens=s.tokens.astype(np.int32),
        committed=np.sort(committed).astype(np.int32),
        edited=edited.astype(np.int32),
        confidence=confidence.astype(np.float32),
        entropy=entropy.astype(np.float32),
        locked=s.locked.copy(),
        steps_planned=config.steps,
    )


def _start_record(s: _State, mask_id: int, config: SampleConfig) -> StepRecord:
    known = (s.tokens != mask_id).astype(np.float32)
    none = np.zeros(0, np.int64)
    return _record(s, 0, "start", none, np.zeros((0, 3), np.int64), known, np.zeros(len(known)), config)


def _rows(value: np.ndarray | None, shape: tuple[int, int], default: bool) -> np.ndarray:
    if value is None:
        return np.full(shape, default)
    value = np.asarray(value)
    if value.dtype != bool or value.shape not in (shape, shape[1:]):
        raise ValueError(
            f"locks and regions must be boolean with {shape[1]} cells, got {value.dtype} {value.shape}"
        )
    return np.broadcast_to(value, shape).copy()


def _halton_rank(grid: tuple[int, int]) -> np.ndarray:
    """Rank [L] of each cell in the 2-D Halton sequence with bases 2 (rows) and 3 (columns); a permutation."""
    h, w = grid
    rank = np.full(h * w, -1)
    i = found = 0
    while found < h * w:
        i += 1
        cell = int(_radical_inverse(i, 2) * h) * w + int(_radical_inverse(i, 3) * w)
        if rank[cell] < 0:
            rank[cell] = found
            found += 1
    return rank.astype(np.float64)


def _radical_inverse(i: int, base: int) -> float:
    out, scale = 0.0, 1.0
    while i:
        scale /= base
        out += scale * (i % base)
        i //= base
    return out
