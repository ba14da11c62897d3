"""How a training run is conducted, whatever it trains: the settings that every run shares."""

from __future__ import annotations

from dataclasses import dataclass

from trainer import checks


@dataclass(frozen=True)
class Conduct:
    """Length, pace, guard and cadence of a run; what is trained adds fields of its own."""

    # how long, and how fast
    steps: int = 10_000
    minutes: float = 0.0  # > 0: the schedule runs over this time instead of `steps`
    schedule: str = "trapezoid"  # of the learning rate: "trapezoid" (also called WSD) or "cosine"
    warmup: float = 0.01  # share of the run
    decay: float = 0.35  # trapezoid: share of the run in which the rate falls
    lr: float = 2e-3  # AdamW: of a model its embeddings, head, norms
    weight_decay: float = 0.0
    clip: float = 1.0  # largest norm of the gradient; 0: no clipping
    ema: float = 0.9995
    # micro-batches a step and device; a step sees batch_size * accumulate * devices samples
    accumulate: int = 1
    # how it is computed
    compile: bool = False
    seed: int = 0
    # what is said and kept
    on_nan: str = "stop"  # a loss or gradient that is not finite: "stop" the run, or "skip" the step
    log_every: int = 20  # steps between lines; 0: none
    save_every: int = 1000  # steps between checkpoints; 0: none are written
    save_minutes: float = 10.0  # a checkpoint also after so many minutes: what a power cut may cost; 0: never
    keep_last: int = 2  # checkpoints
    keep_best: int = 1  # checkpoints with the fewest bits per masked token in validation
    tensorboard: bool = False

    def __post_init__(self) -> None:
        checks.choices(self, schedule=("trapezoid", "cosine"), on_nan=("stop", "skip"))
        checks.wholes(self, ("keep_last",), 1)
        checks.wholes(self, ("accumulate",), 1, 1 << 20)
        checks.wholes(self, ("steps", "log_every", "save_every", "keep_best"))
        checks.numbers(self, ("minutes", "lr", "weight_decay", "clip", "save_minutes"))
        checks.shares(self, ("warmup", "decay", "ema"))
        checks.seeds(self, "seed")
        checks.flags(self, "compile", "tensorboard")
