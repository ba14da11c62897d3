"""The chapter on noise: how training spoils a picture, step by step, on the visitor's own one.

What a cell becomes is drawn once from the seed: a rank for the mask, a number for the flip, a wrong token. The sliders
of the page then only say how far down the ranks the mask reaches and how many flip, so that a cell that is spoilt at
some level is spoilt at every higher one: `mdm_core.diffusion.corruption.corrupt` with its noise held still.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from mdm_core.diffusion import wrong
from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.diffusion.schedule import mask_ratio
from mdm_core.facts import Facts
from ui.assemble import markup
from ui.inspector.lookups import whole
from ui.server.form import SEED_LAST, Refused
from ui.server.frames import pack
from ui.server.studio import answered
from ui.stage.component import Static

STOPS = 101  # of the slider for t


def noise_of(facts: Facts) -> tuple[CorruptionConfig, bool]:
    """The noise that the weights were trained with, and whether their card tells it (else the library's own)."""
    recipe = facts.card.get("recipe")
    told = recipe.get("corruption") if isinstance(recipe, Mapping) else None
    if isinstance(told, Mapping):
        try:
            return CorruptionConfig(schedule=told["schedule"], flip=told["flip"]), True
        except (KeyError, TypeError, ValueError):
            pass
    return CorruptionConfig(), False


def spoil(studio: Any, data: Any) -> dict[str, Any]:
    """The noise of one seed over the tokens of a run's step.

    {"run": id, "step": k, "seed": n} -> {"schedule", "flip", "trained": whether the card tells them,
    "ratio": [share masked at t = 0, 0.01, ... 1], "rank": u16 [L], the lowest masked first,
    "noise": u16 [L], of 65,535, flipped where below the share, "wrong": i32 [L]}
    """
    data = data if isinstance(data, dict) else {}
    run = studio.store.get(data.get("run"))
    tokens = np.asarray(run.record(data.get("step")).tokens).astype(np.int64).reshape(-1)
    seed = whole(data.get("seed", 0), SEED_LAST, "seed")
    if (tokens == run.vocab).any():
        raise Refused("The picture is not finished: let every token be set first.")
    config, trained = noise_of(studio.pipe.facts)
    rng = np.random.default_rng(seed)
    return {
        "schedule": config.schedule,
        "flip": config.flip,
        "trained": trained,
        "ratio": [
            round(float(r), 4) for r in mask_ratio(torch.linspace(0, 1, STOPS).double(), config.schedule)
        ],
        "rank": pack(rng.permutation(run.cells), "<u2"),
        "noise": pack(rng.integers(0, 65535, run.cells), "<u2"),
        "wrong": pack(wrong.others(tokens, run.vocab, rng), "<i4"),
    }


def functions(studio: Any) -> list[Callable[..., Any]]:
    """What learn/forward/forward.js may call."""

    def noise(data: Any) -> dict[str, Any]:
        """See `spoil`."""
        return answered(lambda: spoil(studio, data))

    def preview(data: Any) -> dict[str, Any]:
        """As the stage's own, see `Studio.functions`."""
        return studio.functions()[0](data)

    return [noise, preview]


def put(studio: Any) -> None:
    """Places the chapter."""
    Static(
        markup("learn/forward/forward.html"), "forward", elem_id="forward", server_functions=functions(studio)
    )
