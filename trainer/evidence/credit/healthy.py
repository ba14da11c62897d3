"""A page about one training run from its own log: what a healthy run looks like, and what this one looks like.

    python -m trainer evidence healthy --run runs/world --out runs/world/page
    python -m trainer evidence healthy --run runs/credit_a/runs/ce-0 --out runs/page

Reads log.json (and sheets/, where the run drew them) and writes healthy.md with healthy.png: loss and learning rate's
end, bits of masked and of flipped tokens, accuracy by the share of the picture that is masked, and the same prompts
drawn again and again. What people who train such models ask first, each with the figure that answers it. The plot
needs matplotlib; the page does not.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from PIL import Image

from trainer.command import ask, out_folder, run_command
from trainer.evaluate.report import grid
from trainer.evidence.plots import GREY, RUST, TEAL, axes_of, save
from trainer.settings.credit import Healthy

QUARTERS = (
    25,
    50,
    75,
    100,
)  # accuracy_N of a log: masked tokens of pictures that are masked up to so many per cent
SPIKE = 1.5  # times the median of the lines around: a loss that stands out
SHEETS = 4  # sheets shown
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Sign:
    """One thing to look at: what a healthy run does, what this one did; ok is None where the log does not tell."""

    asks: str
    healthy: str
    found: str
    ok: bool | None


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log. ValueError where there are none."""
    for path in (run / "log.json", run / "training_log.json"):
        if path.exists():
            try:
                log = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{path} cannot be read: {error}") from None
            if not isinstance(log, list) or not all(isinstance(e, dict) and "step" in e for e in log):
                raise ValueError(f"{path} is not the log of a run")
            if log:
                return log
    raise ValueError(f"{run} holds no log.json: give the folder of a run, --out of the command train")


def signs(log: Sequence[Line], vocab_size: int | None = None) -> list[Sign]:
    """What to look at, in the order in which people ask."""
    return [
        *_of_the_loss(log),
        *_of_bits(log, vocab_size),
        *_of_flips(log),
        *_of_accuracy(log),
    ]


def series(log: Sequence[Line], name: str) -> list[tuple[float, float]]:
    """(samples seen, value) of the lines that have it; steps where a log does not count samples."""
    return [(e.get("samples", e["step"]), e[name]) for e in log if e.get(name) is not None]


def _of_the_loss(log: Sequence[Line]) -> list[Sign]:
    losses = [y for _, y in series(log, "loss")]
    if len(losses) < 4:
        return [
            Sign(
                "Does the loss fall?", "every tenth of a run lower than the one before", "too few lines", None
            )
        ]
    cut = max(1, len(losses) // 10)
    tenths = [mean(losses[k : k + cut]) for k in range(0, len(losses) - cut + 1, cut)]
    falls = sum(b < a for a, b in pairwise(tenths))
    finite = all(math.isfinite(y) for y in losses)
    fell = Sign(
        "Does the loss fall?",
        "in nearly every tenth of a run it is lower than in the one before",
        f"{losses[0]:.3f} at first, {losses[-1]:.3f} at last; lower in {falls} of {len(tenths) - 1} tenths",
        finite and losses[-1] < losses[0] and falls >= 0.7 * (len(tenths) - 1),
    )
    spikes = [
        k
        for k in range(2, len(losses) - 2)
        if losses[k] > SPIKE * median(losses[k - 2 : k] + losses[k + 1 : k + 3])
    ]
    skipped = max((e.get("skipped_files", 0) for e in log), default=0)
    smooth = Sign(
        "Is it smooth?",
        f"no line stands {SPIKE:g} times above those around it; a spike that comes back asks for a lower rate",
        f"{len(spikes)} spikes" + (f"; {skipped} files could not be read" if skipped else ""),
        not spikes,
    )
    return [fell, smooth]


def _of_bits(log: Sequence[Line], vocab_size: int | None) -> list[Sign]:
    bits = [y for _, y in series(log, "masked_bits")]
    asks = "Does it learn tokens that it has not seen?"
    healthy = (
        "bits a masked token fall at every check, far below log2 V, and the last third still gains a little"
    )
    if len(bits) < 2:
        return [Sign(asks, healthy, "too few checks", None)]
    third = max(1, len(bits) // 3)
    best = min(bits)
    found = f"{bits[0]:.2f} to {bits[-1]:.2f}"
    if vocab_size:
        found += f" of {math.log2(vocab_size):.1f} (log2 V)"
    found += f"; {bits[-1 - third] - bits[-1]:+.3f} in the last third"
    return [Sign(asks, healthy, found, bits[-1] < bits[0] and bits[-1] <= best + 0.02 * abs(best))]


def _of_flips(log: Sequence[Line]) -> list[Sign]:
    flipped = [y for _, y in series(log, "flipped_bits") if y == y]
    masked = [y for _, y in series(log, "masked_bits")]
    asks = "Does it notice wrong tokens?"
    healthy = "bits of a replaced token come down to about those of a masked one; where they stay, editing cannot work"
    if not flipped or not masked:
        return [Sign(asks, healthy, "not in this log", None)]
    return [
        Sign(
            asks,
            healthy,
            f"{flipped[-1]:.2f}, masked {masked[-1]:.2f}",
            flipped[-1] < 1.25 * masked[-1] + 0.25,
        )
    ]


def _of_accuracy(log: Sequence[Line]) -> list[Sign]:
    asks = "Does context help?"
    healthy = (
        "the less is masked, the more tokens are guessed right; a flat row means that it does not look around"
    )
    last = next((e for e in reversed(log) if f"accuracy_{QUARTERS[0]}" in e), None)
    if last is None:
        return [Sign(asks, healthy, "not in this log: it is of a run before accuracy was logged", None)]
    row = [last[f"accuracy_{q}"] for q in QUARTERS if f"accuracy_{q}" in last]
    said = ", ".join(f"{100 * v:.0f} %" for v in row)
    return [Sign(asks, healthy, f"{said} with up to 25, 50, 75, 100 % masked", row[0] > row[-1])]


def sheets_of(run: Path) -> list[Path]:
    """A few sheets of a run, evenly over its time, the first and the last among them."""
    every = sorted((run / "sheets").glob("step-*.webp"))
    if len(every) <= SHEETS:
        return every
    return [every[round(k * (len(every) - 1) / (SHEETS - 1))] for k in range(SHEETS)]


def plot(log: Sequence[Line], path: Path) -> Path:
    """Loss, bits, and accuracy by mask ratio over the samples seen."""
    figure, axes = axes_of(3, 4.6)
    count = "samples seen" if any("samples" in e for e in log) else "steps"
    axes[0].plot(*zip(*series(log, "loss"), strict=True), color=TEAL, linewidth=1.2)
    axes[0].set(ylabel="training loss")
    for name, said, colour in (("masked_bits", "masked", TEAL), ("flipped_bits", "replaced, visible", RUST)):
        if points := series(log, name):
            axes[1].plot(*zip(*points, strict=True), "o-", color=colour, markersize=3, label=said)
    axes[1].set(ylabel="unseen pictures, bits a token")
    for k, quarter in enumerate(QUARTERS):
        if points := series(log, f"accuracy_{quarter}"):
            x, y = zip(*points, strict=True)
            shade = 0.25 + 0.25 * (3 - k)
            axes[2].plot(
                x,
                [100 * v for v in y],
                "o-",
                color=TEAL,
                alpha=shade,
                markersize=3,
                label=f"up to {quarter} %",
            )
    axes[2].set(ylabel="masked tokens guessed right, %")
    for axis in axes:
        axis.set(xlabel=count)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(frameon=False, fontsize=8)
    if not axes[2].has_data():
        axes[2].text(0.5, 0.5, "not in this log", ha="center", transform=axes[2].transAxes, color=GREY)
    return save(figure, path)


def page(run: Path, out: Path, vocab_size: int | None = None) -> str:
    """Write healthy.md, its plot and its sheets to `out`; the text. ValueError where the run has no log."""
    log = read_log(run)
    told = signs(log, vocab_size)
    mark = {True: "yes", False: "**no**", None: "?"}
    rows = [[s.asks, s.healthy, s.found, mark[s.ok]] for s in told]
    last = log[-1]
    seen = last.get("samples", last.get("images"))
    parts = [
        "# What a healthy run looks like",
        f"{last['step']:,} steps"
        + (f", {seen:,} samples" if seen else "")
        + (f", {last['seconds'] / 60:.1f} minutes" if "seconds" in last else "")
        + ". Made by `python -m trainer evidence healthy` from the run's log.",
        grid(["ask", "a healthy run", "this run", "healthy?"], rows),
    ]
    try:
        plot(log, out / "healthy.png")
        parts.append("![Loss, bits and accuracy over the run](healthy.png)")
    except ImportError:
        parts.append("(No plot: matplotlib is not installed.)")
    for sheet in sheets_of(run):
        if sheet.resolve().parent != out.resolve():
            shutil.copyfile(sheet, out / sheet.name)
        with Image.open(sheet) as picture:
            size = picture.size
        step = int(sheet.stem.rpartition("-")[2])
        parts.append(
            f"After {step:,} steps, the same prompts and noise each time:\n\n![{size[0]}x{size[1]}]({sheet.name})"
        )
    text = "\n\n".join(parts) + "\n"
    aside = out / ".healthy.md.tmp"
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, out / "healthy.md")
    return text


def vocabulary_of(run: Path) -> int | None:
    """V of the model folder that a run has written; None where there is none yet."""
    config = run / "model" / "config.json"
    if not config.exists():
        return None
    return int(json.loads(config.read_text(encoding="utf-8"))["model"]["vocab_size"])


def main() -> None:
    args = ask(Healthy, __doc__)
    read_log(args.run)
    print(page(args.run, out_folder(args.out or args.run), vocabulary_of(args.run)))


if __name__ == "__main__":
    run_command(main)
