"""Settings and arguments that cannot be: one sentence that names the field, what it may be and what it was."""

import dataclasses
import importlib
import json
import math
import pkgutil
import typing

import numpy as np
import pytest

import trainer
from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.diffusion.loss import ObjectiveConfig
from trainer.data.own import OwnDataConfig
from trainer.data.records import split_rows
from trainer.recipes.recipe import Recipe, load_recipe
from trainer.scenes.source import SceneDataConfig
from trainer.settings.tokenizer import TokenJob
from trainer.tokenizer.loop import TokenizerSettings

HOSTILE = (
    0,
    -1,
    1,
    1.5,
    math.nan,
    math.inf,
    -math.inf,
    10**30,
    10**5000,
    1e308,
    "",
    "x",
    "../..",
    b"x",
    None,
    True,
    (),
    [],
    {},
    (1, "x"),
    (math.nan,),
    object(),
    np.float32("nan"),
    np.int64(-1),
    1j,
)
PARTS = (ObjectiveConfig, CorruptionConfig)
JOB = TokenJob(source="pictures", codec="codec", out="tokens", shard_size=5)
SETTINGS = [
    Recipe(),
    OwnDataConfig(),
    SceneDataConfig(),
    ObjectiveConfig(),
    CorruptionConfig(),
    TokenizerSettings(),
    JOB,
]
# what none of the hostile values may get past, beside those of a wrong type
WRONG = {
    "int": (-1, 1.5, math.nan, math.inf, 10**30, 10**5000, "x", b"x", True, (), {}, 1j, np.int64(-1)),
    "float": (-1, math.nan, math.inf, 10**5000, "x", b"x", True, (), {}, 1j, None, np.float32("nan")),
    "bool": (0, -1, 1, 1.5, "x", None, (), math.nan),
    "str": (0, 1.5, math.nan, None, (), {}, b"x", True),
}


def modules():
    """Every module of the trainer that can be imported without optional packages."""
    for found in pkgutil.walk_packages(trainer.__path__, "trainer."):
        if found.name.rpartition(".")[2] != "__main__" and ".recipes." not in found.name:
            try:
                yield importlib.import_module(found.name)
            except ImportError:
                continue


def dataclasses_of_the_trainer():
    found = {
        kind
        for module in modules()
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__.startswith("trainer")
    }
    return sorted(
        found | {ObjectiveConfig, CorruptionConfig}, key=lambda kind: (kind.__module__, kind.__qualname__)
    )


def said(error) -> str:
    text = str(error.value)
    assert text and "\n" not in text and len(text) < 400
    return text


@pytest.mark.parametrize(
    "kind", dataclasses_of_the_trainer(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}"
)
def test_any_value_is_taken_or_refused_in_one_sentence(kind):
    fields = [f for f in dataclasses.fields(kind) if f.init]
    needed = [
        f for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    for field in fields:
        for value in HOSTILE:
            values = {
                f.name: getattr(JOB, f.name) if issubclass(kind, TokenJob) and hasattr(JOB, f.name) else 1
                for f in needed
            }
            try:
                kind(**{**values, field.name: value})
            except ValueError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: type(s).__name__)
def test_every_field_of_settings_refuses_what_cannot_be(settings):
    kinds = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        annotation = str(field.type).split(" | ")[0].split("[")[0]
        may_be_none = "None" in str(field.type)
        assert kinds[field.name] is not None
        for value in WRONG.get(annotation, ()):
            if may_be_none and value is None:
                continue
            if "tuple" in str(field.type) and isinstance(value, tuple) and value:
                continue
            with pytest.raises(ValueError) as error:
                dataclasses.replace(settings, **{field.name: value})
            # Python refuses to write out 10**5000, and mdm_core leaves it at that
            if annotation != "str" and not (
                type(value) is int and value > 10**999 and isinstance(settings, PARTS)
            ):
                assert field.name in said(error), (field.name, value)


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        (OwnDataConfig, {"held_out": 1}, "held_out is a share from 0 to below 1, got 1"),
        (OwnDataConfig, {"batch_size": 0}, "data.batch_size must be 1 or more and .*; got 0 and 0"),
        (OwnDataConfig, {"image_size": 0}, "image_size must be a whole number from 8 to 8192, got 0"),
        (OwnDataConfig, {"crop": 0}, "crop must lie between 0.1 and 1, got 0"),
        (SceneDataConfig, {"n_objects": 1}, "n_objects must be a whole number of 2 or more or None, got 1"),
        (SceneDataConfig, {"styles": "flat"}, "styles must be a list of names or None for all, got 'flat'"),
        (SceneDataConfig, {"split": "tset"}, "split must be one of train, seen, held_out, got 'tset'"),
        (ObjectiveConfig, {"edit_weight": -1}, "edit_weight must be a number from 0 to 1000000, got -1"),
        (ObjectiveConfig, {"group_weight": (0.1, -1)}, "group_weight must be a number from 0"),
        (CorruptionConfig, {"schedule": "cosin"}, "schedule must be one of cosine, .*, got 'cosin'"),
        (CorruptionConfig, {"flip_self": -1}, "flip_self must be a number from 0 to .*, got -1"),
        (TokenizerSettings, {"lr": -1}, "lr must be 0 or more, got -1"),
        (TokenizerSettings, {"minutes": 0}, "minutes must be above 0, got 0"),
        (TokenizerSettings, {"measure_on": 0}, "measure_on must be a whole number of 1 or more, got 0"),
        (Recipe, {"data": None}, "data.batch_size must be 1 or more"),
        (Recipe, {"model": None}, "model must be a ModelConfig, got None"),
        (Recipe, {"backend": "cuda"}, "backend must be one of auto"),
        (Recipe, {"lr": math.inf}, "lr must be 0 or more, and finite, got inf"),
    ],
)
def test_the_sentence_names_the_field_its_range_and_the_value(kind, values, says):
    with pytest.raises(ValueError, match=f"^{says}") as error:
        kind(**values)
    said(error)


def test_numbers_of_numpy_are_numbers():
    data = OwnDataConfig(held_out=np.float32(0.25), batch_size=np.int64(4), image_size=np.int32(64))
    objective = ObjectiveConfig(edit_weight=np.float64(0.5), group_weight=(np.float32(0.5), 1))
    one = ObjectiveConfig(group_weight=np.float32(0.5))
    recipe = Recipe(lr=np.float64(1e-3), steps=np.int64(5), ema=np.float32(0.5))
    kept = [
        data.held_out,
        data.batch_size,
        data.image_size,
        objective.edit_weight,
        *objective.group_weight,
        one.group_weight,
        recipe.lr,
        recipe.steps,
        recipe.ema,
    ]
    assert kept == [0.25, 4, 64, 0.5, 0.5, 1, 0.5, 1e-3, 5, 0.5]
    assert all(type(value) in (int, float) for value in kept)
    assert json.loads(json.dumps(dataclasses.asdict(data)))["batch_size"] == 4


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 0.999999])
@pytest.mark.parametrize("n", [10, 11, 57])
def test_both_splits_hold_something_whatever_share_is_kept(n, share):
    names = [f"{i}.png" for i in range(n)]
    train, seen = (split_rows(names, share, s) for s in ("train", "seen"))
    assert len(train) and len(seen) and sorted([*train, *seen]) == list(range(n))


@pytest.mark.parametrize(
    "override",
    [
        "data.held_out=1",
        "data.batch_size=0",
        "objective.edit_weight=-1",
        "objective.z_loss=x",
        "data=3",
        "model=None",
        "seed=-1",
        "lr=1e999",
        "corruption.flip=2",
        "group_size=0",
        "accumulate=99999999999",
        "data.seed=-5",
        "data.crop=9",
        "=",
        "=1",
        ".=1",
        "data.=1",
        "data.path.x=1",
        "steps=" + "9" * 5000,
        "backend=x",
        "objective.group_weight=(1,None)",
    ],
)
def test_hostile_overrides_are_refused_in_one_sentence(override):
    with pytest.raises(ValueError) as error:
        load_recipe("folder", [override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", "nothing", "../train", "__init__", "a.b", "x y", "folder.py"])
def test_a_recipe_that_is_none(name):
    with pytest.raises(ValueError, match="there is no recipe"):
        load_recipe(name, [])
