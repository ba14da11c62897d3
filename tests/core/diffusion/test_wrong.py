"""Wrong tokens: never the right one, each other one as likely, and as many as were asked for."""

import numpy as np
import pytest

from mdm_core.diffusion.wrong import break_some, others


@pytest.mark.parametrize("vocab", [2, 3, 27, 16_384])
def test_every_token_becomes_another_of_the_vocabulary(vocab):
    tokens = np.random.default_rng(0).integers(0, vocab, (3, 500))
    after = others(tokens, vocab, np.random.default_rng(1))
    assert after.shape == tokens.shape and (after != tokens).all()
    assert after.min() >= 0 and after.max() < vocab


def test_the_others_are_equally_likely():
    after = others(np.full(30_000, 2), 5, np.random.default_rng(1))
    counts = np.bincount(after, minlength=5)
    assert counts[2] == 0 and np.abs(counts[[0, 1, 3, 4]] - 7500).max() < 400  # five standard deviations


@pytest.mark.parametrize(
    ("cells", "share", "count"), [(256, 0.1, 26), (1024, 0.05, 51), (16, 0.01, 1), (7, 1, 7)]
)
def test_as_many_cells_are_broken_as_were_asked_for(cells, share, count):
    tokens = np.arange(cells)
    where, broken = break_some(tokens, share, cells + 1, np.random.default_rng(4))
    assert len(where) == count and np.array_equal(np.flatnonzero(broken != tokens), where)


def test_what_cannot_be_broken_is_refused():
    with pytest.raises(ValueError, match="holds no other token"):
        others(np.zeros(3, int), 1, np.random.default_rng(0))
    for share in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="share must be"):
            break_some(np.zeros(3, int), share, 9, np.random.default_rng(0))
