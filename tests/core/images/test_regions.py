"""Masks and locks of any size, mode and alpha lie over their pictures, and none of them is lost silently."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mdm_core.images.regions import as_cells, as_pixels, centre_box, composite, nearest_visible

GRID, SIDE = (16, 16), 128


def lined(size, first, last, mode="L", on=255):
    mask = Image.new(mode, (size, size))
    ImageDraw.Draw(mask).rectangle((first, 0, last, size - 1), fill=on)
    return mask


def cells_of(mask, **more):
    return as_cells(mask, GRID, SIDE, **more)


@pytest.mark.parametrize("size", [100, 127, 128, 130, 333, 512, 1000, 1024, 2048])
def test_a_cell_is_inside_when_any_painted_pixel_of_it_is(size):
    rng = np.random.default_rng(size)
    for x, y in rng.integers(0, size, (12, 2)):
        on = np.zeros((size, size), bool)
        on[y, x] = True  # it covers x..x+1 of `size`, in cells of size / 16
        wanted = np.zeros(GRID, bool)
        rows = range(y * 16 // size, -(-(y + 1) * 16 // size))
        columns = range(x * 16 // size, -(-(x + 1) * 16 // size))
        wanted[np.ix_(rows, columns)] = True
        assert np.array_equal(cells_of(Image.fromarray(on)), wanted)


@pytest.mark.parametrize(
    "size,first,last", [(512, 259, 261), (1024, 517, 523), (2048, 1033, 1047), (1024, 517, 517)]
)
def test_thin_strokes_select_and_lock(size, first, last):
    for name in ("region", "locked"):
        cells = cells_of(lined(size, first, last), name=name)
        assert cells.sum() == 16 and cells.any(0).nonzero()[0].tolist() == [first * 16 // size]


@pytest.mark.parametrize("size", [(512, 256), (256, 512), (500, 333), (768, 256), (129, 128), (90, 200)])
@pytest.mark.parametrize("scale", [1, 0.5, 3])
def test_a_mask_of_the_pictures_aspect_gets_the_pictures_cut(size, scale):
    left, top, right, bottom = centre_box(size, (SIDE, SIDE))
    edge = right - left
    assert edge == bottom - top == min(size)
    mask = Image.new("L", [max(1, round(n * scale)) for n in size])
    at = (left + edge * 0.4, top + edge * 0.6)  # in cell row 9, column 6, whatever the picture
    mask.putpixel([int(v * m / n) for v, m, n in zip(at, mask.size, size, strict=True)], 255)
    cells = cells_of(mask, picture=size)
    assert 1 <= cells.sum() <= 4 and cells[8:11, 5:8].sum() == cells.sum()


def test_repaint_changes_what_lies_under_the_mask_of_a_wide_picture(tiny):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8))
    mask = Image.new("L", picture.size)
    mask.paste(255, (50, 18, 62, 30))  # in the kept square 32..96: row 1, column 1
    run = tiny.repaint(picture, mask, "a cat", seed=1, steps=3, feather=0)
    changed = (np.asarray(run.image) != np.asarray(tiny.fit(picture))).any(-1)
    wanted = np.zeros((4, 4), bool)
    wanted[1, 1] = True
    assert changed.any() and not changed[~np.kron(wanted, np.ones((8, 8), bool))].any()


def test_what_lies_outside_the_cut_is_said(tiny):
    wide = Image.new("RGB", (96, 32), "teal")
    far = Image.new("L", wide.size)
    far.paste(255, (80, 0, 96, 32))
    with pytest.raises(ValueError, match="the region is empty: all of it lies outside the middle"):
        tiny.repaint(wide, far, "a cat", steps=2)
    with pytest.raises(ValueError, match="locked would hold nothing: all of it lies outside the middle"):
        tiny.repaint(wide, range(16), "a cat", locked=far, steps=2)
    nothing = Image.new("L", wide.size)
    assert tiny.repaint(wide, range(16), "a cat", locked=nothing, steps=2).tokens.shape == (4, 4)
    with pytest.raises(ValueError, match="the region is empty"):
        tiny.repaint(wide, nothing, "a cat", steps=2)


@pytest.mark.parametrize("size", [(32, 96), (64, 64), (200, 100), (96, 40)])
def test_a_mask_that_lies_over_nothing_is_refused(tiny, size):
    mask = Image.new("L", size, 255)
    with pytest.raises(ValueError, match=f"region is a mask of {size[0]}x{size[1]} pixels.*96x32"):
        tiny.repaint(Image.new("RGB", (96, 32)), mask, "a cat")
    if size != (64, 64):
        tokens = np.zeros((4, 4), int)
        for call in (tiny.heal, tiny.generate):
            args = (tokens, "a cat") if call == tiny.heal else ("a cat",)
            more = {} if call == tiny.heal else {"tokens": tokens}
            with pytest.raises(ValueError, match="locked is a mask of .* over 32x32"):
                call(*args, locked=mask, **more)


def test_a_mask_on_the_models_own_square_belongs_to_it(tiny):
    picture, mask = Image.new("RGB", (96, 32), "teal"), Image.new("1", (32, 32))
    mask.putpixel((31, 0), 1)
    run = tiny.repaint(picture, mask, "a cat", steps=2)
    assert (run.tokens != tiny.encode(picture)).sum() <= 1 and run.records[0].tokens[3] == 32


@pytest.mark.parametrize(
    "ground,brush",
    [
        ((255, 255, 255, 0), (255, 255, 255, 255)),
        ((0, 0, 0, 0), (0, 0, 0, 255)),
        ((0, 0, 0, 0), (255, 0, 0, 200)),
        ((0, 0, 0, 255), (255, 255, 255, 255)),
        ((0, 0, 0, 255), (255, 0, 0, 255)),
        ((9, 9, 9, 90), (0, 90, 0, 128)),
    ],
)
def test_painted_is_what_a_person_painted(ground, brush):
    mask = Image.new("RGBA", (128, 128), ground)
    ImageDraw.Draw(mask).rectangle((0, 0, 31, 31), fill=brush)
    cells = cells_of(mask)
    assert cells.sum() == 16 and cells[:4, :4].all()


def test_every_mode_of_a_mask():
    painted = np.zeros((128, 128), np.uint8)
    painted[:32, :32] = 255
    grey = Image.fromarray(painted)
    layer = Image.merge("LA", (Image.new("L", grey.size), grey))  # black paint on nothing
    palette = grey.convert("P")
    clear = Image.fromarray(painted // 255).convert("P")
    clear.putpalette([255, 255, 255, 10, 10, 10])
    clear.info["transparency"] = 0
    masks = {
        "1": grey.convert("1"),
        "L": grey,
        "RGB": grey.convert("RGB"),
        "P": palette,
        "LA": layer,
        "P with a transparent colour": clear,
        "RGBa": layer.convert("RGBA").convert("RGBa"),
        "CMYK": grey.convert("CMYK"),
        "I;16": Image.fromarray(painted.astype(np.uint16) * 257),
        "I": Image.fromarray(painted.astype(np.int32) * 257),
        "F": Image.fromarray(painted.astype(np.float32) / 255),
        "F of 255": Image.fromarray(painted.astype(np.float32)),
    }
    for mode, mask in masks.items():
        cells = cells_of(mask)
        assert cells.sum() == 16 and cells[:4, :4].all(), mode
    assert not cells_of(Image.new("RGBA", (128, 128), (255, 255, 255, 0))).any()
    assert not cells_of(Image.fromarray(np.full((128, 128), 200, np.uint16))).any()  # of 65,535: black


def test_a_mask_is_turned_like_its_picture():
    mask = Image.new("L", (64, 32))
    mask.paste(255, (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    mask.info["exif"] = exif.tobytes()
    with pytest.raises(ValueError, match="outside the middle"):  # upright it is the corner at the top right
        as_cells(mask, (4, 4), 32, picture=(32, 64))
    mask.paste(255, (24, 0, 32, 8))  # upright at x 24..32, y 24..32, of which rows 16..48 are kept
    assert [n.tolist() for n in as_cells(mask, (4, 4), 32, picture=(32, 64)).nonzero()] == [[1], [3]]


def test_arrays_whose_meaning_is_clear():
    on = np.zeros((32, 32), bool)
    on[9, 17] = True
    wide = np.zeros((50, 70), bool)
    wide[:, 35] = True
    cells = as_cells(on, (4, 4), 32)
    assert cells.sum() == 1 and cells[1, 2]
    forms = [
        on.astype(np.uint8) * 255,
        on.astype(np.uint8),
        on.astype(np.float32),
        on.astype(int),
        on.astype(float),
        on.astype(int) * 255,
        on[..., None],
        np.repeat(on[..., None].astype(np.uint8) * 255, 3, 2),
        torch.from_numpy(on),
        np.dstack([np.zeros((32, 32, 3), np.uint8), on.astype(np.uint8) * 255]),
        on.astype(float) * 0.7,
        np.kron(on, np.ones((3, 3), bool)),
        cells,
        cells.astype(int),
        [6],
        torch.tensor([6]),
        torch.from_numpy(cells),
        cells.reshape(-1),
    ]
    for i, form in enumerate(forms):
        assert np.array_equal(as_cells(form, (4, 4), 32), cells), i
    assert np.array_equal(as_cells(wide, (4, 4), 32, picture=(70, 50)).nonzero()[1], [2] * 4)
    for unclear in (
        on * 3,
        on * -1,
        on * 300.0,
        on * np.nan,
        on.astype(complex),
        wide,
        on.astype(str),
        on * 0.5 + 1,
    ):
        with pytest.raises(ValueError, match="region"):
            as_cells(unclear, (4, 4), 32)


def test_a_faint_lock_is_not_lost_silently(tiny):
    tokens = np.zeros((4, 4), int)
    soft = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    soft.paste((0, 0, 0, 100), (0, 0, 16, 16))
    for faint in (
        Image.new("L", (32, 32), 90),
        soft,
        np.full((32, 32), 90, np.uint8),
        np.full((32, 32), 0.4),
    ):
        with pytest.raises(
            ValueError, match="nothing in the mask of locked is brighter, or more opaque, than half"
        ):
            tiny.repaint(tokens, range(16), "a cat", locked=faint)
    noise = Image.new("L", (32, 32), 3)  # of a JPEG's black
    assert tiny.repaint(tokens, range(16), "a cat", locked=noise, steps=1).records[0].locked.sum() == 0


def test_locks_hold_in_every_form_and_call(tiny):
    tokens = tiny.generate("a cat", seed=1, steps=2, polish=0).tokens
    lock = Image.new("L", (1000, 1000))
    ImageDraw.Draw(lock).rectangle((301, 0, 303, 999), fill=255)  # three pixels in column 1
    held = np.zeros((4, 4), bool)
    held[:, 1] = True
    hole = np.where(held, tokens, 32)
    runs = [
        tiny.repaint(tokens, range(16), "red", locked=lock, steps=2),
        tiny.repaint(tiny.decode(tokens), Image.new("L", (32, 32), 255), "red", locked=lock, steps=2),
        tiny.generate("red", tokens=hole, locked=lock, steps=2),
        tiny.heal(tokens, "red", locked=lock, edit_threshold=0.0),
        tiny.generate_batch(["red"], [0], tokens=[hole], locked=[lock], steps=2)[0],
    ]
    for run in runs:
        assert np.array_equal(run.records[-1].locked.reshape(4, 4), held)
        first, last = run.records[0].tokens.reshape(4, 4), run.tokens
        assert np.array_equal(first[held], last[held]) and (first[~held] != last[~held]).any()


def test_rectangular_grids():
    cells = as_cells([9], (2, 8), (8, 32))
    assert as_pixels(cells, (32, 8)).nonzero()[0].tolist() == [4] * 4 + [5] * 4 + [6] * 4 + [7] * 4
    mask = Image.new("L", (320, 80))
    mask.paste(255, (41, 41, 50, 50))
    assert np.array_equal(as_cells(mask, (2, 8), (8, 32)), cells)
    a, b = Image.new("RGB", (32, 8), "red"), Image.new("RGB", (32, 8), "blue")
    out = np.asarray(composite(a, b, cells, feather=0))
    assert ((out == (0, 0, 255)).all(-1) == as_pixels(cells, (32, 8))).all()
    assert centre_box((100, 100), (8, 32)) == (0, 37, 100, 62)


def nearest_by_trying(ids, masked):
    """Every cell against every cell: the nearest visible one, then the upper, then the left."""
    B, h, w = ids.shape
    y, x = torch.arange(h * w) // w, torch.arange(h * w) % w
    squared = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2  # [L, L]
    far = squared * h * w + torch.arange(h * w) + masked.view(B, 1, -1) * 10**12
    near = ids.view(B, -1).gather(1, far.argmin(-1)).view(B, h, w)
    return torch.where(masked.all(-1).all(-1)[:, None, None], 0, near)


@given(
    st.integers(1, 4),
    st.integers(1, 17),
    st.integers(1, 17),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0]),
    st.sampled_from(["cells", "rows", "columns"]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=300, deadline=None)
def test_the_nearest_visible_cell_is_the_nearest(B, h, w, share, of, seed):
    rng = torch.Generator().manual_seed(seed)
    shape = {"cells": (B, h, w), "rows": (B, h, 1), "columns": (B, 1, w)}[of]
    masked = (torch.rand(shape, generator=rng) < share).expand(B, h, w).contiguous()
    ids = torch.randperm(B * h * w, generator=rng).view(B, h, w) + 1
    assert torch.equal(nearest_visible(ids, masked), nearest_by_trying(ids, masked))


@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (1, 200), (200, 1)])
@pytest.mark.parametrize("corner", [0, -1])
def test_one_visible_cell_reaches_every_other(shape, corner):
    masked = torch.ones(1, *shape, dtype=torch.bool)
    masked.view(-1)[corner] = False
    ids = torch.arange(1, masked.numel() + 1).view(1, *shape)
    assert (nearest_visible(ids, masked) == ids.view(-1)[corner]).all()


def test_where_nothing_is_masked_nothing_is_done():
    ids = torch.arange(12).view(1, 3, 4)
    assert nearest_visible(ids, torch.zeros(1, 3, 4, dtype=torch.bool)) is ids


def test_memory_of_the_nearest_cell_grows_with_the_cells_alone():
    def bytes_a_cell(side, share):
        masked = torch.rand(1, side, side, generator=torch.Generator().manual_seed(1)) < share
        tracemalloc.start()
        nearest_visible(torch.ones(1, side, side, dtype=torch.int64), masked)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / side**2

    for share in (0.5, 0.999):
        assert bytes_a_cell(256, share) < 1.3 * bytes_a_cell(64, share)
