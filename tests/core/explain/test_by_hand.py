"""A person in the sampler's place: who decides as the sampler does gets its run, and nothing wrong can be decided."""

import dataclasses

import numpy as np
import pytest
from fake_family import fake_pipeline

from mdm_core.explain import outlook as core
from mdm_core.explain.by_hand import ByHand
from mdm_core.settings import EDITS, ORDERS


def as_the_sampler(game):
    """Plays to the end what the sampler would."""
    while not game.over:
        turn = game.turn(game.look())
        game.take(turn, turn.commits, turn.edits[:, 0])
    return game


def same(a, b):
    """Two lists of records are equal to the last bit."""
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        for field in dataclasses.fields(one):
            left, right = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(left, right), (one.step, field.name)
            assert getattr(left, "dtype", None) == getattr(right, "dtype", None), field.name


LIVELY = {"edit_threshold": 0.02, "edit_budget": 0.4, "polish": 3, "gumbel": 2.0, "temperature": 0.9}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("edit", EDITS)
def test_who_decides_as_the_sampler_gets_its_run(tiny, order, edit):
    asked = {"seed": 11, "steps": 6, "order": order, "edit": edit, "mask_threshold": 0.3, **LIVELY}
    game = as_the_sampler(ByHand(tiny, "a cat", **asked))
    run = tiny.generate("a cat", **asked)
    same(game.records, run.records)
    assert game.run.settings == run.settings and np.array_equal(game.run.tokens, run.tokens)
    assert (sum(len(r.edited) for r in game.records) > 0) == (edit != "off")  # there was something to decide


@pytest.mark.parametrize(
    "changes", [{"steps": 1}, {"steps": 40}, {"edit_window": (0.4, 0.7)}, {"edit_cooldown": 3}]
)
def test_the_same_with_few_steps_more_than_cells_and_other_settings(tiny, changes):
    asked = {"seed": 3, "steps": 7, "edit": "overwrite", **LIVELY, **changes}
    same(
        as_the_sampler(ByHand(tiny, "two dogs", **asked)).records, tiny.generate("two dogs", **asked).records
    )


def test_the_same_with_a_family_that_shares_nothing_with_ours():
    pipe = fake_pipeline()
    asked = {"seed": 5, "steps": 5, "edit": "overwrite", "negative": "o", **LIVELY}
    game = as_the_sampler(ByHand(pipe, "a tree", **asked))
    same(game.records, pipe.generate("a tree", **asked).records)
    assert game.run.settings["negative"] == "o"


def test_the_same_around_what_is_there_and_locked(tiny):
    tokens = np.full(tiny.grid, tiny.vocab_size)
    tokens[:2] = 7
    asked = {"seed": 2, "tokens": tokens, "locked": range(4), "steps": 4, "edit": "overwrite", **LIVELY}
    game = as_the_sampler(ByHand(tiny, "a cat", **asked))
    same(game.records, tiny.generate("a cat", **asked).records)


def test_after_a_rewind_the_run_is_the_same_again(tiny):
    asked = {"seed": 4, "steps": 6, "edit": "overwrite", **LIVELY}
    first = as_the_sampler(ByHand(tiny, "a cat", **asked))
    other = first.rewound(3)
    turn = other.turn(other.look())
    other.take(turn, turn.order[::-1][: len(turn.commits)])  # the least sure
    assert not np.array_equal(other.records[4].tokens, first.records[4].tokens)
    same(as_the_sampler(other.rewound(3)).records, first.records)
    with pytest.raises(ValueError, match=r"records 0\.\.4, got 9"):
        other.rewound(9)


def test_another_temperature_is_that_of_a_run_at_it_and_costs_no_pass(tiny, monkeypatch):
    game = ByHand(tiny, "a cat", seed=6, steps=4, temperature=0.5, edit="off")
    seen = game.look()
    made = []
    real = tiny.forward.hidden
    monkeypatch.setattr(tiny.forward, "hidden", lambda *a: made.append(a) or real(*a))
    turns = {t: game.turn(seen, t) for t in (0.2, 0.5, 1.0, 3.0)}
    assert not made
    for t, turn in turns.items():
        whole = ByHand(tiny, "a cat", seed=6, steps=1, temperature=t, edit="off")
        drawn = whole.turn(whole.look())
        assert np.array_equal(turn.drawn, drawn.drawn) and np.array_equal(turn.confidence, drawn.confidence)
    assert not np.array_equal(turns[0.2].drawn, turns[3.0].drawn)


def test_cells_are_set_by_hand_sent_back_and_set_again_beyond_the_last_step(tiny):
    game = ByHand(tiny, "a cat", seed=8, steps=2, edit="off")
    turn = game.turn(game.look())
    record = game.take(turn, [3, 1])
    assert record.committed.tolist() == [1, 3] and (game.tokens == tiny.vocab_size).sum() == 14
    assert record.confidence[3] == turn.confidence[3] and game.tokens[3] == turn.drawn[3]
    turn = game.turn(game.look())
    record = game.take(turn, [5], back=[3])
    assert record.edited.tolist() == [[3, game.records[1].tokens[3], tiny.vocab_size]]
    assert game.tokens[3] == tiny.vocab_size and not game.over and game.phase == "unmask"
    assert len(game.records) == 3  # the two steps are over, and cells are left
    turn = game.turn(game.look())
    assert set(turn.order.tolist()) == set(np.flatnonzero(game.tokens == tiny.vocab_size).tolist())
    assert set(turn.commits.tolist()) == set(turn.order.tolist())  # all that is left
    game.take(turn, turn.order)
    assert game.over and (game.run.tokens < tiny.vocab_size).all()


def test_the_orders_are_of_the_masked_cells_alone(tiny):
    game = ByHand(tiny, "a cat", seed=1, steps=4, gumbel=0.0)
    turn = game.turn(game.look())
    sure = turn.confidence[turn.order]
    assert (np.diff(sure) <= 1e-7).all() and sorted(turn.chance) == sorted(turn.order) == list(range(16))
    assert turn.chance.tolist() != turn.order.tolist()


def test_what_cannot_be_decided_is_refused_and_nothing_has_happened(tiny):
    game = ByHand(tiny, "a cat", seed=1, steps=4, locked=[0], tokens=first_cell(tiny), edit="off")
    seen = game.look()
    turn = game.turn(seen)
    for wrong, words in (
        (([0],), "only masked cells"),
        (([1, 1],), "only be set, edited or sent back"),
        (([1], (), [1]), "only be set, edited or sent back"),
        (([16],), r"0\.\.15"),
        (([-1],), r"0\.\.15"),
        (([1.5],), "whole numbers"),
        (([[1]],), "whole numbers"),
        (([1], [2]), "would change"),
        (([1], (), [2]), "set and not locked"),
        (([1], (), [0]), "set and not locked"),  # it is locked
    ):
        with pytest.raises(ValueError, match=words):
            game.take(turn, *wrong)
    assert len(game.records) == 1
    game.take(turn, [1])
    with pytest.raises(ValueError, match="offered for step 1, and next comes step 2"):
        game.take(turn, [2])
    with pytest.raises(ValueError, match="nothing is masked"):
        ByHand(tiny, "a cat", tokens=np.zeros(tiny.grid, int))
    with pytest.raises(ValueError, match="prompt is empty"):
        ByHand(tiny, " ")


def first_cell(pipe):
    tokens = np.full(pipe.grid, pipe.vocab_size)
    tokens[0, 0] = 1
    return tokens


def test_the_pass_is_the_one_that_the_inspector_sees(tiny):
    """So that the page can keep one for both."""
    game = as_the_sampler(ByHand(tiny, "a cat", seed=1, steps=4))
    for k in range(1, len(game.records)):
        seen = core.look(tiny, game.run, k)
        assert np.array_equal(seen.hidden, game.rewound(k - 1).look().hidden)
