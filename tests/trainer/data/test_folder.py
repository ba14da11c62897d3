"""Folders of captioned pictures: every layout, and everything that people put into them by mistake or malice."""

import json
import os
import time

import pytest
from picture_files import captioned_folder, disc

from trainer.data.folder import LONGEST_CAPTION, FolderRecords, clean
from trainer.data.own import OwnDataConfig


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        disc("red").save(root / name)


def table(root, *rows, name="metadata.jsonl"):
    (root / name).write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows), "utf-8")


def test_jsonl_csv_and_sub_folders(tmp_path):
    put(tmp_path, "a.png", "x/b.JPG", "y/c.webp")
    table(
        tmp_path,
        {"file_name": "a.png", "text": "one"},
        {"file_name": "./x/b.JPG", "caption": ["two", "zwei"]},
    )
    (tmp_path / "y" / "metadata.csv").write_text('\ufefffile_name,text\nc.webp,"three, quoted"\n', "utf-8")
    records = FolderRecords(tmp_path)
    assert records.names == ["a.png", "x/b.JPG", "y/c.webp"] and records.skipped == {}
    assert [records.caption(i) for i in range(3)] == ["one", ["two", "zwei"], "three, quoted"]
    assert records.read(2) == tmp_path / "y" / "c.webp"


def test_text_files_beside_and_names_of_sub_folders(tmp_path):
    put(tmp_path, "a.png", "red_cups/b.png", "lost.png")
    (tmp_path / "a.txt").write_text(" a cup \n on a table")
    records = FolderRecords(tmp_path)
    assert dict(zip(records.names, records.captions, strict=True)) == {
        "a.png": "a cup on a table",
        "red_cups/b.png": "red cups",
    }
    assert "no caption" in records.skipped["lost.png"]


def test_wrong_rows_are_named_with_their_line_and_the_rest_is_used(tmp_path):
    put(tmp_path, "ok.png", "twice.png", "numbers.png", "unlisted.png")
    (tmp_path.parent / "secret.png").write_bytes(b"")
    table(
        tmp_path,
        {"file_name": "ok.png", "text": "fine"},
        {"file_name": "twice.png", "text": "first"},
        {"file_name": "twice.png", "text": "second"},
        {"file_name": "numbers.png", "text": 7},
        {"file_name": "../secret.png", "text": "x"},
        {"file_name": "/etc/passwd", "text": "x"},
        {"file_name": "..\\secret.png", "text": "x"},
        {"file_name": "C:\\secret.png", "text": "x"},
        {"file_name": "gone.png", "text": "x"},
        {"file_name": "ok.png"},
        {"file_name": "ok.png", "text": "  "},
        {"file_name": ["ok.png"], "text": "x"},
        {"text": "x"},
        "not json",
        "[1, 2]",
        "[" * 50_000,
    )
    records = FolderRecords(tmp_path)
    assert records.names == ["ok.png", "twice.png"] and records.captions == ["fine", "first"]
    told = {k.partition(", ")[2] or k: v for k, v in records.skipped.items()}
    assert "listed twice" in told["line 3 (twice.png)"]
    assert told["line 4 (numbers.png)"] == "its text is int, not a string"
    for line, name in (
        (5, "../secret.png"),
        (6, "/etc/passwd"),
        (7, "..\\secret.png"),
        (8, "C:\\secret.png"),
    ):
        assert told[f"line {line} ({name})"] == "it points outside the folder"
    assert told["line 9 (gone.png)"] == "no such picture in the folder"
    assert told["line 10 (ok.png)"] == "it has no text" and told["line 11 (ok.png)"] == "its text is empty"
    assert told["line 12"] == told["line 13"] == "it has no file_name"
    assert told["line 14"] == told["line 16"] == "it is no JSON" and "no object" in told["line 15"]
    assert records.skipped["unlisted.png"] == "no usable caption in the metadata"


def test_captions_become_one_clean_line():
    assert clean("a\0b\n c\t d") == "a b c d"
    assert clean("lone \ud800 surrogate") == "lone ? surrogate"
    assert len(clean("x" * 10_000)) == LONGEST_CAPTION
    assert clean(["a", " ", "b"]) == ["a", "b"] and clean([" "]) == ""
    assert clean(None) is None and clean(["a", 1]) is None and clean({"a": 1}) is None


@pytest.mark.parametrize("content", [None, "empty", "captions without pictures", "nothing usable"])
def test_a_folder_without_captioned_pictures_is_refused_in_one_sentence(tmp_path, content):
    root = tmp_path / "pictures"
    if content:
        root.mkdir()
    if content == "captions without pictures":
        table(root, {"file_name": "a.png", "text": "x"})
    if content == "nothing usable":
        put(root, "a.png")
        (root / "metadata.csv").write_text("name;words\na.png;x\n")
    with pytest.raises(ValueError, match="folder|captioned picture") as error:
        FolderRecords(root)
    assert "\n" not in str(error.value)


def test_names_that_are_no_text_or_hold_control_characters_are_harmless(tmp_path):
    disc("red").save(tmp_path / "ok.png")
    odd = os.fsencode(tmp_path) + b"/b\xff\x1b[31m.png"
    with open(odd, "wb") as file:
        file.write(b"broken")
    table(tmp_path, {"file_name": "ok.png", "text": "fine"}, {"file_name": "\ud800\n.png", "text": "x"})
    records = FolderRecords(tmp_path)
    assert set(records.skipped) == {"b??[31m.png", "metadata.jsonl, line 2 (??.png)"}
    (tmp_path / "metadata.jsonl").unlink()
    with open(odd[:-3] + b"txt", "w") as file:
        file.write("a caption")
    (tmp_path / "ok.txt").write_text("fine")
    batch = OwnDataConfig(str(tmp_path), batch_size=4).open(None).batch(0)
    assert batch.skipped == ("b??[31m.png: it is no picture of a known format",) * len(batch.skipped) != ()


def test_links_are_not_walked_in_circles_and_hidden_files_are_left_out(tmp_path):
    put(tmp_path, "cups/a.png", ".hidden/b.png", "cups/._a.png")
    (tmp_path / "cups" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert FolderRecords(tmp_path).names == ["cups/a.png"]


def test_ten_thousand_pictures_give_their_first_batch_in_seconds(tmp_path):
    captioned_folder(tmp_path, 4)
    picture = (tmp_path / "00000.png").read_bytes()
    for i in range(10_000):
        (tmp_path / f"{i:05d}.png").write_bytes(picture)
    table(tmp_path, *({"file_name": f"{i:05d}.png", "text": f"picture {i}"} for i in range(10_000)))
    began = time.process_time()
    source = OwnDataConfig(str(tmp_path), batch_size=16).open(None)
    assert len(source.records) == 10_000 and source.batch(0).images.shape == (16, 128, 128, 3)
    assert time.process_time() - began < 5  # seconds of the processor, less than one on an idle machine
