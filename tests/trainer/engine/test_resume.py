"""Exact resume: N+M steps in one run equal N steps, save, load, M steps, to the last bit."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from tiny_run import TinyData, assert_same, codec_folder, tiny_run, whole_state


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return codec_folder(tmp_path_factory.mktemp("codec"))


def short_of(trainer, steps):
    """Let a run end early without changing its schedule."""
    trainer.progress = lambda: 1.0 if trainer.step >= steps else trainer.step / trainer.recipe.steps
    return trainer


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("changes", [{}, {"accumulate": 2, "schedule": "cosine", "matrix_lr": 0.0}])
def test_a_resumed_run_equals_an_unbroken_one(codec, tmp_path, workers, changes):
    data = TinyData(workers=workers)
    straight = tiny_run(codec, tmp_path / "straight", data=TinyData(), **changes)  # always without workers
    straight.run()
    assert straight.step * 3 * straight.recipe.accumulate > 3 * 10  # three epochs end within the run

    first = short_of(tiny_run(codec, tmp_path / "cut", data=data, **changes), 7)
    first.run()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)  # whatever happens between two processes
    second = tiny_run(codec, tmp_path / "cut", data=data, **changes)
    assert second.resume() and second.step == 7
    assert_same(whole_state(first), whole_state(second))
    second.run()
    assert_same(whole_state(straight), whole_state(second))


def test_a_checkpoint_is_also_written_by_the_clock(codec, tmp_path):
    """What a power cut costs is minutes, however long the steps are."""
    often = {"steps": 5, "save_every": 1000, "keep_last": 9}
    run = tiny_run(codec, tmp_path / "clock", **often, save_minutes=1e-9)
    run.run()
    assert [f.name[-1] for f in sorted((tmp_path / "clock" / "checkpoints").glob("step-*"))] == list("12345")
    other = tiny_run(codec, tmp_path / "steps", **often, save_minutes=0)
    other.run()
    assert [f.name[-1] for f in (tmp_path / "steps" / "checkpoints").glob("step-*")] == ["5"]
    assert_same(whole_state(run), whole_state(other))


def test_random_states_come_back(codec, tmp_path):
    run = short_of(tiny_run(codec, tmp_path), 2)
    run.run()
    drawn = random.random(), float(np.random.rand()), float(torch.rand(()))
    again = tiny_run(codec, tmp_path)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert again.resume()
    assert (random.random(), float(np.random.rand()), float(torch.rand(()))) == drawn


def test_batches_drawn_ahead_change_nothing(codec, tmp_path):
    runs = [tiny_run(codec, tmp_path / name) for name in ("on demand", "ahead")]
    runs[1].draws_ahead = True  # as on a GPU
    for run in runs:
        run.run()
    assert_same(whole_state(runs[0]), whole_state(runs[1]))


def test_a_stream_goes_on_where_it_was(codec, tmp_path):
    """A source that can only be read in order keeps its own position in the checkpoint."""
    straight = tiny_run(codec, tmp_path / "straight", data=StreamData())
    straight.run()
    short_of(tiny_run(codec, tmp_path / "cut", data=StreamData()), 5).run()
    second = tiny_run(codec, tmp_path / "cut", data=StreamData())
    assert second.resume()
    second.run()
    assert_same(whole_state(straight), whole_state(second))
    plain = tiny_run(codec, tmp_path / "plain")
    plain.run()
    assert torch.equal(plain.model.head.weight, straight.model.head.weight)  # the same batches, by index


@dataclasses.dataclass(frozen=True)
class StreamData(TinyData):
    def open(self, text, split="train", rank=0, world=1):
        return TinyStream(super().open(text))


class TinyStream:
    def __init__(self, source):
        self.source, self.index = source, 0
        self.captions, self.card = source.captions, source.card

    def __next__(self):
        self.index += 1
        return self.source.batch(self.index - 1)

    def state_dict(self):
        return {"index": self.index}

    def load_state_dict(self, state):
        self.index = state["index"]


def test_micro_batches_follow_one_another_whatever_the_accumulation(codec, tmp_path):
    seen = []
    for accumulate in (1, 2):
        run = tiny_run(codec, tmp_path / str(accumulate), accumulate=accumulate, steps=6 // accumulate)
        drawn, draw = [], run.draw
        run.draw = lambda draw=draw, drawn=drawn: drawn.append(draw()) or drawn[-1]
        run.run()
        seen.append(torch.cat([x0 for x0, _, _ in drawn]))
    assert torch.equal(*seen)


def test_another_model_in_the_run_folder_is_refused(codec, tmp_path):
    short_of(tiny_run(codec, tmp_path), 2).run()
    wide = tiny_run(
        codec, tmp_path, model=dataclasses.replace(tiny_run(codec, tmp_path).recipe.model, ffn=64)
    )
    with pytest.raises(ValueError, match="use another --out folder"):
        wide.resume()
