"""One step of the sampler: what a forward pass says of every position, what is chosen from it, and what that changes.

    k -> State + Prediction -> choose -> Choice -> carry_out -> StepRecord

`mdm_core.diffusion.sampler` goes through these steps by itself; in `mdm_core.explain.by_hand` a person chooses, and
what is chosen is carried out by the same function.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from mdm_core.diffusion.schedule import mask_ratio
from mdm_core.diffusion.trajectory import StepRecord
from mdm_core.settings import SampleConfig


@dataclass
class State:
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

    def pick(self, rows: np.ndarray) -> State:
        """A copy of some of the images; rows: bool or int [n]."""
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    def put(self, part: State) -> None:
        """Take images that were picked back in."""
        rows = np.searchsorted(self.image, part.image)
        for name in _ARRAYS:
            getattr(self, name)[rows] = getattr(part, name)


_ARRAYS = [f.name for f in dataclasses.fields(State) if f.name != "grid"]


class Prediction(NamedTuple):
    """The columns of SampleStep, numpy [B, L]."""

    token: np.ndarray
    confidence: np.ndarray
    best: np.ndarray
    best_p: np.ndarray
    second_p: np.ndarray
    current_p: np.ndarray
    entropy: np.ndarray


class Edits(NamedTuple):
    """Edits of a batch, image by image, of each the best gains first; all int [m]."""

    row: np.ndarray  # of the batch, rising
    position: np.ndarray
    old: np.ndarray
    new: np.ndarray


class Choice(NamedTuple):
    """What one step does to a batch."""

    committed: np.ndarray  # bool [B, L]: masked positions that take the token drawn for them
    edited: Edits


def choose(s: State, p: Prediction, k: int, config: SampleConfig, mask_id: int) -> Choice:
    """What the sampler itself does at step k of config.steps: commit, then edit."""
    masked = s.tokens == mask_id  # [B, L]
    # commit: as many as the schedule asks, the surest first
    n = commit_quota(masked.sum(1), s.n_start, k, config)  # [B]
    committed = np.zeros_like(masked)  # [B, L]
    first = np.arange(masked.shape[1]) < n[:, None]  # [B, L]
    np.put_along_axis(committed, commit_order(s, p, masked, k, config), first, 1)
    if config.order == "threshold":
        committed |= masked & (p.confidence > config.mask_threshold)
    # edit: decided on the same forward pass, before the new tokens are written
    edited = NO_EDITS
    low, high = config.edit_window
    if config.edit != "off" and low <= k / config.steps <= high:
        last = k == config.steps
        if config.edit == "overwrite" or not last:  # a remask at the last step would stay masked
            edited = choose_edits(s, p, ~masked, k, config, mask_id)
    return Choice(committed, edited)


def carry_out(
    s: State, p: Prediction, k: int, phase: str, choice: Choice, config: SampleConfig, mask_id: int
) -> list[StepRecord]:
    """Writes a choice into the state; a record of every image. The positions of its two parts must not meet."""
    committed, edited = choice
    confidence = np.where(s.tokens == mask_id, p.best_p, p.current_p)
    s.tokens[committed] = p.token[committed]
    confidence[committed] = p.confidence[committed]
    s.rest[committed] = k + 1 + config.edit_cooldown
    where = edited.row, edited.position
    s.tokens[where] = edited.new
    s.edits[where] += 1
    s.rest[where] = k + 1 + config.edit_cooldown
    confidence[where] = p.best_p[where]
    return records_of(s, k, phase, committed, edited, confidence, p.entropy, config)


def denoise(s: State, p: Prediction, k: int, config: SampleConfig, mask_id: int) -> list[StepRecord]:
    """Step k of config.steps: commit, then edit."""
    return carry_out(s, p, k, "unmask", choose(s, p, k, config, mask_id), config, mask_id)


def polish(
    s: State, p: Prediction, k: int, config: SampleConfig, mask_id: int
) -> tuple[list[StepRecord], np.ndarray]:
    """An edit-only pass; an image is done (bool [B]) when nothing is left to edit."""
    edited = choose_edits(s, p, s.tokens != mask_id, k, config, mask_id)
    done = polished(s, p, edited, config, mask_id)
    choice = Choice(np.zeros_like(s.locked), edited)
    return carry_out(s, p, k, "polish", choice, config, mask_id), done


def polished(s: State, p: Prediction, edited: Edits, config: SampleConfig, mask_id: int) -> np.ndarray:
    """bool [B]: nothing is edited, and nothing waits for its rest to end."""
    waiting = edit_candidates(s, p, s.tokens != mask_id, config).any(1)  # resting tokens count as not done
    return ~waiting & ~np.isin(np.arange(len(s.image)), edited.row)


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


def commit_order(s: State, p: Prediction, masked: np.ndarray, k: int, config: SampleConfig) -> np.ndarray:
    """Positions [B, L]: of every image the masked ones, those to be committed first at the front, then the rest.

    The noise is annealed from its base value as (1 - k/T), and there is none beyond T, where only a person goes; it is
    drawn for all positions at every step, so the random stream does not depend on what is masked or edited.
    """
    noise = np.stack([random.gumbel(size=masked.shape[1]) for random in s.random])  # [B, L]
    if config.order == "halton":
        score = np.broadcast_to(-halton_rank(s.grid), masked.shape)
    elif config.order == "random":
        score = noise
    else:
        if config.order == "entropy":
            score = -p.entropy.astype(np.float64)
        elif config.order == "margin":
            score = (p.best_p - p.second_p).astype(np.float64)
        else:  # confidence, threshold: MaskGIT (Chang et al. 2022)
            score = np.log(np.maximum(p.confidence.astype(np.float64), 1e-30))
        score = score + config.gumbel * max(1 - k / config.steps, 0) * noise
    # an undefined score goes behind all others, but still before what is not masked
    late = np.where(masked, np.fmin(-score, np.finfo(np.float64).max), np.inf)  # [B, L]
    return np.argsort(late, axis=1, kind="stable")


def edit_candidates(s: State, p: Prediction, visible: np.ndarray, config: SampleConfig) -> np.ndarray:
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
    s: State, p: Prediction, visible: np.ndarray, k: int, config: SampleConfig, mask_id: int
) -> Edits:
    """The edits of step k: of every image the best gains first, within its budget."""
    if config.edit_budget == 0:
        return NO_EDITS
    row, position = np.nonzero(edit_candidates(s, p, visible, config) & (s.rest <= k))  # [m] each
    gain = (p.best_p - p.current_p)[row, position]  # [m]
    order = np.lexsort((-gain, row))  # stable: equal gains stay in the order of their positions
    row, position = row[order], position[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)  # [m]  within its image
    budget = np.maximum(1, np.floor(config.edit_budget * (visible & s.free).sum(1)))  # [B]
    row, position = row[rank < budget[row]], position[rank < budget[row]]
    new = p.best[row, position] if config.edit == "overwrite" else np.full(len(row), mask_id)
    return Edits(row, position, s.tokens[row, position], new)


NO_EDITS = Edits(*(np.zeros(0, np.int64) for _ in range(4)))


def records_of(
    s: State,
    k: int,
    phase: str,
    committed: np.ndarray,
    edited: Edits,
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


@cache
def halton_rank(grid: tuple[int, int]) -> np.ndarray:
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
