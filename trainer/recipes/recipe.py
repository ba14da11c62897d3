"""What a training run is made of: one frozen dataclass, filled by the modules in `trainer/recipes`."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
from dataclasses import dataclass, field
from typing import Any

import trainer.recipes
from mdm_core.config import ModelConfig
from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.diffusion.loss import ObjectiveConfig
from mdm_core.ops import BACKENDS
from trainer import checks
from trainer.scenes.source import SceneDataConfig


@dataclass(frozen=True)
class Recipe:
    """A whole training run. The command line overrides any field: `field=value` or `part.field=value`."""

    # what is trained, on what
    model: ModelConfig = field(default_factory=ModelConfig)
    data: Any = field(default_factory=SceneDataConfig)  # see trainer.data.source.DataConfig
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    groups: str = "lattice"  # of GCE: "lattice" cells, balanced "kmeans", "knn" lists, or "none"
    group_factor: int = 2  # lattice: steps merged per dimension (first three): 2 gives groups of 8 codes
    group_size: int = 8  # kmeans and knn: codes in a group
    prompt_dropout: float = 0.1  # share of prompts replaced by "no prompt", for guidance
    self_flip_steps: float = 0.0  # share of the steps whose flips are the model's own mistakes
    # how long, and how fast
    steps: int = 10_000
    minutes: float = 0.0  # > 0: the schedule runs over this time instead of `steps`
    schedule: str = "trapezoid"  # of the learning rate: "trapezoid" (also called WSD) or "cosine"
    warmup: float = 0.01  # share of the run
    decay: float = 0.35  # trapezoid: share of the run in which the rate falls
    lr: float = 2e-3  # AdamW: embeddings, head, norms
    matrix_lr: float = 0.02  # Muon: the blocks' matrices; 0 trains all with AdamW
    weight_decay: float = 0.0
    clip: float = 1.0  # largest norm of the gradient; 0: no clipping
    ema: float = 0.9995
    # micro-batches a step and device; a step sees batch_size * accumulate * devices samples
    accumulate: int = 1
    # how it is computed
    precision: str = "bf16"  # of the products: "bf16" or "fp32"
    compile: bool = False
    checkpointing: bool = False  # recompute the blocks in the backward pass: less memory, a third more work
    parallel: str = "ddp"  # with several devices: "ddp", or "fsdp" to shard the states over them
    backend: str = "auto"  # of the fused operators
    seed: int = 0
    # what is said and kept
    on_nan: str = "stop"  # a loss or gradient that is not finite: "stop" the run, or "skip" the step
    log_every: int = 20
    validate_every: int = 500
    sheet_every: int = 0  # steps between sheets of pictures; 0: none
    save_every: int = 1000  # steps between checkpoints
    save_minutes: float = 10.0  # a checkpoint also after so many minutes: what a power cut may cost; 0: never
    keep_last: int = 2  # checkpoints
    keep_best: int = 1  # checkpoints with the fewest bits per masked token in validation
    export_every: float = 120.0  # seconds between model folders written during the run; 0: only at the end
    tensorboard: bool = False

    def __post_init__(self):
        checks.choices(
            self,
            groups=("lattice", "kmeans", "knn", "none"),
            schedule=("trapezoid", "cosine"),
            precision=("bf16", "fp32"),
            parallel=("ddp", "fsdp"),
            backend=BACKENDS,
            on_nan=("stop", "skip"),
        )
        for name, kind in (
            ("model", ModelConfig),
            ("corruption", CorruptionConfig),
            ("objective", ObjectiveConfig),
        ):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} must be a {kind.__name__}, got {checks.told(getattr(self, name))}")
        if self.groups == "none" and self.corruption.flip_group > 0:
            raise ValueError("without groups corruption.flip_group must be 0")
        checks.wholes(self, ("log_every", "validate_every", "save_every", "steps", "keep_last"), 1)
        checks.wholes(self, ("accumulate", "group_factor", "group_size"), 1, 1 << 20)
        checks.wholes(self, ("sheet_every", "keep_best"))
        checks.seeds(self, "seed")
        checks.numbers(
            self, ("minutes", "lr", "matrix_lr", "weight_decay", "clip", "save_minutes", "export_every")
        )
        checks.shares(self, ("prompt_dropout", "self_flip_steps", "warmup", "decay", "ema"))
        checks.flags(self, "compile", "checkpointing", "tensorboard")
        checks.batches(self.data)


def load_recipe(name: str, overrides: list[str]) -> Recipe:
    """Recipe `trainer/recipes/NAME.py` with `field=value` overrides; ValueError names what is wrong."""
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError(f"there is no recipe {name!r} in trainer/recipes; there are {_known()}")
    recipe = _of(name)
    if recipe is None:
        raise ValueError(f"there is no recipe {name!r} in trainer/recipes; there are {_known()}")
    changes = _Changes()
    for item in overrides:
        key, sep, text = item.partition("=")
        if not sep:
            raise ValueError(f"override {item!r} should look like field=value")
        *parts, last = key.split(".")
        inner = changes
        for part in parts:
            inner = inner.setdefault(part, _Changes())
            if not isinstance(inner, _Changes):
                raise ValueError(f"{part!r} is set as a whole and in part: {item!r}")
        inner[last] = text
    return _apply(recipe, changes)


def _known() -> str:
    found = sorted(m.name for m in pkgutil.iter_modules(trainer.recipes.__path__))
    return ", ".join(name for name in found if _of(name) is not None)


def _of(name: str) -> Recipe | None:
    """The recipe that a module of this package holds; None where it holds none or is not there."""
    try:
        return getattr(importlib.import_module(f"trainer.recipes.{name}"), "RECIPE", None)
    except ModuleNotFoundError as error:
        if error.name != f"trainer.recipes.{name}":
            raise
        return None


class _Changes(dict):
    """field -> text of its value, or the changes inside it. Applied together: fields may depend on each other."""


KINDS = {  # by a field's annotation: what a value may be, and how to say it
    "int": ((int,), "a whole number, e.g. 4"),
    "float": ((int, float), "a number, e.g. 0.5"),
    "bool": ((bool,), "True or False"),
    "str": ((str,), "a word"),
    "tuple": ((tuple, list), "a list, e.g. \"('one', 'two')\" in quotes"),
}


def _value(name: str, annotation: Any, text: str):
    """The value that a text of the command line stands for; ValueError where the field can tell that it is wrong."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = text
    kinds = [k.split("[")[0] for k in str(annotation).split(" | ")]
    if ("None" in kinds and value is None) or any(k not in (*KINDS, "None") for k in kinds):
        return value
    if "str" in kinds and not isinstance(value, str):
        return text  # a folder may be called 2024
    for kind in (k for k in kinds if k != "None"):
        if isinstance(value, KINDS[kind][0]) and (kind == "bool" or not isinstance(value, bool)):
            return value
    raise ValueError(f"{name} must be {KINDS[kinds[0]][1]}, got {value!r}")


def _apply(part, changes: _Changes, path: str = ""):
    types = {f.name: f.type for f in dataclasses.fields(part)} if dataclasses.is_dataclass(part) else {}
    for name in changes:
        if name not in types:
            raise ValueError(
                f"unknown recipe field {path + name!r}; known here are {', '.join(sorted(types))}"
            )
    values = {
        name: _apply(getattr(part, name), value, f"{path}{name}.")
        if isinstance(value, _Changes)
        else _value(path + name, types[name], value)
        for name, value in changes.items()
    }
    try:
        return dataclasses.replace(part, **values)
    except ValueError as error:
        if path and str(error).split(" ")[0] in types:
            raise ValueError(f"{path}{error}") from error
        raise
    except (TypeError, ArithmeticError) as error:  # a part that does not check itself
        said = ", ".join(f"{path}{name}={value!r}" for name, value in values.items())
        raise ValueError(f"these values cannot be used: {said} ({error})") from error
