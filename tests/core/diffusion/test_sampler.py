"""The sampler's invariants, for every order, schedule and edit mode, and its exactness on an enumerable toy."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdm_core.diffusion.sampler import check, sample
from mdm_core.diffusion.step import commit_quota
from mdm_core.ops import SampleStep, sample_step
from mdm_core.settings import EDITS, ORDERS, SCHEDULES, SampleConfig

V, GRID = 32, (4, 4)
L = GRID[0] * GRID[1]


def random_predict(tokens, seeds, step):
    """A model whose opinion depends on all tokens of its image, so that any leak between images shows."""
    out = []
    for row, seed in zip(tokens, seeds, strict=True):
        g = torch.Generator().manual_seed(int((row * torch.arange(1, L + 1)).sum()) * 131 + step)
        hidden = torch.randn(L, 8, generator=g) * 2
        weight = torch.randn(V, 8, generator=torch.Generator().manual_seed(7))
        out.append(
            sample_step(hidden, weight, row, seed=seed, step=step, row_ids=torch.arange(L), backend="torch")
        )
    return SampleStep(*(torch.stack(column) for column in zip(*out, strict=True)))


def run(config, seeds=(0,), tokens=None, **more):
    """List of records per image."""
    tokens = np.full((len(seeds), L), V) if tokens is None else tokens
    steps = list(sample(random_predict, tokens, config, list(seeds), mask_id=V, grid=GRID, **more))
    return [[s[b] for s in steps if s[b] is not None] for b in range(len(seeds))]


configs = st.builds(
    SampleConfig,
    steps=st.integers(1, 20),
    order=st.sampled_from(ORDERS),
    schedule=st.sampled_from(SCHEDULES),
    edit=st.sampled_from(EDITS),
    gumbel=st.floats(0, 8),
    mask_threshold=st.floats(0, 1),
    edit_threshold=st.floats(0, 1),
    edit_margin=st.floats(0, 0.5),
    edit_budget=st.floats(0, 1),
    edit_cap=st.integers(0, 4),
    edit_cooldown=st.integers(0, 2),
    polish=st.integers(0, 3),
)


@settings(max_examples=120, deadline=None)
@given(config=configs, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_invariants(config, seed, data):
    bools = st.lists(st.booleans(), min_size=L, max_size=L).map(np.array)
    known = data.draw(bools)  # tokens that are there at the start
    locked = data.draw(bools) & known
    region = data.draw(bools) | ~known
    start = np.where(known, np.arange(L) % V, V)[None]
    (records,) = run(config, (seed,), start, locked=locked, region=region)

    for r in records:
        assert np.array_equal(r.tokens[locked], start[0][locked]), "a locked token changed"
        assert np.array_equal(r.tokens[~region], start[0][~region]), "a token outside the region changed"
        assert np.array_equal(r.locked, locked)
        assert r.tokens.min() >= 0 and r.tokens.max() <= V
    assert (records[-1].tokens < V).all(), "a token stayed masked"
    state = records[0].tokens.copy()
    for before, r in itertools.pairwise(records):
        assert (before.tokens[r.committed] == V).all(), "a visible token was committed again"
        assert len(np.intersect1d(r.committed, r.edited[:, 0])) == 0
        if r.step < config.steps and (before.tokens == V).any():
            assert len(r.committed) >= 1, "an idle step"
        state[r.committed] = r.tokens[r.committed]
        state[r.edited[:, 0]] = r.edited[:, 2]
        assert np.array_equal(state, r.tokens), "the record does not tell what happened"
        if len(r.edited):
            visible = (before.tokens != V) & region & ~locked
            assert len(r.edited) <= max(1, int(config.edit_budget * visible.sum()))
    edits = np.bincount(np.concatenate([r.edited[:, 0] for r in records]), minlength=L)
    assert edits.max() <= config.edit_cap or config.edit == "off"
    if config.edit == "off" or config.edit_budget == 0 or config.edit_cap == 0:
        assert edits.sum() == 0


@settings(max_examples=40, deadline=None)
@given(config=configs, seeds=st.lists(st.integers(0, 10**6), min_size=2, max_size=4, unique=True))
def test_a_picture_does_not_depend_on_its_batch(config, seeds):
    together = run(config, seeds)
    for seed, records in zip(seeds, together, strict=True):
        (alone,) = run(config, (seed,))
        assert len(alone) == len(records)
        for a, b in zip(alone, records, strict=True):
            assert np.array_equal(a.tokens, b.tokens) and np.array_equal(a.edited, b.edited)


@settings(max_examples=40, deadline=None)
@given(config=configs, seed=st.integers(0, 10**6))
def test_editing_that_never_fires_is_the_plain_sampler(config, seed):
    """A threshold of 1 is never exceeded, so the edited run must be the plain run bit for bit."""
    (plain,) = run(dataclasses.replace(config, edit="off"), (seed,))
    (mute,) = run(dataclasses.replace(config, edit="overwrite", edit_threshold=1.0, polish=0), (seed,))
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(plain, mute, strict=True))


@pytest.mark.parametrize("cooldown", [0, 1, 3])
def test_cooldown_rests_a_token(cooldown):
    config = SampleConfig(
        steps=12, edit_threshold=0.0, edit_budget=1.0, edit_cap=99, edit_cooldown=cooldown, polish=6
    )
    (records,) = run(config)
    touched: dict[int, int] = {}
    seen = 0
    for r in records:
        for position in r.edited[:, 0].tolist():
            assert r.step - touched[position] > cooldown
            seen += 1
        for position in [*r.committed.tolist(), *r.edited[:, 0].tolist()]:
            touched[position] = r.step
    assert seen > 20


def test_the_edited_state_is_returned_not_the_raw_sample():
    (records,) = run(SampleConfig(steps=4, edit_threshold=0.0, edit_budget=1.0, edit_cooldown=0, polish=3))
    last = [r for r in records if len(r.edited)][-1]
    assert (records[-1].tokens[last.edited[:, 0]] == last.edited[:, 2]).all()


def test_edits_take_the_best_gains_first():
    config = SampleConfig(steps=8, edit_threshold=0.0, edit_budget=0.2, edit_cooldown=0, polish=0)
    tokens = np.arange(L)[None]
    steps = sample(random_predict, tokens, dataclasses.replace(config, polish=1), [0], mask_id=V, grid=GRID)
    next(steps)
    p = random_predict(torch.arange(L)[None], [0], 1)
    gain = torch.where(p.best[0] != torch.arange(L), p.best_p[0] - p.current_p[0], -1.0)
    (record,) = next(steps)
    assert set(record.edited[:, 0]) == set(gain.topk(3).indices.tolist())  # a fifth of 16 tokens


def test_window_switches_editing_off_outside():
    config = SampleConfig(
        steps=10, edit_threshold=0.0, edit_budget=1.0, edit_cooldown=0, edit_window=(0.5, 0.8), polish=0
    )
    (records,) = run(config)
    active = {r.step for r in records if len(r.edited)}
    assert active and active <= {5, 6, 7, 8}


def test_halton_ignores_confidence_and_covers_evenly():
    config = SampleConfig(steps=16, order="halton", schedule="linear", edit="off")
    orders = [[int(r.committed[0]) for r in records[1:]] for records in run(config, (1, 2))]
    assert orders[0] == orders[1] and sorted(orders[0]) == list(range(L))
    first_half = np.zeros(L, bool)
    first_half[orders[0][:8]] = True
    quadrants = first_half.reshape(2, 2, 2, 2).sum((1, 3))
    assert quadrants.min() >= 1


def test_threshold_order_finishes_sure_tokens_early():
    (records,) = run(SampleConfig(steps=16, order="threshold", mask_threshold=0.0, edit="off"))
    assert len(records[1].committed) == L


def test_quota_reaches_the_schedule_after_remasking():
    config = SampleConfig(steps=10, schedule="linear")
    assert commit_quota(16, 16, 1, config) == 2  # floor(.9 * 16) = 14 may stay masked
    assert commit_quota(15, 16, 5, config) == 7
    assert commit_quota(1, 16, 2, config) == 1  # never idle
    assert commit_quota(9, 16, 10, config) == 9


def test_one_token_a_step_in_random_order_samples_the_exact_joint():
    """On a toy whose conditionals are known, the samples follow the joint distribution (chi-square, fixed seeds)."""
    v, n = 3, 3
    g = np.random.default_rng(0)
    joint = g.dirichlet(np.ones(v**n) * 0.7).reshape((v,) * n)

    def predict(tokens, seeds, step):
        p = np.zeros((len(tokens), n, v))
        for k, row in enumerate(tokens.tolist()):
            for i in range(n):
                index = tuple(slice(None) if (t == v or j == i) else t for j, t in enumerate(row))
                m = joint[index]
                free = [j for j, t in enumerate(row) if t == v or j == i]
                m = m.sum(axis=tuple(k for k, j in enumerate(free) if j != i))
                p[k, i] = m / m.sum()
        z = torch.tensor(np.log(p), dtype=torch.float32).view(-1, v)
        own = torch.tensor(list(seeds)).repeat_interleave(n)
        rows = torch.arange(n).repeat(len(tokens))
        drawn = sample_step(z, torch.eye(v), tokens.flatten(), seed=own, step=step, row_ids=rows)
        return SampleStep(*(part.view(len(tokens), n) for part in drawn))

    count = 3000
    config = SampleConfig(steps=n, order="random", schedule="linear", edit="off", polish=0)
    *_, last = sample(predict, np.full((count, n), v), config, range(count), mask_id=v, grid=(1, n))
    seen = np.zeros_like(joint)
    for record in last:
        seen[tuple(record.tokens)] += 1
    expected = joint * count
    big = expected >= 5
    chi2 = ((seen - expected)[big] ** 2 / expected[big]).sum()
    df = big.sum() - 1
    assert chi2 < df + 4 * (2 * df) ** 0.5, (chi2, df)  # four standard deviations


@pytest.mark.parametrize(
    "field,value",
    [
        ("steps", 0),
        ("steps", 10_000),
        ("steps", 2.5),
        ("steps", True),
        ("guidance", -1),
        ("guidance", float("nan")),
        ("temperature", 0),
        ("order", "best"),
        ("schedule", "sine"),
        ("edit", "yes"),
        ("edit_budget", 2),
        ("edit_window", (0.8, 0.2)),
        ("top_k", 0),
        ("top_p", 0.0),
        ("polish", -1),
        ("gumbel", float("inf")),
    ],
)
def test_settings_out_of_range_get_one_sentence(field, value):
    with pytest.raises(ValueError, match=field):
        check(dataclasses.replace(SampleConfig(), **{field: value}))


def test_seeds_and_shapes_are_checked():
    with pytest.raises(ValueError, match="seed must be a whole number"):
        run(SampleConfig(), (2**32,))
    with pytest.raises(ValueError, match="locks and regions"):
        run(SampleConfig(), locked=np.zeros(5, bool))
    with pytest.raises(ValueError, match="masked token cannot be locked"):
        run(SampleConfig(), locked=np.ones(L, bool))
