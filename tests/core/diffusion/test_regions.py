"""Regions that are repainted: their shapes, and corruption within them."""

import pytest
import torch

from mdm_core.diffusion.corruption import CorruptionConfig, corrupt
from mdm_core.diffusion.regions import boxes, draw_regions, halves, rectangles, strokes

V = 64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [rectangles, strokes, halves])
@pytest.mark.parametrize("grid", [(32, 32), (8, 12), (1, 2)])
def test_every_region_has_a_cell_and_leaves_one(shape, grid):
    drawn = shape(400, grid, generator(1))
    assert drawn.shape == (400, *grid) and drawn.dtype == torch.bool
    assert drawn.flatten(1).any(1).all() and not drawn.flatten(1).all(1).any()
    assert torch.equal(drawn, shape(400, grid, generator(1)))


def test_shapes_are_what_they_are_called():
    share = {f: f(500, (32, 32), generator(2)).float().mean((1, 2)) for f in (rectangles, strokes, halves)}
    assert share[rectangles].min() > 0.02 and share[rectangles].max() < 0.6
    assert share[strokes].mean() < 0.3
    assert share[halves].min() > 0.2 and share[halves].max() < 0.8
    some = rectangles(100, (32, 32), generator(3))
    for mask in some:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None])
    everything = draw_regions(300, (32, 32), generator(4), "cpu")
    assert everything.flatten(1).any(1).all()


def test_boxes_cover_the_cells_they_touch():
    corners = torch.tensor([[[8, 0, 24, 9], [0, 0, 0, 0]], [[31, 31, 32, 32], [0, 24, 8, 32]]])
    mask = boxes(corners, (4, 4), 8)
    assert mask[0].nonzero().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    assert mask[1].nonzero().tolist() == [[3, 0], [3, 3]]
    assert boxes(corners[1:, :1], (4, 4), 8, border=1)[0].sum() == 4


def test_pictures_lose_tokens_within_their_region_only():
    x0 = torch.randint(V, (400, 256), generator=generator(5))
    config = CorruptionConfig(flip=0.3, region=1.0)
    out = corrupt(x0, V, config, generator=generator(6))
    changed = (out.zt != x0).view(400, 16, 16)
    # the same draws again: the region of each picture
    again = corrupt(x0, V, config, generator=generator(6))
    assert torch.equal(out.zt, again.zt) and (out.masked.sum(1) >= 1).all()
    whole = changed.flatten(1).float().mean(1)
    assert whole.max() < 0.9 and whole.mean() < 0.4
    thing = torch.zeros(400, 256, dtype=torch.bool)
    thing[:, 30:34] = True
    out = corrupt(x0, V, config, generator=generator(7), things=thing)
    inside = (out.zt == x0)[:, ~thing[0]].all(1)
    assert 0.4 < inside.float().mean() < 0.6


def test_without_regions_nothing_is_drawn_otherwise_than_before():
    x0 = torch.randint(V, (16, 64), generator=generator(8))
    plain = corrupt(x0, V, CorruptionConfig(), generator=generator(9))
    same = corrupt(x0, V, CorruptionConfig(region=0.0), generator=generator(9), grid=(4, 16))
    assert torch.equal(plain.zt, same.zt)
    share = corrupt(x0.repeat(50, 1), V, CorruptionConfig(flip=0.0, region=0.25), generator=generator(9))
    assert (share.masked.sum(1) == 64).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="region must be a number from 0 to 1"):
        CorruptionConfig(region=1.5)
    with pytest.raises(ValueError, match="exclude each other"):
        CorruptionConfig(region=0.5, complementary=True)
    with pytest.raises(ValueError, match="no square"):
        corrupt(torch.zeros(2, 12, dtype=torch.int64), V, CorruptionConfig(region=0.5))
