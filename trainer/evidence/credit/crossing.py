"""Steps until plain cross-entropy's final score, as a ratio with its interval: the paper's own coin.

For one seed, arm and CE share initial weights, data, order and masks. The learning rate is constant after its warm-up
and weights are averaged, so that a point of a curve is what a run of that length would have ended with. CE's score
after T steps is its target. Where the arm reaches it after t steps the ratio is t / T; where the arm never does, CE
reaches the arm's final score after t' steps, and the ratio is T / t' >= 1: as many times longer would the arm need, had
its curve the shape of CE's. Curves are made monotone (pool adjacent violators: a score once reached is not lost by the
noise of a later check) and read between their points by straight lines over log steps.

The interval is that of the mean of log ratios over seeds, Student's t with n - 1 degrees of freedom, taken back from
logarithms. It holds what differs from seed to seed; the prompts are the same in all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

# 97.5 % points of Student's t with 1, 2, ... degrees of freedom
T_975 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788)
GOAL = 0.67  # a third fewer steps
# figure of a curve -> whether more of it is better
SCORES = {"masked_bits": False, "accuracy": True, "accepted": True, "frechet": False}

Curve = Sequence[tuple[float, float]]  # (steps, score) along a run


@dataclass(frozen=True)
class Ratio:
    """Geometric mean over seeds and its 95 % interval; with one seed there is no interval. `each`: by seed."""

    ratio: float
    low: float | None
    high: float | None
    each: tuple[float, ...]

    def __str__(self) -> str:
        inside = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.ratio:.2f}{inside}"


def monotone(curve: Curve) -> list[tuple[float, float]]:
    """The nearest curve that never falls, least squares: neighbours that fall are replaced by their mean."""
    pools: list[list[float]] = []  # [sum, count]
    for _, value in curve:
        pools.append([value, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    values = [total / count for total, count in pools for _ in range(int(count))]
    return [(at, value) for (at, _), value in zip(curve, values, strict=True)]


def reached(curve: Curve, target: float) -> float | None:
    """Steps after which a rising curve first has the target, between its points; None where it never does.

    A target at or below the first point is reached no later than there: the steps of that point are returned.
    """
    before: tuple[float, float] | None = None
    for at, value in curve:
        if value >= target:
            if before is None or value == before[1]:
                return at
            part = (target - before[1]) / (value - before[1])
            return math.exp(math.log(before[0]) + part * (math.log(at) - math.log(before[0])))
        before = at, value
    return None


def one_ratio(base: Curve, arm: Curve, rises: bool) -> float:
    """Steps of the arm for the base's final score, over the base's steps; see the head of this file.

    ValueError where a curve is empty.
    """
    if not base or not arm:
        raise ValueError("a curve without points reaches no score")
    sign = 1.0 if rises else -1.0
    a, b = (monotone([(at, sign * value) for at, value in c]) for c in (base, arm))
    there = reached(b, a[-1][1])
    if there is not None:
        return there / a[-1][0]
    other = reached(a, b[-1][1])
    # the arm's last score lies below the base's, so the base has reached it on its way
    assert other is not None
    return b[-1][0] / other


def over_seeds(ratios: Sequence[float]) -> Ratio:
    """Geometric mean and interval of one ratio a seed."""
    logs = [math.log(r) for r in ratios]
    middle = mean(logs)
    if len(logs) < 2:
        return Ratio(math.exp(middle), None, None, tuple(ratios))
    t = T_975[len(logs) - 2] if len(logs) - 2 < len(T_975) else 1.96 + 2.5 / (len(logs) - 1)
    half = t * stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half), tuple(ratios))


def curve_of(run: Mapping[str, Any], score: str) -> list[tuple[float, float]]:
    """The points of a recorded run that have this score."""
    return [(e["step"], e[score]) for e in run["curve"] if score in e]


def ratios(runs: Sequence[Mapping[str, Any]], base: str = "ce") -> dict[str, dict[str, Ratio]]:
    """arm -> score -> ratio to the base, over the seeds that both have ended; CE's own is left out."""
    ended = {(r["arm"], r["seed"]): r for r in runs if r["done"]}
    out: dict[str, dict[str, Ratio]] = {}
    for arm in dict.fromkeys(a for a, _ in ended):
        if arm == base:
            continue
        for score, rises in SCORES.items():
            found = []
            for name, seed in ended:
                if name != arm or (base, seed) not in ended:
                    continue
                a, b = (curve_of(ended[n, seed], score) for n in (base, arm))
                if a and b:
                    found.append(one_ratio(a, b, rises))
            if found:
                out.setdefault(arm, {})[score] = over_seeds(found)
    return out
