"""Tokenising once: what comes out is what the tokenizer gives, in parallel, after a kill, and never a mixture."""

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import captioned_folder

import trainer.__main__ as index
from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig, PipelineConfig, save_config
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.weights import save_weights
from trainer.codec import open_codec
from trainer.data.make_tokens import TokenJob, report_skipped, tokenize
from trainer.data.own import OwnDataConfig, TokenSource
from trainer.data.pictures import Framing, read_picture, square
from trainer.data.token_shards import TokenShards, map_shard

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    config = ImageTokenizerConfig(
        image_size=32, levels=(4, 4, 4), encoder_width=16, decoder_width=16, decoder_depth=1
    )
    torch.manual_seed(0)
    untrained = ImageTokenizer(config)
    for layer in untrained.encoder[::2]:
        layer.weight.data *= 6  # so that patches differ in their tokens
    save_weights(untrained, folder / "image_tokenizer.safetensors")
    model = ModelConfig(vocab_size=64, code_levels=(4, 4, 4), grid=4)
    save_config(PipelineConfig(tokenizer=config, model=model), folder / "config.json")
    return folder


@pytest.fixture
def job(tmp_path, codec):
    captioned_folder(tmp_path / "pictures", 23)
    (tmp_path / "pictures" / "00011.png").write_bytes(b"broken")
    where = {"source": str(tmp_path / "pictures"), "codec": codec, "out": tmp_path / "tokens"}
    return TokenJob(**where, shard_size=5)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_tokens_are_those_of_the_tokenizer_and_broken_pictures_are_named(job):
    manifest = tokenize(job, 1)
    assert manifest["pictures"] == 22 and manifest["shards"] == 5
    assert manifest["skipped"] == {"00011.png": "it is no picture of a known format"}
    shards, codec = TokenShards(job.out), open_codec(job.codec)
    assert len(shards) == 22 and shards.names[11] == "00012.png" and shards.caption(11).endswith("number 12")
    pixels = square(read_picture(Path(job.source) / "00012.png"), Framing(32))
    expected = codec.encode(torch.from_numpy(pixels)[None]).flatten()
    assert len(set(expected.tolist())) >= 4
    assert shards.tokens(11).dtype == np.uint16 and shards.tokens(11).tolist() == expected.tolist()
    assert "1 skipped" in report_skipped(manifest["skipped"]) and report_skipped({}) == "nothing was skipped"


def test_processes_change_nothing(job):
    tokenize(job, 1)
    other = dataclasses.replace(job, out=job.out.with_name("parallel"))
    tokenize(other, 2)
    assert contents(other.out) == contents(job.out)


def test_going_on_keeps_whole_shards_and_ends_with_the_same_files(job):
    tokenize(job, 1)
    whole = contents(job.out)
    kept = (job.out / "tokens-00000.safetensors").stat().st_mtime_ns
    (job.out / "tokens-00002.safetensors").unlink()
    (job.out / ".tokens-00003.safetensors.77.tmp").write_bytes(b"torn")
    manifest = json.loads((job.out / "tokens.json").read_text()) | {"complete": False}
    (job.out / "tokens.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="unfinished"):
        TokenShards(job.out)
    tokenize(job, 1)
    assert contents(job.out) == whole
    assert (job.out / "tokens-00000.safetensors").stat().st_mtime_ns == kept


def test_kill_at_any_time_then_the_same_command(job, tmp_path):
    """Real processes, killed three times; what is there in the end equals an undisturbed run."""
    expected = dataclasses.replace(job, out=tmp_path / "undisturbed", shard_size=2)
    tokenize(expected, 1)
    command = [
        sys.executable,
        "-m",
        "trainer",
        "tokens",
        job.source,
        "--codec",
        str(job.codec),
        "--out",
        str(job.out),
        "--shard-size",
        "2",
        "--processes",
        "1",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for shards in (1, 4, 8):
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and len(list(job.out.glob("tokens-*.safetensors"))) < shards:
            time.sleep(0.002)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "22 pictures, 12 shards" in done.stdout and "00011.png" in done.stdout
    assert contents(job.out) == contents(expected.out)


def test_tokens_of_other_pictures_or_settings_never_mix(job):
    tokenize(job, 1)
    with pytest.raises(ValueError, match="choose another --out"):
        tokenize(dataclasses.replace(job, views=2), 1)
    (Path(job.source) / "00000.png").unlink()
    with pytest.raises(ValueError, match="choose another --out"):
        tokenize(job, 1)


def test_training_batches_from_tokens(job):
    tokenize(dataclasses.replace(job, views=3, crop=0.5, flip=True), 1)
    text = TextTokenizer.train(["a red disc number 1"], 300, 12)
    config = OwnDataConfig(str(job.out), batch_size=4, held_out=0.1)
    source = config.open(text)
    assert isinstance(source, TokenSource) and source.skipped.keys() == {"00011.png"}
    drawn = [source.batch(i) for i in range(12)]
    copy = pickle.loads(pickle.dumps(source))
    for i in (11, 0, 6):
        assert torch.equal(copy.batch(i).tokens, drawn[i].tokens) and torch.equal(
            copy.batch(i).text, drawn[i].text
        )
    assert (
        drawn[0].tokens.shape == (4, 16) and drawn[0].tokens.dtype == torch.int64 and drawn[0].images is None
    )
    shards = TokenShards(job.out)
    views = {tuple(shards.tokens(5, v).tolist()) for v in range(3)}
    assert len(views) == 3  # of one picture
    seen = config.open(text, "seen")
    assert seen.batch(0).tokens[0].tolist() == shards.tokens(int(seen.rows[0]), 0).tolist()
    assert source.card()["data"]["pictures"] == len(source.rows) == 20


def test_tokens_belong_to_their_tokenizer(job, tmp_path):
    tokenize(job, 1)
    source = OwnDataConfig(str(job.out)).open(None)
    source.check_codec(job.codec)
    save_weights(ImageTokenizer(open_codec(job.codec).config), tmp_path / "image_tokenizer.safetensors")
    with pytest.raises(ValueError, match="another image tokenizer"):
        source.check_codec(tmp_path)


@pytest.mark.parametrize("damage", ["short", "header", "captions", "manifest", "format"])
def test_damaged_folders_are_refused_and_named(job, damage):
    tokenize(job, 1)
    shard = job.out / "tokens-00001.safetensors"
    if damage == "short":
        shard.write_bytes(shard.read_bytes()[:-8])
    elif damage == "header":
        shard.write_bytes(b"\xff" * 64)
    elif damage == "captions":
        (job.out / "tokens-00001.jsonl").write_text('{"name": "a", "text": "b"}\n')
    elif damage == "manifest":
        (job.out / "tokens.json").write_text("{")
    else:
        (job.out / "tokens.json").write_text(json.dumps({"format": "chisel-tokens", "format_version": 9}))
    with pytest.raises(ValueError, match="tokens"):
        TokenShards(job.out)


def test_a_shard_whose_pictures_were_all_broken_is_empty(job):
    for i in range(5):
        (Path(job.source) / f"{i:05d}.png").write_bytes(b"broken")
    assert tokenize(job, 1)["pictures"] == 17
    assert map_shard(job.out / "tokens-00000.safetensors").shape == (0, 1, 16)
    assert TokenShards(job.out).names[0] == "00005.png"


def test_command_says_what_is_wrong_in_one_line(tmp_path, codec, monkeypatch, capsys):
    arguments = [str(tmp_path), "--codec", str(codec), "--out", str(tmp_path / "o")]
    monkeypatch.setattr(sys, "argv", ["trainer", "tokens", *arguments])
    with pytest.raises(SystemExit) as ended:
        index.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "holds no captioned picture" in said and "Traceback" not in said
