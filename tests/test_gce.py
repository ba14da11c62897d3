"""Grouped cross-entropy: the chunked backend against the plain formula, at the edges a trainer meets."""

import pytest
import torch
import torch.nn.functional as F

from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy


def problem(n=33, d=7, v=96, dtype=torch.float64, seed=0, spread=1.0):
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, d, generator=g, dtype=torch.float64).mul(spread).to(dtype).requires_grad_()
    weight = torch.randn(v, d, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(0, v, (n,), generator=g)


def some_groups(v, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Groups.from_ids(torch.randint(0, max(1, v // 8), (v,), generator=g)) + Groups.knn(
        torch.randn(v, 3, generator=g), min(5, v)
    )


def run(hidden, weight, target, groups=None, upstream=None, **options):
    """Loss and both gradients, on fresh leaves."""
    hidden, weight = hidden.detach().clone().requires_grad_(), weight.detach().clone().requires_grad_()
    loss = linear_grouped_cross_entropy(hidden, weight, target, groups, **options)
    loss.backward(torch.ones_like(loss) if upstream is None else upstream.to(loss.dtype))
    return loss.detach(), hidden.grad, weight.grad


@pytest.mark.parametrize("schedule", ["auto", "vocabulary"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_every_schedule_equals_the_formula(reduction, schedule):
    hidden, weight, target = problem()
    target[::5] = -100
    upstream = torch.linspace(-1, 2, 33) if reduction == "none" else torch.tensor(1.7)
    options = dict(
        groups=some_groups(96), upstream=upstream, reduction=reduction, group_weight=(0.3, 0.2), z_loss=0.01,
        ce_weight=0.8, row_weight=torch.rand(33, generator=torch.Generator().manual_seed(5)), schedule=schedule,
    )  # fmt: skip
    for expected, *got in zip(
        run(hidden, weight, target, backend="reference", **options),
        run(hidden, weight, target, backend="torch", **options),
        run(hidden, weight, target, backend="torch", tile_bytes=9000, **options),
        strict=True,
    ):
        for value in got:
            torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)


def test_no_group_weight_is_plain_cross_entropy():
    hidden, weight, target = problem()
    expected = F.cross_entropy(hidden @ weight.t(), target)
    loss = linear_grouped_cross_entropy(hidden, weight, target, some_groups(96), group_weight=0.0)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(
        torch.autograd.grad(loss, (hidden, weight)), torch.autograd.grad(expected, (hidden, weight)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
