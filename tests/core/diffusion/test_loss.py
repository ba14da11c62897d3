"""The objective: masked and visible positions, weighted as the paper's configuration says."""

import math

import pytest
import torch
import torch.nn.functional as F

from mdm_core.diffusion.corruption import Corrupted, CorruptionConfig, corrupt
from mdm_core.diffusion.loss import ObjectiveConfig, bits_per_token, objective
from mdm_core.groups import Groups

V, D, B, L = 64, 16, 4, 32


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(0)
    x0 = torch.randint(0, V, (B, L), generator=g)
    c = corrupt(x0, V, CorruptionConfig(flip=0.3), generator=g)
    hidden = torch.randn(B, L, D, generator=g, requires_grad=True)
    weight = torch.randn(V, D, generator=g) * 0.5
    return hidden, weight, x0, c, Groups.from_ids(torch.arange(V) // 8)


def by_hand(hidden, weight, x0, groups, lam):
    z = (hidden @ weight.T).flatten(0, 1)  # [N, V]
    y = x0.flatten()
    ce = F.cross_entropy(z, y, reduction="none")
    same = groups.group_of[None] == groups.group_of[y][:, None]
    gce = z.logsumexp(1) - z.masked_fill(~same, -math.inf).logsumexp(1)
    return ce + lam * gce


@pytest.mark.parametrize("flipped_only", [False, True])
def test_equals_the_formula(batch, flipped_only):
    hidden, weight, x0, c, groups = batch
    config = ObjectiveConfig(group_weight=0.3, edit_weight=0.2, edit_flipped_only=flipped_only)
    got = objective(hidden, weight, x0, c, groups, config)
    rows = by_hand(hidden, weight, x0, groups, 0.3)
    masked = c.masked.flatten()
    visible = c.flipped.flatten() if flipped_only else ~masked
    want = rows[masked].mean() + 0.2 * rows[visible].mean()
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    (grad,) = torch.autograd.grad(got, hidden, retain_graph=True)
    (want_grad,) = torch.autograd.grad(want, hidden)
    torch.testing.assert_close(grad, want_grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("change", [dict(edit_flipped_only=True), dict(edit_weight=0.0)])
def test_rows_without_weight_are_left_out(batch, change):
    hidden, weight, x0, c, groups = batch
    config = ObjectiveConfig(**change)
    unused = ~c.masked & ~(c.flipped & (config.edit_weight > 0))  # [B, L]
    got = objective(hidden.masked_fill(unused[..., None], math.nan), weight, x0, c, groups, config)
    assert unused.any() and torch.equal(got, objective(hidden, weight, x0, c, groups, config))


def test_nothing_visible_is_no_division_by_zero(batch):
    hidden, weight, x0, _, groups = batch
    all_masked = torch.ones(B, L, dtype=torch.bool)
    c = Corrupted(torch.full_like(x0, V), all_masked, ~all_masked, torch.ones(B))
    assert torch.isfinite(objective(hidden, weight, x0, c, groups))


def test_bits_are_plain_cross_entropy(batch):
    hidden, weight, x0, c, _ = batch
    z = hidden @ weight.T
    want = F.cross_entropy(z[c.masked], x0[c.masked]) / math.log(2)
    assert bits_per_token(hidden, weight, x0, c.masked) == pytest.approx(want.item(), rel=1e-5)


def test_without_groups_it_is_plain_cross_entropy(batch):
    hidden, weight, x0, c, _ = batch
    z = (hidden @ weight.T).flatten(0, 1)
    ce = F.cross_entropy(z, x0.flatten(), reduction="none")
    m = c.masked.flatten()
    got = objective(hidden, weight, x0, c, None)
    torch.testing.assert_close(got, ce[m].mean() + 0.2 * ce[~m].mean(), rtol=1e-5, atol=1e-5)
