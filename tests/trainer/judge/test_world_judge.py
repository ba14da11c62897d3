"""The judge of the world at 256 pixels: its lessons, its one command, resume, and the card of a frozen one."""

import dataclasses
import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
import tiny_world
import torch
from crew import Crew
from distributed_worker import train_judge
from safetensors.torch import load_file

from mdm_core.paths import shipped
from trainer.engine import checkpoint
from trainer.engine.parallel import Parallel
from trainer.engine.run import DivergedError
from trainer.evaluate.worlds import open_judge
from trainer.judge import train
from trainer.judge.check import specificity
from trainer.judge.detector import COLOURS, FOLDERS, NOTHING, WIDTHS, Detection, Detector, Verifier, sha256
from trainer.judge.lessons import IGNORE, SIZES, SceneMaker, lesson
from trainer.judge.loop import SHARES, JudgeData, JudgeSettings, JudgeTrainer, detection_loss
from trainer.judge.near_misses import near_misses
from trainer.judge.rules import mistakes
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.render import SpriteBank
from trainer.scenes.generator import SceneGenerator
from trainer.scenes.spec import WORLD_256

CPU = torch.device("cpu")
NARROW = (8, 16, 24, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_world.build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def data(folder):
    return JudgeData.of(Atlas.load(folder), WORLD_256, None, CPU)


def perfect(scene):
    """What a judge without any error would find."""
    return [
        Detection(o.name, o.colour, (o.x, o.y, o.x + o.size, o.y + o.size), 1.0, 1.0) for o in scene.objects
    ]


def test_lessons_of_the_world_at_128_pixels_are_those_of_the_shipped_judge():
    """Truth to the bit; pixels within what other processors make of a sum of floats."""
    styles = list(SHARES)
    drawn = SceneMaker(Atlas.load(), 12, styles, list(SHARES.values()), 7).draw(64)
    arrays = (drawn.ground, drawn.sprite, drawn.twin, drawn.size, drawn.xy, drawn.name, drawn.colour)
    assert hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()[:16] == "20504c0f5c28d4c6"
    bank = SpriteBank(Atlas.load(), 12, styles, sizes=SIZES)
    told = lesson(drawn, bank, 12, torch.Generator().manual_seed(3))
    truth = (told.name, told.colour, told.box, told.used, told.doubtful)
    digest = hashlib.sha256(b"".join(t.numpy().tobytes() for t in truth)).hexdigest()
    assert digest[:16] == "94e8f7ce8e535b23"
    assert told.images.double().mean().item() == pytest.approx(154.17246, abs=1e-3)


def test_things_are_inside_the_picture_apart_and_as_free_as_the_world(data):
    drawn = data.maker(0).draw(3000)
    used = drawn.sprite >= 0
    assert (drawn.xy[used] >= 0).all() and (drawn.xy[used] + drawn.size[used][:, None] <= 256).all()
    for b in range(600):
        slots = np.flatnonzero(used[b])
        for k, i in enumerate(slots):
            for j in slots[:k]:
                gap = drawn.xy[b, i] - drawn.xy[b, j]
                # one lies wholly beyond the other
                clear = np.where(gap > 0, gap >= drawn.size[b, j], -gap >= drawn.size[b, i])
                assert clear.any(), (drawn.xy[b], drawn.size[b])
    assert {len(np.flatnonzero(u)) for u in used} == {0, 1, 2, 3, 4, 5, 6}
    assert set(WORLD_256.sizes) <= set(drawn.size[used].tolist()), "sizes of the lattice are among them"
    # what the world draws, the judge has seen: its sizes, its tilt, a small thing beside a big one
    for number, (low, high) in enumerate(WORLD_256.free_sizes, start=1):
        mine = drawn.size[(used.sum(1) == number)[:, None] & used]
        assert mine.min() <= low and mine.max() >= high, number
    two = np.sort(drawn.size[used.sum(1) == 2][:, :2], 1)
    assert ((two[:, 0] <= 80) & (two[:, 1] >= 124)).sum() > 20
    assert np.abs(drawn.angle).max() >= WORLD_256.tilt and set(drawn.look.tolist()) == set(
        range(WORLD_256.looks)
    )
    again, other = data.maker(0).draw(3000), data.maker(1).draw(3000)
    for f in dataclasses.fields(drawn):
        if f.name != "spec":
            assert np.array_equal(getattr(drawn, f.name), getattr(again, f.name)), f.name
    assert not np.array_equal(drawn.sprite, other.sprite)


def test_whole_things_keep_their_name_and_broken_ones_lose_it(data):
    n, drawn = data.n_objects, data.maker(2).draw(32)
    whole = lesson(drawn, data.bank, n, torch.Generator().manual_seed(0), broken=0.0)
    assert whole.images.shape == (32, 3, 256, 256) and 0 <= whole.images.min() <= whole.images.max() <= 255
    assert torch.equal(whole.name[whole.used], torch.from_numpy(drawn.name)[whole.used])
    broken = lesson(drawn, data.bank, n, torch.Generator().manual_seed(0), broken=1.0)
    changed = (broken.name != whole.name) & whole.used
    assert (changed.sum(1) <= 1).all() and changed.any(1).sum() > 15
    assert set(broken.name[changed].tolist()) == {n, IGNORE}


def test_maps_become_boxes_in_the_pixels_of_the_world(data):
    n = data.n_objects

    class Told(torch.nn.Module):
        n_objects = n

        def forward(self, x):
            return maps, torch.zeros(len(x), 3)

        parts = Detector.parts

    maps = torch.zeros(1, 1 + n + 1 + len(COLOURS) + 4, 16, 16)
    maps[:, 0] = -9.0
    maps[0, 0, 4, 3], maps[0, 1 + 5, 4, 3] = 4.0, 9.0
    maps[0, -4:, 4, 3] = torch.tensor([0.5, 0.0, np.log(112 / 128), np.log(96 / 128)])
    card = {"place_above": 0.4, "name_above": 0.5, "world": "world_256"}
    judge = Verifier(Told(), data.names, card, CPU)
    [[found]] = judge.detect(torch.zeros(1, 256, 256, 3, dtype=torch.uint8))
    assert found.name == data.names[5] and found.box == pytest.approx((8, 24, 120, 120))
    with pytest.raises(
        ValueError, match="the judge of world_256 reads pictures of 256 pixels a side, not 128x128"
    ):
        judge.detect(torch.zeros(1, 128, 128, 3, dtype=torch.uint8))


def test_a_narrow_one_learns(data):
    torch.manual_seed(0)
    model = Detector(data.n_objects, NARROW)
    truth = lesson(data.maker(3).draw(8), data.bank, data.n_objects, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    history = []
    for _ in range(40):
        loss, parts = detection_loss(model, model(truth.images / 127.5 - 1)[0], truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append({k: float(v) for k, v in parts.items()})
    assert all(
        history[-1][k] < share * history[0][k]
        for k, share in {"where": 0.3, "what": 0.75, "hue": 0.75, "shape": 0.7}.items()
    ), (history[0], history[-1])


def test_the_judge_of_the_whole_world_is_a_small_file():
    """With 806 objects: eight bits a weight, and less than 8 MB."""
    parameters = sum(p.numel() for p in Detector(806, WIDTHS["world_256"]).parameters())
    assert 5_500_000 < parameters < 7_500_000


def run(monkeypatch, folder, out, *more):
    monkeypatch.setitem(WIDTHS, "world_256", NARROW)
    words = ["--world", "world_256", "--atlas", folder, "--out", out, "--batch", 4, "--check", 4, *more]
    words += ["--log-every", 1, "--save-every", 2, "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["judge", *map(str, words)])
    monkeypatch.setattr(train, "leave_on_signals", lambda trainer: None)
    train.main()
    return json.loads((out / "card.json").read_text())


def test_one_command_trains_resumes_and_freezes(monkeypatch, folder, tmp_path, capsys):
    card = run(monkeypatch, folder, tmp_path / "whole", "--steps", 4)
    assert card["frozen"] and card["world"] == "world_256" and card["steps"] == 4
    assert card["sha256"] == sha256(tmp_path / "whole" / "verifier.safetensors")
    misses = card["check_near_misses_refused"]
    assert misses["n"] > 4 and 0 <= misses["all"] <= 1
    assert {"check_clean_seen_scenes_right", "check_clean_held_out_scenes_right"} <= set(card)
    assert Verifier.load(tmp_path / "whole").spec is WORLD_256
    # cut after two steps: weights and card are there, and say that they are not finished
    cut = tmp_path / "cut"
    update = JudgeTrainer.update

    def until(self):
        if self.step == 4:
            self.saver.wait()
            raise KeyboardInterrupt
        update(self)

    monkeypatch.setattr(JudgeTrainer, "update", until)
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, folder, cut, "--steps", 4)
    early = json.loads((cut / "card.json").read_text())
    assert not early["frozen"] and early["steps"] == 2
    assert Verifier.load(cut).card["sha256"] == sha256(cut / "verifier.safetensors")
    monkeypatch.setattr(JudgeTrainer, "update", update)
    capsys.readouterr()
    again = run(monkeypatch, folder, cut, "--steps", 4)
    assert "resumed at step 2" in capsys.readouterr().out
    a, b = (load_file(tmp_path / f / "verifier.safetensors") for f in ("whole", "cut"))
    assert all(torch.equal(a[k], b[k]) for k in a), "as if it had not been cut"
    assert again["sha256"] == card["sha256"] and again["images_seen"] == card["images_seen"] == 16
    with pytest.raises(ValueError, match="belongs to a judge of other batch: choose another --out"):
        run(monkeypatch, folder, cut, "--steps", 4, "--batch", 3)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint(monkeypatch, data, tmp_path):
    monkeypatch.setitem(WIDTHS, "world_256", NARROW)
    settings = JudgeSettings(steps=4, batch=2, log_every=1, save_every=1)
    trainer = JudgeTrainer(data, settings, tmp_path, Parallel(CPU), {})
    net = trainer.net
    trainer.net = lambda *batch: net(*batch) * (float("nan") if trainer.step == 1 else 1.0)
    with pytest.raises(DivergedError, match="loss is nan .* at step 2: lower --lr and resume; .*000000001"):
        trainer.run()
    assert checkpoint.newest(tmp_path / "checkpoints").name == "step-000000001"
    assert JudgeTrainer(data, settings, tmp_path, Parallel(CPU), {}).resume()


def test_a_step_that_is_skipped_leaves_no_trace_in_running_means(monkeypatch, data, tmp_path):
    """A picture that is not finite reaches every normalisation of the forward pass."""
    monkeypatch.setitem(WIDTHS, "world_256", NARROW)
    settings = JudgeSettings(steps=2, batch=2, log_every=1, save_every=9, on_nan="skip")
    trainer = JudgeTrainer(data, settings, tmp_path, Parallel(CPU), {})
    draw, before = trainer.draw, {}

    def spoilt():
        x, truth = draw()
        if trainer.step == 1:
            before.update({k: v.clone() for k, v in trainer.model.state_dict().items()})
            x = x * float("nan")
        return x, truth

    trainer.draw = spoilt
    trainer.run()
    after = trainer.model.state_dict()
    assert trainer.step == 2 and all(torch.equal(before[k], after[k]) for k in after)


def test_two_processes_go_on_where_one_was_on_the_same_global_batch(monkeypatch, tmp_path):
    monkeypatch.setitem(WIDTHS, "emoji_128", WIDTHS["emoji_128"])
    alone, weights = train_judge(tmp_path, {"accumulate": 2})
    shutil.rmtree(tmp_path / "checkpoints" / "step-000000002")
    together = Crew(2, train_judge, tmp_path, {}).results()
    for losses, found in together:
        assert losses == pytest.approx(alone, rel=1e-3) and len(losses) == 2
        for name, values in weights.items():
            assert torch.allclose(torch.tensor(found[name]), torch.tensor(values), atol=2e-3), name
    log = json.loads((tmp_path / "log.json").read_text())
    assert [e["images"] for e in log] == [4, 8] and {"where", "what", "hue", "shape"} <= set(log[-1])


@pytest.mark.parametrize("split", ["seen", "held_out"])
def test_every_near_miss_is_wrong_by_the_rules_and_every_scene_right(data, split):
    scenes = SceneGenerator(data.atlas, spec=WORLD_256, styles=list(data.shares), seed=4, split=split)
    kinds = set()
    for seed in range(500):
        scene = scenes.sample()
        truth = scene.truth()
        assert not mistakes(truth["include"], truth["exclude"], perfect(scene), WORLD_256.cell), scene
        for kind, wrong in near_misses(scene, seed, data.atlas, data.n_objects, WORLD_256).items():
            assert mistakes(truth["include"], truth["exclude"], perfect(wrong), WORLD_256.cell), (kind, scene)
            kinds.add((scene.kind, kind))
    assert {
        ("two_counts", "one object missing"),
        ("two_counts", "one kind for another"),
        ("two_counts", "colours swapped"),
        ("many", "count off by one"),
        ("position", "relation flipped"),
        ("color_attr", "colours swapped"),
    } <= kinds


def test_a_judge_that_finds_nothing_or_a_wreck_refuses_every_near_miss(data):
    class Says:
        def __init__(self, found):
            self.found = found

        def detect(self, images):
            return [self.found] * len(images)

    blind = specificity(Says([]), data, 6)
    assert blind["all"] == 1.0 and blind["n"] > 20
    assert specificity(Says([Detection(NOTHING, None, (0, 0, 9, 9), 1, 1)]), data, 2)["all"] == 1.0


def test_the_shipped_judge_is_the_frozen_one():
    """Its weights are those of the hash that was written down when its training ended, and it was checked then."""
    folder = shipped(FOLDERS[WORLD_256.name])
    judge = open_judge(WORLD_256)
    card = judge.card
    assert card["frozen"] and sha256(folder / "verifier.safetensors") == card["sha256"]
    assert len(judge.names) == 806 and card["world"] == WORLD_256.name
    right = [card[f"check_{k}_scenes_right"] for k in ("clean_seen", "clean_held_out", "degraded_whole")]
    assert min(right) > 0.98 and card["check_degraded_broken_scenes_right"] > 0.95
    refused = card["check_near_misses_refused"]
    assert refused["n"] > 2000 and min(v for k, v in refused.items() if k != "n") > 0.99
