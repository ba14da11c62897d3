"""EmojiEval of the world at 256 pixels: its prompts and tags, the judge that fits, the second opinion."""

import json
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_world
import tiny_world_model
import torch

from mdm_core.pipeline import Pipeline
from trainer.evaluate import __main__ as command
from trainer.evaluate.generate import Artist
from trainer.evaluate.layouts import accepts
from trainer.evaluate.prompts import EVERY_TAG, TAGS, Prompt, choose, make, near_misses, read, tags_of
from trainer.evaluate.report import score_table
from trainer.evaluate.scoring import mistakes, reduced, second_opinion, summary
from trainer.evaluate.templates import Templates
from trainer.evaluate.worlds import open_judge, prompts_of, world_of
from trainer.judge.detector import Detection
from trainer.scenes.atlas import Atlas
from trainer.scenes.generator import SceneGenerator
from trainer.scenes.spec import EMOJI_128, WORLD_256
from trainer.scenes.splits import is_held_out

STYLES = list(tiny_world.STYLES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def atlas(folder):
    return Atlas.load(tiny_world.build(folder / "atlas", 40))


@pytest.fixture(scope="module")
def lines(atlas):
    return make(atlas, len(atlas), per_tag=24, spec=WORLD_256)


@pytest.fixture(scope="module")
def prompts(lines):
    return [Prompt.read(i, line) for i, line in enumerate(lines)]


@pytest.fixture(scope="module")
def model(folder, atlas):
    return tiny_world_model.build_model(folder / "model", [o.name for o in atlas.objects])


def perfect(scene):
    """What a judge without any error would find."""
    return [
        Detection(o.name, o.colour, (o.x, o.y, o.x + o.size, o.y + o.size), 1.0, 1.0) for o in scene.objects
    ]


def facts(scene):
    """Everything about a scene that its caption says and a split can keep from training."""
    names = [o.name for o in scene.objects]
    out = {("colour", o.name, o.colour) for o in scene.objects if o.colour}
    out |= {("count", name, n) for name, n in Counter(names).items() if len(set(names)) == 1 or n > 1}
    if len(set(names)) == 2:
        out.add(("pair", *sorted(set(names))))
    if scene.relation:
        out.add(("relation", names[0], scene.relation, names[1]))
    return out


def test_the_world_has_two_tags_more_and_says_them(prompts):
    assert tags_of(EMOJI_128) == TAGS and tags_of(WORLD_256) == EVERY_TAG == (*TAGS, "two_counts", "many")
    assert Counter(p.tag for p in prompts) == dict.fromkeys(EVERY_TAG, 24)
    assert Counter(p.split for p in prompts if p.tag == "many") == {"seen": 12, "held_out": 12}
    for p in prompts:
        assert p.spec is WORLD_256 and p.scene.style in STYLES
        if p.tag == "many":
            assert p.include[0]["count"] in (5, 6) and len(p.include) == 1
        if p.tag == "two_counts":
            assert len(p.include) == 2 and 3 <= sum(e["count"] for e in p.include) <= 6


def test_held_out_prompts_hold_what_training_never_says(atlas, prompts):
    for p in prompts:
        assert any(is_held_out(*fact) for fact in facts(p.scene)) == (p.split == "held_out"), p
    kept = {f for p in prompts for f in facts(p.scene) if is_held_out(*f)}
    training = SceneGenerator(atlas, spec=WORLD_256, styles=STYLES, seed=0)
    for _ in range(3000):
        assert not facts(training.sample()) & kept


def test_prompts_are_the_same_each_time_and_survive_a_file(atlas, lines, prompts, tmp_path):
    again = make(atlas, len(atlas), per_tag=24, spec=WORLD_256)
    assert again == lines
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read(file) == prompts and prompts_of(WORLD_256, atlas, file) == prompts
    with pytest.raises(ValueError, match="holds prompts of world_256, and the model draws emoji_128"):
        prompts_of(EMOJI_128, atlas, file)
    # drawn from what the file says, a picture is the one that was meant: looks of grounds and lean too
    artist = Artist(atlas, len(atlas), STYLES, spec=WORLD_256)
    some = [p.scene for p in prompts][::24]
    assert any(o.angle for s in some for o in s.objects) and any(s.look for s in some)
    assert torch.equal(artist.draw(some), artist.draw([p.scene for p in read(file)][::24]))


def test_true_scenes_are_right_and_near_misses_wrong(atlas, prompts):
    for p in prompts:
        assert mistakes(p, perfect(p.scene)) == [], p
        for kind, scene in near_misses(p, atlas, len(atlas)).items():
            assert mistakes(p, perfect(scene)), (kind, p)


def test_the_mean_of_genevals_six_stands_beside_that_of_all(prompts):
    told = summary(prompts, [p.tag != "many" for p in prompts])
    assert told["mean"]["share"] == pytest.approx(7 / 8) and told["mean_of_six"]["share"] == 1.0
    table = score_table({"model": told})
    assert "mean of the six" in table and "two_counts" in table
    six = [p for p in prompts if p.tag in TAGS]
    assert "mean_of_six" not in summary(six, [True] * len(six))


def test_templates_name_what_stands_anywhere(atlas, prompts):
    some = [p for p in prompts if p.tag in ("single_object", "colors", "two_object")][::4]
    images = Artist(atlas, len(atlas), STYLES, spec=WORLD_256).draw([p.scene for p in some])
    truth = [perfect(p.scene) for p in some]
    blank = [[Detection("?", None, d.box, 1, 1) for d in found] for found in truth]
    templates = Templates(atlas, len(atlas), STYLES, spec=WORLD_256)
    named = templates.rename(images, blank)
    same = [a.name == b.name for x, y in zip(truth, named, strict=True) for a, b in zip(x, y, strict=True)]
    # shapes of a tiny atlas are much alike; leaning ones are not known
    assert np.mean(same) > 0.6, same
    with pytest.raises(ValueError, match="things in world_256 lie anywhere"):
        accepts(templates, images, some)


def test_halved_pictures_are_means_of_squares():
    images = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    images[0, :2, :2, 0] = torch.tensor([[10, 20], [30, 40]])
    assert reduced(images, 2)[0, ..., 0].tolist() == [[25, 0], [0, 0]]
    with pytest.raises(ValueError, match="pictures of 4 pixels a side cannot be reduced to 3"):
        reduced(images, 3)


def test_the_second_opinion_is_of_the_objects_that_judge_knows(prompts):
    """A judge that sees each scene as it is, but knows few names: it is asked about those alone."""
    known = sorted({e["class"] for p in prompts for e in p.include})[::2]
    fit = [i for i, p in enumerate(prompts) if all(e["class"] in known for e in p.include)]
    assert 0 < len(fit) < len(prompts)

    class Sees:
        names, card, spec = known, {"sha256": "1" * 64}, EMOJI_128

        def detect(self, images):
            assert images.shape[1:] == (128, 128, 3)
            scenes = [prompts[int(i)].scene for i in images[:, 0, 0, 0]]
            return [
                [Detection(d.name, d.colour, tuple(v / 2 for v in d.box), 1, 1) for d in perfect(s)]
                for s in scenes
            ]

    # each picture says its number
    images = torch.arange(len(prompts)).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 256, 256, 3)
    first = [i % 2 == 0 for i in range(len(prompts))]
    told = second_opinion(prompts, Sees(), {"model": images}, {"model": first})
    assert told["n"] == len(fit) and told["rows"]["model"]["mean"]["share"] == 1.0
    assert told["agreement"]["right"] == sum(first[i] for i in fit)
    assert sum(v["n"] for v in told["rows"]["model, by the first judge"]["tags"].values()) == len(fit)
    Sees.names = ["nothing of this"]
    assert second_opinion(prompts, Sees(), {"model": images}, {"model": first})["n"] == 0


def test_a_model_is_judged_in_its_own_world_by_its_own_judge(folder, model, atlas):
    names = [o.name for o in atlas.objects]
    pipe = Pipeline.from_pretrained(model, "cpu")
    assert world_of(pipe) is world_of(pipe, "world_256") is WORLD_256
    with pytest.raises(ValueError, match="the model draws world_256, as its card says, not emoji_128"):
        world_of(pipe, "emoji_128")
    plain = SimpleNamespace(facts=SimpleNamespace(card={}), image_size=(256, 256))
    with pytest.raises(
        ValueError, match="draws pictures of 256x256 pixels, and emoji_128 has 128: try --world world"
    ):
        world_of(plain)
    assert world_of(plain, "world_256") is WORLD_256
    with pytest.raises(ValueError, match="holds the judge of world_256, and the model draws emoji_128"):
        open_judge(EMOJI_128, tiny_world_model.build_judge(folder / "j", names))
    with pytest.raises(ValueError, match="is not finished: run its training again"):
        open_judge(WORLD_256, tiny_world_model.build_judge(folder / "k", names, frozen=False))
    assert open_judge(EMOJI_128).spec is EMOJI_128


def test_the_command_scores_a_model_of_the_world(monkeypatch, folder, model, atlas, capsys):
    judge = tiny_world_model.build_judge(folder / "judge", [o.name for o in atlas.objects], frozen=True)
    out = folder / "record.json"
    words = ["--model", model, "--atlas", atlas.root, "--verifier", judge, "--limit", 2, "--json", out]
    words += ["--device", "cpu", "--set", "steps=1", "polish=0"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    # 400 a tag are what a score is made of, and a few are enough to see that it is made
    monkeypatch.setattr("trainer.evaluate.worlds.make", lambda *a, **k: make(*a, per_tag=4, **k))
    command.main()
    record, said = json.loads(out.read_text()), capsys.readouterr().out
    assert record["world"] == "world_256" and set(record["rows"]["model"]["tags"]) == set(EVERY_TAG)
    assert sum(v["n"] for v in record["rows"]["model"]["tags"].values()) == 16
    assert {"one kind for another", "one object missing"} <= set(record["near_misses_refused"]["two_counts"])
    assert set(record["second_opinion"]["rows"]) >= {"model", "real renders"}
    assert "EmojiEval of world_256, 16 prompts" in said and "Second opinion: the judge of 128 pixels" in said
    monkeypatch.setattr(sys, "argv", ["evaluate", "--tags", "many"])
    with pytest.raises(ValueError, match="emoji_128 has no prompts of the tag many"):
        command.main()


def test_some_of_the_prompts(prompts):
    few = choose(prompts, EVERY_TAG, 4)
    assert len(few) == 32 and Counter(p.split for p in few if p.tag == "two_counts") == {
        "seen": 2,
        "held_out": 2,
    }
    with pytest.raises(ValueError, match="unknown tag 'photos'"):
        choose(prompts, ("photos",))
