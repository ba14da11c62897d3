"""What the studio accepts and refuses, without a page: bounds, sentences, and agreement with the sampler."""

import json
import math

import pytest
from studio_hands import GOOD

from mdm_core.pipeline import SHIPPED
from mdm_core.settings import EDITS, SETTINGS, SampleConfig
from ui import launch, opened
from ui.server import form as limits


def test_good_input_becomes_sampler_settings():
    settings = limits.check_run(**GOOD)
    assert settings.prompt == "a panda"
    assert settings.sampler()["edit"] == "overwrite"
    assert "prompt" not in settings.sampler()
    assert limits.check_run(**{**GOOD, "editing": False}).sampler()["edit"] == "off"
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
    for example in opened.examples(opened.shipped()):
        assert limits.prompt(example) == example


def test_what_is_left_out_is_as_the_model_has_it_but_for_how_long_a_run_takes():
    told = limits.check_run("a panda", 7, steps=4, polish=1)
    assert told.sampler() == {"seed": 7, "steps": 4, "polish": 1} and told.passes == 5
    with pytest.raises(limits.Refused, match="Steps must be a whole number from 1 to 64"):
        limits.check_run("a panda", 7, polish=1)
    with pytest.raises(limits.Refused, match="Edit mode must be one of: overwrite, remask"):
        limits.check_run("a panda", 7, steps=4, polish=1, editing=True)
    with pytest.raises(limits.Refused, match="has no field 'warmth'"):
        limits.check_run("a panda", 7, steps=4, polish=1, warmth=3)


def test_controls_say_what_they_mean():
    told = limits.check_run(**GOOD, top_k=0, top_p=1, edit_from=0.25, edit_to=1).sampler()
    assert (told["top_k"], told["top_p"], told["edit_window"]) == (None, None, (0.25, 1.0))
    told = limits.check_run(**GOOD, top_k=5, top_p=0.5).sampler()
    assert (told["top_k"], told["top_p"]) == (5, 0.5) and "edit_window" not in told
    with pytest.raises(limits.Refused, match="Editing cannot end before it begins"):
        limits.check_run(**GOOD, edit_from=0.5, edit_to=0.25)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_value_that_the_page_takes_comes_back_from_its_controls(name):
    values = {"top_k": (None, 7), "top_p": (None, 0.3), "edit_window": ((0, 1), (0.5, 0.75)), "edit": EDITS}
    for value in (getattr(SampleConfig(), name), *values.get(name, ())):
        assert limits.setting(name, limits.shown({name: value})) == limits.taken(name, value) == value


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    "value", [[], {}, [1], [1, 2, 3], "x", math.nan, -7, 10**12, True, "\ud800", ["x", {}]]
)
def test_a_value_of_a_file_that_is_none_is_refused(name, value):
    with pytest.raises(limits.Refused) as caught:
        limits.taken(name, value)
    assert str(caught.value).endswith(".") and len(str(caught.value)) < 160


def test_the_page_cannot_ask_for_what_the_sampler_refuses():
    for name, setting in SETTINGS.items():
        for one in setting.controls(name):
            usual = limits.shown({name: getattr(SampleConfig(), name)})
            ends = one.choices or ((True, False) if one.switch else (one.low, one.high))
            for end in ends:
                try:
                    value = limits.setting(name, {**usual, one.name: end})
                except limits.Refused as refused:  # a window that ends before it begins
                    assert str(refused) == setting.together
                    continue
                SampleConfig(**{name: value})


def test_the_page_starts_from_the_shipped_defaults():
    """The page is built before the model is loaded: it asks the model's folder."""
    told = json.loads((SHIPPED / "config.json").read_text())["sample"]
    shipped = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    facts = launch.known_facts(None)
    assert facts.defaults == shipped == opened.shipped().defaults
    values = opened.initial(facts)
    assert limits.shown(limits.allowed(shipped)).items() <= values.items()
    for name, value in limits.allowed(shipped).items():  # none of them is beyond the page's own range
        assert value == shipped[name]
    assert (values["temperature"], values["edit_threshold"], values["polish"]) == (0.4, 0.3, 4)


def test_a_models_defaults_that_the_page_cannot_show_are_the_librarys():
    odd = {"steps": 200, "temperature": "hot", "top_k": 5, "edit_window": [0.5, 0.2], "unknown": 1}
    assert limits.allowed(odd) == {**vars(SampleConfig()), "top_k": 5}
