"""Plots of the recorded tables. Every figure comes from a JSON record beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

from trainer.evidence.pages import NAMES, read

TEAL, RUST, GREY = "#0f766e", "#b45309", "#64748b"


def axes_of(columns: int, width: float = 5.0) -> tuple[Any, Any]:
    """A figure with so many plots side by side, each `width` inches wide; ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, columns, figsize=(width * columns, 3.6), constrained_layout=True, squeeze=False
    )
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, axes[0]


def draw_all(folder: Path) -> list[Path]:
    """Draw what has a record; the files made."""
    made = []
    for path in sorted(folder.glob("ablation*.json")):
        if record := read(path):
            made.append(objective(record, path.with_suffix(".png")))
    for name, draw in (("steps", steps), ("repair", repair), ("emojieval", scores)):
        if record := read(folder / f"{name}.json"):
            made.append(draw(record, folder / f"{name}.png"))
    return made


def objective(record: dict, path: Path) -> Path:
    """Each seed a dot, the mean a bar: score, bits, Fréchet distance; and bits along the way where recorded."""
    arms = [a for a in NAMES if any(r["arm"] == a for r in record["runs"])]
    curves = all("curve" in r for r in record["runs"])
    figure, axes = axes_of(3 + curves, 4.6)
    measures: dict[str, Callable[[dict[str, Any]], float]] = {
        "EmojiEval mean, %": lambda r: 100 * r["score"]["mean"]["share"],
        "plain-CE bits a masked token": lambda r: r["masked_bits"],
        "Fréchet distance, verifier's features": lambda r: r["frechet"],
    }
    for k, (axis, (label, pick)) in enumerate(zip(axes[:3], measures.items(), strict=True)):
        for y, arm in enumerate(reversed(arms)):
            values = [pick(r) for r in record["runs"] if r["arm"] == arm]
            axis.plot(
                values, [y] * len(values), "o", color=TEAL if arm.startswith("gce") else GREY, alpha=0.6
            )
            axis.plot([mean(values)] * 2, [y - 0.3, y + 0.3], color=RUST, linewidth=2)
        axis.set_yticks(range(len(arms)), [NAMES[a] for a in reversed(arms)] if k == 0 else [""] * len(arms))
        axis.set_xlabel(label)
    if curves:
        for arm in arms:
            points = [r["curve"] for r in record["runs"] if r["arm"] == arm]
            at = [c["steps"] for c in points[0]]
            axes[3].plot(
                at,
                [mean(c[k]["masked_bits"] for c in points) for k in range(len(at))],
                "o-",
                label=NAMES[arm],
            )
        axes[3].set(xlabel="steps", ylabel="plain-CE bits a masked token")
        axes[3].legend(frameon=False, fontsize=7)
    figure.suptitle(
        f"V = {record['vocab_size']:,}, {record['runs'][0]['steps']} steps of {record['batch']}", fontsize=10
    )
    return save(figure, path)


def steps(record: dict, path: Path) -> Path:
    """Score over steps, editing off and on."""
    figure, axes = axes_of(1, 6.0)
    for mode, name, colour, mark in (
        ("off", "editing off", GREY, "s--"),
        ("overwrite", "editing on", TEAL, "o-"),
    ):
        rows = {int(k.split()[0]): r["score"]["mean"] for k, r in record["rows"].items() if k.endswith(mode)}
        y = [100 * m["share"] for m in rows.values()]
        low = [100 * (m["share"] - m["low"]) for m in rows.values()]
        high = [100 * (m["high"] - m["share"]) for m in rows.values()]
        axes[0].errorbar(list(rows), y, [low, high], fmt=mark, color=colour, capsize=3, label=name)
    axes[0].set(xlabel="steps", ylabel="EmojiEval mean, %")
    axes[0].legend(frameon=False)
    return save(figure, path)


def repair(record: dict, path: Path) -> Path:
    """Pictures accepted, and tokens restored, over the share of tokens broken."""
    levels = record["rows"]["levels"]
    figure, axes = axes_of(2)
    x = [100 * level["broken_share"] for level in levels]
    for name, colour, mark in (
        ("off", GREY, "s--"),
        ("on, as the sampler has it", RUST, "^-"),
        ("on, as healing has it", TEAL, "o-"),
    ):
        axes[0].plot(
            x, [100 * level[name]["share"] for level in levels], mark, color=colour, label=f"editing {name}"
        )
        if name != "off":
            restored = [100 * level[name]["broken_tokens_restored"] for level in levels]
            axes[1].plot(x, restored, mark, color=colour, label=f"editing {name}")
    axes[0].set(xlabel="tokens broken, %", ylabel="pictures accepted, %", ylim=(0, 102))
    axes[1].set(xlabel="tokens broken, %", ylabel="broken tokens restored exactly, %", ylim=(0, 102))
    for axis in axes:
        axis.legend(frameon=False, fontsize=8)
    return save(figure, path)


def scores(record: dict, path: Path) -> Path:
    """The six tags: model, round trip, shuffled prompts, with intervals."""
    figure, axes = axes_of(1, 9.0)
    axis = axes[0]
    rows = {n: record["rows"][n] for n in ("real renders", "round trip", "model", "shuffled prompts")}
    tags = list(record["rows"]["model"]["tags"])
    for k, (name, row) in enumerate(rows.items()):
        values = [row["tags"][t] for t in tags] + [row["mean"]]
        x = [i + 0.2 * (k - 1.5) for i in range(len(values))]
        height = [100 * v["share"] for v in values]
        bars = [
            [100 * (v["share"] - v["low"]) for v in values],
            [100 * (v["high"] - v["share"]) for v in values],
        ]
        colour = {"model": TEAL, "shuffled prompts": RUST}.get(
            name, "#cbd5e1" if name == "real renders" else "#94a3b8"
        )
        axis.bar(x, height, 0.19, yerr=bars, color=colour, label=name, error_kw={"linewidth": 0.8})
    axis.set_xticks(range(len(tags) + 1), [*(t.replace("_", " ") for t in tags), "mean"])
    axis.set(ylabel="accepted, %", ylim=(0, 105))
    axis.legend(frameon=False, ncols=4, fontsize=8, loc="lower right")
    return save(figure, path)


def save(figure: Any, path: Path) -> Path:
    """Write a figure and forget it."""
    from matplotlib import pyplot

    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
