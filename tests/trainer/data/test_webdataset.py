"""Tar shards: indexed once, read anywhere, with what is wrong in them named."""

import json
import pickle

import pytest
from picture_files import disc, encoded, tar_shard

from trainer.data.webdataset import TarRecords, expand

PICTURE = encoded(disc("red"))


def test_samples_of_several_shards_by_number(tmp_path):
    for s in range(3):
        files = {}
        for i in range(4):
            files[f"{s}{i}.png"] = encoded(disc("red", 32 + 4 * s + i))
            files[f"{s}{i}.txt"] = f"sample {s} {i}".encode()
        tar_shard(tmp_path / f"part-00{s}.tar", files)
    for pattern in (tmp_path, tmp_path / "part-{000..002}.tar", tmp_path / "part-*.tar"):
        records = TarRecords(pattern)
        assert len(records) == len(records.names) == 12 and records.skipped == {}
        assert records.names[5] == "part-001.tar:11.png" and records.caption(5) == "sample 1 1"
        assert records.read(11) == encoded(disc("red", 43))
    copy = pickle.loads(pickle.dumps(records))  # as a worker process gets it
    assert copy.read(3) == records.read(3)


def test_json_captions_sub_folders_and_many_suffixes(tmp_path):
    tar_shard(
        tmp_path / "a.tar",
        {
            "x/1.jpg": PICTURE,
            "x/1.json": json.dumps({"caption": ["one", "uno"]}).encode(),
            "y/1.seg.png": PICTURE,
            "y/1.PNG": PICTURE,
            "y/1.txt": b"two\n",
        },
    )
    records = TarRecords(tmp_path / "a.tar")
    assert [records.caption(i) for i in range(2)] == [["one", "uno"], "two"]


def test_what_is_wrong_is_named_and_the_rest_used(tmp_path):
    tar_shard(
        tmp_path / "a.tar",
        {
            "1.png": PICTURE,
            "1.txt": b"one",
            "2.png": PICTURE,
            "3.txt": b"three",
            "4.png": PICTURE,
            "4.json": b"[1]",
            "5.png": PICTURE,
            "5.json": b"{",
            "6.png": PICTURE,
            "6.txt": b"  ",
        },
    )
    (tmp_path / "b.tar").write_bytes(b"no tar at all")
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "c.tar").write_bytes(whole[:2600])  # cut short inside a header
    records = TarRecords(tmp_path)
    assert (
        records.skipped["a.tar:2"] == "it has no text" and records.skipped["a.tar:3"] == "it has no picture"
    )
    assert "read up to sample 0 only" in records.skipped["b.tar"]
    for i, why in ((1, "no caption"), (2, "no JSON"), (3, "no caption")):
        with pytest.raises(ValueError, match=why):
            records.caption(i)
    assert records.caption(0) == "one"


def test_patterns_that_match_nothing_or_too_much(tmp_path):
    with pytest.raises(ValueError, match="no tar shards match"):
        TarRecords(tmp_path)
    with pytest.raises(ValueError, match="million"):
        expand("x-{0..99999999}.tar")
    tar_shard(tmp_path / "e.tar", {"readme.md": b"x"})
    with pytest.raises(ValueError, match="no sample with a picture and a text"):
        TarRecords(tmp_path)
