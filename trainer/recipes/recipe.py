"""What a training run is made of: one frozen dataclass, filled by the modules in `trainer/recipes`."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass, field
from typing import Any

from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.diffusion.loss import ObjectiveConfig
from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig
from mdm_core.ops import BACKENDS
from trainer import checks
from trainer.conduct import Conduct
from trainer.fields import assignment, value_of
from trainer.scenes.source import SceneDataConfig
from trainer.settings.training import known


@dataclass(frozen=True)
class Recipe(Conduct):
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
    # how fast, and how it is computed; length, rates, guard and checkpoints stand in `Conduct`
    matrix_lr: float = 0.02  # Muon: the blocks' matrices; 0 trains all with AdamW
    precision: str = "bf16"  # of the products: "bf16" (fp32 where a device is slow in it) or "fp32"
    checkpointing: bool = False  # recompute the blocks in the backward pass: less memory, a third more work
    parallel: str = "ddp"  # with several devices: "ddp", or "fsdp" to shard the states over them
    backend: str = "auto"  # of the fused operators
    # what is shown
    validate_every: int = 500
    sheet_every: int = 0  # steps between sheets of pictures; 0: none
    trace_steps: int = 0  # record so many early steps, to see where their time goes: trace.txt; 0: none
    export_every: float = 120.0  # seconds between model folders written during the run; 0: only at the end

    def __post_init__(self) -> None:
        checks.wholes(self, ("steps", "log_every", "validate_every", "save_every"), 1)
        super().__post_init__()
        checks.choices(
            self,
            groups=("lattice", "kmeans", "knn", "none"),
            precision=("bf16", "fp32"),
            parallel=("ddp", "fsdp"),
            backend=BACKENDS,
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
        checks.wholes(self, ("group_factor", "group_size"), 1, 1 << 20)
        checks.wholes(self, ("sheet_every", "trace_steps"))
        checks.numbers(self, ("matrix_lr", "export_every"))
        checks.shares(self, ("prompt_dropout", "self_flip_steps"))
        checks.flags(self, "checkpointing")
        checks.batches(self.data)

    def for_codec(self, codec: ImageTokenizerConfig) -> Recipe:
        """This recipe over the codes of an image tokenizer: what follows from it need not be set by hand.

        Vocabulary, grid and lattice of the model (see `ModelConfig.for_codec`) and the size that own pictures are
        cut to follow the tokenizer where they were left alone; ValueError where one was set to something else.
        """
        data, default = self.data, getattr(type(self.data), "image_size", None)
        if default is not None and data.image_size == default:
            data = dataclasses.replace(data, image_size=codec.image_size)
        return dataclasses.replace(self, model=self.model.for_codec(codec), data=data)


def load_recipe(name: str, overrides: list[str]) -> Recipe:
    """Recipe `trainer/recipes/NAME.py` with `field=value` overrides; ValueError names what is wrong."""
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError(f"there is no recipe {name!r} in trainer/recipes; there are {', '.join(known())}")
    recipe = _of(name)
    if recipe is None:
        raise ValueError(f"there is no recipe {name!r} in trainer/recipes; there are {', '.join(known())}")
    changes = _Changes()
    for item in overrides:
        key, text = assignment(item)
        *parts, last = key.split(".")
        inner = changes
        for part in parts:
            inner = inner.setdefault(part, _Changes())
            if not isinstance(inner, _Changes):
                raise ValueError(f"{part!r} is set as a whole and in part: {item!r}")
        inner[last] = text
    return _apply(recipe, changes)


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


def _apply(part: Any, changes: _Changes, path: str = "") -> Any:
    types = {f.name: f.type for f in dataclasses.fields(part)} if dataclasses.is_dataclass(part) else {}
    for name in changes:
        if name not in types:
            raise ValueError(
                f"unknown recipe field {path + name!r}; known here are {', '.join(sorted(types))}"
            )
    values = {
        name: _apply(getattr(part, name), value, f"{path}{name}.")
        if isinstance(value, _Changes)
        else value_of(path + name, types[name], value)
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
