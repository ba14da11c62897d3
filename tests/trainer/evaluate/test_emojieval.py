"""EmojiEval: the prompts, the splits, the rules, the intervals, and the second opinion."""

import argparse
import json
import re
from collections import Counter

import numpy as np
import pytest
import torch

from trainer.art.object_list import read_objects
from trainer.evaluate.controls import frechet, shuffled
from trainer.evaluate.generate import Artist
from trainer.evaluate.layouts import accepts
from trainer.evaluate.prompts import FOLDER, PER_TAG, SPLITS, STYLES, TAGS, load, make, near_misses
from trainer.evaluate.report import score_table
from trainer.evaluate.scoring import (
    bootstrap_mean,
    mistakes,
    paired_difference,
    summary,
    wilson,
)
from trainer.evaluate.templates import Templates
from trainer.evidence.freeform import load as load_freeform
from trainer.evidence.tune import prompts_apart
from trainer.judge.detector import NOTHING, Detection
from trainer.judge.rules import lies
from trainer.scenes.atlas import ATLAS_DIR, Atlas
from trainer.scenes.colours import COLOUR_NAMES
from trainer.scenes.generator import RELATIONS, Scene, SceneGenerator
from trainer.scenes.spec import WORLD_256
from trainer.scenes.splits import is_held_out
from trainer.settings.evaluate import override


@pytest.fixture(scope="module")
def atlas():
    return Atlas.load()


@pytest.fixture(scope="module")
def prompts():
    return load()


def seen_perfectly(scene: Scene) -> list[Detection]:
    """What a verifier without any error would find."""
    return [
        Detection(o.name, o.colour, (o.x, o.y, o.x + o.size, o.y + o.size), 1.0, 1.0) for o in scene.objects
    ]


def combinations(scene: Scene) -> set[tuple]:
    """Everything about a scene that a split can keep from training."""
    out = set()
    names = [o.name for o in scene.objects]
    for o in scene.objects:
        if o.colour:
            out.add(("colour", o.name, o.colour))
    if len(set(names)) == 1:
        out.add(("count", names[0], len(names)))
    if len(set(names)) == 2:
        a, b = scene.objects
        out.add(("pair", *sorted(names)))
        dx, dy = a.x - b.x, a.y - b.y
        relation = ("left of" if dx < 0 else "right of") if dx else ("above" if dy < 0 else "below")
        out.add(("relation", a.name, relation, b.name))
    return out


def test_the_file_has_400_prompts_a_tag_in_genevals_form(atlas, prompts):
    assert len(prompts) == PER_TAG * len(TAGS)
    assert Counter(p.tag for p in prompts) == dict.fromkeys(TAGS, PER_TAG)
    names = {o.name for o in atlas.objects}
    lines = [json.loads(row) for row in (FOLDER / "prompts.jsonl").read_text().splitlines()]
    for tag in TAGS:
        assert len({p.prompt.lower() for p in prompts if p.tag == tag}) == PER_TAG
    for line, p in zip(lines, prompts, strict=True):
        assert {"tag", "include", "exclude", "prompt", "style", "split"} <= set(line)
        assert line["exclude"], "every tag forbids something"
        for entry in p.include:
            assert entry["class"] in names and entry["count"] >= 1
            assert entry.get("color") in (None, *COLOUR_NAMES)
        assert p.scene.style in STYLES
    single = Counter(p.include[0]["class"] for p in prompts if p.tag == "single_object")
    assert set(single) == names, "every object is asked for"


def test_the_file_is_what_the_command_makes(atlas, prompts):
    lines = [json.loads(row) for row in (FOLDER / "prompts.jsonl").read_text().splitlines()]
    n_objects = len({p.include[0]["class"] for p in prompts if p.tag == "single_object"})
    assert make(atlas, n_objects) == lines


def test_held_out_prompts_hold_what_training_never_shows(prompts):
    for p in prompts:
        out = [c for c in combinations(p.scene) if is_held_out(c[0], *c[1:])]
        assert bool(out) == (p.split == "held_out"), (p, out)
    assert {p.split for p in prompts} == set(SPLITS)


def test_training_captions_never_show_a_held_out_prompt(atlas, prompts):
    kept_captions = {p.prompt.lower().rstrip(".") for p in prompts if p.split == "held_out"}
    kept = {c for p in prompts for c in combinations(p.scene) if is_held_out(c[0], *c[1:])}
    training = SceneGenerator(atlas, n_objects=len(atlas), styles=list(STYLES), seed=0)
    for _ in range(30_000):
        scene = training.sample()
        assert scene.caption.lower().rstrip(".") not in kept_captions
        assert not combinations(scene) & kept, scene


def test_true_scenes_are_right_and_near_misses_wrong(atlas, prompts):
    """The rules alone, without a verifier's errors."""
    kinds = Counter()
    for p in prompts:
        assert mistakes(p, seen_perfectly(p.scene)) == [], p
        for kind, scene in near_misses(p, atlas, len(atlas)).items():
            assert mistakes(p, seen_perfectly(scene)), (kind, p)
            kinds[p.tag, kind] += 1
    for tag, kind in (
        ("single_object", "one object extra"),
        ("counting", "count off by one"),
        ("colors", "another colour"),
        ("color_attr", "colours swapped"),
        ("position", "relation flipped"),
        ("two_object", "one object extra"),
    ):
        assert kinds[tag, kind] > 300, (tag, kind, kinds)


def test_the_kind_of_mistake_is_named(prompts):
    p = next(p for p in prompts if p.tag == "position" and p.include[0]["position"][0] == "left of")
    a, b = seen_perfectly(p.scene)
    thing = Detection(NOTHING, None, (0, 0, 9, 9), 1.0, 0.2)
    other = Detection("no such thing", None, (0, 0, 9, 9), 1.0, 0.9)
    swapped = [Detection(a.name, None, b.box, 1, 1), Detection(b.name, None, a.box, 1, 1)]
    assert mistakes(p, [a]) == ["missing"]
    assert mistakes(p, [a, b, b]) == ["too many"]
    assert mistakes(p, [a, b, thing]) == ["broken object"]
    assert mistakes(p, [a, b, other]) == ["unasked object"]
    assert mistakes(p, swapped) == ["position"]
    q = next(p for p in prompts if p.tag == "colors")
    found = seen_perfectly(q.scene)[0]
    wrong = next(c for c in COLOUR_NAMES if c != found.colour)
    assert mistakes(q, [Detection(found.name, wrong, found.box, 1, 1)]) == ["colour"]


def test_relations_need_more_along_than_across():
    here = (64.0, 64.0)
    ways = {"left of": (30, 64), "right of": (98, 64), "above": (64, 30), "below": (64, 98)}
    assert set(ways) == set(RELATIONS)
    for relation, there in ways.items():
        for other in ways:
            assert lies(there, other, here, 8) == (other == relation)
    assert not lies((30, 20), "left of", here, 8), "further above than left"
    assert not lies((60, 64), "left of", here, 8), "nearly in the same place"


def test_shuffled_prompts_take_the_next_of_the_tag(prompts):
    some = [p for tag in TAGS for p in prompts if p.tag == tag][::40]
    found = [seen_perfectly(p.scene) for p in some]
    assert np.mean(shuffled(some, found)) < 0.05


def test_limits_tags_and_known_objects(prompts):
    few = load(limit=10)
    assert len(few) == 60
    assert Counter(p.split for p in few if p.tag == "counting") == {"seen": 5, "held_out": 5}
    assert [p for p in few if p.tag == "counting"] == load(tags=("counting",), limit=10)
    assert {e["class"] for p in load(known={"cat", "dog"}) for e in p.include} <= {"cat", "dog"}
    with pytest.raises(ValueError, match="unknown tag 'photos'"):
        load(tags=("photos",))
    with pytest.raises(ValueError, match="no EmojiEval prompts"):
        load(FOLDER / "freeform.jsonl")


def test_intervals():
    low, high = wilson(8, 10)  # Wilson (1927), by hand
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson(0, 400)[0] == 0.0 and 0.009 < wilson(0, 400)[1] < 0.01
    middle, low, high = bootstrap_mean({"a": [True] * 50 + [False] * 50, "b": [True] * 100})
    assert middle == 0.75 and 0.68 < low < 0.72 and 0.78 < high < 0.82
    rng = np.random.default_rng(0)
    a = rng.random(400) < 0.5
    gain, low, high = paired_difference(a, a)
    assert gain == low == high == 0
    gain, low, high = paired_difference(a, a | (rng.random(400) < 0.2))
    assert 0 < low < gain < high < 0.2


def test_the_summary_counts_splits(prompts):
    right = [p.split == "seen" for p in prompts]
    s = summary(prompts, right)
    assert s["tags"]["counting"]["share"] == 0.5 and s["tags"]["counting"]["seen"]["share"] == 1.0
    assert s["tags"]["single_object"]["share"] == 1.0 and "held_out" not in s["tags"]["single_object"]
    assert s["mean"]["seen"]["share"] == 1.0 and s["mean"]["held_out"]["share"] == 0.0
    table = score_table({"model": s})
    assert "| model" in table and "50.0 [45.1, 54.9]" in table


def test_template_matching_names_true_renders(atlas, prompts):
    some = [p for p in prompts if p.tag in ("single_object", "color_attr")][::50]
    images = Artist(atlas, len(atlas), STYLES).draw([p.scene for p in some])
    truth = [seen_perfectly(p.scene) for p in some]
    blank = [[Detection("?", None, d.box, 1, 1) for d in found] for found in truth]
    named = Templates(atlas, len(atlas), list(STYLES)).rename(images, blank)
    pairs = [(a, b) for x, y in zip(truth, named, strict=True) for a, b in zip(x, y, strict=True)]
    assert np.mean([a.name == b.name for a, b in pairs]) > 0.9
    coloured = [(a, b) for a, b in pairs if a.colour]
    assert np.mean([a.colour == b.colour for a, b in coloured]) > 0.9
    noise = torch.randint(0, 2, (1, 16, 16, 3), dtype=torch.uint8).mul(255)
    noise = noise.repeat_interleave(8, 1).repeat_interleave(8, 2)  # [1, 128, 128, 3]
    [[d]] = Templates(atlas, 20, ["flat"]).rename(noise, [[Detection("?", None, (16, 16, 112, 112), 1, 1)]])
    assert d.name == NOTHING


def test_frechet_distance():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4000, 3))
    assert abs(frechet(a, a)) < 1e-9
    assert abs(frechet(a, a + [2, 0, 0]) - 4) < 1e-6
    assert (
        abs(frechet(a, 3 * a) - 4 * np.trace(np.cov(a, rowvar=False)) - (2 * a.mean(0)) @ (2 * a.mean(0)))
        < 1e-6
    )


def test_free_form_prompts_are_100_of_known_kinds(atlas):
    lines = load_freeform()
    names = {o.name for o in atlas.objects}
    assert len(lines) == 100 and len({p.prompt for _, p in lines}) == 100
    assert min(Counter(kind for kind, _ in lines).values()) >= 10
    for kind, p in lines:
        assert bool(p.include) == (kind != "nothing the model knows")
        assert all(e["class"] in names for e in p.include)


def test_templates_alone_accept_true_scenes_and_refuse_near_misses(atlas, prompts):
    some = [p for tag in TAGS for p in prompts if p.tag == tag][::100]
    artist, templates = Artist(atlas, len(atlas), STYLES), Templates(atlas, len(atlas), list(STYLES))
    assert np.mean(accepts(templates, artist.draw([p.scene for p in some]), some)) > 0.95
    cases = [(p, s) for p in some for s in near_misses(p, atlas, len(atlas)).values()]
    refused = accepts(templates, artist.draw([s for _, s in cases]), [p for p, _ in cases])
    assert np.mean(refused) < 0.05


def test_prompts_for_choosing_are_not_those_of_the_score(atlas, prompts):
    mine = prompts_apart(atlas, len(atlas), list(STYLES), 10)
    assert len(mine) > 50 and not {p.prompt.lower() for p in mine} & {p.prompt.lower() for p in prompts}


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("steps=8", ("steps", 8)),
        ("order=halton", ("order", "halton")),
        ("top_k=None", ("top_k", None)),
        ("top_p=0.9", ("top_p", 0.9)),
        ("temperature=1", ("temperature", 1)),
    ],
)
def test_a_setting_of_the_command_line_is_read_as_its_field_is(text, wanted):
    assert override(text) == wanted


@pytest.mark.parametrize(
    "text, said",
    [
        ("steps", "should look like field=value"),
        ("stpes=3", "unknown setting 'stpes'; known are "),
        ("steps=many", "steps must be a whole number"),
        ("temperature=hot", "temperature must be a number"),
        ("steps=" + "(" * 500, "steps must be a whole number"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_any_work(text, said):
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(said)):
        override(text)


def test_free_form_prompts_of_the_world_at_256_pixels_ask_for_things_that_it_has():
    lines, old = load_freeform(spec=WORLD_256), {p.prompt for _, p in load_freeform()}
    named = {o["name"] for o in read_objects(ATLAS_DIR / "world.txt")}
    assert len(lines) == 100 and len({p.prompt for _, p in lines} - old) == 100
    assert Counter(kind for kind, _ in lines) == {
        "synonyms": 25,
        "plurals and numbers": 25,
        "unknown words beside a known thing": 25,
        "typos": 25,
    }
    for _, p in lines:
        assert p.spec is WORLD_256 and p.include and sum(e["count"] for e in p.include) <= WORLD_256.slots
        assert all(e["class"] in named and e.get("color") in (None, *COLOUR_NAMES) for e in p.include)
