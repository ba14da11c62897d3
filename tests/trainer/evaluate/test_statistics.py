"""Our few lines of statistics, spelling and geometry say what SciPy and RapidFuzz say: theirs are the measure here.

The library and the trainer run without them; where they are missing these comparisons are skipped.
"""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdm_core.diffusion.step import halton_rank
from mdm_core.explain.spelling import distance
from mdm_core.images.regions import nearest_visible
from trainer.evaluate.controls import frechet
from trainer.evaluate.scoring import bootstrap_mean, paired_difference, wilson
from trainer.tokenizer.fidelity import ssim

EVIDENCE = Path(__file__).parents[3] / "assets/evidence"


def shares(value):
    """Every recorded share of right pictures, wherever it stands in a record."""
    if isinstance(value, dict):
        if {"right", "n", "share", "low", "high"} <= set(value):
            yield value
        for part in value.values():
            yield from shares(part)
    elif isinstance(value, list):
        for part in value:
            yield from shares(part)


def test_recorded_intervals_are_these_to_the_last_digit():
    told = [s for path in EVIDENCE.glob("*.json") for s in shares(json.loads(path.read_text("utf-8")))]
    assert len(told) > 500
    for s in told:
        low, high = wilson(s["right"], s["n"])
        assert (s["low"], s["high"]) == (round(low, 4), round(high, 4))


@given(st.integers(1, 3000), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_wilson_is_scipys(n, share):
    stats = pytest.importorskip("scipy.stats")
    right = round(share * n)
    wanted = stats.binomtest(right, n).proportion_ci(0.95, "wilson")
    assert wilson(right, n) == pytest.approx((wanted.low, wanted.high), abs=1e-7)


def test_bootstrap_intervals_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    before, after = rng.random(300) < 0.7, rng.random(300) < 0.8
    middle, low, high = paired_difference(before, after, rounds=20_000)
    change = after.astype(float) - before
    wanted = stats.bootstrap((change,), np.mean, n_resamples=20_000, method="percentile", rng=rng)
    assert middle == pytest.approx(change.mean())
    # two draws of 20,000: their ends differ by a few thousandths
    assert (low, high) == pytest.approx(wanted.confidence_interval, abs=0.006)
    alone = bootstrap_mean({"one tag": after.tolist()}, rounds=20_000)
    wanted = stats.bootstrap((after,), np.mean, n_resamples=20_000, method="percentile", rng=rng)
    assert alone[1:] == pytest.approx(wanted.confidence_interval, abs=0.006)


@pytest.mark.parametrize("width", [2, 4, 64])
def test_the_frechet_distance_is_that_of_scipys_matrix_root(width):
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(width)
    a, b = rng.normal(size=(200, width)), 0.2 + 1.3 * rng.normal(size=(150, width))
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one + two - 2 * linalg.sqrtm(one @ two).real)
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("grid", [(4, 4), (2, 8), (16, 16), (5, 7), (32, 32)])
def test_halton_order_is_scipys_sequence(grid):
    qmc = pytest.importorskip("scipy.stats.qmc")
    h, w = grid
    points = qmc.Halton(2, scramble=False).random(60 * h * w)[1:]
    cells = (points[:, 0] * h).astype(int) * w + (points[:, 1] * w).astype(int)
    first = list(dict.fromkeys(cells.tolist()))  # in the order of their first visit
    assert len(first) == h * w
    assert halton_rank(grid)[first].tolist() == list(range(h * w))


@pytest.mark.parametrize("shape", [(16, 16), (9, 31), (1, 40), (64, 64)])
def test_the_nearest_visible_cell_is_as_near_as_scipys(shape):
    ndimage = pytest.importorskip("scipy.ndimage")
    h, w = shape
    masked = torch.rand(1, h, w, generator=torch.Generator().manual_seed(h * w)) < 0.93
    masked[0, 0, -1] = False
    y, x = np.divmod(nearest_visible(torch.arange(h * w).view(1, h, w), masked)[0].numpy(), w)
    rows, columns = np.mgrid[:h, :w]
    wanted = ndimage.distance_transform_edt(masked[0].numpy())
    assert np.allclose(np.hypot(y - rows, x - columns), wanted)
    assert not masked[0].numpy()[y, x].any()


def test_structural_similarity_has_scipys_gaussian_window():
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    x, y = (p.astype(np.float64) @ [0.299, 0.587, 0.114] for p in (a, b))

    def blur(z):
        return ndimage.gaussian_filter(z, 1.5, truncate=3.4)[5:-5, 5:-5]  # a radius of 5, valid places

    mx, my = blur(x), blur(y)
    vx, vy, both = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c, d = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    wanted = ((2 * mx * my + c) * (2 * both + d) / ((mx * mx + my * my + c) * (vx + vy + d))).mean()
    ours = ssim(torch.from_numpy(a)[None], torch.from_numpy(b)[None])
    assert float(ours) == pytest.approx(wanted, abs=1e-4)


def test_spelling_distance_is_rapidfuzzs():
    osa = pytest.importorskip("rapidfuzz.distance").OSA
    rng = random.Random(0)
    for _ in range(20_000):
        a, b = ("".join(rng.choices("abc", k=rng.randrange(9))) for _ in range(2))
        most = rng.randrange(4)
        assert distance(a, b, most) == min(osa.distance(a, b, score_cutoff=most), most + 1)
