"""What is asked of the commands of the credit study; the arms that it compares, and its studies."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdm_core.paths import SHIPPED
from trainer import checks
from trainer.options import Settings, any_seed, any_text, number, path, share, switch, whole, word
from trainer.settings.shared import Judged, OfWorld, OnDevice

GROUND = Path("runs/ground")


@dataclass(frozen=True)
class Arm:
    """One way to train; the default is plain cross-entropy with random flips and the edit loss."""

    said: str = "CE"  # as tables name it
    groups: tuple[int, ...] = ()  # codes in a group of GCE, a size for each level
    neighbours: int = 0  # GCE over so many nearest codes instead
    weight: float = 0.2  # of the grouped term
    ce: float = 1.0  # of plain cross-entropy
    fades: float = 0.0  # share of the run in which the grouped term falls to nothing; 0: it stays
    smoothing: float = 0.0  # uniform over the vocabulary
    soft: int = 0  # soft targets over so many nearest codes
    warmth: float = 0.5  # of soft targets, in mean distances between nearest codes
    flip: float = 0.2  # share of visible tokens that are replaced
    own: float = 0.0  # share of the steps whose flips are the model's own mistakes
    edit: float = 0.2  # weight of the loss of visible tokens


ARMS = {
    # table A
    "ce": Arm(),
    "gce8": Arm("CE + 0.2 GCE, groups of 8", groups=(8,)),
    "gce64": Arm("CE + 0.2 GCE, groups of 64", groups=(64,)),
    "knn8": Arm("CE + 0.2 GCE, 8 nearest", neighbours=8),
    "smooth": Arm("CE + smoothing 0.1", smoothing=0.1),
    "soft8": Arm("soft targets, 8 nearest", soft=8),
    # why the gain is as large as it is: group size, weight, schedule of the weight, sharpness
    "gce512": Arm("CE + 0.2 GCE, groups of 512", groups=(512,)),
    "gce8_w1": Arm("CE + 1.0 GCE, groups of 8", groups=(8,), weight=1.0),
    "gce64_w1": Arm("CE + 1.0 GCE, groups of 64", groups=(64,), weight=1.0),
    "gce64_w3": Arm("CE + 3.0 GCE, groups of 64", groups=(64,), weight=3.0),
    "gce64_fades": Arm("CE + 1.0 GCE of 64, gone at half", groups=(64,), weight=1.0, fades=0.5),
    "gce8_64": Arm("CE + 0.2 GCE of 8 + 0.2 GCE of 64", groups=(8, 64)),
    "soft8_sharp": Arm("soft targets, 8 nearest, sharp", soft=8, warmth=0.25),
    # table E: what training brings to editing
    "bare": Arm("no flips, no edit loss", flip=0.0, edit=0.0),
    "flips": Arm("random flips, no edit loss", edit=0.0),
    "edits": Arm("random flips, edit loss"),
    "own": Arm("self-generated flips, edit loss", own=1.0),
    "own_half": Arm("half of the flips self-generated, edit loss", own=0.5),
}
STUDIES = {
    "objective": ("ce", "gce8", "gce64", "knn8", "smooth", "soft8"),
    "knobs": ("ce", "gce512", "gce8_w1", "gce64_w1", "gce64_w3", "gce64_fades", "gce8_64", "soft8_sharp"),
    "editing": ("bare", "flips", "edits", "own", "own_half"),
    "vocabulary": ("ce", "gce8"),
}


# of the model; "base" is that of the shipped weights
BODIES = ("small", "cpu", "base")


@dataclass(frozen=True, kw_only=True)
class GroundSettings(OfWorld, Judged):
    """What is drawn, and by what it is judged."""

    codec: Path = path(SHIPPED, "folder of the image tokenizer")
    out: Path = path(GROUND, "folder of the ground")
    objects: int = whole(30, "the first N objects of the atlas", 2)
    styles: tuple[str, ...] = any_text(("flat", "simple"), "of the scenes", several=True)
    scenes: int = whole(131_072, "to train on", 1)
    unseen: int = whole(512, "scenes that bits are measured on", 1)
    per_tag: int = whole(40, "EmojiEval prompts a tag; 0: none, and no judge")
    snapped: float = share(0.0, "share of the scenes whose things stand on the lattice")
    workers: int = whole(8, "processes that draw scenes", 0, checks.MOST_WORKERS)


@dataclass(frozen=True, kw_only=True)
class Ambiguity(OnDevice):
    ground: Path = path(GROUND, "folder of the ground")
    model: tuple[Path, ...] = path((), "model folders over its tokens", several=True)
    tokens: int = whole(2048, "tokens whose neighbours are decoded", 1, 1 << 20)
    nearest: int = whole(16, "nearest codes of each", 1, 1024)
    json: Path | None = path(None, "write the record here")


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """What all arms of a study have in common."""

    size: str = word("small", BODIES, "of the model")
    steps: int = whole(2000, "of each run", 1)
    batch: int = whole(512, "pictures a step", 1, checks.MOST_IN_BATCH)
    rows: float = number(0.3, "share of a batch's tokens that the loss sees", high=1, above=True)
    lr: float = number(2e-3, "learning rate of embeddings, head and norms", above=True)
    matrix_lr: float = number(0.02, "learning rate of the blocks' matrices")
    # without a decay every point of a curve is what a run of that length ends with
    decay: float = share(0.0, "share of a run in which the rates fall")
    ema: float = share(0.995, "of the averaged weights that are measured")
    checks: int = whole(12, "measurements along a run, evenly spaced, the last at its end", 1, 1000)
    pictures_every: int = whole(2, "checks between those that draw pictures; the last always does", 1, 1000)
    self_flips: float = share(0.0, "share of every arm's steps whose flips are the model's own mistakes")
    editing: bool = switch("at the end, sample with editing off, remask and overwrite at equal passes")
    keep_models: bool = switch("write a model folder of every run that ends")


@dataclass(frozen=True, kw_only=True)
class CreditSettings(RunSettings, OnDevice):
    """Which runs, on what, for how long."""

    ground: Path = path(GROUND, "folder of the ground")
    out: Path = path(Path("runs/credit"), "folder of the runs and of the record")
    study: str = word("objective", STUDIES, "which arms")
    arms: tuple[str, ...] = word(
        (), ARMS, f"instead of those of the study: {', '.join(ARMS)}", several=True, metavar="ARM"
    )
    seeds: int = whole(3, "runs of each arm", 1, 10_000)
    first_seed: int = any_seed(0, "the first of them")
    minutes: float = number(9.0, "of the whole command", above=True)
    cards: int = whole(0, "GPUs to use; 0: all that there are", 0, 1024)
    commit: str | None = any_text(None, "recorded where the code came without its history")
    predict: bool = switch("say what it will cost, and do nothing")

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """(arm, seed), all arms of a seed before the next seed."""
        last = self.first_seed + self.seeds
        chosen = self.arms or STUDIES[self.study]
        return [(arm, seed) for seed in range(self.first_seed, last) for arm in chosen]

    @property
    def conditions(self) -> RunSettings:
        return RunSettings(**{f.name: getattr(self, f.name) for f in dataclasses.fields(RunSettings)})

    def alike(self) -> dict[str, Any]:
        """What must not change between commands that share a folder."""
        return {"ground": str(self.ground), **dataclasses.asdict(self.conditions)}


@dataclass(frozen=True, kw_only=True)
class Healthy(Settings):
    run: Path = path(Path("runs/emoji"), "folder of a run")
    out: Path | None = path(None, "folder of the page (default: the run's)")
