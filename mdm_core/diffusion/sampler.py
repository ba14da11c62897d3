"""Sampling: the step, and the loop over steps, with token editing, locks and repaint regions.

One step of a batch of images, which know nothing of each other (see `denoise`):
  1. one forward pass; guidance is folded into the hidden states before the head;
  2. for every position a sampled token, its confidence, the best token, and p(current token);
  3. commit the surest masked positions, as many as the schedule says;
  4. edit visible positions where the model now prefers another token;
after the last step, polish: edit-only passes until nothing changes. The edited state is what is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from mdm_core.checks import own
from mdm_core.diffusion.step import (
    NO_EDITS,
    Prediction,
    State,
    choose_edits,
    commit_order,
    commit_quota,
    denoise,
    polish,
    records_of,
)
from mdm_core.diffusion.trajectory import StepRecord
from mdm_core.ops import SampleStep
from mdm_core.settings import MAX_SEED, SampleConfig

__all__ = [
    "Live",
    "Predict",
    "begin",
    "check",
    "check_seed",
    "choose_edits",
    "commit_order",
    "commit_quota",
    "denoise",
    "polish",
    "sample",
    "start_records",
]

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
    everyone = begin(tokens, seeds, mask_id=mask_id, grid=grid, locked=locked, region=region)
    B = len(everyone.image)

    def forward(s: State, step: int) -> Prediction:
        out = predict(torch.from_numpy(s.tokens.copy()), Live(s.seed.tolist(), s.image.tolist()), step)
        return Prediction(*(getattr(out, name).cpu().numpy() for name in Prediction._fields))

    def in_place(s: State, records: list[StepRecord]) -> list[StepRecord | None]:
        """An entry for every image that was asked for."""
        out: list[StepRecord | None] = [None] * B
        for b, record in zip(s.image.tolist(), records, strict=True):
            out[b] = record
        return out

    yield [*start_records(everyone, mask_id, config)]
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


def begin(
    tokens: np.ndarray,
    seeds: Sequence[int],
    *,
    mask_id: int,
    grid: tuple[int, int],
    locked: np.ndarray | None = None,
    region: np.ndarray | None = None,
) -> State:
    """Where a batch starts, before any step; the arguments are those of `sample`."""
    tokens = np.array(tokens, dtype=np.int64)  # [B, L], a copy: it will change
    B, L = tokens.shape
    locked = _rows(locked, (B, L), False)
    region = _rows(region, (B, L), True)
    if ((tokens == mask_id) & (locked | ~region)).any():
        raise ValueError("a masked token cannot be locked or lie outside the region: it would stay masked")
    random = np.empty(B, object)
    random[:] = [np.random.default_rng([check_seed(seed), 0x0C415E1]) for seed in seeds]
    return State(
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


def start_records(s: State, mask_id: int, config: SampleConfig) -> list[StepRecord]:
    """What stands there before the first step."""
    known = s.tokens != mask_id
    return records_of(s, 0, "start", np.zeros_like(known), NO_EDITS, known, np.zeros(known.shape), config)


def _rows(value: np.ndarray | None, shape: tuple[int, int], default: bool) -> np.ndarray:
    if value is None:
        return np.full(shape, default)
    value = np.asarray(value)
    if value.dtype != bool or value.shape not in (shape, shape[1:]):
        raise ValueError(
            f"locks and regions must be boolean with {shape[1]} cells, got {value.dtype} {value.shape}"
        )
    return np.broadcast_to(value, shape).copy()
