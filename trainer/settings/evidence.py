"""What is asked of the commands of evidence; the arms of table A, and the candidates that tuning tries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdm_core.families.chisel.config import ModelConfig
from mdm_core.paths import SHIPPED
from trainer import checks
from trainer.conduct import Conduct
from trainer.options import HIDDEN, Settings, any_seed, any_text, number, path, switch, whole, word
from trainer.settings.shared import Judged, OfModel, OfModelsWorld, OnDevice

EVIDENCE = Path("assets/evidence")


@dataclass(frozen=True)
class Arm:
    """One way to train. `group`: codes a cell of the lattice holds; 1 is plain CE."""

    group: int = 1
    weight: float = 0.2  # of the grouped term
    smoothing: float = 0.0


ARMS = {
    "ce": Arm(),
    "smooth": Arm(smoothing=0.1),
    "gce8": Arm(8),
    "gce64": Arm(64),
    "gce512": Arm(512),
    "gce64_w1": Arm(64, weight=1.0),
}
SIZES = {  # of the model; width of the body's heads is 64, of the per-token ones 64 and 32
    "gpu": ModelConfig(
        width=256,
        depth=5,
        heads=4,
        kv_heads=4,
        ffn=704,
        token_width=128,
        token_depth=2,
        token_heads=2,
        token_ffn=256,
    ),
    "cpu": ModelConfig(
        width=192,
        depth=4,
        heads=3,
        kv_heads=3,
        ffn=512,
        token_width=96,
        token_depth=2,
        token_heads=3,
        token_ffn=192,
    ),
}


@dataclass(frozen=True)
class ArmSettings(Conduct):
    """As all arms are trained."""

    warmup: float = 0.02
    decay: float = 0.4
    ema: float = 0.99
    log_every: int = 0
    save_minutes: float = 1.0
    keep_last: int = 1


@dataclass(frozen=True, kw_only=True)
class Ablate(Judged):
    codec: Path = path(SHIPPED, "folder with config.json and the image tokenizer")
    levels: tuple[int, ...] | None = whole(
        None, "a finer lattice for the same codec", 2, 1 << 16, several=True
    )
    size: str = word("gpu", SIZES, "of the model")
    grain: float = number(0.0, "pixel noise of all scenes, in grey levels", high=255)
    text: Path = path(SHIPPED / "text.json", "prompt vocabulary")
    out: Path = path(Path("runs/ablation"), "folder of the runs")
    arms: tuple[str, ...] = word(tuple(ARMS)[:5], ARMS, ", ".join(ARMS), several=True, metavar="ARM")
    seeds: int = whole(3, "runs of each arm", 1, 10_000)
    first_seed: int = any_seed(0, "to go on where an earlier run was cut")
    minutes: float = number(6.5, "of the whole command", above=True)
    steps: int = whole(0, "of each run; 0: as many as the minutes allow")
    batch: int = whole(512, "pictures a step", 1, checks.MOST_IN_BATCH)
    rows: float = number(0.3, "share of a batch's tokens that the loss sees", high=1, above=True)
    scenes: int = whole(131_072, "training scenes, drawn once", 1)
    objects: int = whole(30, "the first N objects of the atlas", 2)
    styles: tuple[str, ...] = any_text(("flat", "simple"), "of the scenes", several=True)
    unseen: int = whole(256, "scenes that bits are measured on", 1)
    per_tag: int = whole(60, "EmojiEval prompts a tag", 1)
    processes: int = whole(5, "runs at once", 1, 1024)
    workers: int = whole(12, "processes that draw scenes", 0, checks.MOST_WORKERS)
    reserve: float = number(15.0, "seconds a seed costs beside its steps")
    commit: str | None = any_text(None, "recorded where the code came without its history")
    # what the command tells the processes that it starts
    worker: str | None = word(None, ARMS, HIDDEN)
    start: float = number(0.0, HIDDEN)
    until: float = number(0.0, HIDDEN)


# what is measured for the tables B, C and self-correction
PARTS = ("editing", "steps", "repair")


@dataclass(frozen=True, kw_only=True)
class Tables(Judged, OfModel):
    measure: bool = switch("measure before the tables are made")
    only: tuple[str, ...] = word(PARTS, PARTS, "what to measure", several=True)
    limit: int = whole(100, "prompts a tag", 1)
    out: Path = path(EVIDENCE, "folder of records and tables")


CANDIDATES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "T 0.6": {"temperature": 0.6},
    "T 0.4": {"temperature": 0.4},
    "T 1.0": {"temperature": 1.0},
    "g 1.0": {"guidance": 1.0},
    "g 2.5": {"guidance": 2.5},
    "g 4": {"guidance": 4.0},
    "T 0.6, g 2.5": {"temperature": 0.6, "guidance": 2.5},
    "no order noise": {"gumbel": 0.0},
    "order noise 3": {"gumbel": 3.0},
    "shift schedule": {"schedule": "shift"},
    "eager edits": {"edit_threshold": 0.3, "edit_budget": 0.15},
    "T 0.6, eager edits": {"temperature": 0.6, "edit_threshold": 0.3, "edit_budget": 0.15},
    "eager edits, 4 polish passes": {"edit_threshold": 0.3, "edit_budget": 0.15, "polish": 4},
    "T 0.6, eager edits, 4 polish passes": {
        "temperature": 0.6,
        "edit_threshold": 0.3,
        "edit_budget": 0.15,
        "polish": 4,
    },
    "T 0.4, eager edits, 4 polish passes": {
        "temperature": 0.4,
        "edit_threshold": 0.3,
        "edit_budget": 0.15,
        "polish": 4,
    },
    "T 0.6, g 2.5, eager edits, 4 polish passes": {
        "temperature": 0.6,
        "guidance": 2.5,
        "edit_threshold": 0.3,
        "edit_budget": 0.15,
        "polish": 4,
    },
}


@dataclass(frozen=True, kw_only=True)
class Tune(OfModel, OnDevice):
    out: Path = path(EVIDENCE / "tuning.json", "the record")
    per_tag: int = whole(40, "prompts a tag", 1, 1 << 16)
    only: tuple[str, ...] = word(
        tuple(CANDIDATES),
        CANDIDATES,
        f"of {', '.join(CANDIDATES)} (default: all)",
        several=True,
        metavar="NAME",
    )
    best: Path | None = path(None, "write the best settings here, as field=value")


@dataclass(frozen=True, kw_only=True)
class Freeform(Judged, OfModelsWorld, OfModel):
    out: Path = path(EVIDENCE / "freeform.json", "the record")


@dataclass(frozen=True, kw_only=True)
class Failures(OfModel):
    record: Path = path(EVIDENCE / "emojieval.json", "of `python -m trainer evaluate --json`")
    tokens: Path | None = path(None, "of the same run (default: the record's name with _tokens.safetensors)")


@dataclass(frozen=True, kw_only=True)
class Sheet(OfModel):
    out: Path = path(Path("assets/samples"), "folder of the pictures")


@dataclass(frozen=True, kw_only=True)
class Card(Settings):
    model: Path = path(Path("assets/model"), "model folder, where the card is written")
    evidence: Path = path(EVIDENCE, "folder of the records")


@dataclass(frozen=True, kw_only=True)
class Words(Settings):
    model: Path = path(about="model folder", place=True)


@dataclass(frozen=True, kw_only=True)
class Geneval(OfModel, OnDevice):
    metadata: Path = path(about="evaluation_metadata.jsonl", place=True)
    out: Path = path(Path("geneval_pictures"), "folder of the pictures")
    samples: int = whole(4, "pictures a prompt, as GenEval draws", 1, 10_000)
    limit: int | None = whole(None, "the first N prompts only", 1)
