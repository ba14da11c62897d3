"""What the studio accepts and refuses, without a page: bounds, sentences, and agreement with the sampler."""

import json
import math

import pytest
from studio_hands import GOOD

from mdm_core.pipeline import SHIPPED
from mdm_core.settings import EDITS, ORDERS, SCHEDULES
from ui import page
from ui.server import form as limits


def test_good_input_becomes_sampler_settings():
    settings = limits.check_run(**GOOD)
    assert settings.prompt == "a panda"
    assert settings.sampler()["edit"] == "overwrite"
    assert "prompt" not in settings.sampler()
    assert limits.check_run(**{**GOOD, "editing": False}).edit == "off"
    assert limits.check_run(**{**GOOD, "seed": 2**32 - 1}).seed == 2**32 - 1
    assert isinstance(limits.check_run(**{**GOOD, "steps": 8.0}).steps, int)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", ""),
        ("text", " \n\t "),
        ("text", "\x00\x07"),
        ("text", "x" * 501),
        ("text", "x" * 10_000),
        ("text", "\ud800"),
        ("text", None),
        ("text", ["a panda"]),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 1e300),
        ("seed", 0.5),
        ("seed", None),
        ("seed", "7"),
        ("seed", True),
        ("steps", 0),
        ("steps", 65),
        ("steps", 10_000),
        ("steps", 1.5),
        ("steps", math.nan),
        ("guidance", -0.5),
        ("guidance", 21),
        ("guidance", math.inf),
        ("editing", "yes"),
        ("editing", 1),
        ("temperature", 0),
        ("temperature", {}),
        ("order", "alphabetical"),
        ("order", ["confidence"]),
        ("schedule", None),
        ("gumbel", -1),
        ("edit_mode", "off"),
        ("edit_threshold", 1.01),
        ("edit_margin", -1),
        ("edit_budget", 2),
        ("polish", 9),
    ],
)
def test_bad_input_is_refused_in_one_sentence(field, value):
    with pytest.raises(limits.Refused) as caught:
        limits.check_run(**{**GOOD, field: value})
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    assert 10 < len(sentence) < 160
    assert sentence[:-1].count(". ") == 0


def test_the_refusal_names_what_and_which_range():
    with pytest.raises(
        limits.Refused, match="Seed must be a whole number from 0 to 4,294,967,295; 4,294,967,296 is out"
    ):
        limits.check_run(**{**GOOD, "seed": 2**32})
    with pytest.raises(limits.Refused, match="500 characters long, this one has 10,000"):
        limits.check_run(**{**GOOD, "text": "x" * 10_000})


def test_prompts_are_tidied_not_changed():
    assert limits.prompt("  a panda\n on\ta hill ") == "a panda on a hill"
    assert limits.prompt("größer 熊猫 🐼 <b>") == "größer 熊猫 🐼 <b>"
    assert len(limits.prompt("x" * 500)) == 500
    for example in page.EXAMPLES:
        assert limits.prompt(example) == example


def test_the_choices_are_those_of_the_sampler():
    assert set(limits.ORDERS) == set(ORDERS)
    assert set(limits.SCHEDULES) == set(SCHEDULES)
    assert {*limits.EDIT_MODES, "off"} == set(EDITS)


def test_the_page_cannot_ask_for_what_the_sampler_refuses():
    from mdm_core.diffusion.sampler import check
    from mdm_core.settings import SampleConfig

    numbers = (
        "steps",
        "guidance",
        "temperature",
        "gumbel",
        "edit_threshold",
        "edit_margin",
        "edit_budget",
        "polish",
    )
    for name in numbers:
        bound = getattr(limits, name.upper())
        for value in (bound.low, bound.high, bound.default):
            check(SampleConfig(**{name: int(value) if bound.whole else float(value)}))


def test_the_page_starts_from_the_shipped_defaults():
    """The page is built before the model is loaded, so its defaults are its own: they must be the weights'."""
    shipped = json.loads((SHIPPED / "config.json").read_text())["sample"]
    bounds = {
        "steps": limits.STEPS,
        "guidance": limits.GUIDANCE,
        "temperature": limits.TEMPERATURE,
        "gumbel": limits.GUMBEL,
        "edit_threshold": limits.EDIT_THRESHOLD,
        "edit_margin": limits.EDIT_MARGIN,
        "edit_budget": limits.EDIT_BUDGET,
        "polish": limits.POLISH,
    }
    assert {name: bound.default for name, bound in bounds.items()} == {name: shipped[name] for name in bounds}
