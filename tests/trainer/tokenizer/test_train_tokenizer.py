"""Training the image tokenizer: exact resume, an encoder that stays, figures, and a folder that others can use."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from crew import Crew, context
from distributed_worker import tokenizer_command, train_tokenizer
from picture_files import captioned_folder
from safetensors.torch import load_file

from mdm_core.families.chisel.config import ImageTokenizerConfig
from trainer.codec import open_codec
from trainer.engine import checkpoint
from trainer.engine.parallel import Parallel
from trainer.engine.run import DivergedError
from trainer.engine.state import split
from trainer.tokenizer.data import TokenizerData, augment
from trainer.tokenizer.loop import TokenizerSettings, TokenizerTrainer, mixed_loss, reconstruction_loss
from trainer.tokenizer.train import build

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[3]
SMALL = ImageTokenizerConfig(
    image_size=32, levels=(4, 4, 2), encoder_width=24, decoder_width=16, decoder_depth=1, decoder_pixels=4
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    captioned_folder(root, 20)
    (root / "00003.png").write_bytes(b"broken")
    return root


def trainer(folder, out, workers=0, **settings):
    data = TokenizerData(folder, 1.0, 4, 32, workers=workers)
    settings = {"steps": 8, "log_every": 2, "save_every": 100} | settings
    return TokenizerTrainer(SMALL, data, TokenizerSettings(**settings), out, Parallel(CPU))


def tensors(run):
    return dict(split(run.parts)[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_equals_an_unbroken_one(folder, tmp_path, workers):
    whole = trainer(folder, tmp_path / "a", workers)
    whole.run()
    first = trainer(folder, tmp_path / "b", workers)
    update = first.update
    first.update = lambda: (update(), setattr(first, "stop", first.step == 3))
    first.run()
    assert first.step == 3
    again = trainer(folder, tmp_path / "b", workers)
    assert again.resume() and again.step == 3 and again.samples == 12
    again.run()
    expected, found = tensors(whole), tensors(again)
    assert expected.keys() == found.keys() and len(expected) > 30
    assert all(torch.equal(expected[k], found[k]) for k in expected)
    assert [e["loss"] for e in again.log] == [e["loss"] for e in whole.log]
    a, b = (load_file(tmp_path / n / "image_tokenizer.safetensors") for n in "ab")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_two_processes_equal_one_on_the_same_global_batch(tmp_path):
    """And what two have saved goes on in one."""
    pictures, options = tmp_path / "pictures", {"keep_last": 2}
    alone, weights = train_tokenizer(pictures, tmp_path / "alone", {**options, "accumulate": 2})
    together = Crew(2, train_tokenizer, pictures, tmp_path / "two", options).results()
    shutil.rmtree(tmp_path / "two" / "checkpoints" / "step-000000008")
    cut = train_tokenizer(pictures, tmp_path / "two", {**options, "accumulate": 2})
    for losses, found in (*together[:1], cut):
        assert losses == pytest.approx(alone, rel=1e-4)
        for name, values in weights.items():
            assert torch.allclose(torch.tensor(found[name]), torch.tensor(values), rtol=1e-3, atol=1e-3), name
    log = json.loads((tmp_path / "two" / "log.json").read_text())
    assert log[-1]["images"] == 8 * 3 * 2 and (tmp_path / "two" / "tokenizer.json").exists()


def test_killed_and_gone_on_with_equals_undisturbed(folder, tmp_path):
    """The command, in processes of its own."""
    options = (
        "--images-share 1 --image-size 32 --levels 4 4 2 --batch 2 --steps 40 --device cpu "
        "--encoder-width 16 --decoder-width 16 --decoder-depth 1"
    ).split()

    def start(out, *more):
        arguments = [*options, "--images", str(folder), "--out", str(tmp_path / out), *more]
        process = context().Process(target=tokenizer_command, args=(arguments,))
        process.start()
        return process

    undisturbed, cut = start("whole", "--save-every", "100"), start("cut", "--save-every", "1")
    while cut.is_alive() and not list((tmp_path / "cut" / "checkpoints").glob("step-00000000[5-9]")):
        time.sleep(0.005)
    cut.kill()
    cut.join()
    assert not (tmp_path / "cut" / "tokenizer.json").exists()  # it was cut, not finished
    for process in (start("cut", "--save-every", "1"), undisturbed):
        process.join()
        assert process.exitcode == 0
    a, b = (load_file(tmp_path / n / "image_tokenizer.safetensors") for n in ("whole", "cut"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_results_of_a_run(folder, tmp_path):
    run = trainer(folder, tmp_path, steps=60, lr=1e-2, log_every=5)
    run.run()
    losses = [e["loss"] for e in run.log]
    assert losses[-1] < 0.75 * losses[0]
    record = json.loads((tmp_path / "tokenizer.json").read_text())
    row = record["unseen"]["pictures"]
    assert row["images"] == 1 and row["psnr_db"] > 5 and 0 < row["ssim"] < 1 and row["codes_used"] > 1
    assert (tmp_path / "unseen-pictures.png").stat().st_size > 100
    assert "00003.png" in (tmp_path / "skipped.txt").read_text()
    codec = open_codec(tmp_path)  # as the commands train and tokens open --codec
    assert codec.config == SMALL and torch.equal(
        codec.embed.weight, run.averaged().embed.weight.half().float()
    )


def test_numbers_that_are_not_finite_stop_the_run_and_spare_the_checkpoint(folder, tmp_path):
    run = trainer(folder, tmp_path, save_every=2)
    update = run.update

    def spoil():
        update()
        if run.step == 3:
            run.codec.embed.weight.data.fill_(float("nan"))

    run.update = spoil
    with pytest.raises(DivergedError, match="at step 4: lower --lr and resume; .*000000002"):
        run.run()
    assert checkpoint.newest(tmp_path / "checkpoints").name == "step-000000002"
    assert trainer(folder, tmp_path).resume()


def test_a_step_that_is_not_finite_can_be_skipped(folder, tmp_path, capsys):
    run = trainer(folder, tmp_path, on_nan="skip")
    net = run.net
    run.net = lambda *batch: net(*batch) * (float("nan") if run.step == 3 else 1.0)
    run.run()
    assert "at step 4: this step is skipped" in capsys.readouterr().out and run.step == 8


def test_a_checkpoint_of_another_shape_is_refused(folder, tmp_path):
    trainer(folder, tmp_path, steps=1).run()
    other = ImageTokenizerConfig(**{**SMALL.__dict__, "levels": (4, 4)})
    coarse = ImageTokenizerConfig(**{**SMALL.__dict__, "patch": 16})
    data = TokenizerData(folder, 1.0, 4, 32)
    for config in (other, coarse):
        with pytest.raises(ValueError, match="another shape"):
            TokenizerTrainer(config, data, TokenizerSettings(), tmp_path, Parallel(CPU)).resume()


def test_a_frozen_encoder_keeps_every_token_and_blending_stays_on_the_line(folder, tmp_path):
    trainer(folder, tmp_path / "first", steps=30, lr=1e-2).run()
    init = tmp_path / "first" / "image_tokenizer.safetensors"
    for name, blend in (("whole", 1.0), ("half", 0.5)):
        trainer(folder, tmp_path / name, init=init, freeze_encoder=True, steps=20, lr=1e-2, blend=blend).run()
        record = json.loads((tmp_path / name / "tokenizer.json").read_text())
        assert record["unseen"]["pictures"]["tokens_kept"] == 1.0
    old, whole, half = (
        load_file(tmp_path / n / "image_tokenizer.safetensors") for n in ("first", "whole", "half")
    )
    for key in old:
        if key.startswith("encoder"):
            assert torch.equal(old[key], whole[key]) and torch.equal(old[key], half[key])
        else:
            middle = (old[key].float() + whole[key].float()) / 2
            assert torch.allclose(half[key].float(), middle, atol=2e-3)
    assert not torch.equal(old["embed.weight"], whole["embed.weight"])


def test_scenes_and_pictures_together(tmp_path):
    captioned_folder(tmp_path / "pictures", 12)
    out = tmp_path / "run"
    run = build(
        [
            "--images",
            str(tmp_path / "pictures"),
            "--images-share",
            "0.5",
            "--steps",
            "2",
            "--batch",
            "4",
            "--objects",
            "3",
            "--measure-on",
            "4",
            "--log-every",
            "1",
            "--device",
            "cpu",
            "--out",
            str(out),
        ]
    )
    run.run()
    record = json.loads((out / "tokenizer.json").read_text())
    assert run.samples == 8 and record["unseen"].keys() == {"scenes", "pictures"}
    assert record["unseen"]["scenes"]["images"] == 4


def test_photographs_and_scenes_weigh_the_same_in_decibels():
    g = torch.Generator().manual_seed(0)
    target = torch.randn(4, 3, 8, 8, generator=g)
    output = target + 0.1 * torch.randn(4, 3, 8, 8, generator=g)
    easy, hard = reconstruction_loss(output[:2], target[:2]), reconstruction_loss(output[2:], target[2:])
    assert mixed_loss(output, target, 2).item() == pytest.approx(
        0.5 * (easy.log() + hard.log()).item(), rel=1e-5
    )
    assert mixed_loss(output, target, 0).item() == pytest.approx(reconstruction_loss(output, target).item())


def test_augmentation_depends_on_its_generator_alone():
    images = torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8)
    a, b = (augment(images, 0.5, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(a, b) and torch.equal(a[4:], images[4:]) and not torch.equal(a[:4], images[:4])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--images", "nowhere"], "no folder"),
        (["--blend", "0.5"], "--init"),
        (["--image-size", "64"], "128 pixels"),
        (["--images", "x", "--images-share", "0"], "share of pictures"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(arguments, says, tmp_path):
    with pytest.raises(ValueError, match=says) as error:
        build([*arguments, "--out", str(tmp_path), "--device", "cpu"])
    assert "\n" not in str(error.value)


def test_the_command_ends_with_that_sentence(tmp_path):
    command = [
        sys.executable,
        "-m",
        "trainer",
        "tokenizer",
        "--images",
        str(tmp_path),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
