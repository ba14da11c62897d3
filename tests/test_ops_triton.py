"""The Triton kernels against the plain formula: on a GPU if there is one, else interpreted, in fp32."""

import os

import pytest
import torch

from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy, sample_step

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is first imported, so before the next line
pytest.importorskip("triton")
# The interpreter evaluates log(0) and exp(large) with numpy, which warns; both are meant.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def both(n, d, v, groups, upstream=None, spread=1.0, ignore=False, **options):
    """(loss, lse, dH, dW) of the Triton backend and of the reference on the same fp32 problem."""
    g = torch.Generator().manual_seed(n + d + v)
    hidden, weight = torch.randn(n, d, generator=g) * spread, torch.randn(v, d, generator=g)
    target = torch.randint(0, v, (n,), generator=g)
    if ignore:
        target[::3] = -100
    results = []
    for backend in ("triton", "reference"):
        h, w = (x.to(DEVICE).requires_grad_() for x in (hidden, weight))
        loss, lse = linear_grouped_cross_entropy(
            h, w, target.to(DEVICE), groups and groups.to(DEVICE), backend=backend, return_lse=True, **options
        )
        loss.backward(torch.ones_like(loss) if upstream is None else upstream.to(loss))
        results.append((loss.detach(), lse, h.grad, w.grad))
    return results


def same(got, expected):
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-6 * max(1.0, float(b.abs().max())))


def mixed(v):
    g = torch.Generator().manual_seed(v)
    return Groups.from_ids(torch.randint(0, max(1, v // 8), (v,), generator=g)) + Groups.knn(
        torch.randn(v, 2, generator=g), min(5, v)
    )


@pytest.mark.parametrize("schedule", ["auto", "vocabulary"])
@pytest.mark.parametrize("n, d, v", [(1, 1, 1), (7, 5, 123), (19, 16, 257)])
def test_gce_equals_the_formula(n, d, v, schedule):
    same(
        *both(
            n, d, v, mixed(v), schedule=schedule, group_weight=(0.3, 0.2), z_loss=0.01, tile_bytes=4 * v * 8
        )
    )
    same(*both(n, d, v, None, schedule=schedule))


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
    from mdm_core.ops import gce_triton

    monkeypatch.setattr(gce_triton, "ONE_SWEEP", 16)
    same(*both(3, 4, 9000, mixed(9000), group_weight=0.5))


@pytest.mark.parametrize("schedule", ["auto", "vocabulary"])
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
