"""The sampling step on a real GPU: the definition, the batch that must not matter, the law of the draws.

Also runs without pytest: `python -m tests.gpu.test_sample_gpu`.
"""

import torch

from mdm_core.ops import sample_step

GPU = torch.device("cuda")


def problem(n, d, v, dtype):
    g = torch.Generator(GPU).manual_seed(n + d + v)
    hidden = (torch.randn(n, d, device=GPU, generator=g) * 3 * d**-0.5).to(dtype).float()
    weight = torch.randn(v, d, device=GPU, generator=g).to(dtype)
    return hidden, weight, torch.randint(0, v + 1, (n,), device=GPU, generator=g)


def equals_the_definition(n, d, v, dtype, temperature):
    hidden, weight, current = problem(n, d, v, dtype)
    options = dict(temperature=temperature, seed=-5, step=3)
    expected = sample_step(hidden, weight.float(), current, backend="reference", **options)
    got = sample_step(hidden, weight, current, backend="triton", **options)
    same = got.token == expected.token
    assert same.float().mean() > 0.99, (dtype, (n, d, v), temperature, float(same.float().mean()))
    for name, a, b in zip(expected._fields, got, expected, strict=True):
        if name not in ("token", "best"):
            torch.testing.assert_close(
                a[same], b[same], rtol=2e-3, atol=2e-5, msg=lambda m, name=name: f"{name}: {m}"
            )


def test_every_temperature_equals_the_definition_fed_the_same_noise():
    for temperature in (0.0, 0.7, 1.0, 2.0):
        equals_the_definition(257, 100, 1000, torch.bfloat16, temperature)


def test_every_size_equals_the_definition_fed_the_same_noise():
    for n, d, v in ((1, 64, 1), (300, 256, 16384), (64, 128, 131072)):
        equals_the_definition(n, d, v, torch.bfloat16, 0.7)


def test_single_precision_equals_the_definition_fed_the_same_noise():
    equals_the_definition(257, 100, 1000, torch.float32, 1.0)
    equals_the_definition(64, 128, 20000, torch.float32, 0.7)


def test_the_batch_and_the_row_order_do_not_matter():
    hidden, weight, current = problem(700, 256, 16384, torch.bfloat16)
    rows = torch.arange(700, device=GPU)
    whole = sample_step(hidden, weight, current, seed=9, step=1, row_ids=rows)
    shuffled = torch.randperm(700, device=GPU)
    for pick in (rows[:1], rows[300:557], shuffled):
        part = sample_step(hidden[pick], weight, current[pick], seed=9, step=1, row_ids=pick)
        for name, a, b in zip(whole._fields, whole, part, strict=True):
            assert torch.equal(a[pick], b), name


def test_draws_follow_the_softmax():
    """The same draws on every device, since noise and logits are: what they add up to is no luck."""
    v, n = 200, 200_000
    logits = (torch.randn(v, generator=torch.Generator().manual_seed(0)) * 1.5).to(GPU)
    weight = torch.zeros(v, 16, device=GPU)
    weight[:, 0] = logits
    hidden = torch.zeros(n, 16, device=GPU)
    hidden[:, 0] = 1.0
    for temperature in (0.5, 1.0, 2.0):
        drawn = sample_step(
            hidden, weight, torch.full((n,), v, device=GPU), temperature=temperature, seed=4, step=0
        ).token
        expected = (logits / temperature).softmax(0) * n
        seen = torch.bincount(drawn, minlength=v).float()
        enough = expected >= 5
        statistic = ((seen - expected).square() / expected)[enough].sum()
        freedom = int(enough.sum())
        assert statistic < freedom + 5 * (2 * freedom) ** 0.5, (temperature, float(statistic), freedom)


if __name__ == "__main__":
    import argparse

    argparse.ArgumentParser(description=__doc__).parse_args()
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("passed", name, flush=True)
