"""Wrong tokens, put in on purpose: what healing is shown and measured with."""

from __future__ import annotations

import numpy as np


def others(tokens: np.ndarray, vocab_size: int, rng: np.random.Generator) -> np.ndarray:
    """Of each token another one, uniformly from the rest of the vocabulary: ints of the shape of `tokens`.

    ValueError where there is no other token.
    """
    if vocab_size < 2:
        raise ValueError(f"a vocabulary of {vocab_size} holds no other token")
    return (tokens + rng.integers(1, vocab_size, tokens.shape)) % vocab_size


def break_some(
    tokens: np.ndarray, share: float, vocab_size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(cells, rising; the tokens [L] after): `share` of the cells, at least one, hold another token than before."""
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    where = np.sort(rng.choice(len(tokens), max(1, round(len(tokens) * share)), replace=False))
    broken = tokens.copy()
    broken[where] = others(tokens[where], vocab_size, rng)
    return where, broken
