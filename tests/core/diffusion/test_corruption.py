"""The forward process: how many tokens are masked and flipped, and what flips look like."""

import pytest
import torch

from mdm_core.diffusion.corruption import CorruptionConfig, corrupt
from mdm_core.groups import Groups

V, L = 64, 100


def tokens(b=64):
    return torch.randint(0, V, (b, L), generator=torch.Generator().manual_seed(0))


def make(config, b=64, **more):
    return corrupt(tokens(b), V, config, generator=torch.Generator().manual_seed(1), **more)


def test_masks_are_exactly_the_ratio_and_nothing_else_is_masked():
    x0, c = tokens(), make(CorruptionConfig())
    assert (c.masked.sum(1) == (c.ratio * L).round().clamp(1, L)).all()
    assert ((c.zt == V) == c.masked).all()
    kept = ~c.masked & ~c.flipped
    assert (c.zt[kept] == x0[kept]).all()
    assert (c.zt[c.flipped] != x0[c.flipped]).all() and (c.zt[c.flipped] < V).all()
    assert not (c.flipped & c.masked).any()


def test_flip_share_is_what_was_asked():
    c = make(CorruptionConfig(flip=0.3), b=400)
    share = c.flipped.sum() / (~c.masked).sum()
    assert abs(share - 0.3) < 0.02  # about 14,000 visible tokens: four standard errors


def test_group_flips_stay_in_the_group():
    groups = Groups.from_ids(torch.arange(V) // 8)
    x0 = tokens()
    c = make(CorruptionConfig(flip=0.5, flip_uniform=0.0, flip_group=1.0), groups=groups)
    assert c.flipped.sum() > 500
    assert (c.zt[c.flipped] // 8 == x0[c.flipped] // 8).all()
    assert set((c.zt - x0)[c.flipped].unique().tolist()) == set(range(-7, 8)) - {0}


def test_self_flips_ask_the_draft_where_it_sees_masks():
    def draft(zt, where):
        assert (zt[where] == V).all()
        return torch.full((int(where.sum()),), 5)

    x0 = tokens()
    c = make(CorruptionConfig(flip=0.5, flip_uniform=0.0, flip_self=1.0), draft=draft)
    assert (c.zt[c.flipped] == 5).all() and c.flipped.any()
    assert not c.flipped[x0 == 5].any()  # a right guess is no flip


def test_complementary_pairs_mask_every_token_once():
    c = make(CorruptionConfig(complementary=True))
    a, b = c.masked[:32], c.masked[32:]
    assert (a ^ b).float().mean() > 0.999  # all but images that were masked whole
    assert (a | b).all()


def test_what_is_needed_is_said():
    with pytest.raises(ValueError, match="needs groups"):
        make(CorruptionConfig(flip_uniform=0, flip_group=1))
    with pytest.raises(ValueError, match="needs a draft"):
        make(CorruptionConfig(flip_uniform=0, flip_self=1))
    with pytest.raises(ValueError, match="flip must be"):
        CorruptionConfig(flip=1.0)
