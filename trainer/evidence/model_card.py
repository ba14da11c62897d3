"""The model card: `README.md` of a model folder, filled from its config.json and from the recorded evidence.

    python -m trainer evidence card [--model assets/model] [--evidence assets/evidence]

Figures come from records only; what has no record is left out. The prose below states what the figures cannot.
"""

from __future__ import annotations

from pathlib import Path

from mdm_core.families.chisel.config import load_config
from trainer.command import ask, out_folder, run_command
from trainer.evaluate.report import score_table
from trainer.evidence import freeform
from trainer.evidence.pages import read
from trainer.scenes.atlas import Atlas
from trainer.settings.evidence import Card

FILES = ("model.safetensors", "image_tokenizer.safetensors", "text.json")
DATA = """\
Scenes made by `trainer/scenes/generator.py`: one to four objects of one art style on one of 21 named grounds, snapped
to an 8-pixel lattice, some recoloured to one of eight hues, with an English caption made from templates. No picture of
a person, no web data. The art, by style: {art}. Licences, authors and changes
are in [assets/atlas/LICENSES.md](../atlas/LICENSES.md): MIT (Fluent), Apache-2.0 (Noto), CC BY 4.0 (Twemoji and
EmojiTwo: keep their names with pictures that you publish). {pictures}One in ten combinations (pairs of objects, object
and colour, object and relation, object and number) was kept from training: `trainer/scenes/splits.py`."""
LIMITS = """\
- It draws these emoji-like objects, one to four of a kind or two kinds together, on these grounds, in these styles and
  8 hues, and nothing else. A word it was not taught is ignored at best; the page says so and offers what is near,
  where something is.
- It learnt English from templates and a list of other wordings. How it takes sentences that it never saw stands in the
  table of free-form prompts.
- Sizes and places follow the training layouts. 128 pixels a side.
- Uploaded photographs pass through the image tokenizer and lose detail; what is kept is measured in the README.
- EmojiEval is this project's own benchmark on this model's own ground. Its figures are not GenEval's, DPG's or HPSv3's
  and must not be set beside them. Its judge is a small detector with errors of its own (control rows), which sees
  objects, colours and places but neither grounds nor styles nor beauty.
- Sampling defaults were chosen among seven candidates on 300 prompts of another lot, judged by template matching and
  not by the verifier (`trainer/evidence/tune.py`, [tuning.json](../evidence/tuning.json)). That eager edits were a
  candidate came from a table that the verifier had made of earlier weights; two candidates were level, the first was
  taken.
- It comes without a safety filter: it has seen no people, and draws only the objects listed in `config.json`."""


def data(styles: list[str], model_folder: Path) -> str:
    packages = Atlas.load().packages
    extra = "What else the tokenizer's decoder has seen is in [PICTURES.md](PICTURES.md). "
    return DATA.format(
        art=", ".join(f"{s} (`{packages[s]}`)" for s in styles),
        pictures=extra if (model_folder / "PICTURES.md").exists() else "",
    )


def card(model_folder: Path, evidence: Path) -> str:
    config = load_config(model_folder / "config.json")
    files = {name: (model_folder / name).stat().st_size for name in FILES}
    log = read(model_folder / "training_log.json")
    told, model = config.card, config.model
    recipe = told.get("recipe", {})
    objects, styles = told["objects"], told["styles"]
    size = sum(files.values()) / 1e6
    parts = [
        "# Model card: Chisel's shipped weights",
        "Made by `python -m trainer evidence card` from the records in this repository.",
        "## What it is\n\n"
        f"A masked discrete diffusion model: {told['parameters'] / 1e6:.1f} M parameters ({model.depth} blocks of "
        f"width {model.width} over {model.length // model.resample**2} positions, {model.token_depth} of width "
        f"{model.token_width} over {model.length}), V = {model.vocab_size:,} tokens of 8x8 pixels, prompts of up to "
        f"{model.text_length} byte-pair tokens, trained from scratch. {size:.1f} MB in all: "
        + ", ".join(f"{name} {n / 1e6:.1f} MB" for name, n in files.items())
        + ".\n\nIt knows "
        f"{len(objects)} objects in {len(styles)} styles ({', '.join(styles)}). Licence of code and weights: "
        "Apache-2.0, with the attributions of the art (below).",
        "## Data\n\n" + data(styles, model_folder),
        "## Budget\n\n" + budget(told, recipe, log),
    ]
    if record := read(evidence / "emojieval.json"):
        parts.append("## Scores\n\n" + scores(record))
    if record := read(evidence / "freeform.json"):
        parts.append(
            "### Prompts as people type them\n\nWritten by an AI before any picture of theirs was seen; "
            "the verifier's result.\n\n" + freeform.table(record)
        )
    parts.append("## Limits\n\n" + LIMITS)
    return "\n\n".join(parts) + "\n"


def budget(told: dict, recipe: dict, log: list[dict] | None) -> str:
    text = f"{told['samples']:,} scenes, {told['steps']:,} steps, {told['minutes']} minutes"
    batch = recipe.get("data", {}).get("batch_size")
    text += f" (batch {batch}, bf16)" if batch else ""
    if log and log[-1]["samples"] > told["samples"]:  # several runs, each from the weights of the one before
        text = f"{log[-1]['samples']:,} scenes, {log[-1]['seconds'] / 60:.0f} minutes in all; the last run {text}"
    corruption, goal = recipe.get("corruption", {}), recipe.get("objective", {})
    if corruption:
        text += (
            f"; flips {corruption['flip']}, edit loss {goal['edit_weight']}, CE + {goal['group_weight']} GCE, "
            f"prompt dropout {recipe['prompt_dropout']}"
        )
    checks = [e for e in log or [] if "masked_bits" in e]
    if checks:
        last = checks[-1]
        text += (
            f". Last check, at {last['samples']:,} scenes in all: {last['masked_bits']} bits a masked token on "
            f"scenes of another seed"
        )
    return text + ". The whole recipe stands in `config.json` under `card`."


def scores(record: dict) -> str:
    rows = record["rows"]
    return "\n\n".join(
        [
            f"EmojiEval, {sum(t['n'] for t in rows['model']['tags'].values()):,} prompts "
            f"({record['environment']['device']}, {record['date']}), per cent accepted by the frozen verifier "
            f"`{record['verifier_sha256'][:12]}` with 95 % intervals. `round trip` is what the image tokenizer lets "
            "through, `shuffled prompts` judges each picture by another prompt.",
            score_table(rows),
            score_table({"model": rows["model"]}, "seen"),
            score_table({"model": rows["model"]}, "held_out"),
            "More in [assets/evidence](../evidence/): tables, the page of failures, every verdict.",
        ]
    )


def main() -> None:
    args = ask(Card, __doc__)
    if not (args.model / "config.json").is_file():
        raise ValueError(
            f"{args.model} is no model folder: run this in a clone of Chisel, or name one with --model."
        )
    out_folder(args.model)
    text = card(args.model, args.evidence)
    (args.model / "README.md").write_text(text, encoding="utf-8")
    print(args.model / "README.md")


if __name__ == "__main__":
    run_command(main)
