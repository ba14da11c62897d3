"""Other wordings: they say what is there, slips make no other word, and every caption fits the model."""

import pickle
import re
from pathlib import Path
from random import Random

import pytest

from mdm_core.families.chisel.text import TextTokenizer
from trainer.scenes import wordings
from trainer.scenes.atlas import Atlas
from trainer.scenes.captions import WORDS
from trainer.scenes.generator import SceneGenerator
from trainer.scenes.source import SceneDataConfig
from trainer.scenes.wordings import Wordings, _misspelt

MODEL = Path(__file__).parents[3] / "assets" / "model"
STYLES = ("flat", "cartoon", "simple", "glossy", "bright")


@pytest.fixture(scope="module")
def atlas():
    return Atlas.load()


def scenes(atlas, n=3000, **options):
    generator = SceneGenerator(atlas, n_objects=311, styles=STYLES, seed=4, reword=1.0, **options)
    return [generator.sample() for _ in range(n)]


def test_what_is_there_is_always_said(atlas, monkeypatch):
    monkeypatch.setattr(wordings, "SLIP_SHARE", 0.0)
    for scene in scenes(atlas):
        text = scene.caption.lower()
        for thing in scene.objects:
            obj = atlas.find(thing.name)
            names = [obj.name, obj.plural, *(s.lstrip("~") for s in obj.synonyms), *obj.keywords]
            assert any(re.search(rf"(?<!\w){re.escape(n.lower())}(?!\w)", text) for n in names), text
            assert thing.colour is None or thing.colour in text
        count = len(scene.objects)
        if scene.kind == "counting" and count > 1:
            group = {2: "pair|couple", 3: "trio", 4: "$^"}[count]
            assert re.search(rf"{WORDS[count]}|{count}|{group}", text), text
        if scene.relation:
            sides = "left|right" if "of" in scene.relation else "above|below|top|bottom|under|higher"
            assert re.search(sides, text), text


def test_relations_are_said_the_right_way_round(atlas, monkeypatch):
    monkeypatch.setattr(wordings, "SLIP_SHARE", 0.0)
    monkeypatch.setattr(wordings, "COLOURED", ("{a} {c} {n}",))
    say, cat, dog = Wordings(atlas), atlas.find("cat"), atlas.find("dog")
    seen = set()
    for seed in range(600):
        text = say.say(Random(seed), [(cat, "red"), (dog, "blue")], "right of", None, None).lower()
        red, blue = re.search(r"\bred\b", text).start(), text.index("blue")
        seen.add(text)
        for pattern, first_is_red in (
            (r"on the left .*(on the right|right)", False),
            (r"to the left of .* is", True),
            (r"is left of|stands to the left of", False),
            (r"and to its left", True),
            (r"and to its right|to the right$", False),
        ):
            if re.search(pattern, text):
                assert (red < blue) == first_is_red, text
                break
    assert len(seen) > 100


def test_slips_change_one_word_and_never_into_another_known_one(atlas):
    say, rng, changed = Wordings(atlas), Random(0), 0
    plain = "a strawberry to the left of a banana on a purple background"
    for _ in range(500):
        words = say.slip(rng, plain).split(" ")
        wrong = [w for w, right in zip(words, plain.split(" "), strict=True) if w != right]
        assert len(wrong) <= 1 and not set(wrong) & say.known
        changed += bool(wrong)
    assert changed > 400
    for word, other in (("boat", "bat"), ("three", "tree"), ("globe", "glove")):
        assert other in say.known
        assert any(_misspelt(Random(seed), word) == other for seed in range(500)), "nothing to guard against"
        assert all(say.slip(Random(seed), word) != other for seed in range(500))


def test_every_caption_of_training_fits_the_model(atlas):
    text = TextTokenizer.load(MODEL / "text.json", 40)
    data = SceneDataConfig(n_objects=311, styles=STYLES, batch_size=2000, reword=1.0)
    source = pickle.loads(pickle.dumps(data.open(text)))  # as a worker process gets it
    for index in range(5):  # the longest needs more than 40 ids in one batch of 768 among a few
        assert source.batch(index).text.shape == (2000, 40)
    assert any(not text.fits(s.caption) for s in scenes(atlas, 10_000)), (
        "no caption was too long to begin with"
    )


def test_only_training_is_reworded(atlas):
    text = TextTokenizer.load(MODEL / "text.json", 40)
    plain = SceneDataConfig(n_objects=40, batch_size=64)
    reworded = SceneDataConfig(n_objects=40, batch_size=64, reword=0.5)
    captions = [c.open(text, "seen").batch(3).scenes.captions for c in (plain, reworded)]
    assert captions[0] == captions[1]
    captions = [c.open(text).batch(3).scenes.captions for c in (plain, reworded)]
    assert captions[0] != captions[1]
