"""A record of EmojiEval as Markdown tables, for the terminal and for pages."""

from __future__ import annotations

from trainer.evaluate.prompts import TAGS


def percent(value: dict | None) -> str:
    """'91.5 [88.4, 93.8]': a share and its 95 % interval, in per cent."""
    if not value:
        return ""
    return f"{100 * value['share']:.1f} [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"


def grid(head: list[str], rows: list[list[str]]) -> str:
    """Markdown with aligned columns."""
    widths = [max(len(r[k]) for r in [head, *rows]) for k in range(len(head))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + " |" for r in [head, *rows]
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def score_table(rows: dict[str, dict], split: str | None = None) -> str:
    """One line a row: the six tags and their mean."""
    tags = [t for t in TAGS if any(t in r["tags"] for r in rows.values())]

    def cell(value: dict) -> str:
        return percent(value if split is None else value.get(split))

    body = [[name, *(cell(r["tags"].get(t, {})) for t in tags), cell(r["mean"])] for name, r in rows.items()]
    return grid([f"{split.replace('_', ' ') if split else 'all'}, per cent", *tags, "mean"], body)


def tables(record: dict) -> str:
    """Everything that one run of `python -m trainer evaluate` has to say."""
    n = sum(v["n"] for v in record["rows"]["model"]["tags"].values())
    parts = [
        f"EmojiEval, {n} prompts, verifier {record['verifier_sha256'][:12]}, model {record['model']['sha256'][:12]}",
        score_table(record["rows"]),
        score_table(record["rows"], "seen"),
        score_table(record["rows"], "held_out"),
        "Near misses refused by the verifier, per cent (one thing in a true render is wrong)",
        miss_table(record["near_misses_refused"]),
        "Agreement of template matching with the verifier, per cent",
        agreement_table(record["template_agreement"]),
        "Mistakes in the model's pictures: "
        + "; ".join(
            f"{tag}: {', '.join(f'{k} {v}' for k, v in sorted(kinds.items(), key=lambda x: -x[1]))}"
            for tag, kinds in record["mistakes"].items()
            if kinds
        ),
        f"Fréchet distance to real renders in the verifier's features: model "
        f"{record['frechet_to_real_renders']['model']}, round trip {record['frechet_to_real_renders']['round trip']}. "
        f"{record['seconds_per_picture']:.3f} s, {record['forward_passes']:.2f} forward passes and "
        f"{record['edits_per_picture']:.2f} edits a picture.",
    ]
    return "\n\n".join(parts)


def miss_table(refused: dict) -> str:
    kinds = list(dict.fromkeys(k for v in refused.values() for k in v))
    tags = [t for t in TAGS if t in refused]
    return grid(["tag", *kinds], [[t, *(percent(refused[t].get(k)) for k in kinds)] for t in tags])


def agreement_table(agreement: dict) -> str:
    columns = ("objects", "verdicts", "verdicts of templates alone", "accepted by templates alone")
    tags = [t for t in TAGS if all(t in v for v in agreement.values())]
    rows = [
        [f"{where}, {tag}", *(percent(by_tag[tag].get(c)) for c in columns)]
        for where, by_tag in agreement.items()
        for tag in tags
    ]
    return grid(["pictures", *columns], rows)
