"""Records of the credit study -> Markdown: tables A and E, the vocabulary, and how ambiguous the truth is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from trainer.evaluate.report import grid, percent
from trainer.evidence.credit.crossing import GOAL, SCORES, Ratio, ratios
from trainer.evidence.credit.figures import gradient_share
from trainer.evidence.credit.sides import MODES, gains
from trainer.evidence.pages import read, spread, where
from trainer.settings.credit import ARMS

SAID = {"masked_bits": "bits", "accuracy": "accuracy", "accepted": "EmojiEval", "frechet": "Fréchet"}
METHOD = (
    "Steps until CE's final score, as a ratio to CE's steps: geometric mean over seeds and its 95 % interval "
    "(Student's t over the logarithms), paired by seed. Rates are constant and weights averaged, so that every point "
    "of a curve is what a run of that length ends with; curves are made monotone and read between their checks over "
    "log steps. Above 1: CE reaches the arm's final score so many times sooner."
)


def credit_pages(folder: Path) -> list[str]:
    """Everything of the study whose records lie in a folder: credit*.json and ambiguity*.json."""
    records = [r for p in sorted(folder.glob("credit*.json")) if (r := read(p)) and r["runs"]]
    parts: list[str] = []
    for record in records:
        ended = [r for r in record["runs"] if r["done"]]
        if any("sides" not in r for r in ended):
            parts += objectives(record)
        if any("sides" in r for r in ended):
            parts += both_sides(record)
    parts += vocabulary(records)
    for path in sorted(folder.glob("ambiguity*.json")):
        if found := read(path):
            parts += ambiguity(found)
    return parts


def ground_said(record: Mapping[str, Any]) -> str:
    """One sentence about what was trained on."""
    g, c = record["ground"], record["conditions"]
    codes = "learned codes" if learned(record) else "codes of a lattice"
    return (
        f"{g['vocab_size']:,} {codes}, {g['tokens']} tokens a picture, {len(g['objects'])} objects in "
        f"{len(g['styles'])} styles of {g['world']}, {100 * (1 - g['snapped']):.0f} % of scenes placed freely; "
        f"{c['steps']:,} steps of {c['batch']} of {g['scenes']:,} scenes; {record['prompts']} prompts. "
        f"{where(dict(record))}."
    )


def rows_of(record: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """arm -> its runs that have ended, in the order of the table of arms."""
    ended = [r for r in record["runs"] if r["done"]]
    found = {a: [r for r in ended if r["arm"] == a] for a in ARMS}
    return {a: runs for a, runs in found.items() if runs}


def objectives(record: Mapping[str, Any]) -> list[str]:
    """Table A: every arm's end, and the steps that it takes to CE's."""
    arms, compared = rows_of(record), ratios(record["runs"])
    rows = []
    for arm, runs in arms.items():
        last = [r["curve"][-1] for r in runs]

        def of(name: str, scale: float = 1.0, digits: int = 1, last: list[dict[str, Any]] = last) -> str:
            values = [e[name] for e in last if name in e]
            return spread(values, scale, digits) if values else ""

        rows.append(
            [
                ARMS[arm].said,
                str(len(runs)),
                of("accepted", 100),
                of("masked_bits", 1, 3),
                of("accuracy", 100, 2),
                of("group_8_bits", 1, 3),
                of("entropy_bits", 1, 3),
                of("frechet", 1, 2),
                share_of_gradient(arm, last),
                f"{1000 * mean(r['seconds_per_step'] for r in runs):.1f}",
                *(ratio_said(compared.get(arm, {}).get(score)) for score in SCORES),
            ]
        )
    head = [
        "objective",
        "seeds",
        "EmojiEval %",
        "bits/token",
        "accuracy %",
        "bits/group of 8",
        "entropy",
        "Fréchet",
        "gradient %",
        "ms/step",
        *(f"steps by {SAID[score]}" for score in SCORES),
    ]
    real = record["ground"]["controls"]
    controls = "; ".join(f"{name} {percent(row['mean'])}" for name, row in real.items())
    text = (
        f"{ground_said(record)} Mean ± standard deviation over seeds. Bits are plain CE on masked tokens of unseen "
        f"scenes, whatever the objective; entropy is that of the prediction, in bits; `gradient`: the grouped term's "
        f"part of the gradient at the end. {METHOD}"
        + (f" EmojiEval of controls: {controls}." if controls else "")
    )
    return [
        f"## A. Credit for neighbours, V = {record['ground']['vocab_size']:,}",
        text,
        grid(head, rows),
        verdict(compared),
    ]


def share_of_gradient(arm: str, last: Sequence[Mapping[str, float]]) -> str:
    """The grouped term's part of the gradient, in per cent; nothing where it was not measured."""
    kind = ARMS[arm]
    size = kind.groups[0] if len(kind.groups) == 1 else 0
    if not size or any(f"p_group_{size}" not in e for e in last):
        return ""
    return f"{100 * mean(gradient_share(e, size, kind.weight) for e in last):.1f}"


def ratio_said(ratio: Ratio | None) -> str:
    return "" if ratio is None else str(ratio)


def verdict(compared: Mapping[str, Mapping[str, Ratio]]) -> str:
    """What the ratios say about the goal, in a sentence each."""
    said = []
    for score in ("accepted", "masked_bits"):
        known = {a: r[score] for a, r in compared.items() if score in r}
        if not known:
            continue
        best = min(known, key=lambda a: known[a].ratio)
        sure = [a for a, r in known.items() if r.high is not None and r.high < 1]
        told = (
            "none is surely below 1"
            if not sure
            else "surely below 1: " + ", ".join(ARMS[a].said for a in sure)
        )
        said.append(
            f"By {SAID[score]} the fewest steps are those of {ARMS[best].said}, {known[best]} (goal: {GOAL} or less); "
            f"{told}."
        )
    return " ".join(said) or "No arm has ended beside CE yet."


def both_sides(record: Mapping[str, Any]) -> list[str]:
    """Table E: training by sampling."""
    runs = [r for r in record["runs"] if r["done"] and "sides" in r]
    found, rows = gains(runs), []
    for arm in (a for a in ARMS if any(r["arm"] == a for r in runs)):
        mine = [r for r in runs if r["arm"] == arm]
        cells = [ARMS[arm].said, str(len(mine))]
        for mode in MODES:
            values = [r["sides"][mode]["mean"]["share"] for r in mine]
            gain = found.get((arm, mode))
            points = "" if gain is None else " ({:+.1f} [{:+.1f}, {:+.1f}])".format(*(100 * g for g in gain))
            cells.append(spread(values, 100) + points)
        cells.append(" / ".join(f"{mean(r['sides'][m]['passes'] for r in mine):.1f}" for m in MODES))
        rows.append(
            [
                *cells,
                spread(
                    [r["curve"][-1]["flipped_bits"] for r in mine if "flipped_bits" in r["curve"][-1]]
                    or [0.0],
                    1,
                    2,
                ),
            ]
        )
    head = ["trained with", "seeds", "editing off", "remask", "overwrite", "passes", "bits/flipped"]
    text = (
        f"{ground_said(record)} Per cent of pictures accepted, mean ± standard deviation over seeds; in brackets the "
        "gain over the model that saw neither flips nor edit loss, sampled with editing off, paired by seed, prompt "
        "and noise, with its 95 % bootstrap interval. Down a column: what training brings; along a row: what sampling "
        "brings, at the forward passes that overwriting takes."
    )
    return ["## E. Editing from both sides", text, grid(head, rows)]


def of_vocabularies(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Records that have CE and GCE, by the size of their vocabulary; none where they all have the same."""
    both = [r for r in records if {"ce", "gce8"} <= rows_of(r).keys()]
    sizes = {r["ground"]["vocab_size"] for r in both}
    return sorted(both, key=lambda r: (r["ground"]["vocab_size"], learned(r))) if len(sizes) > 1 else []


def learned(record: Mapping[str, Any]) -> bool:
    return bool(record["ground"]["codec"]["codebook"])


def vocabulary(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """CE and GCE over grounds of several vocabularies; nothing where there is only one."""
    rows = []
    for record in of_vocabularies(records):
        g, compared = record["ground"], ratios(record["runs"])
        size = g["vocab_size"]
        cells = [
            f"{size:,}",
            "learned" if learned(record) else "lattice",
            f"{g['fidelity']['psnr_db']:.1f}",
            f"{g['fidelity']['codes_used']:,}",
        ]
        for arm in ("ce", "gce8"):
            last = [r["curve"][-1] for r in rows_of(record)[arm]]
            for name, scale, digits in (("accepted", 100, 1), ("frechet", 1, 2)):
                values = [e[name] for e in last if name in e]
                cells.append(spread(values, scale, digits) if values else "")
        rows.append([*cells, ratio_said(compared.get("gce8", {}).get("accepted"))])
    if not rows:
        return []
    head = [
        "V",
        "codes",
        "PSNR dB",
        "codes used",
        "CE: EmojiEval %",
        "CE: Fréchet",
        "GCE of 8: EmojiEval %",
        "GCE of 8: Fréchet",
        "GCE's steps by EmojiEval",
    ]
    text = (
        "What a vocabulary costs a model to learn, and what it gives: fidelity is that of the image tokenizer on "
        "unseen scenes; bits of different vocabularies cannot be compared, pictures can. Fréchet distances are to true "
        "scenes, so that they hold the tokenizer's own."
    )
    return ["## The best vocabulary", text, grid(head, rows)]


def ambiguity(record: Mapping[str, Any]) -> list[str]:
    """Codes that decode alike, and the entropy of models."""
    g = record["ground"]
    rows = [
        [
            name,
            f"{t['neighbours']:.1f}",
            *(f"{100 * t[f'within_{n}']:.1f}" for n in (1, 2, 4, 8)),
            f"{100 * t['tokens_with_twin']:.1f}",
        ]
        for name, t in record["twins"].items()
    ]
    head = ["neighbours", "each", "within 1 level %", "2", "4", "8", "tokens with a twin %"]
    parts = [
        f"## How ambiguous the truth is, V = {g['vocab_size']:,}",
        "Neighbours of true tokens that decode to the same patch up to so many grey levels at every pixel, all else as "
        f"it was ({where(dict(record))}).",
        grid(head, rows),
    ]
    if record["models"]:
        names = ("entropy_bits", "masked_bits", "group_8_bits", "accuracy", "sure", "p_target", "p_group_8")
        parts.append(
            grid(
                ["model", *names],
                [[n, *(f"{m[k]:.3f}" if k in m else "" for k in names)] for n, m in record["models"].items()],
            )
        )
    return parts
