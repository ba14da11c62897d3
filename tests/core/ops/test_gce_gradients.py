"""What a training run does to the loss's gradient: scale it, want it again, differentiate it."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy

SCHEDULES = [("mean", "rows"), ("sum", "rows"), ("mean", "vocabulary"), ("none", "vocabulary")]
BACKENDS = ["torch", "triton"]
# Triton's interpreter evaluates log(0) and exp(large) with numpy, which warns; both are meant.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def problem(n=24, d=8, v=64, dtype=torch.float32, spread=1.0):
    g = torch.Generator().manual_seed(n + v)
    hidden, weight = torch.randn(n, d, generator=g) * spread, torch.randn(v, d, generator=g)
    return hidden.to(dtype), weight.to(dtype), torch.randint(0, v, (n,), generator=g)


def loss_of(hidden, weight, target, reduction="mean", schedule="auto", backend="torch", **options):
    if backend == "triton":
        pytest.importorskip("triton")
    return linear_grouped_cross_entropy(
        hidden, weight, target, reduction=reduction, schedule=schedule, backend=backend, **options
    )


def gradients(hidden, weight, loss, upstream):
    """By hidden and weight, for an upstream gradient."""
    h, w = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
    found = torch.autograd.grad(loss(h, w) * upstream, (h, w))
    assert not any(g.requires_grad for g in found)  # no graph was asked for
    return found


def relative(value, exact):
    return float((value.double() - exact.double()).norm() / exact.double().norm())


# ---- fp16 with loss scaling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n, d, v", [(4096, 32, 2048), (16384, 32, 1024), (512, 32, 16384)])
@pytest.mark.parametrize("autocast", [False, True])
def test_fp16_gradients_under_loss_scaling_are_as_accurate_as_those_of_pytorch(n, d, v, autocast):
    hidden, weight, target = problem(n, d, v)
    hidden, weight = hidden.half(), weight.mul(0.03).half()
    once = gradients(hidden.double(), weight.double(), lambda h, w: F.cross_entropy(h @ w.t(), target), 1.0)
    if autocast:  # masters in fp32
        hidden, weight = hidden.float(), weight.float()
    for upstream in (1.0, 65536.0):
        exact = [g * upstream for g in once]  # a power of two
        with torch.autocast("cpu", torch.float16, enabled=autocast):
            plain = gradients(
                hidden, weight, lambda h, w: F.cross_entropy((h @ w.t()).float(), target), upstream
            )
        for schedule in ("rows", "vocabulary"):
            with torch.autocast("cpu", torch.float16, enabled=autocast):
                ours = gradients(
                    hidden, weight, lambda h, w, s=schedule: loss_of(h, w, target, schedule=s), upstream
                )
            for name, a, b, c in zip(("hidden", "weight"), ours, plain, exact, strict=True):
                told, errors = (upstream, schedule, name), (relative(a, c), relative(b, c))
                assert a.dtype == hidden.dtype
                assert errors[0] <= max(1.5 * errors[1], 5e-4), (*told, *errors)
                # what is clearly not zero is not lost; sums of rounded parts may cancel to zero
                clear = c.abs() > 2e-3 * c.square().mean().sqrt()
                lost, lost_by_pytorch = (float(((g == 0) & clear).float().mean()) for g in (a, b))
                assert upstream == 1.0 or lost <= lost_by_pytorch + 1e-5, told


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "upstream, weights", [(65536.0, 1e-4), (1e-6, 1e6), (1e20, 1e-20), (1e-20, 1e20), (-1.5, -0.3)]
)
def test_fp16_keeps_its_accuracy_at_any_scale_of_rows_and_upstream(backend, upstream, weights):
    """A sum of rows whose factors are tiny, huge or negative, made up for by the upstream gradient."""
    hidden, weight, target = problem(40, 16, 96)
    hidden, weight = hidden.half(), weight.half()
    factor = torch.linspace(0.5, 1.0, 40) * weights
    exact = gradients(
        hidden.double(),
        weight.double(),
        lambda h, w: loss_of(h, w, target, "sum", backend="reference", row_weight=factor),
        upstream,
    )
    ours = gradients(
        hidden,
        weight,
        lambda h, w: loss_of(h, w, target, "sum", "rows", backend, row_weight=factor),
        upstream,
    )
    for a, c in zip(ours, exact, strict=True):
        assert relative(a, c) < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_fp16_overflow_is_infinite_or_undefined_and_nothing_else_breaks(backend):
    """A scaler finds out by inf or NaN; the next step, with less scale, is right."""
    hidden, weight, target = problem(8, 8, 32)
    hidden, weight = hidden.half(), weight.half()
    for upstream, finite in ((1e9, False), (1.0, True)):
        dh, dw = gradients(
            hidden, weight, lambda h, w: loss_of(h, w, target, "mean", "rows", backend), upstream
        )
        assert bool(dh.isfinite().all()) is finite and bool(dw.isfinite().all()) is finite
    zero = torch.zeros(8)
    dh, dw = gradients(
        hidden, weight, lambda h, w: loss_of(h, w, target, "sum", "rows", backend, row_weight=zero), 1.0
    )
    assert not dh.any() and not dw.any()


def test_gradients_by_only_one_input_have_their_own_unit():
    hidden, weight, target = problem(64, 8, 32)
    hidden, weight = hidden.half(), weight.half()
    both = gradients(hidden, weight, lambda h, w: loss_of(h, w, target), 65536.0)
    h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    (dh,) = torch.autograd.grad(loss_of(h, weight, target) * 65536.0, h)
    (dw,) = torch.autograd.grad(loss_of(hidden, w, target) * 65536.0, w)
    assert torch.equal(dh, both[0]) and torch.equal(dw, both[1])


# ---- differentiated again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reduction, schedule", SCHEDULES)
def test_a_second_derivative_is_refused_in_one_sentence(reduction, schedule, backend, dtype):
    hidden, weight, target = problem(dtype=dtype)

    def loss(h, w):
        return loss_of(h, w, target, reduction, schedule, backend).square().sum()

    body = torch.nn.Linear(8, 8, dtype=dtype)
    x, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    first = torch.autograd.grad(loss(body(x), w), (x, w), create_graph=True)
    expected = torch.autograd.grad(
        loss_of(body(x), w, target, reduction, backend="reference").square().sum(), (x, w)
    )
    # the first one is right all the same
    torch.testing.assert_close(tuple(first), expected, rtol=1e-3, atol=1e-5)
    for wanted in (first[0], first[1]):  # a penalty on the gradient
        for by in (body.weight, w, x):
            with pytest.raises(RuntimeError, match="not twice differentiable"):
                torch.autograd.grad(wanted.square().sum(), by, retain_graph=True)
    for product in (torch.autograd.functional.hvp, torch.autograd.functional.vhp):
        with pytest.raises(RuntimeError, match="not twice differentiable"):
            product(lambda h: loss(h, weight), hidden, hidden)


@pytest.mark.parametrize("reduction, schedule", SCHEDULES)
def test_forward_mode_and_function_transforms_are_refused_in_one_sentence(reduction, schedule):
    hidden, weight, target = problem()

    def loss(h, w, backend="torch"):
        return loss_of(h, w, target, reduction, schedule if backend == "torch" else "auto", backend).sum()

    calls = [
        lambda b: torch.func.grad(loss)(hidden, weight, b),
        lambda b: torch.func.jvp(lambda h: loss(h, weight, b), (hidden,), (hidden,)),
        lambda b: torch.func.hessian(lambda h: loss(h, weight, b))(hidden),
        lambda b: torch.func.vmap(lambda h: loss(h, weight, b))(hidden[None]),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match=r'knows neither .* backend="reference"'):
            call("torch")
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(hidden, hidden)
        with pytest.raises(RuntimeError, match="forward-mode"):
            loss(dual, weight)
        assert forward_ad.unpack_dual(loss(dual, weight, "reference")).tangent is not None
    for call in calls[:3]:
        call("reference")


@pytest.mark.parametrize("reduction, schedule", SCHEDULES)
@pytest.mark.parametrize("reentrant", [False, True])
def test_the_first_derivative_works_under_checkpointing(reduction, schedule, reentrant):
    hidden, weight, target = problem()

    def loss(h, w):
        return loss_of(h.tanh(), w, target, reduction, schedule).sum()

    h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    expected = torch.autograd.grad(loss(h, w), (h, w))
    checkpoint(loss, h, w, use_reentrant=reentrant).backward()
    assert torch.equal(h.grad, expected[0]) and torch.equal(w.grad, expected[1])


def test_a_kept_graph_gives_the_gradient_twice_or_says_no():
    hidden, weight, target = problem()
    for schedule in ("rows", "vocabulary"):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        loss = loss_of(h, w, target, schedule=schedule)
        first = torch.autograd.grad(loss, (h, w), retain_graph=True)
        kept = [g.clone() for g in first]
        if schedule == "rows":
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                torch.autograd.grad(loss, (h, w))
        else:
            assert all(
                torch.equal(a, b) for a, b in zip(torch.autograd.grad(loss, (h, w)), kept, strict=True)
            )
        assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))


# ---- rows that do not count ---------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["torch", "triton", "reference"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("reduction, schedule", SCHEDULES)
def test_what_an_ignored_row_holds_has_no_part_in_anything(backend, dtype, bad, reduction, schedule):
    hidden, weight, target = problem(dtype=dtype)
    target[::3] = -100
    spoilt = hidden.clone()
    spoilt[::3] = bad
    factor = torch.ones(24)
    factor[::3] = torch.nan
    schedule = "auto" if backend == "reference" else schedule
    results = []
    for h, weights in ((hidden, None), (spoilt, factor)):
        h, w = h.requires_grad_(), weight.clone().requires_grad_()
        loss, lse = loss_of(
            h,
            w,
            target,
            reduction,
            schedule,
            backend,
            groups=Groups.lattice((4, 4, 4)),
            z_loss=0.1,
            row_weight=weights,
            return_lse=True,
        )
        results.append((loss.detach(), lse, *torch.autograd.grad(loss.sum(), (h, w))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not results[0][2][::3].any()


@pytest.mark.parametrize("reduction, schedule", SCHEDULES)
def test_gradcheck_passes_over_ignored_rows_of_nan(reduction, schedule):
    hidden, weight, target = problem(9, 4, 14, torch.float64)
    target[::3] = -100
    spoil = torch.zeros(9, 4, dtype=torch.float64)
    spoil[::3] = torch.nan

    def loss(h, w):
        return loss_of(h + spoil, w, target, reduction, schedule)

    assert torch.autograd.gradcheck(loss, (hidden.requires_grad_(), weight.requires_grad_()))


def test_a_row_of_weight_zero_counts_as_in_pytorch():
    """0 times NaN is NaN there too; ignore_index is how a row is left out."""
    hidden, weight, target = problem()
    hidden[3] = torch.nan
    factor = torch.ones(24)
    factor[3] = 0.0
    assert (F.cross_entropy(hidden @ weight.t(), target, reduction="none") * factor).sum().isnan()
    for schedule in ("rows", "vocabulary"):
        loss = loss_of(hidden.clone().requires_grad_(), weight, target, "sum", schedule, row_weight=factor)
        assert loss.isnan()
