"""The place in the data: a run that goes on with other devices, accumulation or batches repeats and misses nothing."""

import json

import pytest
import torch
from crew import Crew
from picture_files import captioned_folder
from place_worker import work
from tiny_run import TinyData, TinySource, codec_folder

from mdm_core.families.chisel.config import ImageTokenizerConfig
from trainer.data.source import Placed, joined
from trainer.engine import checkpoint
from trainer.engine.parallel import Parallel
from trainer.scenes.source import SceneDataConfig
from trainer.tokenizer.data import TokenizerData
from trainer.tokenizer.loop import TokenizerSettings, TokenizerTrainer


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return codec_folder(tmp_path_factory.mktemp("codec"))


def go(codec, out, world=1, **options) -> list[dict]:
    """Train in `world` processes; what each of them noted."""
    if world == 1:
        torch.set_num_threads(1)
        return [work(codec, out, options)]
    return Crew(world, work, codec, out, options).results()


def samples_of(records) -> list[int]:
    return sorted(i for r in records for first, end in r["drawn"] for i in range(first, end))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"world": 2}, {"world": 1}),
        ({"world": 1}, {"world": 2}),
        ({"world": 1}, {"world": 1, "accumulate": 2}),
        ({"world": 2, "accumulate": 2}, {"world": 1, "accumulate": 3}),
        ({"world": 1}, {"world": 2, "batch_size": 2}),
        ({"world": 1, "batch_size": 2}, {"world": 1, "batch_size": 4}),
    ],
    ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items()),
)
def test_every_sample_is_drawn_once_and_no_seed_comes_again(codec, tmp_path, before, after):
    first = go(codec, tmp_path, steps=4, **before)
    second = go(codec, tmp_path, steps=8, **after)
    assert not first[0]["resumed"] and all(r["resumed"] and r["step"] == 8 for r in second)
    drawn = samples_of(first) + samples_of(second)
    assert drawn == list(range(len(drawn))) and len(drawn) == second[0]["samples"]
    seeds = sorted(i for r in first + second for i in r["seeds"])
    assert seeds == list(range(len(seeds)))


def test_a_run_that_is_cut_twice_with_other_devices_each_time(codec, tmp_path):
    records = [go(codec, tmp_path, world=w, steps=s) for w, s in ((1, 4), (2, 8), (1, 12))]
    drawn = [i for r in records for i in samples_of(r)]
    assert drawn == list(range(3 * (4 + 8 + 4)))


@pytest.mark.parametrize("changed", [{}, {"world": 2}, {"accumulate": 2}, {"batch_size": 6}])
def test_checkpoints_that_do_not_tell_their_place_go_on_from_their_samples(codec, tmp_path, changed):
    first = go(codec, tmp_path, steps=4)
    path = checkpoint.newest(tmp_path / "checkpoints")
    state = json.loads((path / "state.json").read_text())
    assert (state.pop("micro_batches"), state.pop("position")) == (4, 12)
    (path / "state.json").write_text(json.dumps(state))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["state.json"] = {
        "sha256": checkpoint._digest(path / "state.json"),
        "bytes": (path / "state.json").stat().st_size,
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    second = go(codec, tmp_path, steps=8, **changed)
    assert second[0]["resumed"]
    drawn = samples_of(first) + samples_of(second)
    assert drawn == list(range(len(drawn)))
    seeds = [i for r in first + second for i in r["seeds"]]
    assert len(set(seeds)) == len(seeds)


def test_batches_that_begin_inside_others_hold_the_same_samples():
    class Words:
        def encode(self, captions):
            return torch.tensor([[int(c.split()[0])] for c in captions])

    def rows(batches):
        return [int(i) for b in batches for i in b.text.flatten()]

    whole = rows(TinySource(TinyData(batch_size=1), Words()).batch(i) for i in range(40))
    source = TinySource(TinyData(batch_size=5), Words())
    placed = Placed(source, number=7, first=7 * 3, size=5)  # seven batches of three
    assert rows(placed.batch(i) for i in range(7, 10)) == whole[21:36]
    batch = SceneDataConfig(n_objects=4, batch_size=4).open(None).batch(0)
    assert batch.text.shape == (4, 0) and len(batch.scenes) == 4  # pictures alone were asked for
    with pytest.raises(ValueError, match="numbered"):
        joined(batch, batch, 1)


def test_scenes_go_on_by_the_number_of_their_batch():
    """Batch i of another size would begin with the same scenes again."""
    small, large = (SceneDataConfig(n_objects=8, batch_size=n).open(None) for n in (4, 8))
    placed = Placed(large, number=10, first=40, size=8)
    assert placed.batch(10).scenes.captions == large.batch(10).scenes.captions
    before = {tuple(small.batch(i).scenes.captions) for i in range(10)}
    assert not before & {tuple(placed.batch(i).scenes.captions[:4]) for i in range(10, 14)}


def test_a_signal_that_reaches_the_second_process_only_saves_and_ends_the_run(codec, tmp_path):
    records = go(codec, tmp_path, world=2, steps=10**6, save_every=10**6, signal=[1, 3])
    assert [r["step"] for r in records] == [3, 3]
    assert checkpoint.newest(tmp_path / "checkpoints").name == "step-000000003"


def test_what_any_process_could_not_read_is_listed_once(codec, tmp_path):
    records = go(codec, tmp_path, world=2, steps=4, log_every=3, unread=True)
    met = sorted(f"{pair}.png: broken" for r in records for pair in r["drawn"])
    assert len(met) == 8 and sorted((tmp_path / "skipped.txt").read_text("utf-8").splitlines()) == met
    go(codec, tmp_path, world=2, steps=6, log_every=3, unread=True)
    lines = (tmp_path / "skipped.txt").read_text("utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 12


def test_a_tokenizer_run_goes_on_with_another_size_and_share_of_its_batches(tmp_path):
    """Its pictures come in their order, whatever the batches were before; scenes by the number of their batch."""
    captioned_folder(tmp_path / "pictures", 40)
    config = ImageTokenizerConfig(
        image_size=128,
        patch=32,
        levels=(2, 2),
        encoder_width=8,
        decoder_width=8,
        decoder_depth=1,
        decoder_pixels=2,
    )
    met = {"pictures": [], "scenes": []}

    def go_on(batch, share, steps):
        data = TokenizerData(tmp_path / "pictures", share, batch, 128, objects=4)
        settings = TokenizerSettings(steps=steps, log_every=100, save_every=100, measure_on=1)
        run = TokenizerTrainer(config, data, settings, tmp_path / "run", Parallel(torch.device("cpu")))
        run.resume()
        sample, scene = data.source.pictures.sample, data.source.scenes.batch if data.source.scenes else None
        data.source.pictures.sample = lambda i: (met["pictures"].append(i), sample(i))[1]
        if scene:
            data.source.scenes.batch = lambda i: (met["scenes"].append(i), scene(i))[1]
        run.export = lambda: None
        run.run()
        return run

    assert go_on(4, 0.5, 3).position == 6
    assert go_on(6, 0.5, 5).position == 12
    assert go_on(3, 1.0, 7).position == 18
    state = checkpoint.Reader(checkpoint.newest(tmp_path / "run" / "checkpoints")).state
    assert state["position"] == 18 and state["samples"] == 30
    assert met == {"pictures": list(range(18)), "scenes": [0, 1, 2, 3, 4]}
