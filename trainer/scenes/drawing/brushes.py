"""Brushes for the grounds of the world: each takes a canvas and gives a new one.

Places and lengths are shares of the picture's side, colours are RGB of 0 to 255. A canvas is a function of points, so
that a ground can be painted at any size; edges are soft over about a pixel of 256. Whatever looks random is drawn
from a seed, so that the same look is always the same picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RGB = tuple[int, int, int]
SOFT = 1 / 256  # width of an edge


@dataclass(frozen=True)
class Canvas:
    """x, y float [h, w] in 0..1 -> colours float [h, w, 3]."""

    at: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def pixels(self, image: int) -> np.ndarray:
        """The picture at `image` pixels a side: uint8 [image, image, 3]."""
        line = (np.arange(image) + 0.5) / image
        x, y = np.meshgrid(line, line)
        return np.clip(np.round(self.at(x, y)), 0, 255).astype(np.uint8)

    def over(self, rgb: RGB | Canvas, alpha: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Canvas:
        """This canvas under a colour, or another canvas, laid on as thickly as alpha says (0 to 1)."""

        def at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            a = np.clip(alpha(x, y), 0, 1)[..., None]
            top = rgb.at(x, y) if isinstance(rgb, Canvas) else np.array(rgb, np.float64)
            return self.at(x, y) * (1 - a) + top * a

        return Canvas(at)

    def below(self, edge: float, other: Canvas, until: float = 2.0) -> Canvas:
        """Another canvas from one height down to a second."""
        return self.over(other, lambda x, y: _step(y - edge) * _step(until - y))

    def checkered(self, edge: float, near: RGB, dark: RGB) -> Canvas:
        """A floor of squares below the horizon, seen in perspective."""

        def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            depth = np.maximum(y - edge + 0.28, 1e-3)
            u, v = (x - 0.5) / depth * 2.2, 2.6 / depth
            width = np.maximum(2 * SOFT * 2.2 / depth, 2 * SOFT * 2.6 / depth**2)
            wave = _square(u, width) * _square(v, width)
            return (0.5 - 0.5 * wave) * _step(y - edge)

        return self.over(fade(((edge, near), (1.0, dark))), alpha)

    def bricks(self, mortar: RGB) -> Canvas:
        """Rows of bricks: the joints between them."""

        def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            row = np.floor(y * 16)
            joint = np.minimum((y * 16) % 1, 1 - (y * 16) % 1) / 16
            side = (x * 8 + 0.5 * (row % 2)) % 1
            across = np.minimum(side, 1 - side) / 8
            return 0.8 * _step(0.006 - np.minimum(joint, across))

        return self.over(mortar, alpha)


def _step(distance: np.ndarray) -> np.ndarray:
    """0 where negative, 1 where positive, soft between."""
    return np.clip(distance / SOFT + 0.5, 0, 1)


def _square(t: np.ndarray, width: np.ndarray) -> np.ndarray:
    """A wave of squares, +1 and -1, with flanks as wide as asked for, and grey where they are finer than that."""
    phase = np.abs((t % 2) - 1) - 0.5
    return np.clip(phase / np.maximum(width, 1e-4), -1, 1) * np.clip(1.5 - width, 0, 1)


def fade(stops: Sequence[tuple[float, RGB]]) -> Canvas:
    """Colours that run into one another from top to bottom: (height, colour)."""
    heights = np.array([h for h, _ in stops])
    colours = np.array([c for _, c in stops], np.float64)

    def at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(y, heights, colours[:, k]) for k in range(3)], -1)

    return Canvas(at)


def glow(
    canvas: Canvas,
    centre: tuple[float, float],
    radius: float,
    rgb: RGB,
    strength: float,
    flat: float = 1.0,
) -> Canvas:
    """Soft light around a point; flat squeezes it, 1 is round."""

    def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        d = ((x - centre[0]) ** 2 + ((y - centre[1]) / flat) ** 2) / radius**2
        return strength * np.clip(1 - d, 0, 1) ** 2

    return canvas.over(rgb, alpha)


def disc(
    canvas: Canvas, centre: tuple[float, float], radius: float, rgb: RGB, halo: float, flat: float = 1.0
) -> Canvas:
    """A sun, a moon or a crater."""
    if halo:
        canvas = glow(canvas, centre, radius * 3.5, rgb, halo + 0.2)

    def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return _step(radius - np.hypot(x - centre[0], (y - centre[1]) / flat))

    return canvas.over(rgb, alpha)


def _ridge(seed: int, waves: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """A smooth line between 0 and 1."""
    rng = np.random.default_rng(seed)
    phases, weights = rng.random(len(waves)) * 6.283, 1 / np.arange(1, len(waves) + 1)

    def line(x: np.ndarray) -> np.ndarray:
        parts = [w * np.sin(6.283 * n * x + p) for n, p, w in zip(waves, phases, weights, strict=True)]
        return 0.5 + 0.5 * np.sum(parts, axis=0) / weights.sum()

    return line


def hills(canvas: Canvas, seed: int, foot: float, height: float, rgb: RGB) -> Canvas:
    """Rounded hills that stand on the horizon."""
    line = _ridge(seed + 100, (1, 2, 3))
    return canvas.over(rgb, lambda x, y: _step(y - foot + height * line(x * 0.9)) * _step(foot - y))


def peaks(canvas: Canvas, seed: int, foot: float, height: float, rgb: RGB, snow: RGB | None) -> Canvas:
    """Mountains that stand on the horizon, their upper third in another colour."""
    rng = np.random.default_rng(seed + 200)
    tops = [
        ((k + 0.5) / 4 + rng.uniform(-0.08, 0.08), rng.uniform(0.6, 1), rng.uniform(0.16, 0.24))
        for k in range(4)
    ]

    def line(x: np.ndarray) -> np.ndarray:
        return np.max([h * (1 - np.abs(x - c) / w) for c, h, w in tops], axis=0)

    def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return _step((y - foot + height * line(x)) * 0.7) * _step(foot - y)

    def shade(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        nearest = np.argmax([h * (1 - np.abs(x - c) / w) for c, h, w in tops], axis=0)
        crest = np.array([c for c, _, _ in tops])[nearest]
        return 0.16 * _step((x - crest) * 0.6 + 0.02 * np.sin(60 * y)) * alpha(x, y)

    def cap(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        jag = 0.05 * np.abs(((x * 14) % 1) - 0.5)
        return alpha(x, y) * _step(foot - height * (0.62 + jag) - y)

    canvas = canvas.over(rgb, alpha)
    if snow is not None:
        canvas = canvas.over(snow, cap)
    return canvas.over((40, 50, 80), shade)


def trees(
    canvas: Canvas,
    seed: int,
    foot: float,
    rgb: RGB,
    height: float,
    round_: bool = False,
    sparse: bool = False,
) -> Canvas:
    """A row of trees on the horizon: firs, or round crowns on trunks."""
    rng = np.random.default_rng(seed + 300)
    count = 5 if sparse else max(6, round(2.6 / height))
    at = (np.arange(count) + rng.uniform(0.2, 0.8, count)) / count
    tall = height * rng.uniform(0.65, 1.0, count)

    def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for c, h in zip(at, tall, strict=True):
            up = (foot - y) / h
            if round_:
                crown = _step(0.36 * h - np.hypot(x - c, (foot - 0.64 * h - y)))
                trunk = _step(0.05 * h - np.abs(x - c)) * (up > 0) * (up < 0.6)
                part = np.maximum(crown, trunk)
            else:
                tier = 0.32 * h * (1 - up) * (0.72 + 0.28 * (1 - (up * 3) % 1))
                part = _step(tier - np.abs(x - c)) * (up > 0) * (up < 1)
            out = np.maximum(out, part)
        return out * _step(foot - y)

    return canvas.over(rgb, alpha)


def clouds(canvas: Canvas, seed: int, height: float, rgb: RGB = (255, 255, 255)) -> Canvas:
    """Two soft clouds about that height, flat below."""
    rng = np.random.default_rng(seed + 400)
    puffs = []
    for k in range(2):
        x, y, size = (
            0.5 * k + rng.uniform(0.1, 0.4),
            height + rng.uniform(-0.05, 0.05),
            rng.uniform(0.05, 0.075),
        )
        base = y + 0.35 * size
        offsets = ((-1.35, 0.0, 0.62), (-0.55, -0.35, 0.85), (0.4, -0.45, 1.0), (1.25, -0.02, 0.66))
        puffs += [(x + dx * size, y + dy * size, r * size, base) for dx, dy, r in offsets]

    def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for cx, cy, r, base in puffs:
            ball = np.clip((r - np.hypot(x - cx, y - cy)) / 0.012 + 0.5, 0, 1)
            out = np.maximum(out, ball * np.clip((base - y) / 0.012 + 0.5, 0, 1))
        return 0.92 * out

    return canvas.over(rgb, alpha)


def stars(canvas: Canvas, seed: int, count: int, until: float = 1.0) -> Canvas:
    """Small lights, a few of them larger."""
    rng = np.random.default_rng(seed + 500)
    x0, y0 = rng.random(count), rng.random(count) * until
    size = np.where(rng.random(count) < 0.2, 0.009, 0.0045)

    def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for cx, cy, r in zip(x0, y0, size, strict=True):
            out = np.maximum(out, np.clip(1.4 - np.hypot(x - cx, y - cy) / r, 0, 1))
        return out * _step(until - 0.02 - y)

    return canvas.over((255, 246, 214), alpha)


def scatter(canvas: Canvas, seed: int, top: float, colours: Sequence[RGB], share: float) -> Canvas:
    """Dots strewn over the floor, larger towards the front: flowers, leaves, bubbles."""
    rng = np.random.default_rng(seed + 600)
    count = round(share * 4000)
    depth = rng.random(count) ** 0.8
    x0, y0 = rng.random(count), top + depth * (1.0 - top)
    size, kind = 0.003 + 0.007 * depth, rng.integers(0, len(colours), count)
    for k, rgb in enumerate(colours):
        mine = [(x0[i], y0[i], size[i]) for i in range(count) if kind[i] == k]

        def alpha(x: np.ndarray, y: np.ndarray, mine: list = mine) -> np.ndarray:
            out = np.zeros_like(x)
            for cx, cy, r in mine:
                out = np.maximum(out, _step(r - np.hypot(x - cx, y - cy)))
            return 0.9 * out

        canvas = canvas.over(rgb, alpha)
    return canvas


def lines(
    canvas: Canvas,
    top: float,
    bottom: float,
    rgb: RGB,
    strength: float,
    wave: float = 0.0,
    look: int = 0,
    dash: float = 0.0,
) -> Canvas:
    """A stripe across the picture, waved or dashed if asked for."""
    line = _ridge(look + 700, (2, 3, 5))

    def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        y = y + wave * (line(x) - 0.5) * 2 if wave else y
        out = strength * _step(y - top) * _step(bottom - y)
        return out * _step(0.3 * dash - np.abs((x % dash) - 0.5 * dash)) if dash else out

    return canvas.over(rgb, alpha)


def beam(canvas: Canvas, x0: float, top: float, rgb: RGB) -> Canvas:
    """The path of light that a low sun draws on the water."""

    def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        wide = 0.05 + 0.25 * np.maximum(y - top, 0)
        ripple = 0.55 + 0.45 * np.sin(120 * y / (0.4 + np.maximum(y, top)))
        across = np.clip(1 - ((x - x0) / wide) ** 2, 0, 1)
        return 0.6 * across * ripple * _step(y - top) * np.clip(1.2 - y, 0, 1)

    return canvas.over(rgb, alpha)


def skyline(canvas: Canvas, seed: int, foot: float, rgb: RGB, height: float, windows: RGB | None) -> Canvas:
    """Houses side by side on the horizon, some windows lit."""
    rng = np.random.default_rng(seed + 800)
    count = 11
    tall = height * rng.uniform(0.4, 1.0, count)
    lit = rng.random((count, 4, 24)) < 0.6

    def alpha(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        which = np.clip((x * count).astype(int), 0, count - 1)
        return _step(y - foot + tall[which]) * _step(foot - y)

    def panes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        which = np.clip((x * count).astype(int), 0, count - 1)
        column, row = ((x * count) % 1) * 4, (y - foot + tall[which]) * 34
        floor = np.clip(row.astype(int), 0, 23)
        inside = (column % 1 > 0.25) & (column % 1 < 0.75) & (row % 1 > 0.3) & (row % 1 < 0.75)
        on = lit[which, np.clip(column.astype(int), 0, 3), floor] & inside & (row > 0.6) & (y < foot - 0.02)
        return 0.75 * on

    canvas = canvas.over(rgb, alpha)
    return canvas if windows is None else canvas.over(windows, panes)


def curtain(light: RGB, dark: RGB) -> Canvas:
    """Cloth that hangs in folds."""

    def at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        fold = (0.5 + 0.5 * np.sin(6.283 * 9 * x + 0.5 * np.sin(4 * y)))[..., None]
        return np.array(dark, np.float64) * (1 - fold) + np.array(light, np.float64) * fold

    return Canvas(at)
