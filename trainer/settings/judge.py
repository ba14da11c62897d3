"""What is asked of the command judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer import checks
from trainer.conduct import Conduct
from trainer.options import number, path, whole
from trainer.settings.shared import OfWorld, OnDevice


@dataclass(frozen=True, kw_only=True)
class JudgeSettings(Conduct):
    """How a judge is trained."""

    # the schedule runs over `minutes`, of the whole run from start to files, unless steps > 0
    minutes: float = number(2.3, "of the whole run")
    steps: int = whole(0, "train so many steps instead of --minutes (0 or -1: by time)", -1)
    batch: int = whole(512, "lessons a step", 1, checks.MOST_IN_BATCH)
    clip: float = 5.0
    weight_decay: float = 0.03
    # the last weights are the judge
    ema: float = 0.0
    log_every: int = whole(100, "steps between lines", 1)
    save_every: int = whole(500, "steps between checkpoints", 1)
    workers: int = whole(0, "processes that draw scenes", 0, checks.MOST_WORKERS)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "steps", max(0, self.steps))
        checks.numbers(self, ("minutes",), above=not self.steps)


@dataclass(frozen=True, kw_only=True)
class JudgeCommand(JudgeSettings, OfWorld, OnDevice):
    out: Path = path(Path("runs/verifier"), "run folder")
    minutes: float = number(2.3, "of the whole run", above=True)
    objects: int | None = whole(None, "the first N objects of the atlas", 2)
    check: int = whole(2048, "pictures for thresholds and accuracy", 1)
