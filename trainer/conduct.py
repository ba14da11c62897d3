"""How a training run is conducted, whatever it trains: the settings that every run shares."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.options import Settings, any_seed, number, share, switch, whole, word


@dataclass(frozen=True)
class Conduct(Settings):
    """Length, pace, guard and cadence of a run; what is trained adds fields of its own."""

    # how long, and how fast
    steps: int = whole(10_000)
    # > 0: the schedule runs over this time instead of `steps`
    minutes: float = number(0.0)
    # of the learning rate: "trapezoid" (also called WSD) or "cosine"
    schedule: str = word("trapezoid", ("trapezoid", "cosine"))
    # share of the run; of a trapezoid, also that in which the rate falls
    warmup: float = share(0.01)
    decay: float = share(0.35)
    # AdamW: of a model its embeddings, head, norms
    lr: float = number(2e-3, "learning rate")
    weight_decay: float = number(0.0)
    # largest norm of the gradient; 0: no clipping
    clip: float = number(1.0)
    ema: float = share(0.9995)
    # micro-batches a step and device; a step sees batch_size * accumulate * devices samples
    accumulate: int = whole(1, low=1, high=1 << 20)
    # how it is computed
    compile: bool = switch("torch.compile what is trained")
    seed: int = any_seed(0, "of the data's order and the first weights")
    # what is said and kept
    on_nan: str = word(
        "stop", ("stop", "skip"), "at a loss or gradient that is not finite: the run, or the step"
    )
    # steps between lines; 0: none
    log_every: int = whole(20)
    # steps between checkpoints; 0: none are written
    save_every: int = whole(1000)
    # a checkpoint also after so many minutes: what a power cut may cost; 0: never
    save_minutes: float = number(10.0)
    keep_last: int = whole(2, low=1)
    # checkpoints with the fewest bits per masked token in validation
    keep_best: int = whole(1)
    tensorboard: bool = switch()
