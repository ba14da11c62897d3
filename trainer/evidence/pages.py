"""Records of runs -> the Markdown page with tables A to D."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from trainer.evaluate.prompts import TAGS
from trainer.evaluate.report import agreement_table, grid, miss_table, percent
from trainer.record import markdown

NAMES = {
    "ce": "CE",
    "smooth": "CE + smoothing 0.1",
    "gce8": "CE + 0.2 GCE, groups of 8",
    "gce64": "CE + 0.2 GCE, groups of 64",
    "gce512": "CE + 0.2 GCE, groups of 512",
    "gce64_w1": "CE + 1.0 GCE, groups of 64",
}


BITS = {"masked_bits": "bits/token", "cell_bits": "bits/cell of 8", "flipped_bits": "bits/flipped"}

NO_TABLE_A = "Not measured yet: `python -m trainer evidence ablate` says how."


def read(path: Path) -> Any:
    """What a record holds; None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def spread(values: list[float], scale: float = 1.0, digits: int = 1) -> str:
    """'61.2 ± 0.8': mean and standard deviation over seeds."""
    text = f"{scale * mean(values):.{digits}f}"
    return f"{text} ± {scale * stdev(values):.{digits}f}" if len(values) > 1 else text


def page(folder: Path, benchmarks: Path) -> str:
    """All tables whose records exist."""
    parts = [
        "# Measured tables",
        "Made by `python -m trainer evidence tables` from the records in this folder.",
    ]
    ablations = sorted(folder.glob("ablation*.json"))
    for path in ablations:
        if record := read(path):
            parts += table_a(record)
    if not ablations:
        parts += ["## A. Objective", NO_TABLE_A]
    if record := read(folder / "editing.json"):
        parts += table_b(record)
    if record := read(folder / "steps.json"):
        parts += table_c(record)
    if record := read(folder / "repair.json"):
        parts += table_repair(record)
    if record := read(folder / "emojieval.json"):
        parts += the_judge(record)
    for path in sorted(benchmarks.glob("gce_*.json")):
        parts += [f"## D. Operator ({path.stem.split('_')[-1].upper()})", markdown(path)]
    return "\n\n".join(parts) + "\n"


def where(record: dict) -> str:
    info = record["environment"]
    return f"{info['device']}, PyTorch {info['versions']['torch']}, {info['date']}"


def table_a(record: dict) -> list[str]:
    """Objectives under equal budgets."""
    arms = [a for a in NAMES if any(r["arm"] == a for r in record["runs"])]
    rows = []
    for arm in arms:
        runs = [r for r in record["runs"] if r["arm"] == arm]
        alone = record["alone"].get(arm, {})
        rows.append(
            [
                NAMES[arm],
                str(len(runs)),
                *(spread([r["score"]["tags"][t]["share"] for r in runs], 100) for t in TAGS),
                spread([r["score"]["mean"]["share"] for r in runs], 100),
                spread([r["score"]["mean"]["seen"]["share"] for r in runs], 100),
                spread([r["score"]["mean"]["held_out"]["share"] for r in runs], 100),
                *(spread([r[name] for r in runs], 1, 3) for name in BITS),
                spread([r["frechet"] for r in runs], 1, 2),
                str(alone.get("peak_mib") or ""),
                f"{1000 * alone.get('seconds_per_step', 0):.1f}",
            ]
        )
    head = [
        "objective",
        "seeds",
        *TAGS,
        "mean",
        "seen",
        "held out",
        *BITS.values(),
        "Fréchet",
        "peak MiB",
        "ms/step",
    ]
    text = (
        f"{record['parameters'] / 1e6:.1f} M parameters, V = {record['vocab_size']:,}, {record['objects']} objects in "
        f"{len(record['styles'])} styles, {record['runs'][0]['steps']} steps of {record['batch']}, the same scenes, "
        f"order and initial weights for a seed; {record['prompts']} prompts. Per cent; mean ± standard deviation over "
        f"seeds. Bits are plain CE on masked tokens of unseen scenes, whatever the objective; `bits/cell of 8` on the "
        f"masked token's cell of eight neighbouring codes, `bits/flipped` on visible tokens that were replaced. Real "
        f"renders score {percent(record['controls']['real renders']['mean'])}. {record.get('note', '')} "
        f"{where(record)}."
    )
    if record.get("grain"):
        text += f" Pixel noise of {record['grain']:g} grey levels in all scenes."
    parts = [f"## A. Objective, V = {record['vocab_size']:,}", text, grid(head, rows)]
    if len(arms) > 1 and arms[0] == "ce":
        parts.append(differences(record, arms))
    return parts


def differences(record: dict, arms: list[str]) -> str:
    """Each objective against CE on the same seeds: mean difference and its standard error."""
    base = {r["seed"]: r for r in record["runs"] if r["arm"] == "ce"}
    rows = []
    for arm in arms[1:]:
        pairs = [(base[r["seed"]], r) for r in record["runs"] if r["arm"] == arm and r["seed"] in base]
        cells = []
        measures: tuple[tuple[Callable[[dict[str, Any]], float], int, int], ...] = (
            (lambda r: r["score"]["mean"]["share"], 100, 1),
            (lambda r: r["masked_bits"], 1, 3),
            (lambda r: r["cell_bits"], 1, 3),
            (lambda r: r["frechet"], 1, 2),
        )
        for pick, scale, digits in measures:
            d = [scale * (pick(b) - pick(a)) for a, b in pairs]
            error = f" ± {stdev(d) / len(d) ** 0.5:.{digits}f}" if len(d) > 1 else ""
            cells.append(f"{mean(d):+.{digits}f}{error}" if d else "")
        rows.append([NAMES[arm], str(len(pairs)), *cells])
    head = [
        "against CE, paired by seed (± standard error)",
        "seeds",
        "mean, points",
        "bits/token",
        "bits/cell of 8",
        "Fréchet",
    ]
    return grid(head, rows)


def the_judge(record: dict) -> list[str]:
    """What the verifier's figures are worth: near misses, another judge's agreement, distances."""
    distance = record["frechet_to_real_renders"]
    return [
        "## The judge",
        "Near misses refused, per cent: true renders in which one thing is wrong.",
        miss_table(record["near_misses_refused"]),
        "Agreement of template matching with the verifier, per cent: about each object that the verifier "
        "found, about the whole picture with the verifier's places, and on its own; last, what it accepts on its own.",
        agreement_table(record["template_agreement"]),
        f"Fréchet distance to real renders in the verifier's features: the model's pictures {distance['model']}, true "
        f"scenes after the image tokenizer's round trip {distance['round trip']}. {where(record)}.",
    ]


def _modes(rows: dict) -> tuple[list[str], list[list[str]]]:
    head = [
        "",
        *TAGS,
        "mean",
        "gain over off",
        "passes",
        "edits/picture",
        "made right",
        "made wrong",
        "s/picture",
    ]
    out = []
    for name, row in rows.items():
        tags = row["score"]["tags"]
        gain = row.get("gain_over_off")
        points = gain and f"{100 * gain['share']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        changed = row.get("pictures_changed_by_edits")

        def number(key: str, digits: int = 2, row: dict = row) -> str:
            return f"{row[key]:.{digits}f}" if key in row else ""

        def of(key: str, row: dict = row, changed: int | None = changed) -> str:
            return f"{row[key]} of {changed}" if changed else ""

        out.append(
            [
                name,
                *(f"{100 * tags[t]['share']:.1f}" if t in tags else "" for t in TAGS),
                percent(row["score"]["mean"]),
                points or "",
                number("forward_passes"),
                number("edits_per_picture"),
                of("made_right_by_edits"),
                of("made_wrong_by_edits"),
                number("seconds_per_picture", 3),
            ]
        )
    return head, out


EDIT_NOTE = (
    "`gain over off` is paired by prompt and noise seed, with its 95 % bootstrap interval. `made right` and `made "
    "wrong`: pictures whose verdict changes when every edited token is put back to its first value, of those that "
    "were edited at all (in the remask row a place sent back counts as edited)."
)


def table_b(record: dict) -> list[str]:
    text = (
        f"Shipped weights, {record['prompts']} prompts, noise used nowhere else. {EDIT_NOTE} "
        f"{record.get('note', '')} {where(record)}."
    )
    return ["## B. Editing", text, grid(*_modes(record["rows"]))]


def table_c(record: dict) -> list[str]:
    text = f"Shipped weights, {record['prompts']} prompts. {record.get('note', '')} {where(record)}."
    return ["## C. Steps", text, grid(*_modes(record["rows"]))]


def table_repair(record: dict) -> list[str]:
    result = record["rows"]
    rows = []
    for level in result["levels"]:
        for name in ("off", "on, as the sampler has it", "on, as healing has it"):
            row = level[name]

            def of(key: str, row: dict = row) -> str:
                return f"{100 * row[key]:.1f}" if key in row else ""

            rows.append(
                [
                    f"{100 * level['broken_share']:.0f}",
                    name,
                    of("share"),
                    of("broken_tokens_restored"),
                    of("broken_tokens_changed"),
                    of("sound_tokens_changed"),
                    str(row.get("passes", "")),
                ]
            )
    text = (
        f"{result['pictures']} pictures that the verifier had accepted; broken tokens are drawn uniformly from the "
        f"other ids. Per cent. {where(record)}."
    )
    head = [
        "broken",
        "editing",
        "accepted",
        "broken restored exactly",
        "broken changed",
        "sound changed",
        "passes",
    ]
    return ["## Self-correction", text, grid(head, rows)]
