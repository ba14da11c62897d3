"""Write the files of tests/golden/ anew: only after a change that is meant to change numbers or formats.

    python tests/helpers/make_golden.py

numbers.json holds losses and token grids of fixed seeds on a CPU; checkpoint-2/, checkpoint-3/ (as two processes
write it) and trajectory-1.json are files of those format versions, and tokenizer-1/ is a checkpoint of the image
tokenizer from before it shared the loop of the others. A new version gets files of its own beside the old ones, which
must stay readable.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from tiny_model import build_tiny, fp32_products
from tiny_run import codec_folder, tiny_run
from tiny_tokenizer import tiny_tokenizer
from torch import Tensor

from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.pipeline import Pipeline
from trainer.engine import checkpoint
from trainer.engine.state import folder

HERE = Path(__file__).parents[1] / "golden"
CHECKPOINT = HERE / f"checkpoint-{checkpoint.WHOLE_VERSION}"
SPREAD = HERE / f"checkpoint-{checkpoint.FORMAT_VERSION}"
TRAJECTORY = HERE / "trajectory-1.json"
OPTIONS = {"log_every": 1, "validate_every": 6, "save_every": 4, "keep_last": 9}
KINDS = {"muon": {}, "adamw": {"matrix_lr": 0.0}}  # Muon iterates in bf16, AdamW is fp32 throughout
PROMPT = "a cat on a red background"


def losses(log: list[dict]) -> dict[str, list[float]]:
    """What a run's log says, without the times."""
    found = {"loss": [e["loss"] for e in log]}
    for name in ("masked_bits", "flipped_bits"):
        found[name] = [e[name] for e in log if name in e]
    return found


def generated():
    """Runs of the tiny pipeline with random weights: with editing, and by masking anew."""
    with fp32_products():
        config, codec, model, text = build_tiny()
        pipe = Pipeline(codec, text, TransformerBackbone(model), config)
        return {edit: pipe.generate(PROMPT, seed=3, steps=6, edit=edit) for edit in ("overwrite", "remask")}


def spread(whole: Path, folder: Path) -> Path:
    """The checkpoint of one process as two would write it: rows of every tensor in a file of each."""
    reader, step = checkpoint.Reader(whole), 4
    checkpoint.begin(folder, step)
    for rank in (0, 1):
        named: list[tuple[str, Tensor | checkpoint.Rows]] = []
        for name in reader:
            rows = reader.shape(name)[:1]
            if rows:
                half = -(-rows[0] // 2)
                first, last = (0, half) if rank == 0 else (half, rows[0])
                if last > first:
                    named.append((name, checkpoint.Rows(reader.rows(name, first, last), first, rows[0])))
            elif rank == 0:
                named.append((name, reader[name]))
        checkpoint.write(folder, step, named, rank, 2)
    return checkpoint.finish(folder, step, (whole / "state.json").read_text(), 2)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    numbers = {"losses": {}, "tokens": {k: run.tokens.tolist() for k, run in generated().items()}}
    with tempfile.TemporaryDirectory() as aside:
        codec = codec_folder(Path(aside) / "codec")
        for name, changes in KINDS.items():
            run = tiny_run(codec, Path(aside) / name, **OPTIONS, **changes)
            run.run()
            numbers["losses"][name] = losses(run.log)
        tokenizer = tiny_tokenizer(Path(aside) / "pictures", Path(aside) / "tokenizer")
        tokenizer.run()
        numbers["losses"]["tokenizer"] = losses(tokenizer.log)["loss"]
        shutil.rmtree(CHECKPOINT, ignore_errors=True)
        shutil.copytree(folder(Path(aside) / "muon") / "step-000000004", CHECKPOINT)
        shutil.rmtree(SPREAD, ignore_errors=True)
        shutil.copytree(spread(CHECKPOINT, Path(aside) / "spread"), SPREAD)
    generated()["overwrite"].save(TRAJECTORY)
    numbers["saved"] = numbers["tokens"]["overwrite"]
    (HERE / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
