"""A record of EmojiEval as Markdown tables, for the terminal and for pages."""

from __future__ import annotations

from trainer.evaluate.prompts import EVERY_TAG
from trainer.scenes.spec import EMOJI_128


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
    """One line a row: the tags and their mean; where there are more than six, the mean of GenEval's six too."""
    tags = [t for t in EVERY_TAG if any(t in r["tags"] for r in rows.values())]

    def cell(value: dict) -> str:
        return percent(value if split is None else value.get(split))

    body = [[name, *(cell(r["tags"].get(t, {})) for t in tags), cell(r["mean"])] for name, r in rows.items()]
    head = [f"{split.replace('_', ' ') if split else 'all'}, per cent", *tags, "mean"]
    if split is None and any("mean_of_six" in r for r in rows.values()):
        head.append("mean of the six")
        for line, r in zip(body, rows.values(), strict=True):
            line.append(percent(r.get("mean_of_six")))
    return grid(head, body)


def tables(record: dict) -> str:
    """Everything that one run of `python -m trainer evaluate` has to say."""
    n = sum(v["n"] for v in record["rows"]["model"]["tags"].values())
    judge, model = (digest[:12] for digest in (record["verifier_sha256"], record["model"]["sha256"]))
    parts = [
        f"EmojiEval{of_world(record)}, {n} prompts, verifier {judge}, model {model}",
        score_table(record["rows"]),
        score_table(record["rows"], "seen"),
        score_table(record["rows"], "held_out"),
        *second_table(record.get("second_opinion")),
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


def of_world(record: dict) -> str:
    """Which world's, where the record says so: that of the first weights goes without saying."""
    world = record.get("world", EMOJI_128.name)
    return "" if world == EMOJI_128.name else f" of {world}"


def second_table(second: dict | None) -> list[str]:
    """What the judge of 128 pixels says of halved pictures, beside the first judge on the same prompts."""
    if not second:
        return []
    if not second["n"]:
        return ["No second opinion: no prompt has only objects that the judge of 128 pixels knows."]
    return [
        f"Second opinion: the judge of 128 pixels on halved pictures, {second['n']} prompts of the objects it knows; "
        f"it agrees on {percent(second['agreement'])} % of the model's pictures",
        score_table(second["rows"]),
    ]


def miss_table(refused: dict) -> str:
    kinds = list(dict.fromkeys(k for v in refused.values() for k in v))
    tags = [t for t in EVERY_TAG if t in refused]
    return grid(["tag", *kinds], [[t, *(percent(refused[t].get(k)) for k in kinds)] for t in tags])


def agreement_table(agreement: dict) -> str:
    columns = list(dict.fromkeys(c for by_tag in agreement.values() for v in by_tag.values() for c in v))
    tags = [t for t in EVERY_TAG if all(t in v for v in agreement.values())]
    rows = [
        [f"{where}, {tag}", *(percent(by_tag[tag].get(c)) for c in columns)]
        for where, by_tag in agreement.items()
        for tag in tags
    ]
    return grid(["pictures", *columns], rows)
