"""Plots of the credit study, as a lecturer would show them. Every figure comes from a record beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from trainer.evidence.credit.crossing import GOAL, SCORES, curve_of, ratios
from trainer.evidence.credit.pages import SAID, learned, of_vocabularies, rows_of
from trainer.evidence.credit.sides import MODES
from trainer.evidence.pages import read
from trainer.evidence.plots import GREY, RUST, TEAL, axes_of, save
from trainer.settings.credit import ARMS

COLOURS = (GREY, TEAL, RUST, "#7c3aed", "#2563eb", "#db2777", "#65a30d", "#0891b2")
LABELS = {
    "masked_bits": "plain-CE bits a masked token",
    "accuracy": "masked tokens guessed right, %",
    "accepted": "EmojiEval, % accepted",
    "frechet": "Fréchet distance, judge's features",
}


def draw_credit(folder: Path) -> list[Path]:
    """Draw what has a record in a folder; the files made."""
    made: list[Path] = []
    records: list[Mapping[str, Any]] = []
    for path in sorted(folder.glob("credit*.json")):
        record = read(path)
        if not record or not rows_of(record):
            continue
        records.append(record)
        made.append(curves(record, path.with_name(f"{path.stem}_curves.png")))
        if ratios(record["runs"]):
            made.append(steps_saved(record, path.with_name(f"{path.stem}_steps.png")))
        if any("sides" in r for r in record["runs"]):
            made.append(both_sides(record, path.with_name(f"{path.stem}_sides.png")))
    if known := of_vocabularies(records):
        made.append(vocabulary(known, folder / "credit_vocabulary.png"))
    return made


def curves(record: Mapping[str, Any], path: Path) -> Path:
    """Each score over steps: a line an arm (mean of its seeds), with the range of the seeds as a band."""
    arms = rows_of(record)
    shown = [s for s in SCORES if any(curve_of(r, s) for runs in arms.values() for r in runs)]
    figure, axes = axes_of(len(shown), 4.4)
    for axis, score in zip(axes, shown, strict=True):
        scale = 100 if score in ("accuracy", "accepted") else 1
        for colour, (arm, runs) in zip(_colours(arms), arms.items(), strict=True):
            points = seeds_of(runs, score)
            at = list(points)
            axis.plot(at, [scale * mean(v) for v in points.values()], color=colour, label=ARMS[arm].said)
            low, high = ([scale * f(v) for v in points.values()] for f in (min, max))
            axis.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set(xlabel="steps", ylabel=LABELS[score])
    axes[0].legend(frameon=False, fontsize=7)
    figure.suptitle(
        f"V = {record['ground']['vocab_size']:,}, batches of {record['conditions']['batch']}", fontsize=10
    )
    return save(figure, path)


def _colours(arms: Mapping[str, Any]) -> list[str]:
    return [COLOURS[k % len(COLOURS)] for k in range(len(arms))]


def steps_saved(record: Mapping[str, Any], path: Path) -> Path:
    """Steps until CE's final score, a row an arm: dots are seeds, bars the intervals; 1 is CE, the goal is dashed."""
    compared = ratios(record["runs"])
    shown = [s for s in SCORES if any(s in r for r in compared.values())]
    figure, axes = axes_of(len(shown), 4.0)
    for k, (axis, score) in enumerate(zip(axes, shown, strict=True)):
        for y, (_, found) in enumerate(reversed(compared.items())):
            if score not in found:
                continue
            ratio = found[score]
            axis.plot(ratio.each, [y] * len(ratio.each), "o", color=TEAL, alpha=0.5, markersize=4)
            if ratio.low is not None:
                axis.plot([ratio.low, ratio.high], [y, y], color=RUST, linewidth=1.5)
            axis.plot([ratio.ratio], [y], "|", color=RUST, markersize=14, markeredgewidth=2)
        axis.axvline(1.0, color=GREY, linewidth=1)
        axis.axvline(GOAL, color=GREY, linewidth=1, linestyle=":")
        names = [ARMS[a].said for a in reversed(compared)]
        axis.set_yticks(range(len(names)), names if k == 0 else [""] * len(names))
        axis.set(xlabel=f"steps to CE's final {SAID[score]} / CE's steps", ylim=(-0.6, len(names) - 0.4))
    return save(figure, path)


def both_sides(record: Mapping[str, Any], path: Path) -> Path:
    """Accepted pictures by how a model was trained (groups) and how it is sampled (bars); dots are seeds."""
    runs = [r for r in record["runs"] if r["done"] and "sides" in r]
    arms = [a for a in ARMS if any(r["arm"] == a for r in runs)]
    figure, axes = axes_of(1, 9.0)
    for k, (mode, colour) in enumerate(zip(MODES, ("#cbd5e1", RUST, TEAL), strict=True)):
        for i, arm in enumerate(arms):
            values = [100 * r["sides"][mode]["mean"]["share"] for r in runs if r["arm"] == arm]
            x = i + 0.27 * (k - 1)
            axes[0].bar(x, mean(values), 0.25, color=colour, label=f"sampled: {mode}" if i == 0 else None)
            axes[0].plot([x] * len(values), values, "o", color="black", markersize=2.5)
    axes[0].set_xticks(range(len(arms)), [ARMS[a].said.replace(", ", ",\n") for a in arms], fontsize=8)
    axes[0].set(ylabel="EmojiEval, % accepted")
    axes[0].legend(frameon=False, ncols=3, fontsize=8)
    return save(figure, path)


def vocabulary(records: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Fidelity, accepted pictures and distance over the size of the vocabulary, under CE and GCE; learned codes are
    dashed."""
    figure, axes = axes_of(3, 4.2)
    for kind, line in ((False, "o-"), (True, "s--")):
        mine = [r for r in records if learned(r) == kind]
        if not mine:
            continue
        sizes = [r["ground"]["vocab_size"] for r in mine]
        codes = "learned" if kind else "lattice"
        axes[0].plot(sizes, [r["ground"]["fidelity"]["psnr_db"] for r in mine], line, color=GREY, label=codes)
        for axis, score in zip(axes[1:], ("accepted", "frechet"), strict=True):
            scale = 100 if score == "accepted" else 1
            for arm, colour in (("ce", GREY), ("gce8", TEAL)):
                ends = [[r["curve"][-1].get(score) for r in rows_of(record)[arm]] for record in mine]
                points = [(v, mean(y)) for v, y in zip(sizes, ends, strict=True) if None not in y]
                at, values = [v for v, _ in points], [scale * y for _, y in points]
                axis.plot(at, values, line, color=colour, label=f"{ARMS[arm].said}, {codes}")
    axes[0].set(ylabel="image tokenizer, PSNR in dB")
    axes[1].set(ylabel=LABELS["accepted"])
    axes[2].set(ylabel=LABELS["frechet"])
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set(xlabel="codes")
        axis.legend(frameon=False, fontsize=8)
    return save(figure, path)


def seeds_of(runs: Sequence[Mapping[str, Any]], score: str) -> dict[float, list[float]]:
    """steps -> values of the runs, in order, where all of them have the score."""
    points: dict[float, list[float]] = {}
    for run in runs:
        for at, value in curve_of(run, score):
            points.setdefault(at, []).append(value)
    return {at: values for at, values in sorted(points.items()) if len(values) == len(runs)}
