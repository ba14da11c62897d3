"""Batches of one's own pictures: exact by index, the same for any number of workers, broken files replaced."""

import json

import numpy as np
import pytest
import torch
from picture_files import captioned_folder, disc, encoded, tar_shard

from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.pipeline import SHIPPED
from trainer.data.own import OwnDataConfig, PictureSource
from trainer.data.records import Order, encode_captions, open_records, split_rows
from trainer.data.source import batches


@pytest.fixture(scope="module")
def text():
    return TextTokenizer.train(["a red disc number 1", "a blue disc"], 300, 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    captioned_folder(root, 24)
    return root


def config(path, **changes):
    return OwnDataConfig(**{"path": str(path), "image_size": 16, "batch_size": 5, "held_out": 0.1} | changes)


def same(a, b):
    return torch.equal(a.text, b.text) and torch.equal(a.images, b.images)


def test_order_is_a_new_permutation_each_epoch_and_depends_on_the_seed():
    order = Order(10, seed=3)
    epochs = [[order[e * 10 + i] for i in range(10)] for e in range(3)]
    assert all(sorted(e) == list(range(10)) for e in epochs) and epochs[0] != epochs[1] != epochs[2]
    again = Order(10, seed=3)
    # any order of asking
    assert [again[i] for i in (25, 3, 17)] == [
        epochs[2][5],
        epochs[0][3],
        epochs[1][7],
    ]
    assert [Order(10, seed=4)[i] for i in range(10)] != epochs[0]


def test_batches_are_pure_in_their_index_across_an_epochs_end(folder, text):
    make = lambda: config(folder, crop=0.6, flip=True).open(text)  # noqa: E731
    source = make()
    first = [source.batch(i) for i in range(10)]  # 22 pictures an epoch: more than two epochs
    fresh = make()
    assert all(same(fresh.batch(i), first[i]) for i in (9, 4, 0, 5))
    assert not same(first[0], first[1])
    names = [source.records.names[source.row(p)] for p in range(22)]
    assert sorted(names) == sorted(source.records.names[r] for r in source.rows)  # each once an epoch


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(folder, text, workers):
    source = config(folder, crop=0.6, flip=True).open(text)
    loader = batches(source, first=3, stride=2, workers=workers)
    for index in (3, 5, 7, 9):
        assert same(next(loader), source.batch(index))


def test_held_out_pictures_are_never_trained_on(folder, text):
    train, seen = config(folder).open(text), config(folder).open(text, "seen")
    assert len(train.rows) == 22 and len(seen.rows) == 2
    assert not set(train.rows) & set(seen.rows)
    # 2 pictures, 5 a batch: round and round, never shuffled or cropped
    assert same(seen.batch(0), seen.batch(2))
    names = [f"{i}.png" for i in range(100)]
    held = {names[i] for i in split_rows(names, 0.1, "seen")}
    more = [*names, "new.png"]
    # new pictures hardly move the split
    assert len(held & {more[i] for i in split_rows(more, 0.1, "seen")}) >= 9
    assert len(split_rows(names[:9], 0.1, "train")) == len(split_rows(names[:9], 0.1, "seen")) == 9


def test_broken_pictures_are_replaced_and_named(tmp_path, text):
    captioned_folder(tmp_path, 24)
    for i in (3, 7):
        (tmp_path / f"{i:05d}.png").write_bytes(b"broken")
    disc("red").save(tmp_path / "extra.png")
    source = config(tmp_path, held_out=0).open(text)
    told, epoch = set(), [source.batch(i) for i in range(5)]
    for batch in epoch:
        assert len(batch) == len(batch.images) == 5
        told |= set(batch.skipped)
    lost = "extra.png: no usable caption in the metadata"
    assert told == {lost, *(f"0000{i}.png: it is no picture of a known format" for i in (3, 7))}
    assert [lost in b.skipped for b in epoch] == [True, False, False, False, False]
    fresh = config(tmp_path, held_out=0).open(text)  # has met no broken file yet
    assert same(fresh.batch(4), epoch[4]) and fresh.batch(4).skipped == epoch[4].skipped


def test_nothing_readable_is_an_error_that_names_a_file(tmp_path, text):
    captioned_folder(tmp_path, 3)
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"cannot be read; the first one is 0000\d.png"):
        config(tmp_path).open(text).batch(0)


def test_pictures_of_a_size_that_the_image_tokenizer_does_not_take(folder):
    with pytest.raises(ValueError, match="takes pictures of 128 pixels a side: set data.image_size=128, or"):
        OwnDataConfig(str(folder), image_size=64).open(None).check_codec(SHIPPED)
    OwnDataConfig(str(folder)).open(None).check_codec(SHIPPED)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_worker_finds_wrong_arrives_as_its_sentence(tmp_path, text, workers):
    (tmp_path / "a.png").write_bytes(b"nothing")
    (tmp_path / "a.txt").write_text("a cup")
    source = OwnDataConfig(str(tmp_path), batch_size=2).open(text)
    with pytest.raises(
        ValueError, match="^64 pictures in a row cannot be read; the first one is a.png: [^\n]*$"
    ):
        next(batches(source, 0, 1, workers))


def test_one_of_several_captions_is_drawn(tmp_path, text):
    disc("red").save(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(
        json.dumps({"file_name": "a.png", "text": ["a red disc", "blue"]})
    )
    source = config(tmp_path, batch_size=16).open(text)
    rows = {tuple(r) for r in source.batch(0).text.tolist()}
    assert rows == {tuple(r) for r in encode_captions(text, ["a red disc", "blue"]).tolist()}
    assert sorted(source.captions(9)) == ["a red disc", "blue"] and list(source.captions(1)) != []


def test_captions_that_do_not_fit_are_cut(text):
    ids = encode_captions(text, ["x" * 500, "", "\ud7ff <pad>"])
    assert ids.shape == (3, 12) and (ids[0] > 0).all() and (ids[1] == 0).all()


def test_tar_shards_and_folders_give_the_same_pictures(tmp_path, text):
    captions = captioned_folder(tmp_path / "folder", 12)
    files = {}
    for i, caption in enumerate(captions):
        files[f"{i:05d}.png"] = (tmp_path / "folder" / f"{i:05d}.png").read_bytes()
        files[f"{i:05d}.txt"] = caption.encode()
    (tmp_path / "shards").mkdir()
    tar_shard(tmp_path / "shards" / "a.tar", files)
    a, b = (config(tmp_path / n, held_out=0).open(text) for n in ("folder", "shards"))
    assert same(a.batch(1), b.batch(1))
    assert isinstance(b, PictureSource) and b.card()["data"] == {"name": "shards", "pictures": 12}


def test_card_tells_prompts_to_begin_with(folder, text):
    card = config(folder).open(text).card()
    assert card["data"]["pictures"] == 22 and len(card["examples"]) == 8
    assert all(" disc number " in e for e in card["examples"])


@pytest.mark.parametrize("path", ["", "nowhere", "no/such-{000..003}.tar", "hf:org/name"])
def test_missing_data_is_told_in_one_sentence(path):
    with pytest.raises(ValueError) as error:
        open_records(path)
    assert "\n" not in str(error.value)


def test_wide_pictures_are_scaled_to_the_asked_size(tmp_path, text):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "wide.jpg").write_bytes(
        encoded(disc("blue", 200).resize((900, 200)), "JPEG", quality=95)
    )
    batch = config(tmp_path, batch_size=2).open(text).batch(0)
    assert batch.images.shape == (2, 16, 16, 3) and batch.images.dtype == torch.uint8
    assert np.abs(batch.images[0, 8, 8].numpy().astype(int) - (40, 60, 200)).max() < 30
