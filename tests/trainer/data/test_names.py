"""Names as people mean them: other spellings of a file, folders named like patterns, and what is passed over."""

import json
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from picture_files import captioned_folder, disc, encoded, tar_shard
from tiny_run import codec_folder

from mdm_core.families.chisel.text import TextTokenizer
from trainer.data.file_names import Names, folders_apart, kept_apart, same_name
from trainer.data.folder import FolderRecords
from trainer.data.own import OwnDataConfig
from trainer.data.records import open_records
from trainer.data.stream import left_out, local_files
from trainer.data.webdataset import TarRecords, expand

PICTURE = encoded(disc("red"))
NFC, NFD = (unicodedata.normalize(form, "café Ünïcode.png") for form in ("NFC", "NFD"))


def put(root, *names, data=PICTURE):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def table(root, *names, **more):
    rows = ({"file_name": n, "text": f"caption {i}", **more} for i, n in enumerate(names))
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")


def shard(path, *keys):
    path.parent.mkdir(parents=True, exist_ok=True)
    tar_shard(path, {f"{k}{s}": d for k in keys for s, d in ((".png", PICTURE), (".txt", k.encode()))})


# ---- one file, many spellings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "written"),
    [
        (NFC, NFD),
        (NFD, NFC),
        ("red/cup.png", "red\\cup.png"),
        ("red/cup.png", "./red//cup.png"),
        ("red/cup.png", ".\\red\\cup.png"),
        ("red/cup.png", "red/./cup.png"),
        ("cup.PNG", "cup.png"),
        ("cup.png", "cup.PNG"),
        ("cup.png", "cup.png "),
        ("cup.png", " cup.png"),
        ("Cup.Png", "cup.png"),
        ("red cups/a.png", "Red Cups/A.png"),
        ("STRASSE.png", "straße.png"),
        (f"x/{NFD}", f"X\\{NFC} "),
    ],
)
def test_a_name_written_otherwise_is_found(tmp_path, there, written):
    put(tmp_path, there)
    table(tmp_path, written)
    records = FolderRecords(tmp_path)
    assert records.captions == ["caption 0"] and records.skipped == {}
    assert records.read(0).read_bytes() == PICTURE


@pytest.mark.parametrize(
    ("picture", "text"), [(NFC, NFD), (NFD, NFC), ("cup.png", "cup.TXT"), ("Cup.png", "cup.txt")]
)
def test_captions_beside_pictures_too(tmp_path, picture, text):
    put(tmp_path, picture)
    (tmp_path / (text[:-4] + (".TXT" if text.endswith("TXT") else ".txt"))).write_text("a cup")
    records = FolderRecords(tmp_path)
    assert records.captions == ["a cup"] and records.skipped == {}


def test_what_could_be_several_files_is_said_and_an_exact_name_counts_first(tmp_path):
    put(tmp_path, "cup.png", "CUP.png", "Cup.PNG", NFC, NFD)
    table(tmp_path, "cUP.png", "cup.png", NFD)
    records = FolderRecords(tmp_path)
    assert dict(zip(records.names, records.captions, strict=True)) == {
        "cup.png": "caption 1",
        NFD: "caption 2",
    }
    (why,) = (v for k, v in records.skipped.items() if "line 1" in k)
    assert why == "3 files could be meant: 'CUP.png' and 'Cup.PNG' and 'cup.png'"


def test_two_spellings_of_one_picture_are_one_picture(tmp_path):
    put(tmp_path, "red/cup.png")
    table(tmp_path, "red/cup.png", "red\\cup.PNG")
    records = FolderRecords(tmp_path)
    assert records.captions == ["caption 0"]
    assert list(records.skipped.values()) == ["listed twice, the first line counts"]


def test_names_that_are_no_utf8_are_those_of_an_older_windows(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb") as file:
        file.write(PICTURE)
    table(tmp_path, "café.png")
    assert FolderRecords(tmp_path).captions == ["caption 0"]


def test_nothing_outside_the_folder_is_found_by_another_spelling(tmp_path):
    put(tmp_path, "secret.png", "in/cup.png", "in/secret.png")
    table(tmp_path / "in", "cup.png", "../secret.png", "/secret.png", "..\\secret.png", "x/../../secret.png")
    records = FolderRecords(tmp_path / "in")
    assert records.names == ["cup.png"]
    assert sum(v == "it points outside the folder" for v in records.skipped.values()) == 4


def test_samples_of_a_tar_whose_names_mean_the_same(tmp_path):
    stem = NFC[:-4], NFD[:-4]
    files = {f"{stem[0]}.png": PICTURE, f"{stem[1]}.txt": b"one", "./b/2.png": PICTURE, "b/2.txt": b"two"}
    tar_shard(tmp_path / "a.tar", files)
    records = TarRecords(tmp_path / "a.tar")
    assert [records.caption(i) for i in range(2)] == ["one", "two"] and records.skipped == {}
    assert records.names == [f"a.tar:{stem[0]}.png", "a.tar:./b/2.png"]  # as the picture is spelt


def test_forms_of_a_name():
    assert same_name("./a//b/ C .PNG ") == "a/b/C .png" and same_name("A/B.png", fold=True) == "a/b.png"
    assert Names(["a.png"]).find("b.png") == (None, "")


# ---- what is passed over ------------------------------------------------------------------------------------


def test_pictures_that_are_not_read_and_links_are_named(tmp_path):
    put(tmp_path, "cups/a.jfif", "cups/b.JPE", "cups/c.png", "cups/d.apng", "cups/e.bmp")
    put(
        tmp_path,
        "cups/f.avif",
        "cups/g.HEIC",
        "cups/h.svg",
        "cups/i.psd",
        "cups/j.jxl",
        "cups/notes.md",
        data=b"x",
    )
    put(tmp_path, "elsewhere/1.png")
    shard(tmp_path / "cups" / "more.tar", "1")
    os.symlink(tmp_path / "elsewhere", tmp_path / "cups" / "cats")
    os.symlink(tmp_path / "gone", tmp_path / "cups" / "broken.png")
    records = FolderRecords(tmp_path)
    assert records.names == [f"cups/{n}" for n in ("a.jfif", "b.JPE", "c.png", "d.apng", "e.bmp")] + [
        "elsewhere/1.png"
    ]
    told = {k.removeprefix("cups/"): v for k, v in records.skipped.items()}
    for name in ("f.avif", "g.HEIC", "h.svg", "i.psd", "j.jxl"):
        assert "is no suffix that is read" in told[name], name
    assert (
        "links are not followed" in told["cats"] and told["broken.png"] == "it is a link that leads nowhere"
    )
    assert "tar shard" in told["more.tar"] and "notes.md" not in told


def test_metadata_that_names_a_picture_which_is_not_read(tmp_path):
    put(tmp_path, "a.png", "b.avif", "c.xyz", "d.heic", data=PICTURE)
    table(tmp_path, "a.png", "b.avif", "c.xyz", "gone.png")
    records = FolderRecords(tmp_path)
    assert records.names == ["a.png"]
    told = {k.rpartition("(")[2].rstrip(")"): v for k, v in records.skipped.items()}
    assert told["b.avif"].startswith("it is there, but .avif is no suffix that is read")
    assert told["c.xyz"] == "it is there, but .xyz is no suffix that is read"
    assert told["gone.png"] == "no such picture in the folder"
    assert told["d.heic"].startswith(".heic is no suffix that is read")  # listed nowhere, and named once


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    put(tmp_path, "cups/a.png", "shut/b.png")
    scan = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    records = FolderRecords(tmp_path)
    assert records.names == ["cups/a.png"]
    assert records.skipped["shut/"] == "the folder cannot be opened (Permission denied)"


# ---- what exists as it is named is no pattern -------------------------------------------------------------------

ODD = ("set [v2]", "cats {2024}", "a*b", "x{000..002}", "what?", "pictures.tar", "[abc]", "shards {a,b} [c]*")


@pytest.mark.parametrize("name", ODD)
def test_folders_and_shards_named_like_patterns(tmp_path, name, monkeypatch):
    captioned_folder(tmp_path / name, 3)
    assert len(open_records(tmp_path / name)) == 3
    assert len(OwnDataConfig(str(tmp_path / name)).open(None).records) == 3
    inside = tmp_path / "shards" / name
    shard(inside / "data.tar", "1", "2")
    shard(inside / "x-000.tar", "3")
    shard(inside / "x-001.tar", "4")
    assert expand(str(inside / "data.tar")) == [str(inside / "data.tar")]
    assert len(open_records(inside / "data.tar")) == 2 and len(open_records(inside)) == 4
    assert len(open_records(inside / "x-*.tar")) == 2
    assert len(open_records(inside / "x-{000..001}.tar")) == 2
    shard(tmp_path / f"{name}.tar", "1")
    assert TarRecords(tmp_path / f"{name}.tar").names == [f"{name}.tar:1.png"]
    monkeypatch.chdir(inside)
    assert len(open_records("data.tar")) == 2 and len(open_records("x-*.tar")) == 2


def test_a_pattern_with_brackets_in_the_file_names(tmp_path):
    for i in range(3):
        shard(tmp_path / f"set [v2]-{i}.tar", str(i))
    assert len(expand(str(tmp_path / "set [v2]-*.tar"))) == 3
    assert len(expand(str(tmp_path / "set [v2]-{0..1}.tar"))) == 2
    assert len(expand(str(tmp_path / "set ?v2]-[01].tar"))) == 2


def test_home_in_every_path_of_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    captioned_folder(tmp_path / "pictures", 3)
    shard(tmp_path / "shards" / "a.tar", "1")
    assert len(OwnDataConfig("~/pictures").open(None).records) == 3
    assert len(open_records("~/shards")) == len(open_records("~/shards/*.tar")) == 1
    assert local_files("~/x.parquet")[0] == str(tmp_path / "x.parquet")


def test_home_in_the_paths_of_a_run(tmp_path, monkeypatch):
    from tiny_run import CPU, tiny_recipe

    from trainer.engine.loop import Trainer

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    codec_folder(tmp_path / "codec")
    run = Trainer(tiny_recipe(), "~/codec", "~/run", CPU, "~/codec")
    assert run.out == tmp_path / "run" and (tmp_path / "run" / "text.json").exists()


def test_a_file_that_is_no_shard_is_said_to_be_one(tmp_path):
    put(tmp_path, "a.png")
    with pytest.raises(ValueError, match="is a file: give a folder"):
        open_records(tmp_path / "a.png")


# ---- parts to train on and to test on ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "held"),
    [
        ("train", "test"),
        ("Train", "Validation"),
        ("training", "val"),
        ("train2017", "val2017"),
        ("data/train", "data/dev"),
        ("images/train", "images/test"),
        ("Train_images", "test-images"),
        ("training set", "validation set"),
    ],
)
def test_only_the_part_to_train_on_is_used_and_it_is_said(tmp_path, train, held):
    put(tmp_path, f"{train}/cups/a.png", f"{held}/cups/b.png", "cats/c.png")
    records = FolderRecords(tmp_path)
    assert records.names == sorted([f"{train}/cups/a.png", "cats/c.png"])
    assert "a part to test on" in records.skipped[f"{held}/"] and len(records.skipped) == 1
    assert FolderRecords(tmp_path / held).names == ["cups/b.png"]  # asked for by its own path


def test_classes_that_are_only_called_so_are_used(tmp_path):
    put(tmp_path, "test/a.png", "cats/b.png", "val d'or/c.png", "trains/d.png", "train station/e.png")
    records = FolderRecords(tmp_path)
    assert len(records) == 5 and records.skipped == {}
    assert folders_apart(["toy train", "test tube"]) == {} and kept_apart(["a", "b"]) == {}


def test_metadata_of_both_parts(tmp_path):
    put(tmp_path, "train/a.png", "test/b.png")
    table(tmp_path, "train/a.png", "test/b.png", "./test/gone.png")
    records = FolderRecords(tmp_path)
    assert records.names == ["train/a.png"]
    assert "a part to test on" in records.skipped["metadata.jsonl, line 2 (test/b.png)"]
    assert "a part to test on" in records.skipped["metadata.jsonl, line 3 (./test/gone.png)"]


def test_a_column_that_says_the_part(tmp_path):
    put(tmp_path, "a.png", "b.png", "c.png")
    rows = [
        {"file_name": f"{n}.png", "text": n, "split": s}
        for n, s in (("a", "train"), ("b", "test"), ("c", "val"))
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    records = FolderRecords(tmp_path)
    assert records.names == ["a.png"] and len(records.skipped) == 2
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows[1:])))
    assert FolderRecords(tmp_path).names == ["b.png", "c.png"]  # no part to train on: all of it is meant


def test_shards_and_streamed_files_of_both_parts(tmp_path):
    for name in ("cats-train-000", "cats-train-001", "cats-test-000", "cats-val-000"):
        shard(tmp_path / f"{name}.tar", name)
        (tmp_path / f"{name}.parquet").write_bytes(b"")
    records = TarRecords(tmp_path)
    assert [n.partition(":")[0] for n in records.names] == ["cats-train-000.tar", "cats-train-001.tar"]
    assert set(records.skipped) == {"cats-test-000.tar", "cats-val-000.tar"}
    assert len(TarRecords(tmp_path / "cats-test-*.tar")) == 1
    files, apart = local_files(str(tmp_path / "*.parquet"))
    assert [f.rpartition("/")[2] for f in files] == ["cats-train-000.parquet", "cats-train-001.parquet"]
    assert len(apart) == 2 and set(left_out(f"hf:parquet:{tmp_path}/*.parquet")) == {
        "cats-test-000.parquet",
        "cats-val-000.parquet",
    }
    assert local_files(str(tmp_path / "cats-test-*.parquet"))[1] == {}


def test_both_parts_in_one_shard_and_in_a_folder_that_the_library_reads(tmp_path):
    shard(tmp_path / "a.tar", "x/train/1", "x/test/1", "other/2")
    records = TarRecords(tmp_path / "a.tar")
    assert records.names == ["a.tar:x/train/1.png", "a.tar:other/2.png"]
    assert list(records.skipped) == ["a.tar:x/test/"]
    put(tmp_path, "pictures [1]/train/a.png", "pictures [1]/test/b.png")
    asked, apart = local_files(str(tmp_path / "pictures [1]"))
    assert asked == str(tmp_path / "pictures [[]1]") and list(apart) == ["test"]
    assert left_out(f"hf:imagefolder:{tmp_path}/pictures [1]#test") == {}


def test_what_was_left_out_comes_with_the_first_batch(tmp_path):
    put(tmp_path, *(f"train/cups/{i}.png" for i in range(3)), "test/cups/a.png")
    text = TextTokenizer.train(["a cup"], 300, 12)
    (told,) = OwnDataConfig(str(tmp_path), batch_size=2).open(text).batch(0).skipped
    assert told.startswith("test/: ")


# ---- reading ------------------------------------------------------------------------------------------------------


def test_shards_are_read_from_many_threads_and_where_pread_is_unknown(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pread", raising=False)
    pictures = {f"{i:03d}": encoded(disc("red", 16 + i)) for i in range(60)}
    for s in range(3):
        part = list(pictures)[20 * s : 20 * (s + 1)]
        tar_shard(
            tmp_path / f"{s}.tar",
            {f"{k}{x}": pictures[k] if x == ".png" else k.encode() for k in part for x in (".png", ".txt")},
        )
    records = TarRecords(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: (records.caption(i % 60), records.read(i % 60)), range(600)))
    assert all(data == pictures[key] for key, data in found) and len(found) == 600


@pytest.mark.parametrize(
    "path", ["x" * 5000, "." * 300, "~nobody_at_all/x", "{", "[", "{0..9}", "/dev/null", "a{0..9}b"]
)
def test_paths_that_are_nothing_are_refused_in_one_sentence(path):
    with pytest.raises(ValueError) as error:
        OwnDataConfig(path).open(None)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="path must be the name"):
        OwnDataConfig("a\0b")
