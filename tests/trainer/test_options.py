"""A setting of the trainer is declared once: flag, check, default and help come from there, for every command."""

import argparse
import dataclasses
import importlib
import math
import shlex
from pathlib import Path

import pytest

import trainer.__main__ as index
from trainer.art import build_atlas
from trainer.command import ask, parser_of
from trainer.conduct import Conduct
from trainer.evaluate import repaint_tasks
from trainer.evidence import tables
from trainer.options import HIDDEN, Settings, any_seed, number, options, path, share, switch, whole, word
from trainer.recipes.recipe import Recipe
from trainer.scenes.spec import SPECS
from trainer.settings import atlas, evaluate, evidence, shared, training
from trainer.settings.judge import JudgeCommand
from trainer.settings.tokenizer import TokenizerCommand, TokenizerSettings

# what has to be said, where a command has no default for it
NEEDED = {
    "train": "emoji_cpu",
    "plan": "emoji_cpu",
    "tokenizer photos": "pictures",
    "tokens": "pictures --out tokens",
    "evaluate compare": "--model runs/model",
    "evidence words": "model",
    "evidence geneval": "metadata.jsonl",
    "bench": "gce",
    "atlas build": "--npm packages",
    "atlas look": "atlas --out sheets",
}


def settings_of(words):
    place, _, name = index.COMMANDS[words].settings.rpartition(".")
    return getattr(importlib.import_module(f"trainer.settings.{place}"), name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baking(Settings):
    cake: str = word("plain", ("plain", "fruit"), "which", place=True)
    eggs: int = whole(3, "how many", 1, 12)
    heat: float = number(180.0, "of the oven", above=True)
    rest: float = number(math.inf, "minutes", endless=True)
    sweet: float = share(0.5, "of sugar; 100 % is too much")
    layers: tuple[int, ...] = whole((1, 2), "their heights", 1, several=True)
    tins: tuple[Path, ...] | None = path(None, "to use", several=True)
    icing: bool = switch("on top")
    seed: int = any_seed()
    secret: int = whole(1, HIDDEN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feast(Baking):
    eggs: int = 10
    guests: int = whole(8, "who come", 1)


def test_a_field_is_a_flag_with_its_default_its_help_and_its_check(capsys):
    assert ask(Baking, "Bake.", []) == Baking()
    told = "fruit --eggs 2 --heat 150.5 --sweet 0 --layers 3 4 5 --tins a ~/b --icing --secret 7"
    asked = ask(Baking, "Bake.", shlex.split(told))
    assert asked == Baking(
        cake="fruit",
        eggs=2,
        heat=150.5,
        sweet=0.0,
        layers=(3, 4, 5),
        tins=(Path("a"), Path.home() / "b"),
        icing=True,
        secret=7,
    )
    with pytest.raises(SystemExit):
        ask(Baking, "Bake.", ["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for sentence in (
        "Bake.",
        "{plain,fruit} which (default: plain)",
        "--eggs EGGS how many (default: 3)",
        "100 % is too much (default: 0.5)",
        "their heights (default: 1 2)",
        "--icing on top",
    ):
        assert sentence in said, sentence
    assert "secret" not in said and "--seed" not in said and "inf" not in said


@pytest.mark.parametrize(
    ("field", "wrong", "flags"),
    [
        ("cake", "mud", ["mud"]),
        ("eggs", 0, ["--eggs", "0"]),
        ("eggs", 13, ["--eggs", "13"]),
        ("eggs", 1.5, ["--eggs", "1.5"]),
        ("heat", 0, ["--heat", "0"]),
        ("heat", math.nan, ["--heat", "nan"]),
        ("sweet", 1.5, ["--sweet", "1.5"]),
        ("layers", (1, 0), ["--layers", "1", "0"]),
        ("layers", (), ["--layers"]),
        ("layers", 3, ["--layers", "x"]),
        ("tins", ("",), ["--tins", ""]),
        ("icing", 1, ["--icing", "1"]),
    ],
)
def test_what_a_field_may_not_be_neither_code_nor_command_line_can_say(field, wrong, flags, capsys):
    if field != "tins":  # an empty path is one for code: the folder one is in
        with pytest.raises(ValueError, match=f"^{field} "):
            Baking(**{field: wrong})
    with pytest.raises(SystemExit) as ended:
        ask(Baking, "Bake.", flags)
    assert ended.value.code == 2 and "error: " in capsys.readouterr().err.splitlines()[-1]


def test_a_subclass_that_gives_another_default_keeps_flag_and_check():
    assert ask(Feast, "", []).eggs == 10 and ask(Feast, "", ["--eggs", "12"]).eggs == 12
    with pytest.raises(ValueError, match="eggs must be a whole number from 1 to 12, got 13"):
        Feast(eggs=13)
    assert options(Feast).keys() == {*options(Baking), "guests"} and "guests" not in options(Baking)
    for kind in (TokenizerSettings, Recipe, evidence.ArmSettings, JudgeCommand):
        assert options(Conduct).keys() <= options(kind).keys()
        with pytest.raises(ValueError, match="ema is a share"):
            kind(ema=2)


@pytest.mark.parametrize("words", index.COMMANDS)
def test_every_command_takes_its_own_defaults_from_a_command_line(words):
    """Each flag, given with the text of its default, says what leaving it out says."""
    kind, needed = settings_of(words), shlex.split(NEEDED.get(words, ""))
    usual = ask(kind, "", needed)
    assert usual == ask(kind, "", needed)
    for action in parser_of(kind, "")._actions:
        default = getattr(usual, action.dest, None)
        if not action.option_strings or action.nargs == 0 or default in (None, (), math.inf):
            continue
        each = default if isinstance(default, tuple) else (default,)
        assert ask(kind, "", [*needed, action.option_strings[0], *map(str, each)]) == usual, action.dest


@pytest.mark.parametrize("words", index.COMMANDS)
def test_every_flag_says_what_it_is_for(words):
    kind = settings_of(words)
    for action in parser_of(kind, "")._actions:
        assert action.help, (words, action.dest)
    for name, option in options(kind).items():
        assert option.about or name in options(Conduct), (words, name)


def test_help_names_what_the_code_knows():
    """The names that help offers stand where they are declared; here is what must know all of them."""
    assert set(shared.WORLDS) == set(SPECS)
    assert set(atlas.ATLASES) == set(build_atlas.PLANS)
    assert set(evidence.PARTS) == set(tables.MEASURED)
    assert (*evaluate.KINDS, *evaluate.EXACT_KINDS) == repaint_tasks.EVERY_KIND
    for name in training.known():
        assert isinstance(importlib.import_module(f"trainer.recipes.{name}").RECIPE, Recipe)


def test_the_tokenizers_settings_reach_what_they_are_for():
    asked = ask(TokenizerCommand, "", "--image-size 64 --levels 4 4 2 --decoder-depth 1 --lr 0.1".split())
    config = asked.config(128)
    assert (config.image_size, config.levels, config.decoder_depth, asked.lr) == (64, (4, 4, 2), 1, 0.1)
    assert ask(TokenizerCommand, "", []).config(256).image_size == 256
    assert isinstance(asked, TokenizerSettings)


def test_what_a_command_line_cannot_say_is_told_by_argparse():
    with pytest.raises(argparse.ArgumentTypeError, match="must be a whole number from 1 to 12, got 'x'"):
        options(Baking)["eggs"].flag["type"]("x")
