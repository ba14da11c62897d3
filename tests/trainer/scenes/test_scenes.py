"""Scenes: the caption says the truth, the splits never leak, the picture is what was asked for."""

import re
import time
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from trainer.scenes.atlas import Atlas
from trainer.scenes.captions import WORDS
from trainer.scenes.colours import BACKGROUNDS, CLASHES, COLOUR_NAMES, IMAGE, PATCH, paint
from trainer.scenes.drawing.render import SpriteBank, recolour, render, render_one
from trainer.scenes.generator import HELD_OUT_KINDS, KINDS, SIZES, SceneBatch, SceneGenerator, sprite_index
from trainer.scenes.splits import is_held_out


@pytest.fixture(scope="module")
def atlas():
    return Atlas.load()


@pytest.fixture(scope="module")
def scenes(atlas):
    generator = SceneGenerator(atlas, seed=1)
    return [generator.sample() for _ in range(20_000)]


@pytest.fixture(scope="module")
def bank(atlas):
    return SpriteBank(atlas, 40, ["flat", "cartoon"])


def names_of(obj):
    return sorted({obj.name, *(s.lstrip("~") for s in obj.synonyms)}, key=len, reverse=True)


def says(text, words):
    return any(re.search(rf"(?<![\w]){re.escape(w)}(?![\w])", text) for w in words)


def relation_of(first, second):
    """Read the relation off the picture."""
    if first.y == second.y:
        return "left of" if first.x < second.x else "right of"
    assert first.x == second.x
    return "above" if first.y < second.y else "below"


def test_captions_say_the_objects_the_numbers_and_the_colours(atlas, scenes):
    by_name = {o.name: o for o in atlas.objects}
    for scene in scenes:
        text = scene.caption.lower()
        if scene.kind == "counting":
            obj, number = by_name[scene.objects[0].name], len(scene.objects)
            word = obj.name if number == 1 else obj.plural
            assert says(text, [f"{WORDS[number]} {word}", f"{number} {word}"]), scene
            continue
        for drawn in scene.objects:
            words = names_of(by_name[drawn.name])
            if drawn.colour:
                words = [f"{drawn.colour} {w}" for w in words]
            assert says(text, words), scene


def test_captions_say_background_and_style_when_they_claim_to(atlas, scenes):
    grounds = {b.name: b for b in BACKGROUNDS}
    for scene in scenes:
        text = scene.caption.lower()
        ground = grounds[scene.background]
        assert says(text, (ground.name, *ground.aliases)) or not scene.says_background, scene
        spoken = says(
            text,
            [
                f"{w} {noun}"
                for w in (scene.style, *atlas.aliases[scene.style])
                for noun in ("style", "drawing")
            ],
        )
        assert spoken == scene.says_style, scene
    assert 0.83 < np.mean([s.says_background for s in scenes]) < 0.87
    assert 0.48 < np.mean([s.says_style for s in scenes]) < 0.52


def test_captions_vary(scenes):
    captions = [s.caption for s in scenes]
    assert len(set(captions)) > 17_000
    assert not any("  " in c or "~" in c or "{" in c or "None" in c for c in captions)
    assert not any(re.search(r"\ba [aeio]", c) for c in captions)
    assert max(map(len, captions)) < 160
    names = {o.name for s in scenes for o in s.objects}
    assert sum(c.lower() in names for c in captions) > 50  # bare prompts: "panda"


def test_kinds_occur_in_their_shares(scenes):
    count = Counter(s.kind for s in scenes)
    for kind, share in KINDS.items():
        assert abs(count[kind] / len(scenes) - share) < 0.015


def test_placement_is_on_the_lattice_inside_the_picture_and_apart(scenes):
    for scene in scenes:
        for obj in scene.objects:
            assert obj.size in SIZES and obj.x % PATCH == 0 == obj.y % PATCH
            assert 0 <= obj.x <= IMAGE - obj.size and 0 <= obj.y <= IMAGE - obj.size
        for i, a in enumerate(scene.objects):
            for b in scene.objects[:i]:
                assert max(abs(a.x - b.x), abs(a.y - b.y)) >= min(a.size, b.size), scene


def test_relations_are_true(scenes):
    for scene in scenes:
        if scene.kind == "position":
            assert scene.relation == relation_of(*scene.objects)
        else:
            assert scene.relation is None
        if scene.kind == "color_attr":
            assert scene.objects[0].colour != scene.objects[1].colour


def test_recoloured_objects_stand_out(scenes):
    for scene in scenes:
        for obj in scene.objects:
            assert obj.colour is None or scene.background not in CLASHES[obj.colour]


def held_out_facts(scene):
    """Every combination of a scene that a split could hold out."""
    objects = scene.objects
    facts = [("colour", o.name, o.colour) for o in objects if o.colour]
    if scene.kind == "counting":
        facts.append(("count", objects[0].name, len(objects)))
    elif len(objects) == 2:
        facts.append(("pair", objects[0].name, objects[1].name))
        facts.append(("relation", objects[0].name, relation_of(*objects), objects[1].name))
    return facts


def test_training_scenes_hold_nothing_held_out(scenes):
    assert not any(is_held_out(*fact) for scene in scenes for fact in held_out_facts(scene))


def test_held_out_scenes_each_hold_something_held_out(atlas):
    generator = SceneGenerator(atlas, split="held_out")
    drawn = [generator.sample() for _ in range(2000)]
    assert {s.kind for s in drawn} == set(HELD_OUT_KINDS)
    for scene in drawn:
        facts = [f for f in held_out_facts(scene) if scene.kind == "position" or f[0] != "relation"]
        assert any(is_held_out(*f) for f in facts), scene


def test_one_combination_in_ten_is_held_out(atlas):
    names = [o.name for o in atlas.objects]
    pairs = [is_held_out("pair", a, b) for i, a in enumerate(names) for b in names[:i]]
    colours = [is_held_out("colour", a, c) for a in names for c in COLOUR_NAMES]
    assert 0.09 < np.mean(pairs) < 0.11 and 0.08 < np.mean(colours) < 0.12
    assert is_held_out("pair", "cat", "dog") == is_held_out("pair", "dog", "cat")
    for a, b in pairwise(names):
        assert is_held_out("relation", a, "left of", b) == is_held_out("relation", b, "right of", a)
        assert is_held_out("relation", a, "above", b) == is_held_out("relation", b, "below", a)
    with pytest.raises(ValueError, match="Unknown kind"):
        is_held_out("shape", "cat", "round")


def test_the_split_never_changes():
    """Weights already trained rely on these lots: a changed hash would leak."""
    lots = "".join(
        "01"[is_held_out(*q)]
        for q in [
            ("pair", "cat", n)
            for n in ("dog", "car", "star", "fox", "bee", "key", "sun", "bell", "ring", "crown")
        ]
        + [("colour", "car", c) for c in COLOUR_NAMES]
    )
    assert lots == "000000000000100000"


def test_truth_has_the_form_of_geneval(scenes):
    for scene in scenes[:3000]:
        truth = scene.truth()
        assert truth["tag"] in KINDS and truth["prompt"] == scene.caption
        assert sum(e["count"] for e in truth["include"]) == len(scene.objects)
        assert [e["class"] for e in truth["exclude"]] == [e["class"] for e in truth["include"]]
        positions = [e for e in truth["include"] if "position" in e]
        assert bool(positions) == (scene.kind == "position")
        assert (truth["style"] is not None) == scene.says_style


def test_the_same_seed_gives_the_same_scenes(atlas):
    one = SceneGenerator(atlas, n_objects=50, seed=7)
    two = SceneGenerator(atlas, n_objects=50, seed=7)
    batch = one.batch(200)
    scenes = [two.sample() for _ in range(200)]
    other = two.to_batch(scenes)
    assert batch.captions == [s.caption for s in scenes]
    for name in ("background", "sprite", "size", "xy"):
        assert np.array_equal(getattr(batch, name), getattr(other, name))
    assert SceneGenerator(atlas, n_objects=50, seed=8).batch(200).captions != batch.captions


def test_wrong_requests_are_refused(atlas):
    for wrong in ({"styles": ["cubist"]}, {"n_objects": 1}, {"split": "test"}, {"kinds": ["portrait"]}):
        with pytest.raises(ValueError):
            SceneGenerator(atlas, **wrong)
    with pytest.raises(ValueError, match="use more objects"):
        SceneGenerator(atlas, n_objects=2, split="held_out", kinds=["two_object"]).sample()
    with pytest.raises(ValueError, match="has the kinds"):
        SceneGenerator(atlas, split="held_out", kinds=["single_object"])


def test_rendering_equals_a_simple_composite(atlas, bank):
    """The batch renderer, in integers, against floating point, sprite by sprite: within one level."""
    generator = SceneGenerator(atlas, n_objects=40, styles=["flat", "cartoon"], seed=3)
    scenes = [generator.sample() for _ in range(48)]
    pictures = render(generator.to_batch(scenes), bank)
    assert pictures.shape == (48, IMAGE, IMAGE, 3) and pictures.dtype == torch.uint8
    order = {o.name: o.index for o in atlas.objects}
    grounds = {b.name: b for b in BACKGROUNDS}
    for scene, picture in zip(scenes, pictures, strict=True):
        want = paint(grounds[scene.background]).astype(np.float64)
        for obj in scene.objects:
            sprite = torch.from_numpy(atlas.sprite(order[obj.name], scene.style).copy())[None]
            if obj.colour:
                sprite = recolour(sprite, bank.ramps[COLOUR_NAMES.index(obj.colour)])
            sprite = sprite[0].numpy().astype(np.float64)
            sprite[..., :3] *= sprite[..., 3:] / 255
            for axis in (0, 1):  # area filter: repeat each pixel `size` times, then average runs of 96
                shape = (obj.size, 96, sprite.shape[1], 4) if axis == 0 else (obj.size, obj.size, 96, 4)
                sprite = sprite.repeat(obj.size, axis).reshape(shape).mean(axis + 1)
            area = want[obj.y : obj.y + obj.size, obj.x : obj.x + obj.size]
            area[:] = sprite[..., :3] + area * (1 - sprite[..., 3:] / 255)
        assert np.abs(picture.numpy() - np.round(want)).max() <= 1, scene


def test_a_sprite_looks_the_same_everywhere(bank):
    row = bank.index("panda", "flat")
    places = [(0, 0), (8, 40), (64, 72), (72, 72)]
    n = len(places)
    batch = SceneBatch(
        background=np.full(n, 7),
        sprite=np.array([[row, -1, -1, -1]] * n),
        size=np.array([[56, 0, 0, 0]] * n),
        xy=np.array([[p, (0, 0), (0, 0), (0, 0)] for p in places]),
        captions=["panda"] * n,
    )
    pictures = render(batch, bank)
    cuts = [pictures[i, y : y + 56, x : x + 56] for i, (x, y) in enumerate(places)]
    assert all(torch.equal(cuts[0], cut) for cut in cuts[1:])


def test_one_scene_at_a_time_gives_the_same_picture(atlas, bank):
    generator = SceneGenerator(atlas, n_objects=40, styles=["flat", "cartoon"], seed=5)
    scenes = [generator.sample() for _ in range(6)]
    pictures = render(generator.to_batch(scenes), bank)
    for scene, picture in zip(scenes, pictures, strict=True):
        assert np.array_equal(np.asarray(render_one(scene, bank)), picture.numpy())


@pytest.mark.parametrize("colour", COLOUR_NAMES)
def test_recoloured_sprites_have_the_hue_and_keep_the_outline(atlas, bank, colour):
    import colorsys

    sprites = torch.from_numpy(np.stack([atlas.sprite(i, "cartoon") for i in range(40)]))
    out = recolour(sprites, bank.ramps[COLOUR_NAMES.index(colour)])
    assert torch.equal(out[..., 3], sprites[..., 3])
    alpha = sprites[..., 3:].double()
    means = (out[..., :3] * alpha).sum((1, 2)) / alpha.sum((1, 2)) / 255  # [40, 3]
    hues = {"red": 0, "orange": 29, "yellow": 49, "green": 131, "blue": 218, "purple": 274, "pink": 334}
    for mean in means.tolist():
        hue, saturation, _ = colorsys.rgb_to_hsv(*mean)
        if colour == "grey":
            assert saturation < 0.1
        else:
            assert saturation > 0.35 and abs((hue * 360 - hues[colour] + 180) % 360 - 180) < 14


def test_patterned_backgrounds_use_few_patches():
    for background in BACKGROUNDS:
        cells = paint(background).reshape(16, PATCH, 16, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(256, -1)
        assert len(np.unique(cells, axis=0)) <= 6, background.name


def test_the_bank_refuses_what_it_lacks(atlas, bank):
    batch = SceneGenerator(atlas, seed=0).batch(64)
    with pytest.raises(ValueError, match="does not hold"):
        render(batch, bank)
    with pytest.raises(ValueError, match="holds no"):
        bank.index("panda", "glossy")
    assert sprite_index(3, 1, "orange", 2) == (3 * 2 + 1) * 9 + 2


def test_speed(atlas, bank):
    """In seconds of the processor: what else runs on the machine does not count."""
    generator = SceneGenerator(atlas, n_objects=40, styles=["flat", "cartoon"], seed=11)
    start = time.process_time()
    batch = generator.batch(2000)
    assert (time.process_time() - start) / 2000 < 1e-3
    batch = SceneGenerator(
        atlas, n_objects=40, styles=["flat", "cartoon"], seed=12, kinds=["position"]
    ).batch(64)
    render(batch, bank)  # the first time makes the sprites
    start = time.process_time()
    render(batch, bank)
    assert (time.process_time() - start) / 64 < 5e-3


def test_favoured_objects_come_twice_as_often(atlas):
    generator = SceneGenerator(
        atlas, n_objects=40, styles=["flat"], seed=3, kinds=["single_object"], favour_from=20
    )
    names = [o.name for o in atlas.objects[:40]]
    drawn = [names.index(generator.sample().objects[0].name) for _ in range(3000)]
    share = sum(i >= 20 for i in drawn) / len(drawn)
    assert abs(share - 2 / 3) < 0.04  # five standard deviations are 0.043
