"""The Triton kernels against the plain formula: on a GPU if there is one, else interpreted, in fp32."""

import pytest
import torch

from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy, sample_step

# conftest.py asks for the interpreter where there is no GPU
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton")
# The interpreter evaluates log(0) and exp(large) with numpy, which warns; both are meant.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def both(n, d, v, groups, upstream=None, spread=1.0, ignore=False, need=True, **options):
    """(loss, lse, dH, dW) of the Triton backend and of the reference on the same fp32 problem; need: gradients."""
    g = torch.Generator().manual_seed(n + d + v)
    hidden, weight = torch.randn(n, d, generator=g) * spread, torch.randn(v, d, generator=g)
    target = torch.randint(0, v, (n,), generator=g)
    if ignore:
        target[::3] = -100
    results = []
    for backend in ("triton", "reference"):
        h, w = (x.to(DEVICE).requires_grad_(need) for x in (hidden, weight))
        loss, lse = linear_grouped_cross_entropy(
            h, w, target.to(DEVICE), groups and groups.to(DEVICE), backend=backend, return_lse=True, **options
        )
        if need:
            loss.backward(torch.ones_like(loss) if upstream is None else upstream.to(loss))
        results.append((loss.detach(), lse, h.grad, w.grad) if need else (loss, lse))
    return results


def same(got, expected):
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-6 * max(1.0, float(b.abs().max())))


def mixed(v):
    g = torch.Generator().manual_seed(v)
    return Groups.from_ids(torch.randint(0, max(1, v // 8), (v,), generator=g)) + Groups.knn(
        torch.randn(v, 2, generator=g), min(5, v)
    )


@pytest.mark.parametrize("schedule", ["rows", "vocabulary"])
@pytest.mark.parametrize("n, d, v", [(1, 1, 1), (7, 5, 123), (19, 16, 257)])
def test_gce_equals_the_formula(n, d, v, schedule):
    same(
        *both(
            n, d, v, mixed(v), schedule=schedule, group_weight=(0.3, 0.2), z_loss=0.01, tile_bytes=4 * v * 8
        )
    )
    same(*both(n, d, v, None, schedule=schedule))


@pytest.mark.parametrize("reduction, schedule", [("mean", "rows"), ("mean", "vocabulary"), ("none", "auto")])
def test_gce_error_is_at_most_that_of_plain_pytorch(reduction, schedule):
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(40, 16, generator=g).to(DEVICE), torch.randn(400, 16, generator=g).to(DEVICE)
    target, groups = torch.randint(0, 400, (40,), generator=g).to(DEVICE), mixed(400).to(DEVICE)
    results = []
    for backend, dtype in (
        ("triton", torch.float32),
        ("reference", torch.float32),
        ("reference", torch.float64),
    ):
        h, w = (x.to(dtype, copy=True).requires_grad_() for x in (hidden, weight))
        loss = linear_grouped_cross_entropy(
            h, w, target, groups, reduction=reduction, schedule=schedule, backend=backend, tile_bytes=1 << 15
        )
        loss.backward(torch.linspace(-1, 2, 40).to(loss) if reduction == "none" else None)
        results.append((loss.detach(), h.grad, w.grad))
    for ours, plain, exact in zip(*results, strict=True):
        mine, theirs = ((x.double() - exact).norm() for x in (ours, plain))
        assert mine <= max(1.5 * theirs, 2**-23 * exact.norm()), (float(mine), float(theirs))


def test_gce_rows_with_ignored_targets_weights_and_upstream():
    weights = torch.rand(30, generator=torch.Generator().manual_seed(0), device="cpu").to(DEVICE)
    for reduction in ("mean", "sum", "none"):
        upstream = torch.linspace(-1, 2, 30) if reduction == "none" else torch.tensor(1.3)
        same(
            *both(
                30,
                8,
                200,
                Groups.lattice((10, 10, 2)),
                upstream,
                ignore=True,
                reduction=reduction,
                row_weight=weights,
            )
        )


def test_gce_of_rows_longer_than_one_sweep(monkeypatch):
    from mdm_core.ops.gce import objective_triton as gce_triton

    monkeypatch.setattr(gce_triton, "ONE_SWEEP", 16)
    same(*both(3, 4, 9000, mixed(9000), group_weight=0.5))


@pytest.mark.parametrize("schedule", ["rows", "vocabulary"])
def test_groups_of_one_and_groups_of_everything(schedule):
    same(*both(9, 5, 60, Groups.from_ids(torch.arange(60)), group_weight=0.5, schedule=schedule))
    same(*both(9, 5, 60, Groups.from_ids(torch.zeros(60).int()), group_weight=0.5, schedule=schedule))


@pytest.mark.parametrize("schedule", ["rows", "vocabulary"])
def test_gce_of_huge_logits_stays_exact(schedule):
    same(*both(12, 6, 64, Groups.lattice((4, 4, 4)), spread=3000.0, schedule=schedule))


@pytest.mark.parametrize("n, d, v", [(1, 1, 1), (7, 5, 123), (70, 40, 1000)])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_sampling_equals_the_definition_fed_the_same_noise(n, d, v, temperature):
    g = torch.Generator().manual_seed(v)
    hidden, weight = torch.randn(n, d, generator=g).to(DEVICE), torch.randn(v, d, generator=g).to(DEVICE)
    current = torch.randint(0, v + 1, (n,), generator=g).to(DEVICE)
    options = dict(
        temperature=temperature, seed=-(2**40) + 3, step=5, row_ids=torch.arange(n, device=DEVICE) << 31
    )
    expected = sample_step(hidden, weight, current, backend="reference", **options)
    got = sample_step(hidden, weight, current, backend="triton", **options)
    for name, a, b in zip(expected._fields, got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_batch_the_row_order_and_the_stretches_do_not_matter_to_samples(temperature, monkeypatch):
    """Bitwise for the batch; where the vocabulary is cut, only rounding may differ.

    The operands are small quarters, so that the product is exact: the interpreter leaves it to numpy, and some BLAS
    kernels add up a row's terms by its place in the tile.
    """
    from mdm_core.ops import product_triton

    g = torch.Generator().manual_seed(3)
    hidden = torch.randint(-8, 9, (70, 8), generator=g).to(DEVICE) / 4
    weight = torch.randint(-8, 9, (300, 8), generator=g).to(DEVICE) / 4
    current = torch.randint(0, 301, (70,), generator=g).to(DEVICE)
    rows = torch.arange(70, device=DEVICE)
    options = dict(temperature=temperature, seed=9, step=1, backend="triton")
    whole = sample_step(hidden, weight, current, row_ids=rows, **options)
    for pick in (rows[30:31], torch.randperm(70, generator=g).to(DEVICE)):
        part = sample_step(hidden[pick], weight, current[pick], row_ids=pick, **options)
        for a, b in zip(whole, part, strict=True):
            assert torch.equal(a[pick], b)
    for columns in (64, 256):
        monkeypatch.setattr(product_triton, "SHORT", columns)
        for a, b in zip(whole, sample_step(hidden, weight, current, row_ids=rows, **options), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_rows_may_be_views_that_skip_or_repeat():
    g = torch.Generator().manual_seed(4)
    hidden, weight = torch.randn(24, 8, generator=g).to(DEVICE), torch.randn(150, 8, generator=g).to(DEVICE)
    current = torch.randint(0, 151, (24,), generator=g).to(DEVICE)
    ids, seed = torch.arange(24, device=DEVICE), torch.tensor([5], device=DEVICE).expand(12)
    options = dict(step=2, backend="triton")
    views = sample_step(hidden[::2], weight, current[::2], seed=seed, row_ids=ids[::2], **options)
    arrays = [x[::2].clone() for x in (hidden, current, ids)]
    plain = sample_step(arrays[0], weight, arrays[1], seed=5, row_ids=arrays[2], **options)
    assert all(torch.equal(a, b) for a, b in zip(views, plain, strict=True))


def test_extreme_undefined_and_equal_logits_and_no_rows_in_sampling():
    logits = torch.full((130,), -1e4)
    logits[100], logits[3] = 1e4, -torch.inf
    hidden = torch.zeros(3, 2, device=DEVICE)
    hidden[:, 0] = 1.0
    current = torch.full((3,), 130, device=DEVICE)

    def drawn(values, **options):
        weight = torch.stack([values, torch.zeros_like(values)], 1).to(DEVICE)
        return sample_step(hidden, weight, current, seed=0, step=0, backend="triton", **options)

    step = drawn(logits)
    assert step.token.tolist() == [100] * 3 and step.confidence.tolist() == [1.0] * 3
    assert float(step.entropy.abs().max()) < 1e-6 and not step.current_p.any() and not step.second_p.any()
    logits[100] = torch.nan
    assert drawn(logits).confidence.isnan().all()  # reported, not hidden
    equal = torch.zeros(200)
    equal[[30, 70, 150]] = 2.0
    current = torch.full((3,), 200, device=DEVICE)
    step = drawn(equal, temperature=0.0)
    assert step.token.tolist() == step.best.tolist() == [30] * 3
    torch.testing.assert_close(step.best_p, step.second_p)
    hidden, current = hidden[:0], current[:0]
    assert all(field.shape == (0,) for field in drawn(equal))


def test_gce_reports_undefined_logits_and_takes_no_rows():
    weight = torch.ones(12, 2, device=DEVICE)
    weight[5] = torch.nan
    hidden, target = torch.ones(3, 2, device=DEVICE), torch.tensor([0, 1, 5], device=DEVICE)
    groups = Groups.from_ids(torch.arange(12) // 4).to(DEVICE)
    for reduction in ("mean", "none"):
        for need in (False, True):
            loss = linear_grouped_cross_entropy(
                hidden.requires_grad_(need), weight, target, groups, reduction=reduction, backend="triton"
            )
            assert loss.isnan().all(), (reduction, need)
            nothing = linear_grouped_cross_entropy(
                hidden[:0], weight, target[:0], groups, reduction=reduction, backend="triton"
            )
            assert not nothing.any() and nothing.shape == ((0,) if reduction == "none" else ())


def test_streaming_in_several_stretches_and_with_patches_too_large_for_its_kernel(monkeypatch):
    from mdm_core.ops import product_triton
    from mdm_core.ops.gce import objective_triton as gce_triton
    from mdm_core.ops.gce import pytorch as gce_torch
    from mdm_core.ops.gce import schedules as gce_schedules
    from mdm_core.ops.gce import stream_triton as gce_stream_triton

    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(37, 6, generator=g).to(DEVICE), torch.randn(300, 6, generator=g).to(DEVICE)
    target, groups = torch.randint(0, 300, (37,), generator=g).to(DEVICE), mixed(300).to(DEVICE)
    table = gce_triton.view(list(groups.patch_table()), [1, 1], 300, hidden.device)
    keep = gce_triton.patch_of(table, target).keep  # [N, K]
    coefficients, slots = [1.0, 0.3, 0.2], keep.shape[1]

    def close(got, expected):
        for name in ("top", "lse", "loss", "rest"):
            torch.testing.assert_close(getattr(got, name), getattr(expected, name), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(got.slot[keep], expected.slot[keep], rtol=1e-4, atol=1e-5)

    def schedule(view, engine):
        return gce_schedules.streaming(
            hidden, weight, target, view, coefficients, 0.01, slots, 1 << 20, True, engine
        )

    expected = schedule(groups.levels, gce_torch)
    close(schedule(table, gce_triton), expected)  # the library's products and a kernel per tile
    for columns in (1024, 64):  # one stretch, and five
        monkeypatch.setattr(product_triton, "SHORT", columns)
        close(gce_stream_triton.streaming(hidden, weight, target, table, coefficients, 0.01, True), expected)
    for tokens in (gce_stream_triton.SLOTS, 0):  # the loss alone, by either way
        monkeypatch.setattr(gce_stream_triton, "SLOTS", tokens)
        same(
            *both(37, 6, 300, mixed(300), reduction="none", need=False, group_weight=(0.3, 0.2), z_loss=0.01)
        )


@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_half_precision_where_a_gradient_follows_later(spread):
    """Rows that are sure need logits that are rounded alike in both passes (spread 8: logits of 24 and more)."""
    g = torch.Generator().manual_seed(0)
    hidden = (torch.randn(60, 16, generator=g) * spread / 4).half().to(DEVICE)
    weight = torch.randn(200, 16, generator=g).half().to(DEVICE)
    target = (hidden.float() @ weight.float().t()).argmax(1)
    target[::2] = torch.randint(0, 200, (30,), generator=g).to(DEVICE)
    upstream, results = torch.linspace(-1, 2, 60, device=DEVICE), []
    for backend, dtype in (("triton", torch.half), ("reference", torch.half), ("reference", torch.double)):
        h, w = (x.to(dtype, copy=True).requires_grad_() for x in (hidden, weight))
        loss = linear_grouped_cross_entropy(
            h, w, target, mixed(200).to(DEVICE), reduction="none", backend=backend
        )
        loss.backward(upstream.to(loss))
        results.append((loss.detach(), h.grad, w.grad))
    for ours, plain, exact in zip(*results, strict=True):
        mine, theirs = ((x.double() - exact).norm() for x in (ours, plain))
        assert mine <= 1.5 * theirs, (float(mine), float(theirs))


def test_offsets_are_64_bit():
    """Rows so far apart that the second begins beyond 2^31 elements; the memory between is never touched."""
    from mdm_core.ops.gce import objective_triton as gce_triton
    from mdm_core.ops.gce import pytorch as gce_torch

    stride = 2**31 + 65
    store = torch.empty(stride + 65, dtype=torch.float16, device=DEVICE)
    far = store.as_strided((2, 65), (stride, 1))  # 64 tokens, and the spare column of part of a vocabulary
    logits = torch.randn(2, 65, generator=torch.Generator().manual_seed(0)).half().to(DEVICE)
    target, scale = torch.tensor([3, 40], device=DEVICE), torch.tensor([1.0, 2.0], device=DEVICE)
    groups = Groups.lattice((4, 4, 4)).to(DEVICE)
    table = gce_triton.view(list(groups.patch_table()), [groups.levels[0].width], 64, far.device)

    def rows(engine, tile, view, patch):
        return engine.rows_(tile[:, :64], view, target, scale, [1.0, 0.2], 0.0)

    def absorb(engine, tile, view, patch):
        top, rest = torch.full((2,), -torch.inf, device=DEVICE), torch.zeros(2, device=DEVICE)
        patch_logits = torch.zeros(patch.ids.shape, device=DEVICE)
        engine.absorb_(tile, 0, patch, top, rest, patch_logits)
        return top, rest, patch_logits.where(patch.keep, 0)

    def gradient(engine, tile, view, patch):
        slot = torch.linspace(0.1, 0.9, patch.ids.numel(), device=DEVICE).view(patch.ids.shape)
        slot = slot.where(patch.keep, slot[:, :1])  # a token's slots hold one value
        top, factor = torch.tensor([2.0, 3.0], device=DEVICE), torch.tensor([0.5, 0.7], device=DEVICE)
        engine.tile_gradient_(tile, 0, patch, gce_torch.Stats(top, top, top, slot, factor), scale)
        return ()

    for kernel in (rows, absorb, gradient):
        near = logits.clone()
        far.copy_(logits)
        expected = kernel(gce_torch, near, groups.levels, gce_torch.patch_of(groups.levels, target))
        got = kernel(gce_triton, far, table, gce_triton.patch_of(table, target))
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(far[:, :64].contiguous(), near[:, :64].contiguous(), rtol=2e-3, atol=1e-5)


def test_a_unit_upstream_gradient_leaves_the_gradients_alone():
    from mdm_core.ops.gce import objective_triton as gce_triton

    values = torch.randn(20_000, device=DEVICE)
    kept = values.clone()
    gce_triton.scale_(values, torch.ones((), device=DEVICE))
    assert torch.equal(values, kept)
    gce_triton.scale_(values, torch.tensor(-0.5, device=DEVICE))
    assert torch.equal(values, kept * -0.5)


def test_double_precision_goes_to_the_torch_backend():
    g = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(9, 4, generator=g).double().to(DEVICE).requires_grad_() for _ in range(2))
    target = torch.arange(9, device=DEVICE)
    loss = linear_grouped_cross_entropy(hidden, weight, target, backend="triton")
    exact = torch.nn.functional.cross_entropy(hidden @ weight.t(), target)
    torch.testing.assert_close(loss, exact, rtol=1e-12, atol=0)
    for a, b in zip(*(torch.autograd.grad(x, (hidden, weight)) for x in (loss, exact)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-14)
    step = sample_step(hidden.detach(), weight.detach(), target, seed=0, step=0, backend="triton")
    assert (step.token < 9).all() and step.entropy.isfinite().all()
