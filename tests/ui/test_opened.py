"""The page is laid out for the model that is open: its examples and defaults, and only what means something there."""

import json
import re
from html import unescape

import pytest
import torch
from fake_family import DEFAULTS, fake_pipeline, told
from studio_hands import within_a_loop

from ui import launch, opened, page
from ui.bring.opening import form
from ui.server import form as limits
from ui.stage.component import Static


def built(facts):
    """The page's components by element id, and its head's facts."""
    blocks = within_a_loop(page.build, fake_pipeline, facts)
    head = page.head(facts)
    said = json.loads(unescape(re.match(r'<meta name="chisel" content="(.*?)">', head)[1]))
    return list(blocks.blocks.values()), said


def ids(blocks):
    return {getattr(block, "elem_id", None) for block in blocks}


OURS_ALONE = {"hint", "palette", "lab", "lessons", "chapter-lessons"}


def test_another_family_gets_its_own_examples_and_nothing_of_our_world():
    facts = told()
    blocks, said = built(facts)
    assert not OURS_ALONE & ids(blocks) and {"tour", "explorer", "place"} <= ids(blocks)
    chips = [b.value for b in blocks if "chip" in (getattr(b, "elem_classes", None) or [])]
    assert chips == ["a tree", "oo"] and said["form"]["prompt"] == "a tree"
    assert said["form"]["steps"] == DEFAULTS["steps"] and said["form"]["guidance"] == DEFAULTS["guidance"]
    assert (said["name"], said["licence"], said["grid"]) == ("Stripes", "CC0-1.0", [2, 8])
    everything = page.head(facts).split("<script>")[0] + "".join(str(getattr(b, "value", "")) for b in blocks)
    assert not re.search("strawberr|panda|emoji", everything)


def test_ours_has_all_of_it():
    blocks, said = built(opened.shipped())
    assert ids(blocks) >= OURS_ALONE and said["revises"]
    assert said["form"]["prompt"] == opened.shipped().examples[0]


@pytest.mark.parametrize("fast", [torch.float32, torch.bfloat16])
def test_a_processor_without_fast_bf16_is_told_and_offered_fewer_steps(monkeypatch, fast):
    monkeypatch.setattr(opened.device, "default", lambda: torch.device("cpu"))
    monkeypatch.setattr(opened.device, "fast_dtype", lambda device: fast)
    blocks, said = built(opened.shipped())
    offers = [b for b in blocks if getattr(b, "elem_id", None) == "fewer-steps"]
    assert [b.value for b in offers] == (
        [f"{2 * said['form']['steps'] // 3} steps"] * (fast == torch.float32)
    )
    assert ("slow" in ids(blocks)) == (fast == torch.float32)


def test_a_slider_over_codes_ends_at_the_models_vocabulary():
    """Top k of all V codes is no limit, so more than V cannot be shown, and is never refused: it means the same."""
    for facts in (told(defaults={**DEFAULTS, "top_k": 70_000}), opened.shipped()):
        blocks, said = built(facts)
        (slider,) = (b for b in blocks if getattr(b, "elem_id", None) == "top-k")
        assert (slider.minimum, slider.maximum) == (0, facts.vocab_size)
        assert slider.value == said["form"]["top_k"] == min(facts.vocab_size, facts.defaults["top_k"] or 0)
        run = limits.check_run("a tree", 1, **{**limits.shown(limits.allowed({})), "top_k": 65_536})
        values = dict(zip(limits.FIELDS, form(run, limits.allowed({}), facts), strict=True))
        assert values["top_k"] == facts.vocab_size and run.chosen["top_k"] == 65_536


@pytest.mark.parametrize("revises", [False, True])
def test_editing_is_off_where_the_model_was_never_trained_to_doubt(revises):
    facts = told(defaults={**DEFAULTS, "edit": "remask"}, revises=revises)
    blocks, said = built(facts)
    (switch,) = (b for b in blocks if getattr(b, "elem_id", None) == limits.EDITING)
    assert switch.value is said["form"][limits.EDITING] is revises
    assert (switch.interactive is False) == (switch.info == opened.NO_EDITING) == (not revises)
    assert said["form"]["edit_mode"] == "remask"  # what is switched off is not forgotten
    # nor does a link that was made elsewhere switch on what nobody could switch off again
    run = limits.check_run("a tree", 1, **{**limits.shown(limits.allowed({})), "editing": True})
    values = dict(zip(limits.FIELDS, form(run, limits.allowed({}), facts), strict=True))
    assert values[limits.EDITING] is revises


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ((), ()),
        (("a tree", " ", "x" * 501, "oo"), ("a tree", "oo")),
        (tuple(f"tree {i}" for i in range(500)), tuple(f"tree {i}" for i in range(6))),
        (('</script>"', "${1}"), ('</script>"', "${1}")),
    ],
)
def test_only_examples_that_can_be_asked_for_are_shown_and_few(given, shown):
    facts = told(examples=given)
    assert opened.examples(facts) == shown
    assert opened.initial(facts)["prompt"] == (shown[0] if shown else "")
    assert page.head(facts).count("<script>") == page.head(told()).count("<script>")


def test_the_facts_are_read_before_the_weights(tmp_path):
    assert launch.known_facts(None).name == opened.shipped().name
    assert launch.known_facts(str(tmp_path)) is None


def test_pieces_are_named_once():
    blocks, _ = built(opened.shipped())
    pieces = [b.elem_id for b in blocks if isinstance(b, Static) and b.elem_id]
    assert len(pieces) == len(set(pieces))
