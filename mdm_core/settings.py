"""The settings of the sampler, each declared once: what it may be, what it is called, where people meet it.

A field of `SampleConfig` carries its `Setting`. The library checks with it, the command line makes its flags from it,
the page its sliders and lists, the page's endpoint its parameters; links and saved runs go by its name. So a new
setting is one field here, and the place in the sampler that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

from mdm_core.declared import Choice, Number, Setting, Window

ORDERS = ("confidence", "entropy", "margin", "halton", "random", "threshold")
EDITS = ("overwrite", "remask", "off")
SCHEDULES = ("cosine", "linear", "arccos", "shift")
MAX_STEPS = 256
MAX_SEED = 2**32 - 1
MOST_CODES = 2**24  # of a vocabulary: far beyond what a machine holds

T = TypeVar("T")


def _is(default: T, setting: Setting) -> T:
    """A field of `SampleConfig`: its default, and its declaration as metadata."""
    declared: Any = field(default=default, metadata={"setting": setting})
    return declared


@dataclass(frozen=True)
class SampleConfig:
    """Defaults of the sampler; every field can be set per call, and a model's config.json has its own.

    Guidance, temperature and order noise were chosen with an early model, by the distance of 20 single-object
    pictures to the nearest true rendering (RMSE in grey levels at 32x32): 13.0 at 3 / 1.0 / 4, 8.1 at these
    defaults. 1.5 / 0.7 / 1 had 7.8; the defaults keep a little more variety.

    The order of the fields is that of the page and of its endpoint's parameters: new ones stand at the end.
    """

    steps: int = _is(
        12,
        Number(
            label="Steps",
            help="Steps in which the masked tokens are set.",
            where="main",
            passes=True,
            whole=True,
            low=1,
            high=MAX_STEPS,
            page=(1, 64),
        ),
    )
    # g of (1+g) cond - g uncond; 0 is no guidance
    guidance: float = _is(
        1.5,
        Number(
            label="Guidance",
            help="How strongly the prompt steers; 0 is no guidance. Some models learnt it up to 5: more adds nothing.",
            where="main",
            low=0,
            high=50,
            step=0.5,
            page=(0, 20),
            slide=5,
        ),
    )
    temperature: float = _is(
        0.8,
        Number(
            label="Temperature",
            help="Below 1 plays safe, above 1 dares more.",
            low=0.01,
            high=10,
            step=0.05,
            page=(0.05, 2),
        ),
    )
    order: str = _is(
        "confidence", Choice(label="Order", help="Which masked tokens come first.", choices=ORDERS)
    )
    schedule: str = _is(
        "cosine", Choice(label="Schedule", help="How many tokens per step.", choices=SCHEDULES)
    )
    # start of the annealed noise on the commit order
    gumbel: float = _is(
        1.0,
        Number(
            label="Order noise",
            help="Gumbel noise on the order, fading to 0 by the last step.",
            low=0,
            high=100,
            step=0.5,
            page=(0, 20),
        ),
    )
    # T2T is "overwrite", T2M is "remask"
    edit: str = _is(
        "overwrite",
        Choice(
            label="Edit mode",
            help="Replace at once, or mask again (then without polish passes).",
            choices=EDITS,
            off="off",
            switch="editing",
            switch_label="Editing",
            switch_help="Let the model change tokens it no longer believes.",
            mode="edit_mode",
        ),
    )
    edit_threshold: float = _is(
        0.6,
        Number(
            label="Edit threshold",
            help="A token is changed only if another one's chance is above this; 0.6 is 60 %.",
            low=0,
            high=1,
            step=0.01,
        ),
    )
    edit_margin: float = _is(
        0.0,
        Number(
            label="Edit margin",
            help="How much likelier than the old one it must be.",
            low=-1,
            high=1,
            step=0.01,
            page=(0, 1),
        ),
    )
    edit_budget: float = _is(
        0.05,
        Number(
            label="Edit budget",
            help="Largest share of set tokens edited per step.",
            low=0,
            high=1,
            step=0.01,
        ),
    )
    polish: int = _is(
        2,
        Number(
            label="Polish passes",
            help="Edit-only passes once every token is set.",
            passes=True,
            whole=True,
            low=0,
            high=64,
            page=(0, 8),
            needs=("edit_mode", ("overwrite",)),
        ),
    )
    mask_threshold: float = _is(
        0.9,
        Number(
            label="Sure enough",
            help="In the order “threshold”, every token surer than this is set at once.",
            where="more",
            low=0,
            high=1,
            step=0.01,
            needs=("order", ("threshold",)),
        ),
    )
    top_k: int | None = _is(
        None,
        Number(
            label="Top k",
            help="Only the k likeliest tokens may be drawn.",
            where="more",
            whole=True,
            low=1,
            high=None,
            page=(0, MOST_CODES),
            ends="vocab_size",
            optional=True,
        ),
    )
    top_p: float | None = _is(
        None,
        Number(
            label="Top p",
            help="Only the likeliest tokens that make up this share may be drawn.",
            where="more",
            low=0,
            high=1,
            above=True,
            step=0.01,
            page=(0.01, 1),
            optional=True,
            off=1,
        ),
    )
    edit_cap: int = _is(
        3,
        Number(
            label="Edits a token",
            help="How often one token may be edited in a run.",
            where="more",
            whole=True,
            low=0,
            high=10_000,
            page=(0, 64),
        ),
    )
    edit_cooldown: int = _is(
        1,
        Number(
            label="Rest",
            help="Steps that a token rests after it was set or edited.",
            where="more",
            whole=True,
            low=0,
            high=1000,
            page=(0, 64),
        ),
    )
    # editing is active while progress is within
    edit_window: tuple[float, float] = _is(
        (0.0, 1.0),
        Window(
            label="Edit window",
            help="Share of the steps at which editing begins, and at which it ends.",
            where="more",
            ends=("edit_from", "edit_to"),
            end_labels=("Editing from", "Editing until"),
            end_helps=("Share of the steps that pass first.", "Share of the steps after which it ends."),
            together="Editing cannot end before it begins: move Editing from or Editing until.",
        ),
    )

    def __post_init__(self) -> None:
        for one in fields(self):
            checked = one.metadata["setting"].check(one.name, getattr(self, one.name))
            object.__setattr__(self, one.name, checked)


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {one.name: one.metadata["setting"] for one in fields(SampleConfig)}
)
SEED = Number(
    label="Seed",
    help="The same seed and settings make the same picture.",
    where="main",
    whole=True,
    low=0,
    high=MAX_SEED,
)

# Healing is editing alone, over finished tokens: many passes, a quarter of the cells each, no rest between two edits.
HEAL: Mapping[str, Any] = MappingProxyType(
    {"edit": "overwrite", "polish": 12, "edit_budget": 0.25, "edit_cooldown": 0, "edit_threshold": 0.3}
)


def passes(settings: Mapping[str, Any]) -> int:
    """Forward passes that a run with these settings takes at most; every setting that counts them must be there."""
    return sum(settings[name] for name, setting in SETTINGS.items() if setting.passes)


MOST_PASSES = sum(int(s.high or 0) for s in SETTINGS.values() if isinstance(s, Number) and s.passes)
