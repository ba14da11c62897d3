"""Top-k and top-p in kernels against the definition: on a GPU if there is one, else interpreted."""

import math

import pytest
import torch

from mdm_core.ops import sample_step

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's logarithm of zero, interpreted

ROWS = 40 if DEVICE == "cuda" else 8  # an interpreted row takes a tenth of a second
MANY = 400  # rows that give a token of probability 1/8 at least once, but for one seed in 10^23
KNOWN = [128, 64, 127, 3, 199, 199, 128, 100, 100, 100, 199, 100, 100, 3, 199, 199, 130, 3, 3, 130]
GIVEN = {"seed": -(2**40) + 3, "step": 5}
LIMITS = [{"top_k": 5}, {"top_p": 0.7}, {"top_k": 20, "top_p": 0.8}, {"top_k": 1}, {"top_p": 1e-6}]


def exact(n, d, v, seed=0):
    """Operands of small quarters: their products are exact, so that every backend ranks the same logits, ties too."""
    g = torch.Generator().manual_seed(seed + v)
    hidden, weight = (torch.randint(-8, 9, size, generator=g).to(DEVICE) / 4 for size in ((n, d), (v, d)))
    return hidden, weight, torch.randint(0, v + 1, (n,), generator=g).to(DEVICE)


def of_logits(logits, n):
    """n rows that all have these logits."""
    hidden = torch.zeros(n, 2, device=DEVICE)
    hidden[:, 0] = 1.0
    weight = torch.stack([logits, torch.zeros_like(logits)], 1).to(DEVICE)
    return hidden, weight, torch.full((n,), len(logits), device=DEVICE)


def equals_the_definition(problem, **options):
    options = GIVEN | options
    expected = sample_step(*problem, backend="reference", **options)
    got = sample_step(*problem, backend="triton", **options)
    for name, a, b in zip(expected._fields, got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
    return got


def are_drawn(logits, kept, **limits):
    """The tokens that the limits leave are drawn, all of them where they are few, and nothing else."""
    step, seen = equals_the_definition(of_logits(logits, ROWS), **limits), []
    for backend in ("reference", "triton") if DEVICE == "cuda" else ("reference",):
        many = sample_step(*of_logits(logits, MANY), backend=backend, **GIVEN, **limits).token
        seen.append(set(many.tolist()))
    assert all(each == set(kept) if len(kept) <= 8 else each <= set(kept) for each in seen)
    assert set(step.token.tolist()) <= set(kept)
    return step.token.tolist()


@pytest.mark.parametrize("n, d, v", [(2, 3, 1), (3, 8, 63), (4, 8, 1000)])
@pytest.mark.parametrize("limits", LIMITS)
def test_limited_draws_equal_the_definition_fed_the_same_noise(n, d, v, limits):
    for temperature in (0.5, 1.0):
        equals_the_definition(exact(n, d, v), temperature=temperature, **limits)


@pytest.mark.parametrize("limits", LIMITS[:3])
def test_rows_longer_than_a_piece(limits, monkeypatch):
    from mdm_core.ops.sample import limits_triton

    problem = exact(4, 8, 700)
    whole = equals_the_definition(problem, **limits)
    monkeypatch.setattr(limits_triton, "PIECE", 256)
    for a, b in zip(whole, equals_the_definition(problem, **limits), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=0)


@pytest.mark.parametrize("columns", [64, 128, 256])
def test_tiles_leave_their_logits_block_by_block(columns, monkeypatch):
    """Of one, two and four blocks a tile; the last one of the vocabulary is not whole, or not even begun."""
    from mdm_core.ops.sample import sample_triton

    monkeypatch.setattr(sample_triton, "TILE_FULL", (16, columns, 32, 4, 2))
    for v in (130, 512):
        equals_the_definition(exact(3, 8, v), top_k=20)


@pytest.mark.parametrize("top_p, kept", [(0.5, 4), (0.51, 5), (0.125, 1), (1e-9, 1), (0.999, 8)])
def test_of_equal_probabilities_the_lowest_ids_that_reach_top_p_stay(top_p, kept):
    """Eight tokens of probability 1/8: the set ends inside the tie."""
    logits = torch.full((200,), -math.inf)
    ids = torch.tensor([3, 64, 65, 100, 127, 128, 130, 199])
    logits[ids] = 2.0
    drawn = are_drawn(logits, ids[:kept].tolist(), top_p=top_p)
    if kept == 4:  # six of the eight, and two thirds of those
        are_drawn(logits, ids[:4].tolist(), top_k=6, top_p=2 / 3 - 1e-3)
    if kept == 8:  # what this seed draws, seen on an H200 and on CPUs: noise has no device
        assert drawn[:20] == KNOWN[: len(drawn)]


@pytest.mark.parametrize("top_k, kept", [(1, [70]), (3, [30, 70, 99]), (4, [30, 70, 99, 150]), (200, None)])
def test_of_equal_logits_the_lowest_ids_stay(top_k, kept):
    """Zeros of both signs are equal, and the edge may lie in their midst."""
    logits = torch.full((200,), -3.0)
    logits[[99, 30, 150]] = torch.tensor([0.0, -0.0, 0.0])
    logits[70] = 1.0
    are_drawn(logits, kept or list(range(200)), top_k=top_k)


def test_a_limit_that_leaves_all_is_none():
    problem = exact(6, 8, 300)
    free = sample_step(*problem, seed=1, step=0, backend="triton")
    for limits in ({"top_k": 300}, {"top_k": 10**6}, {"top_k": 2**40}):
        limited = sample_step(*problem, seed=1, step=0, backend="triton", **limits)
        assert torch.equal(free.token, limited.token), limits


def test_undefined_and_minus_infinite_logits():
    logits = torch.full((130,), -math.inf)
    logits[100], logits[3] = 1e4, torch.nan
    for limits in LIMITS:
        step = sample_step(*of_logits(logits, 2), seed=0, step=0, backend="triton", **limits)
        assert step.token.tolist() == [100] * 2  # undefined ones win nothing, but show
        assert step.confidence.isnan().all()
    logits[3] = -math.inf
    for limits in LIMITS:
        equals_the_definition(of_logits(logits, 2), **limits)


@pytest.mark.parametrize("limits", LIMITS[:3])
def test_the_batch_and_its_chunks_do_not_matter_to_limited_draws(limits, monkeypatch):
    from mdm_core.ops.sample import sample_triton

    monkeypatch.setattr(sample_triton, "TILE_FULL", (16, 64, 32, 4, 2))
    hidden, weight, current = exact(18, 8, 70)
    rows = torch.arange(18, device=DEVICE)
    options = dict(seed=9, step=1, backend="triton", temperature=0.8, **limits)
    whole = sample_step(hidden, weight, current, row_ids=rows, **options)
    g = torch.Generator().manual_seed(3)
    for pick in (rows[13:14], torch.randperm(18, generator=g)[:4].to(DEVICE)):
        part = sample_step(hidden[pick], weight, current[pick], row_ids=pick, **options)
        assert all(torch.equal(a[pick], b) for a, b in zip(whole, part, strict=True))
    monkeypatch.setattr(sample_triton, "LOGIT_BYTES", 0)
    parts = sample_step(hidden, weight, current, row_ids=rows, **options)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("limits", LIMITS[:3])
def test_limits_held_in_memory_are_those_given_as_numbers(limits):
    """As captured graphs give them; one that is not set stands as one that leaves everything."""
    from mdm_core.ops.sample import sample_triton

    hidden, weight, current = exact(6, 8, 300)
    seed, rows = torch.full((6,), 4, device=DEVICE), torch.arange(6, device=DEVICE)
    k, p = limits.get("top_k"), limits.get("top_p")
    plain = sample_triton.sample_rows(hidden, weight, current, 0.7, seed, 2, rows, k, p)
    held = [torch.tensor(x, device=DEVICE) for x in (2, k or 300)]
    floats = [torch.tensor(x, device=DEVICE, dtype=torch.float64) for x in (0.7, p or 2.0)]
    again = sample_triton.sample_rows(
        hidden, weight, current, floats[0], seed, held[0], rows, held[1], floats[1]
    )
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
