"""Which tokens do not fit: each judged by a pass that does not see it."""

import numpy as np
import pytest
import torch
from fake_family import GRID, V, fake_pipeline

from mdm_core.explain.doubt import judged, unsure

CELLS = GRID[0] * GRID[1]


@pytest.fixture(scope="module")
def pipe():
    return fake_pipeline()


@pytest.fixture
def tokens(pipe):
    return pipe.generate("a tree", seed=3).records[-1].tokens.reshape(GRID)


def by_hand(pipe, tokens, cell, guidance):
    """The distribution [V] at one cell, from the backbone itself: it and all cells of its colour of the chessboard
    masked."""
    rows, columns = np.indices(GRID)
    parity = (rows + columns) % 2
    seen = np.where(parity == parity.reshape(-1)[cell], pipe.vocab_size, tokens)
    hidden = pipe.forward.hidden(
        torch.from_numpy(seen.reshape(1, -1)).long(), pipe.condition("a tree"), guidance
    )
    return (hidden[0, cell] @ pipe.forward.head.T).softmax(0)


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_a_token_is_judged_as_if_it_were_not_there(pipe, tokens, guidance):
    p, likeliest = judged(pipe, "a tree", tokens, guidance)
    for cell in range(CELLS):
        told = by_hand(pipe, tokens, cell, guidance)
        assert p.reshape(-1)[cell] == pytest.approx(float(told[tokens.reshape(-1)[cell]]), abs=5e-5)
        assert likeliest.reshape(-1)[cell] == int(told.argmax())
    other = tokens.copy()
    other[1, 3] = (other[1, 3] + 1) % V  # what stands in a cell does not change what is likeliest there
    assert judged(pipe, "a tree", other, guidance)[1][1, 3] == likeliest[1, 3]


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 1])
def test_the_least_likely_go_first_and_locks_stay(pipe, tokens, share):
    locked = np.zeros(GRID, bool)
    locked[0, :3] = True
    p, likeliest = judged(pipe, "a tree", tokens, 1.0)
    where = unsure(pipe, "a tree", tokens, 1.0, share=share, locked=locked)
    open_ = ~locked & (likeliest != tokens)
    assert not (where & ~open_).any()
    assert where.sum() == min(open_.sum(), max(1, int(share * (CELLS - 3))))
    assert p[where].max() <= p[open_ & ~where].min(initial=1)


def test_a_picture_that_the_model_would_choose_again_has_nothing_unsure(pipe, tokens):
    for _ in range(40):  # each half in turn becomes what the other makes likeliest
        for half in (0, 1):
            mine = np.indices(GRID).sum(0) % 2 == half
            tokens = np.where(mine, judged(pipe, "a tree", tokens, 0.0)[1], tokens)
        if (judged(pipe, "a tree", tokens, 0.0)[1] == tokens).all():
            break
    else:
        pytest.skip("no such picture was found")
    assert not unsure(pipe, "a tree", tokens, 0.0, share=1).any()


def test_what_cannot_be_judged_is_refused(pipe, tokens):
    with pytest.raises(ValueError, match="some are masked"):
        judged(pipe, "a tree", np.where(np.arange(CELLS).reshape(GRID) == 3, V, tokens), 1.0)
    with pytest.raises(ValueError, match="share must be from 0 to 1"):
        unsure(pipe, "a tree", tokens, 1.0, share=1.5)
    with pytest.raises(ValueError, match="empty"):
        unsure(pipe, " ", tokens, 1.0)
