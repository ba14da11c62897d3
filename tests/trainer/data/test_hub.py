"""Streamed datasets: the order is exact after a restart. A stand-in answers as the `datasets` library does."""

from __future__ import annotations

import json
import random
import sys
import types

import pytest
import torch
from picture_files import COLOURS, disc, encoded

from mdm_core.families.chisel.text import TextTokenizer
from trainer.data import stream as hub
from trainer.data.own import OwnDataConfig
from trainer.data.stream import HubStream, open_dataset, unpack


class Streamed:
    """An IterableDataset as far as it is used: take, skip, shuffle in a buffer, set_epoch, features."""

    features = None

    def __init__(self, rows, seed=None, epoch=0):
        self.rows, self.seed, self.epoch = rows, seed, epoch

    def take(self, n):
        return Streamed(self.rows[:n])

    def skip(self, n):
        return Streamed(self.rows[n:])

    def shuffle(self, seed, buffer_size):
        return Streamed(self.rows, seed)

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        rows = list(self.rows)
        if self.seed is not None:
            random.Random(self.seed * 1000 + self.epoch).shuffle(rows)
        return iter(rows)


@pytest.fixture
def text():
    return TextTokenizer.train(["a red disc number 1"], 300, 12)


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(hub, "HELD_OUT", 4)
    rows = [
        {"image": {"bytes": encoded(disc(list(COLOURS)[i % 4])), "path": None}, "text": f"disc {i}"}
        for i in range(17)
    ]
    rows[7]["image"]["bytes"] = b"broken"
    rows[9]["text"] = 3
    return rows


def stream(rows, text, split="train", rank=0, world=1, **changes):
    config = OwnDataConfig(**{"path": "hf:x/y", "image_size": 16, "batch_size": 3, "crop": 0.6} | changes)
    return HubStream(config, text, split, rank, world, Streamed(rows))


def test_going_on_is_exact_also_across_an_epochs_end(rows, text):
    whole = stream(rows, text)
    batches = [next(whole) for _ in range(12)]  # 11 usable examples an epoch
    for stop in (1, 3, 4, 9):
        first = stream(rows, text)
        for _ in range(stop):
            next(first)
        again = stream(rows, text)
        again.load_state_dict(first.state_dict())
        for expected in batches[stop:]:
            batch = next(again)
            assert torch.equal(batch.text, expected.text) and torch.equal(batch.images, expected.images)


def test_unusable_examples_come_named_with_the_batch_that_met_them(rows, text):
    rows[7]["image"]["path"] = "pictures/seven.png"
    whole = stream(rows, text)
    named = [line for _ in range(11) for line in next(whole).skipped]  # three epochs
    assert named.count("pictures/seven.png: it is no picture of a known format") == 3
    others = [line for line in named if not line.startswith("pictures/")]
    assert len(others) == 3 and all(line.endswith(": it has no caption") for line in others)
    assert others[0].startswith("example ") and " of epoch 2: " in others[2]
    again = stream(rows, text)
    assert sum(bool(next(again).skipped) for _ in range(3)) < 3  # each batch tells its own only


def test_validation_examples_are_not_trained_on_and_processes_share_the_rest(rows, text):
    def captions(s, n):
        return {tuple(r.tolist()) for _ in range(n) for r in next(s).text}

    seen = captions(stream(rows, text, "seen", batch_size=4), 1)
    parts = [captions(stream(rows, text, rank=r, world=2, batch_size=1), 5) for r in (0, 1)]
    assert len(seen) == 4 and not seen & (parts[0] | parts[1]) and not parts[0] & parts[1]


def test_captions_and_card(rows, text):
    s = stream(rows, text)
    assert list(s.captions(3)) == ["disc 0", "disc 1", "disc 2"]
    assert s.card() == {"data": {"name": "x/y"}, "examples": [f"disc {i}" for i in range(8)]}
    local = stream(rows, text, path="hf:parquet:/home/someone/pictures/*.parquet").card()
    assert local["data"] == {"name": "*.parquet"}


def test_columns_are_found_by_name():
    picture = encoded(disc("red"))
    assert unpack({"jpg": {"bytes": picture}, "json": {"caption": "a"}}) == (picture, "a")
    assert unpack({"png": {"bytes": picture}, "txt": "b", "__key__": "1"})[1] == "b"
    assert unpack({"image": {"bytes": picture}, "captions": ["a", ""]})[1] == ["a"]
    for example in ({}, {"image": None, "text": "a"}, {"image": {"bytes": None, "path": None}, "text": "a"}):
        with pytest.raises(ValueError, match="no image"):
            unpack(example)


def test_a_stream_without_usable_examples_ends_with_a_sentence(rows, text):
    with pytest.raises(ValueError, match="no examples besides"):
        next(stream(rows[:4], text))
    broken = [{"image": {"bytes": b"x"}, "text": "a"}] * 20
    with pytest.raises(ValueError, match="unusable, e.g. example 0: it is no picture"):
        next(stream(broken, text))


def test_paths_and_a_missing_library(monkeypatch):
    asked = []
    library = types.ModuleType("datasets")
    library.load_dataset = lambda **where: asked.append(where) or "data"
    monkeypatch.setitem(sys.modules, "datasets", library)
    for path in ("hf:org/name", "hf:org/name#test", "hf:parquet:/d/*.parquet", "hf:imagefolder:/d"):
        assert open_dataset(path) == "data"
    assert [{k: v for k, v in a.items() if k != "streaming"} for a in asked] == [
        {"path": "org/name", "split": "train"},
        {"path": "org/name", "split": "test"},
        {"path": "parquet", "data_files": "/d/*.parquet", "split": "train"},
        {"path": "imagefolder", "data_dir": "/d", "split": "train"},
    ]
    library.load_dataset = lambda **where: 1 / 0
    with pytest.raises(ValueError, match="cannot be opened: division"):
        open_dataset("hf:a/b")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match="pip install"):
        OwnDataConfig("hf:a/b").open(None)


def used(streams, batches):
    """Captions of the next batches of every process."""
    return [tuple(r.tolist()) for s in streams for _ in range(batches) for r in next(s).text]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2), (2, 3)])
def test_another_number_of_processes_goes_on_where_the_others_stood(rows, text, before, after):
    """Within an epoch nothing comes twice and nothing is left out, also where some examples are unusable."""
    whole = stream(rows, text, batch_size=1)
    epoch = used([whole], 11)  # 11 usable examples
    first = [stream(rows, text, rank=r, world=before, batch_size=1) for r in range(before)]
    drawn = used(first, 2)
    states = json.loads(json.dumps([s.state_dict() for s in first]))
    second = [stream(rows, text, rank=r, world=after, batch_size=1) for r in range(after)]
    for s in second:
        s.join(states)
    for s in second:
        while s.epoch == 0:
            state = s.state_dict()
            found = used([s], 1)
            if s.epoch == 0:
                drawn += found
        s.load_state_dict(state)
    assert len(drawn) == len(set(drawn)) and set(drawn) == set(epoch)


def test_processes_that_stood_in_different_epochs_repeat_nothing_of_either(rows, text):
    s = stream(rows, text, batch_size=1)
    s.join([{"epoch": 0, "taken": 9}, {"epoch": 1, "taken": 4}])
    assert s.epoch == 0 and s.taken == 9
    assert all(s._was_read(n) for n in (0, 7, 8, 1, 11)) and not s._was_read(10)
    s.epoch = 1
    assert s._was_read(1) and s._was_read(3) and not s._was_read(5) and not s._was_read(0)
    again = stream(rows, text, batch_size=1)
    again.load_state_dict(json.loads(json.dumps(s.state_dict())))
    assert again._was_read(3) and not again._was_read(0)
