"""No number comes from memory that nobody wrote: every operator, schedule, backend and type, a training step, a run."""

import pytest
import torch
from memory_guard import poisoned_memory, products_keep_away_from_nan, reach_of

from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy, sample_step

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
SIZES = [(1, 1, 1), (33, 7, 65), (65, 33, 131), (131, 65, 500), (70, 126, 97), (40, 64, 256)]
SCHEDULES = [("mean", "rows"), ("sum", "rows"), ("mean", "vocabulary"), ("none", "vocabulary")]
# Triton's interpreter evaluates log(0) and exp(large) with numpy, which warns; both are meant.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def poisoned():
    with poisoned_memory():
        yield


def problem(n, d, v, dtype, view):
    """hidden, weight, target; view: the operands stand in the middle of memory that nobody wrote."""
    g = torch.Generator().manual_seed(n + d + v)
    found = []
    for rows in (n, v):
        values = torch.randn(rows, d, generator=g)
        if view:
            store = torch.empty(rows + 2, d + 40, dtype=dtype)
            store[1:-1, 3 : d + 3] = values
            found.append(store[1:-1, 3 : d + 3])
        else:
            found.append(values.to(dtype))
    return *found, torch.randint(0, v, (n,), generator=g)


def some_groups(v):
    g = torch.Generator().manual_seed(v)
    labels = torch.randint(0, max(1, v // 8), (v,), generator=g)
    return Groups.from_ids(labels) + Groups.knn(torch.randn(v, 2, generator=g), min(5, v))


def assert_right(dtype, got, expected):
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.06, torch.float16: 0.01}[dtype]
    for a, b in zip(got, expected, strict=True):
        assert a.isfinite().all()
        assert (a.double() - b.double()).abs().max() <= tolerance * max(1e-6, float(b.abs().max()))


def test_the_guard_sees_what_an_amx_product_would_read():
    store = torch.empty(40, 70, dtype=torch.bfloat16)
    view = store[:, :65]
    view.fill_(1.0)
    assert reach_of(view).shape == (40, 5) and reach_of(view).isnan().all()
    assert reach_of(view.t()).shape == (40, 5) and reach_of(store) is None
    with pytest.raises(AssertionError, match="mm"), products_keep_away_from_nan():
        view @ torch.ones(65, 3, dtype=torch.bfloat16)
    store[:, 65:] = 0
    with products_keep_away_from_nan() as seen:
        view @ torch.ones(65, 3, dtype=torch.bfloat16)
    assert seen.count == 1


@pytest.mark.parametrize("backend", ["torch", "triton", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("view", [False, True])
def test_no_loss_or_gradient_comes_from_unwritten_memory(backend, dtype, view):
    """Tiles of a part of the vocabulary, of a few rows and of everything; every second row ignored, or none."""
    if backend == "triton":
        pytest.importorskip("triton")
    sizes, schedules = SIZES, SCHEDULES
    if backend == "reference":
        schedules = SCHEDULES[2:]
    elif backend == "triton" and dtype == torch.bfloat16:
        # its interpreter multiplies bf16 wrongly: PyTorch's products
        sizes, schedules = (
            SIZES[:3],
            SCHEDULES[:1],
        )
    elif backend == "triton" and dtype != torch.float64:
        sizes, schedules = SIZES[:2], SCHEDULES[1::2]  # each of its products takes the interpreter long
    for n, d, v in sizes:
        hidden, weight, target = problem(n, d, v, dtype, view)
        for reduction, schedule in schedules:
            for tile_bytes, ignored in ((None, 0), (v * 40, n // 2)):
                label = target.clone()
                label[:ignored] = -100
                groups = some_groups(v) if ignored else None
                results = []
                for how in (backend, "exact"):
                    h, w = hidden.detach(), weight.detach()
                    if how == "exact":
                        h, w = h.double(), w.double()
                    h, w = h.requires_grad_(), w.requires_grad_()
                    options = dict(backend=backend, schedule=schedule, tile_bytes=tile_bytes)
                    with products_keep_away_from_nan() as seen:
                        loss, lse = linear_grouped_cross_entropy(
                            h,
                            w,
                            label,
                            groups,
                            reduction=reduction,
                            return_lse=True,
                            **(options if how == backend else {"backend": "reference"}),
                        )
                        gradients = torch.autograd.grad(loss.sum(), (h, w))
                    assert seen.count >= 3
                    results.append((loss.detach(), lse, *gradients))
                assert_right(dtype, *results)
        if backend != "triton" or dtype == torch.float64:
            with products_keep_away_from_nan():
                loss = linear_grouped_cross_entropy(hidden, weight, target, backend=backend)
            assert loss.isfinite()


@pytest.mark.parametrize("backend", ["torch", "triton", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_sample_comes_from_unwritten_memory(backend, dtype):
    if backend == "triton":
        pytest.importorskip("triton")
        if dtype == torch.bfloat16:
            pytest.skip("the interpreter multiplies bf16 wrongly")
    choices = [{}, {"temperature": 0.0}, {"top_k": 5}, {"top_p": 0.7}]
    for n, d, v in SIZES if backend != "triton" else SIZES[:2]:  # its interpreter takes seconds a call
        hidden, weight, target = problem(n, d, v, dtype, view=True)
        h, w = hidden.clone(), weight.clone()
        for options in choices if backend != "triton" else choices[:2]:
            with products_keep_away_from_nan():
                step = sample_step(hidden, weight, target, seed=3, step=1, backend=backend, **options)
            other = sample_step(h, w, target, seed=3, step=1, backend=backend, **options)
            for a, b in zip(step, other, strict=True):
                assert torch.equal(a, b) and (not a.is_floating_point() or a.isfinite().all())


@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_without_any_number_draws_the_same_token_every_time(backend, temperature):
    """NaN logits win no block, so nothing was kept of one: the token may not come from what memory holds."""
    if backend == "triton":
        pytest.importorskip("triton")
    weight, current = torch.full((300, 4), torch.nan), torch.full((3,), 300)
    hidden, options = torch.ones(3, 4), dict(temperature=temperature, seed=0, step=0, backend=backend)
    step = sample_step(hidden, weight, current, **options)
    assert step.confidence.isnan().all() and step.token.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_row_of_nan_does_not_reach_the_rows_beside_it(dtype):
    """An AMX product reads on into the next row."""
    hidden, weight, target = problem(70, 65, 131, dtype, view=False)
    bad = hidden.clone()
    bad[5] = torch.nan
    rest = torch.arange(70) != 5
    one, other = (sample_step(h, weight, target, seed=0, step=0) for h in (hidden, bad))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a[rest], b[rest])
    results = []
    for h in (hidden, bad):
        h = h.detach().requires_grad_()
        loss = linear_grouped_cross_entropy(h, weight, target, reduction="none")
        results.append((loss.detach()[rest], torch.autograd.grad(loss.sum(), h)[0][rest]))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_training_step_and_a_run_come_from_written_memory(tiny, tmp_path):
    """bf16 products under autocast, drafts, Muon and the average; then sampling with edits, guidance and polish."""
    from tiny_run import codec_folder, tiny_run, whole_state

    with products_keep_away_from_nan() as seen:
        trainer = tiny_run(
            codec_folder(tmp_path / "codec"), tmp_path / "run", steps=2, precision="bf16", log_every=1
        )
        trainer.run()
    assert seen.count > 50
    for name, value in whole_state(trainer)["tensors"].items():
        assert not value.is_floating_point() or value.isfinite().all(), name
    with products_keep_away_from_nan() as seen:
        run = tiny.generate("a cat on a red background", seed=3, steps=4)
    assert seen.count > 50
    again = tiny.generate("a cat on a red background", seed=3, steps=4)
    assert (run.tokens == again.tokens).all()
