"""Captions in the encodings that people's editors write, wherever captions are read; what cannot be told is said."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import disc, encoded, tar_shard

from trainer.data.folder import FolderRecords
from trainer.data.metadata import rows
from trainer.data.stream import unpack
from trainer.data.texts import LONGEST_CAPTION, clean, lost, text_of, usable
from trainer.data.token_shards import FORMAT, MANIFEST, TokenShards, encode_shard, shard_names
from trainer.data.webdataset import TarRecords

PICTURE = encoded(disc("red"))
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
FRENCH = "the artist’s cup, café “Noël” at 20 €"
TEXTS = {
    "a red cup": ("utf-8", "utf-8-sig", "cp1252", *WIDE),
    FRENCH: ("utf-8", "utf-8-sig", "cp1252", *WIDE),
    "CAFÉ’S “ÉTÉ” — GRÜßE": ("utf-8", "cp1252", *WIDE),
    "été": ("utf-8", "latin-1"),
    "красная чашка на столе": ("utf-8", "utf-8-sig", *WIDE),
    "чашка": ("utf-8", "utf-16-le", "utf-16-be"),
    "κόκκινη κούπα": ("utf-8", *WIDE),
    "红色的杯子 on a table": ("utf-8", *WIDE),
    "红色的杯子\n": ("utf-8", "utf-16-le", "utf-16-be"),
    "a cup 🍓 and a boat ⛵": ("utf-8", "utf-8-sig", *WIDE),
}
CASES = [(text, encoding) for text, encodings in TEXTS.items() for encoding in encodings]
# what these bytes mean cannot be told; it must not become another alphabet's letters
UNTOLD = [
    ("красная чашка", "cp1251"),
    ("красная чашка", "koi8-r"),
    ("红色的杯子", "gbk"),
    ("赤いカップ", "shift_jis"),
    ("赤いカップ", "euc_jp"),
    ("Zażółć gęślą jaźń", "cp1250"),
    ("빨간 컵", "euc_kr"),
]


@pytest.mark.parametrize(("text", "encoding"), CASES)
def test_a_text_is_what_its_writer_saw(text, encoding):
    assert text_of(text.encode(encoding)) == text and lost(text_of(text.encode(encoding))) == ""


@pytest.mark.parametrize(("text", "encoding"), UNTOLD)
def test_what_cannot_be_told_is_refused_and_not_guessed(text, encoding):
    with pytest.raises(ValueError, match="no encoding that is read .* save it anew as UTF-8"):
        usable(text_of(text.encode(encoding)))


@pytest.mark.parametrize(
    "raw", ["a cup ☃ ".encode() + b"\xff", b"\xff\xfea", b"\xef\xbb\xbfcaf\xe9", b"caf\x81 \x90"]
)
def test_broken_texts_are_refused(raw):
    with pytest.raises(ValueError, match="save it anew"):
        usable(text_of(raw))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_text_or_said_to_be_none(raw):
    text = text_of(raw)
    assert isinstance(text, str) and isinstance(text_of(raw, cut=True), str)
    try:
        assert "\ufffd" not in usable(text)
    except ValueError as error:
        assert str(error)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"], exclude_characters="\ufeff\ufffd")))
def test_every_text_of_utf8_is_read_back(text):
    assert text_of(text.encode("utf-8")) == text_of(text.encode("utf-8-sig")) == text
    assert text_of(text.encode("utf-16")) == text_of(text.encode("utf-32")) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_every_place_that_reads_captions_reads_it(tmp_path, encoding):
    for name in ("beside", "jsonl", "csv", "excel", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(PICTURE)
    row = json.dumps({"file_name": "a.png", "text": FRENCH}, ensure_ascii=False)
    quoted = FRENCH.replace('"', '""')
    files = {
        "beside/a.txt": FRENCH,
        "jsonl/metadata.jsonl": row + "\n",
        "csv/metadata.csv": f'file_name,text\na.png,"{quoted}"\n',
        "excel/metadata.csv": f"sep=;\r\nFile_Name;Text\r\na.png;{FRENCH}\r\n",
        "json/metadata.json": f"[{row}]",
    }
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode(encoding))
        records = FolderRecords(tmp_path / name.partition("/")[0])
        assert records.captions == [FRENCH] and records.skipped == {}, name
    inside = json.dumps({"text": FRENCH}, ensure_ascii=False).encode(encoding)
    files = {"a.png": PICTURE, "a.txt": FRENCH.encode(encoding), "b.png": PICTURE, "b.json": inside}
    tar_shard(tmp_path / "t.tar", files)
    assert [TarRecords(tmp_path / "t.tar").caption(i) for i in range(2)] == [FRENCH, FRENCH]
    assert unpack({"png": {"bytes": PICTURE}, "txt": FRENCH.encode(encoding)})[1] == FRENCH


def test_what_cannot_be_read_is_skipped_with_its_reason_everywhere(tmp_path):
    bad = "красная чашка".encode("cp1251")
    for name in ("beside", "table"):
        (tmp_path / name).mkdir()
        for picture in ("a.png", "b.png", "c.png", "d.png"):
            (tmp_path / name / picture).write_bytes(PICTURE)
    for name, raw in (("a", bad), ("b", b"fine"), ("c", "lost \ufffd".encode()), ("d", b"")):
        (tmp_path / "beside" / f"{name}.txt").write_bytes(raw)
    records = FolderRecords(tmp_path / "beside")
    assert records.names == ["b.png"] and records.captions == ["fine"]
    assert all("save it anew as UTF-8" in records.skipped[n] for n in ("a.png", "c.png"))
    assert records.skipped["d.png"] == "no caption: its text is empty"
    lines = [
        b'{"file_name": "a.png", "text": "' + bad + b'"}',
        b'{"file_name": "b.png", "text": "fine"}',
        b'{"file_name": "c.png", "text": "half \\ud83d of it"}',
        b'{"file_name": "d' + bad + b'.png", "text": "x"}',
    ]
    (tmp_path / "table" / "metadata.jsonl").write_bytes(b"\n".join(lines))
    records = FolderRecords(tmp_path / "table")
    assert records.captions == ["fine"]
    told = {k.partition(" (")[0]: v for k, v in records.skipped.items()}
    assert "save it anew" in told["metadata.jsonl, line 1"]
    assert "lone surrogate" in told["metadata.jsonl, line 3"]
    assert told["metadata.jsonl, line 4"].startswith("its file_name is in no encoding")
    tar_shard(tmp_path / "t.tar", {"a.png": PICTURE, "a.txt": bad})
    with pytest.raises(ValueError, match="it has no caption: its text is in no encoding"):
        TarRecords(tmp_path / "t.tar").caption(0)
    with pytest.raises(ValueError, match="no encoding"):
        unpack({"png": {"bytes": PICTURE}, "txt": "lost \ufffd"})


def test_one_slip_in_a_long_table_does_not_cost_the_others(tmp_path):
    (tmp_path / "a.png").write_bytes(PICTURE)
    lines = [
        json.dumps({"file_name": f"{i}.png", "text": f"café {i}"}, ensure_ascii=False) for i in range(50)
    ]
    slips = [*lines, '{"file_name": "a.png", "text": "hola¿qué"}']
    (tmp_path / "metadata.jsonl").write_bytes("\n".join(slips).encode("cp1252"))
    assert FolderRecords(tmp_path).captions == ["hola¿qué"]
    mixed = "\n".join([*lines, '{"file_name": "a.png", "text": "fine"}']).encode("utf-8")
    (tmp_path / "metadata.jsonl").write_bytes(b'{"file_name": "b.png", "text": "caf\xe9"}\n' + mixed)
    records = FolderRecords(tmp_path)  # a line that another editor wrote
    assert records.captions == ["fine"]
    assert "save it anew" in records.skipped["metadata.jsonl, line 1 (b.png)"]


def test_a_long_text_is_cut_between_its_letters(tmp_path):
    (tmp_path / "a.png").write_bytes(PICTURE)
    for encoding in ("utf-8", "utf-16", "utf-32"):
        (tmp_path / "a.txt").write_bytes(("xé" * 20_000).encode(encoding))
        (caption,) = FolderRecords(tmp_path).captions
        assert caption == ("xé" * 20_000)[: len(caption)] and len(caption) >= LONGEST_CAPTION // 2
    (tmp_path / "a.txt").write_bytes(("x" + "é" * 20_000).encode("utf-8"))
    assert FolderRecords(tmp_path).captions == ["x" + "é" * (LONGEST_CAPTION - 1)]


def test_tables_of_all_kinds(tmp_path):
    def read(name, text):
        (tmp_path / name).write_text(text, "utf-8")
        return list(rows(tmp_path / name, name))

    assert [r["text"] for _, r in read("m.json", '{"a.png": "one", "b.png": {"text": "two"}}')] == [
        "one",
        "two",
    ]
    assert read("m.json", "7")[0] == ("m.json", "it is no list of objects with file_name and text")
    assert read("m.json", "{")[0] == ("m.json", "it is no JSON")
    for cut in (",", ";", "\t"):
        found = read("m.csv", f"file_name{cut}text\na.png{cut}one\nb.png{cut}two\n")
        assert [(w, r["text"]) for w, r in found] == [("m.csv, line 2", "one"), ("m.csv, line 3", "two")]
    assert read("m.csv", "file_name,text\ra.png,one\r")[0][1]["text"] == "one"  # an old Macintosh


def test_tokens_made_before_open_and_leave_out_what_was_lost(tmp_path):
    captions = ["fine", "caf\ufffd", "also fine", FRENCH]
    tokens, lines = shard_names(0)
    ids = np.arange(4 * 16, dtype=np.uint16).reshape(4, 1, 16)
    (tmp_path / tokens).write_bytes(encode_shard(ids))
    rows_ = [json.dumps({"name": f"{i}.png", "text": c}, ensure_ascii=False) for i, c in enumerate(captions)]
    (tmp_path / lines).write_bytes("\r\n".join(rows_).encode("utf-8-sig"))  # edited by hand, in Notepad
    manifest = {
        **FORMAT,
        "complete": True,
        "skipped": {},
        "views": 1,
        "length": 16,
        "vocab_size": 9,
        "codec": "x",
        "shards": 1,
    }
    (tmp_path / MANIFEST).write_bytes(json.dumps(manifest).encode("utf-8-sig"))
    shards = TokenShards(tmp_path)
    assert shards.names == ["0.png", "2.png", "3.png"] and shards.caption(2) == FRENCH
    assert [int(shards.tokens(i)[0]) for i in range(3)] == [0, 32, 48]
    assert list(shards.skipped) == ["1.png"] and "save it anew" in shards.skipped["1.png"]
    (tmp_path / lines).write_text("\n".join([*rows_[:3], "no json"]), "utf-8")
    with pytest.raises(ValueError, match="line 4 of .* is no name and text"):
        TokenShards(tmp_path)


def test_clean_keeps_its_form():
    assert clean(["a\u2028b", ""]) == ["a b"] and usable(["a", ""]) == ["a"]
    for value, why in ((None, "NoneType"), (3, "int"), ("", "empty"), ([], "empty"), ([1], "list")):
        with pytest.raises(ValueError, match=why):
            usable(value)
