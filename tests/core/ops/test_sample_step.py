"""The sampling step: exact draws, one definition for all backends, and a batch that never matters."""

import pytest
import torch

from mdm_core.ops import sample_step
from mdm_core.ops.noise import gumbel, philox


def problem(n=40, d=16, v=300, seed=0, spread=1.0):
    g = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(n, d, generator=g) * spread * 3 / d**0.5, torch.randn(v, d, generator=g)
    return hidden, weight, torch.randint(0, v + 1, (n,), generator=g)


def fixed(logits, n):
    """n rows that all have these logits."""
    hidden = torch.zeros(n, 2)
    hidden[:, 0] = 1.0
    return hidden, torch.stack([logits, torch.zeros_like(logits)], 1), torch.full((n,), len(logits))


def assert_follows(drawn, probability):
    """Chi-square within five standard deviations, on the cells that are expected five times."""
    expected = probability * len(drawn)
    seen = torch.bincount(drawn, minlength=len(probability)).float()
    often = expected >= 5
    statistic = float(((seen - expected).square() / expected)[often].sum())
    freedom = int(often.sum()) - 1
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5, (statistic, freedom)
    assert (
        float(seen[~often].sum())
        < float(expected[~often].sum()) + 5 * float(expected[~often].sum()) ** 0.5 + 5
    )


@pytest.mark.parametrize("v", [1, 63, 64, 65, 1000, 8192 + 70])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("options", [{}, {"top_k": 5}, {"top_p": 0.7}, {"top_k": 20, "top_p": 0.8}])
def test_equals_the_definition_fed_the_same_noise(v, temperature, options):
    hidden, weight, current = problem(n=70, v=v)
    options |= dict(temperature=temperature, seed=-(2**40) + 3, step=5, row_ids=torch.arange(70) << 31)
    expected = sample_step(hidden, weight, current, backend="reference", **options)
    got = sample_step(hidden, weight, current, backend="torch", **options)
    for name, a, b in zip(expected._fields, got, expected, strict=True):
        assert a.dtype == b.dtype and a.shape == (70,)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature):
    logits = torch.randn(200, generator=torch.Generator().manual_seed(1)) * 1.5
    drawn = sample_step(*fixed(logits, 40_000), temperature=temperature, seed=7, step=0).token
    assert_follows(drawn, (logits / temperature).softmax(0))


def test_draws_stay_in_the_restricted_set_and_follow_it():
    logits = torch.linspace(0, 3, 130)
    p = logits.softmax(0)
    for options, allowed in ((dict(top_k=7), range(123, 130)), (dict(top_p=0.1), None)):
        step = sample_step(*fixed(logits, 20_000), seed=3, step=1, **options)
        if allowed is None:  # the fewest most likely tokens that reach 0.1
            count = int((p.flip(0).cumsum(0) < 0.1).sum()) + 1
            allowed = range(130 - count, 130)
        inside = torch.zeros(130, dtype=torch.bool)
        inside[list(allowed)] = True
        assert_follows(step.token, torch.where(inside, p, 0) / p[inside].sum())
        # of the whole softmax
        torch.testing.assert_close(step.confidence, p[step.token], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("spread", [1.0, 5.0])
def test_error_is_at_most_that_of_plain_pytorch(spread):
    hidden, weight, current = problem(n=400, d=32, v=1000, spread=spread)
    step = sample_step(hidden, weight, current.clamp(max=999), seed=0, step=0)

    def plain(dtype):
        p = (hidden.to(dtype) @ weight.to(dtype).t()).softmax(1)  # [N, V]
        top, entropy = p.topk(2, dim=1).values, -(p * p.clamp(min=1e-45).log()).sum(1)
        chosen, now = (p.gather(1, t[:, None])[:, 0] for t in (step.token, current.clamp(max=999)))
        return dict(confidence=chosen, best_p=top[:, 0], second_p=top[:, 1], current_p=now, entropy=entropy)

    exact, single = plain(torch.float64), plain(torch.float32)
    for name, value in exact.items():
        # as parts of the value: else one row that is surest outweighs all others, and chance decides
        mine, theirs = ((x.double() / value - 1).norm() for x in (getattr(step, name), single[name]))
        assert mine <= 1.5 * theirs, (name, float(mine / theirs))


def test_noise_is_philox_and_gumbel():
    """The known answers of Random123, and the moments of a Gumbel distribution."""
    for word, expected in (
        (0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (0xFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ):
        one = torch.tensor(word)
        assert tuple(int(x) for x in philox((one,) * 4, (one,) * 2)) == expected
    rows = torch.arange(200)
    noise = gumbel(torch.zeros_like(rows), rows, 0, torch.tensor(0), 1000)
    assert noise.isfinite().all()
    assert abs(float(noise.mean()) - 0.5772) < 0.02 and abs(float(noise.std()) - 1.2825) < 0.02
    assert torch.equal(gumbel(torch.zeros_like(rows), rows, 0, torch.tensor(64), 64), noise[:, 64:128])


def test_noise_changes_with_every_part_of_its_key():
    row = torch.tensor([3])
    base = gumbel(torch.tensor([5]), row, 2, torch.tensor(0), 8)
    for other in (
        gumbel(torch.tensor([6]), row, 2, torch.tensor(0), 8),
        gumbel(torch.tensor([5 + 2**32]), row, 2, torch.tensor(0), 8),
        gumbel(torch.tensor([5]), row + 1, 2, torch.tensor(0), 8),
        gumbel(torch.tensor([5]), row + 2**32, 2, torch.tensor(0), 8),
        gumbel(torch.tensor([5]), row, 3, torch.tensor(0), 8),
        gumbel(torch.tensor([5]), row, 2, torch.tensor(8), 8),
    ):
        assert not (other == base).any()


def test_the_batch_and_the_row_order_do_not_matter():
    """Bitwise: a row alone, in another batch, or shuffled."""
    hidden, weight, current = problem(n=150, v=1000, d=24)
    rows = torch.arange(150)
    whole = sample_step(hidden, weight, current, seed=9, step=1, row_ids=rows)
    shuffled = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    for pick in (rows[:1], rows[40:120], shuffled):
        part = sample_step(hidden[pick], weight, current[pick], seed=9, step=1, row_ids=pick)
        for a, b in zip(whole, part, strict=True):
            assert torch.equal(a[pick], b)
    seeds = torch.where(rows < 75, 9, 10)
    mixed = sample_step(hidden, weight, current, seed=seeds, step=1, row_ids=rows)
    other = sample_step(hidden, weight, current, seed=10, step=1, row_ids=rows)
    assert torch.equal(mixed.token, torch.where(rows < 75, whole.token, other.token))


def test_tiles_do_not_matter(monkeypatch):
    from mdm_core.ops.sample import pytorch as sample_torch

    hidden, weight, current = problem(n=20, v=1000)
    whole = sample_step(hidden, weight, current, temperature=0.8, seed=1, step=0)
    for columns in (128, 256, 512):
        monkeypatch.setattr(sample_torch, "COLUMNS", columns)
        tiled = sample_step(hidden, weight, current, temperature=0.8, seed=1, step=0)
        for a, b in zip(whole, tiled, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_equal_logits_go_to_the_lowest_id():
    logits = torch.zeros(200)
    logits[[70, 30, 150]] = 2.0
    step = sample_step(*fixed(logits, 500), temperature=1.0, top_k=2, seed=0, step=0)
    assert step.best.unique().tolist() == [30] and step.token.unique().tolist() == [30, 70]
    torch.testing.assert_close(step.best_p, step.second_p)
    assert sample_step(*fixed(logits, 1), temperature=0, seed=0, step=0).token.tolist() == [30]


def test_extreme_and_undefined_logits():
    logits = torch.full((130,), -1e4)
    logits[100], logits[3] = 1e4, -torch.inf
    step = sample_step(*fixed(logits, 3), seed=0, step=0)
    assert (
        step.token.tolist() == [100] * 3
        and step.confidence.tolist() == [1.0] * 3
        and step.entropy.abs().max() < 1e-6
    )
    logits[100] = torch.nan
    assert sample_step(*fixed(logits, 3), seed=0, step=0).confidence.isnan().all()  # reported, not hidden


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0}, {"top_k": 1}, {"top_p": 0.5}, {"top_k": 3, "top_p": 0.5}]
)
@pytest.mark.parametrize("bad", [[3], range(7)])
def test_undefined_logits_give_a_token_that_exists_and_no_confidence(options, bad):
    logits = torch.zeros(7)
    logits[list(bad)] = torch.nan
    step = sample_step(*fixed(logits, 3), seed=0, step=0, **options)
    assert (step.token < 7).all() and step.confidence.isnan().all()


def test_mask_id_means_no_current_token():
    hidden, weight, current = problem()
    step = sample_step(hidden, weight, torch.full_like(current, 300), seed=0, step=0)
    assert not step.current_p.any()
    best = sample_step(hidden, weight, step.best, seed=0, step=0)
    torch.testing.assert_close(best.current_p, best.best_p)


def test_half_precision_heads_and_empty_batches():
    hidden, weight, current = problem()
    step = sample_step(hidden, weight.bfloat16(), current, seed=0, step=0)
    exact = sample_step(hidden.bfloat16().float(), weight.bfloat16().float(), current, seed=0, step=0)
    assert step.confidence.dtype == torch.float32
    torch.testing.assert_close(step.entropy, exact.entropy, rtol=0.02, atol=0.02)
    for backend in ("torch", "reference"):
        assert all(
            field.shape == (0,)
            for field in sample_step(hidden[:0], weight, current[:0], seed=0, step=0, backend=backend)
        )


@pytest.mark.parametrize("options", [{}, {"top_k": 50}, {"top_p": 0.9}])
def test_no_tensor_of_all_logits_exists(options):
    """Top-k and top-p keep 64 rows of logits, all else one tile of them."""
    from trainer.bench.measure import peak_bytes

    hidden, weight, current = problem(n=1024, d=8, v=20000)
    extra = peak_bytes(
        lambda: sample_step(hidden, weight, current, temperature=0.9, seed=0, step=0, **options),
        torch.device("cpu"),
    )
    most = (8 << 20) + (64 * 20000 * 4 if options else 0)
    assert extra <= most < 1024 * 20000 * 4 / 6, extra


def test_top_k_changes_the_draw_and_nothing_else():
    hidden, weight, current = problem(v=1000)
    free = sample_step(hidden, weight, current, seed=0, step=0)
    few = sample_step(hidden, weight, current, seed=0, step=0, top_k=3)
    for name in ("best", "best_p", "second_p", "current_p", "entropy"):
        assert torch.equal(getattr(free, name), getattr(few, name)), name


@pytest.mark.parametrize(
    "change",
    [
        dict(temperature=-1.0),
        dict(temperature=float("inf")),
        dict(temperature=float("nan")),
        dict(top_k=0),
        dict(top_p=0.0),
        dict(top_p=1.5),
        dict(seed=2**63),
        dict(step=-1),
        dict(row_ids=torch.arange(3)),
        dict(current=torch.zeros(40)),
        dict(weight=torch.zeros(300, 3)),
        dict(backend="gpu"),
    ],
)
def test_wrong_arguments_are_named_in_one_sentence(change):
    hidden, weight, current = problem()
    with pytest.raises(ValueError, match=r"\.$"):
        sample_step(
            **{"hidden": hidden, "weight": weight, "current": current, "seed": 0, "step": 0, **change}
        )


@pytest.mark.parametrize("backend", ["torch", "reference"])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.4}, {"top_k": 5}, {"temperature": 0}])
def test_rows_that_need_no_token_get_the_best_one_and_change_no_other(backend, options):
    hidden, weight, current = problem(n=150, v=1000, d=24)
    rows = torch.arange(150)
    whole = sample_step(hidden, weight, current, seed=9, step=1, row_ids=rows, backend=backend, **options)
    for draw in (rows % 3 == 0, rows < 0, rows >= 0):
        part = sample_step(
            hidden, weight, current, seed=9, step=1, row_ids=rows, backend=backend, draw=draw, **options
        )
        assert torch.equal(part.token, torch.where(draw, whole.token, whole.best))
        assert torch.equal(part.confidence, torch.where(draw, whole.confidence, whole.best_p))
        for name in ("best", "best_p", "second_p", "current_p", "entropy"):
            assert torch.equal(getattr(part, name), getattr(whole, name)), name


@pytest.mark.parametrize("temperature", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("spread", [0.1, 2.0, 30.0])
def test_blocks_that_are_passed_over_could_not_have_been_drawn(monkeypatch, temperature, spread):
    """Bitwise: with every block summed the same tokens are drawn."""
    from mdm_core.ops.sample import pytorch as sample_torch

    hidden, weight, current = problem(n=100, d=32, v=5000, spread=spread)
    given = {"seed": 3, "step": 2, "temperature": temperature}
    quick, kept, scores = sample_step(hidden, weight, current, **given), [], sample_torch._Scan._scores

    def all_of_them(self, blocked, safe, noise):
        some = scores(self, blocked, safe, noise)
        mass = ((blocked - safe[..., None]) / self.temperature).exp().sum(2)
        every = mass.log() + safe / self.temperature + noise
        kept.append((some > -torch.inf).float().mean())
        assert torch.equal(some[some > -torch.inf], every[some > -torch.inf])
        return every

    monkeypatch.setattr(sample_torch._Scan, "_scores", all_of_them)
    for a, b in zip(quick, sample_step(hidden, weight, current, **given), strict=True):
        assert torch.equal(a, b)
    assert torch.stack(kept).mean() < (0.7 if spread < 1 else 0.5)  # of near-even chances many blocks may win


def test_which_rows_need_a_token_is_said_row_by_row():
    hidden, weight, current = problem(n=4)
    for wrong in (torch.ones(3, dtype=torch.bool), torch.ones(4)):
        with pytest.raises(ValueError, match="draw must say True or False of each row"):
            sample_step(hidden, weight, current, seed=0, step=0, draw=wrong)
