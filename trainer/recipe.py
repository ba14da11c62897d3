"""What a training run is made of: one frozen dataclass, filled by the modules in `trainer/recipes`."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from dataclasses import dataclass, field

from mdm_core.config import ModelConfig
from mdm_core.corruption import CorruptionConfig
from mdm_core.loss import ObjectiveConfig
from trainer.data import SceneDataConfig


@dataclass(frozen=True)
class Recipe:
    """A whole training run. The command line overrides any field: `field=value` or `part.field=value`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: SceneDataConfig = field(default_factory=SceneDataConfig)
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    group_factor: int = 2  # lattice steps merged per dimension (first three): 2 gives groups of 8 codes
    prompt_dropout: float = 0.1
    self_flip_steps: float = 0.0  # share of the steps whose flips are the model's own mistakes
    steps: int = 10_000
    minutes: float = 0.0  # > 0: the schedule runs over this time instead of `steps`
    lr: float = 2e-3  # AdamW: embeddings, head, norms
    matrix_lr: float = 0.02  # Muon: the blocks' matrices; 0 trains all with AdamW
    weight_decay: float = 0.0
    clip: float = 1.0
    warmup: float = 0.01
    decay: float = 0.35
    ema: float = 0.9995
    compile: bool = False
    backend: str = "auto"  # of the fused operators
    seed: int = 0
    log_every: int = 20
    save_every: int = 1000
    validate_every: int = 500
    export_every: float = 120.0  # seconds between model folders written during the run; 0: only at the end


def load_recipe(name: str, overrides: list[str]) -> Recipe:
    """Recipe `trainer/recipes/NAME.py` with `field=value` overrides; ValueError names what is wrong."""
    try:
        recipe = importlib.import_module(f"trainer.recipes.{name}").RECIPE
    except ModuleNotFoundError as error:
        raise ValueError(f"there is no recipe {name!r} in trainer/recipes") from error
    for item in overrides:
        key, sep, text = item.partition("=")
        if not sep:
            raise ValueError(f"override {item!r} should look like field=value")
        recipe = _replace(recipe, key.split("."), _value(text), key)
    return recipe


def _value(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _replace(part, path: list[str], value, key: str):
    names = {f.name for f in dataclasses.fields(part)}
    if path[0] not in names:
        raise ValueError(f"unknown recipe field {key!r}; known here are {', '.join(sorted(names))}")
    if len(path) > 1:
        value = _replace(getattr(part, path[0]), path[1:], value, key)
    return dataclasses.replace(part, **{path[0]: value})
