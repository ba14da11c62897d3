"""Sampling: the step, and the loop over steps, with token editing, locks and repaint regions.

One step of a batch of images, which know nothing of each other (see `denoise`):
  1. one forward pass; guidance is folded into the hidden states before the head;
  2. for every position a sampled token, its confidence, the best token, and p(current token);
  3. commit the surest masked positions, as many as the schedule says;
  4. edit visible positions where the model now prefers another token;
after the last step, polish: edit-only passes until nothing changes. The edited state is what is returned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from mdm_core.checks import own
from mdm_core.diffusion.schedule import mask_ratio
from mdm_core.diffusion.trajectory import StepRecord
from mdm_core.ops import SampleStep
from mdm_core.settings import MAX_SEED, SampleConfig

__all__ = ["Live", "Predict", "check", "check_seed", "sample"]

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
    """The images of a batch that are still being sampled. B of them, L tokens each."""

    image: np.ndarray  # int [B]: place in the batch that was asked for
    tokens: np.ndarray  # int64 [B, L]; mask_id where masked
    locked: np.ndarray  # bool [B, L]: as the user locked them, shown in the records
    free: np.ndarray  # bool [B, L]: may change: inside the region and not locked
    rest: np.ndarray  # int [B, L]: first step at which a token may be edited again
    edits: np.ndarray  # int [B, L]: edits so far
    n_start: np.ndarray  # int [B]: masked tokens at the start
    seed: np.ndarray  # int64 [B]
    random: np.ndarray  # np.random.Generator [B]: noise of the commit order
    grid: tuple[int, int]

    def pick(self, rows: np.ndarray) -> _State:
        """A copy of some of the images; rows: bool or int [n]."""
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    def put(self, part: _State) -> None:
        """Take images that were picked back in."""
        rows = np.searchsorted(self.image, part.image)
        for name in _ARRAYS:
            getattr(self, name)[rows] = getattr(part, name)


_ARRAYS = [f.name for f in dataclasses.fields(_State) if f.name != "grid"]


class _Prediction(NamedTuple):
    """The columns of SampleStep, numpy [B, L]."""

    token: np.ndarray
    confidence: np.ndarray
    best: np.ndarray
    best_p: np.ndarray
    second_p: np.ndarray
    current_p: np.ndarray
    entropy: np.ndarray


class _Edits(NamedTuple):
    """Edits of a batch, image by image, of each the best gains first; all int [m]."""

    row: np.ndarray  # of the batch, rising
    position: np.ndarray
    old: np.ndarray
    new: np.ndarray


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
    tokens = np.array(tokens, dtype=np.int64)  # [B, L], a copy: it will change
    B, L = tokens.shape
    locked = _rows(locked, (B, L), False)
    region = _rows(region, (B, L), True)
    if ((tokens == mask_id) & (locked | ~region)).any():
        raise ValueError("a masked token cannot be locked or lie outside the region: it would stay masked")
    random = np.empty(B, object)
    random[:] = [np.random.default_rng([check_seed(seed), 0x0C415E1]) for seed in seeds]
    everyone = _State(
        np.arange(B),
        tokens,
        locked,
        region & ~locked,
        np.zeros((B, L), int),
        np.zeros((B, L), int),
        (tokens == mask_id).sum(1),
        np.array([int(seed) for seed in seeds], dtype=np.int64),
        random,
        grid,
    )

    def forward(s: _State, step: int) -> _Prediction:
        out = predict(torch.from_numpy(s.tokens.copy()), Live(s.seed.tolist(), s.image.tolist()), step)
        return _Prediction(*(getattr(out, name).cpu().numpy() for name in _Prediction._fields))

    def in_place(s: _State, records: list[StepRecord]) -> list[StepRecord | None]:
        """An entry for every image that was asked for."""
        out: list[StepRecord | None] = [None] * B
        for b, record in zip(s.image.tolist(), records, strict=True):
            out[b] = record
        return out

    yield [*_start_records(everyone, mask_id, config)]
    s = everyone.pick(everyone.n_start > 0)  # an image without masks waits for the polish passes
    steps = config.steps if len(s.image) else 0
    for k in range(1, steps + 1):
        yield in_place(s, denoise(s, forward(s, k), k, config, mask_id))
    everyone.put(s)
    s = everyone.pick(np.full(B, config.edit == "overwrite"))
    for k in range(steps + 1, steps + config.polish + 1):
        if not len(s.image):
            return
        records, done = polish(s, forward(s, k), k, config, mask_id)
        yield in_place(s, records)
        s = s.pick(~done)


def denoise(s: _State, p: _Prediction, k: int, config: SampleConfig, mask_id: int) -> list[StepRecord]:
    """Step k of config.steps: commit, then edit."""
    masked = s.tokens == mask_id  # [B, L]
    # commit: as many as the schedule asks, the surest first
    n = commit_quota(masked.sum(1), s.n_start, k, config)  # [B]
    committed = np.zeros_like(masked)  # [B, L]
    first = np.arange(masked.shape[1]) < n[:, None]  # [B, L]
    np.put_along_axis(committed, commit_order(s, p, masked, k, config), first, 1)
    if config.order == "threshold":
        committed |= masked & (p.confidence > config.mask_threshold)
    # edit: decided on the same forward pass, before the new tokens are written
    edited = _NO_EDITS
    low, high = config.edit_window
    if config.edit != "off" and low <= k / config.steps <= high:
        last = k == config.steps
        if config.edit == "overwrite" or not last:  # a remask at the last step would stay masked
            edited = choose_edits(s, p, ~masked, k, config, mask_id)
    confidence = np.where(masked, p.best_p, p.current_p)
    s.tokens[committed] = p.token[committed]
    confidence[committed] = p.confidence[committed]
    s.rest[committed] = k + 1 + config.edit_cooldown
    _write_edits(s, p, edited, k, config, confidence)
    return _records(s, k, "unmask", committed, edited, confidence, p.entropy, config)


def polish(
    s: _State, p: _Prediction, k: int, config: SampleConfig, mask_id: int
) -> tuple[list[StepRecord], np.ndarray]:
    """An edit-only pass; an image is done (bool [B]) when nothing is left to edit."""
    edited = choose_edits(s, p, s.tokens != mask_id, k, config, mask_id)
    waiting = edit_candidates(s, p, s.tokens != mask_id, config).any(1)  # resting tokens count as not done
    done = ~waiting & ~np.isin(np.arange(len(s.image)), edited.row)
    confidence = p.current_p.copy()
    _write_edits(s, p, edited, k, config, confidence)
    none = np.zeros_like(s.locked)
    return _records(s, k, "polish", none, edited, confidence, p.entropy, config), done


def commit_quota(
    n_masked: int | np.ndarray, n_start: int | np.ndarray, k: int, config: SampleConfig
) -> np.ndarray:
    """How many tokens step k commits: enough to reach the schedule, at least one, all at the last step.

    n_masked, n_start: one number or int [B], and so is the answer.
    """
    if k >= config.steps:
        return np.asarray(n_masked)
    t = torch.tensor(1 - k / config.steps, dtype=torch.float64)
    # still masked after this step
    target = np.floor(float(mask_ratio(t, config.schedule)) * np.asarray(n_start)).astype(np.int64)
    return np.minimum(n_masked, np.maximum(1, n_masked - target))


def commit_order(s: _State, p: _Prediction, masked: np.ndarray, k: int, config: SampleConfig) -> np.ndarray:
    """Positions [B, L]: of every image the masked ones, those to be committed first at the front, then the rest.

    The noise is annealed from its base value as (1 - k/T); it is drawn for all positions at every step, so the
    random stream does not depend on what is masked or edited.
    """
    noise = np.stack([random.gumbel(size=masked.shape[1]) for random in s.random])  # [B, L]
    if config.order == "halton":
        score = np.broadcast_to(-_halton_rank(s.grid), masked.shape)
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
    # an undefined score goes behind all others, but still before what is not masked
    late = np.where(masked, np.fmin(-score, np.finfo(np.float64).max), np.inf)  # [B, L]
    return np.argsort(late, axis=1, kind="stable")


def edit_candidates(s: _State, p: _Prediction, visible: np.ndarray, config: SampleConfig) -> np.ndarray:
    """bool [B, L]: visible, free, and the model prefers another token surely enough."""
    return (
        visible
        & s.free
        & (s.edits < config.edit_cap)
        & (p.best != s.tokens)
        & (p.best_p > config.edit_threshold)
        & (p.best_p - p.current_p > config.edit_margin)
    )


def choose_edits(
    s: _State, p: _Prediction, visible: np.ndarray, k: int, config: SampleConfig, mask_id: int
) -> _Edits:
    """The edits of step k: of every image the best gains first, within its budget."""
    if config.edit_budget == 0:
        return _NO_EDITS
    row, position = np.nonzero(edit_candidates(s, p, visible, config) & (s.rest <= k))  # [m] each
    gain = (p.best_p - p.current_p)[row, position]  # [m]
    order = np.lexsort((-gain, row))  # stable: equal gains stay in the order of their positions
    row, position = row[order], position[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)  # [m]  within its image
    budget = np.maximum(1, np.floor(config.edit_budget * (visible & s.free).sum(1)))  # [B]
    row, position = row[rank < budget[row]], position[rank < budget[row]]
    new = p.best[row, position] if config.edit == "overwrite" else np.full(len(row), mask_id)
    return _Edits(row, position, s.tokens[row, position], new)


_NO_EDITS = _Edits(*(np.zeros(0, np.int64) for _ in range(4)))


def _write_edits(
    s: _State, p: _Prediction, edited: _Edits, k: int, config: SampleConfig, confidence: np.ndarray
) -> None:
    where = edited.row, edited.position
    s.tokens[where] = edited.new
    s.edits[where] += 1
    s.rest[where] = k + 1 + config.edit_cooldown
    confidence[where] = p.best_p[where]


def _records(
    s: _State,
    k: int,
    phase: str,
    committed: np.ndarray,
    edited: _Edits,
    confidence: np.ndarray,
    entropy: np.ndarray,
    config: SampleConfig,
) -> list[StepRecord]:
    """A record of every image; committed bool [B, L]. Rows of arrays that nothing writes to any more."""
    B = len(s.image)
    changes = np.stack(edited[1:], axis=1).astype(np.int32)  # [m, 3]
    bounds = np.searchsorted(edited.row, np.arange(B + 1)).tolist()
    tokens, locked = s.tokens.astype(np.int32), s.locked.copy()
    confidence, entropy = confidence.astype(np.float32), entropy.astype(np.float32)
    return [
        StepRecord(
            step=k,
            phase=phase,
            tokens=tokens[b],
            committed=np.flatnonzero(committed[b]).astype(np.int32),
            edited=changes[bounds[b] : bounds[b + 1]],
            confidence=confidence[b],
            entropy=entropy[b],
            locked=locked[b],
            steps_planned=config.steps,
        )
        for b in range(B)
    ]


def _start_records(s: _State, mask_id: int, config: SampleConfig) -> list[StepRecord]:
    known = s.tokens != mask_id
    return _records(s, 0, "start", np.zeros_like(known), _NO_EDITS, known, np.zeros(known.shape), config)


def _rows(value: np.ndarray | None, shape: tuple[int, int], default: bool) -> np.ndarray:
    if value is None:
        return np.full(shape, default)
    value = np.asarray(value)
    if value.dtype != bool or value.shape not in (shape, shape[1:]):
        raise ValueError(
            f"locks and regions must be boolean with {shape[1]} cells, got {value.dtype} {value.shape}"
        )
    return np.broadcast_to(value, shape).copy()


@cache
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
    rank = rank.astype(np.float64)
    rank.flags.writeable = False  # shared by all who ask
    return rank


def _radical_inverse(i: int, base: int) -> float:
    out, scale = 0.0, 1.0
    while i:
        scale /= base
        out += scale * (i % base)
        i //= base
    return out
