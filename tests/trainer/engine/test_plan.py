"""The paper's shape: its counts on the meta device, its plan, and a shrunken copy that trains."""

import dataclasses
import importlib
import json
import re
import signal
import sys
from pathlib import Path

import pytest
import torch
from picture_files import captioned_folder
from tiny_model import TINY_LEVELS
from tiny_run import CPU, TinyData, codec_folder, tiny_run

from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig, PipelineConfig, save_config
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer, count_parameters
from mdm_core.families.weights import save_weights
from mdm_core.pipeline import Pipeline
from trainer.bench.measure import peak_bytes
from trainer.bench.train import gradients_only, make_trainer, step
from trainer.engine import train
from trainer.engine.loop import Trainer
from trainer.engine.plan import (
    build_on_meta,
    kernel_rates,
    main,
    memory,
    muon_work,
    plan,
    traffic,
    work_per_sample,
)
from trainer.engine.step import make_groups
from trainer.recipes.measured import cpu_recipe
from trainer.recipes.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[3]


def test_the_paper_recipe_has_the_papers_shape():
    r = load_recipe("paper_1024", [])
    c = r.model
    assert (c.vocab_size, c.grid, c.resample, c.heads, c.kv_heads) == (131072, 64, 2, 32, 8)
    assert (c.depth, c.width, c.ffn) == (34, 4096, 14336)
    assert (r.corruption.flip, r.objective.edit_weight, r.objective.group_weight) == (0.2, 0.2, 0.2)
    assert r.prompt_dropout == 0.1 and r.parallel == "fsdp"
    codec = ImageTokenizerConfig(image_size=1024, patch=16, levels=c.code_levels)
    assert (codec.vocab_size, codec.grid) == (c.vocab_size, c.grid)
    groups = make_groups(r, c.code_levels, torch.zeros(0))
    assert groups.n_groups == 131072 // 8 and groups.levels[0].width == 8

    model = build_on_meta(c)
    assert all(p.is_meta for p in model.parameters())
    block = 4096 * 6144 + 4096 * 4096 + 3 * 4096 * 14336 + 2 * 4096 + 2 * 128  # qkv, out, ffn, norms
    assert count_parameters(model.blocks) == 34 * block
    assert model.head.weight.shape == (131072, 1024)


def test_work_is_what_the_profiler_counts():
    """Matrix products of a forward pass, counted by PyTorch, times three."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    c = ModelConfig(
        width=64, depth=2, heads=2, kv_heads=1, ffn=96, token_width=32, token_heads=2, token_ffn=48
    )
    model = MaskedDiffusionTransformer(c)
    plain = sdpa_kernel(SDPBackend.MATH)  # the counter does not know the fused attention of a CPU
    with FlopCounterMode(display=False) as counter, torch.no_grad(), plain:
        hidden = model(torch.randint(0, c.vocab_size, (2, 256)), torch.zeros(2, 40, dtype=torch.int64))
        model.logits(hidden)
    assert 3 * counter.get_total_flops() / 2 == pytest.approx(work_per_sample(c).total, rel=0.001)


def test_the_plan_names_memory_and_does_not_invent_a_speed(tmp_path, capsys):
    r = load_recipe("paper_1024", [])
    one, many = memory(r, 1), memory(r, 64)
    n = count_parameters(build_on_meta(r.model))
    assert one["weights, fp32"] == 4 * n and many["weights, fp32"] == 4 * n / 64
    said = plan(r, 64, tmp_path)
    assert "7.416 G in 34 blocks" in said and "days" not in said
    assert "speed at best: unmeasured" in said and "whole steps: unmeasured" in said
    record = {"environment": {"device": "some GPU"}, "rows": [{"flops_per_second": 4e14, "parameters": 3e8}]}
    (tmp_path / "train_cuda.json").write_text(json.dumps(record))
    said = plan(r, 64, tmp_path)
    work = work_per_sample(r.model)
    # blocks recomputed, drafts every fourth step
    spent = work.head + (work.total - work.head) * (4 + 0.25) / 3
    days = 100_000 * 1024 * spent / (64 * 4e14) / 86400
    assert (
        "400 TFLOP/s that whole steps of 300 M parameters reached on some GPU" in said
        and f"{days:,.1f} days" in said
    )
    main(["paper_1024", "model.depth=2", "--gpus", "8"])
    assert "in 2 blocks" in capsys.readouterr().out


def test_the_speed_at_best_follows_from_the_kernels_records(tmp_path):
    r = load_recipe("paper_1024", [])
    model, work = build_on_meta(r.model), work_per_sample(r.model)
    rows = [
        {"name": "ours", "grouped": True, "shape": [8, 1000, 64], "ms": 6 * 8 * 1000 * 64 / 5e14 * 1e3},
        {"name": "ours", "grouped": True, "shape": [8, 4096, 64], "ms": 1.0},  # another width
        {"name": "eager", "grouped": True, "shape": [8, 1024, 64], "ms": 1.0},
    ]
    (tmp_path / "gce_cuda.json").write_text(json.dumps({"environment": {"device": "some GPU"}, "rows": rows}))
    assert kernel_rates(1024, tmp_path) is None  # the other record is missing
    (tmp_path / "profile_cuda.txt").write_text(
        "copy 4.00 TB/s, 8192^3 bf16 product 700 TFLOP/s\n== sampling\n"
    )
    rates = kernel_rates(1024, tmp_path)
    assert (rates.products, rates.copy) == (7e14, 4e12) and rates.head == pytest.approx(5e14)
    per_picture, per_step = traffic(r, 64, model)
    step = 16 * ((work.spent(r) - work.head) / 7e14 + work.head / 5e14 + per_picture / 4e12)
    step += muon_work(r, 64, model) / 7e14 + per_step / 4e12
    said = plan(r, 64, tmp_path)
    pictures = 64 * 16 / step
    assert f"{pictures:,.1f} pictures/s, {pictures * 4096:,.0f} image tokens/s" in said
    assert f"{100_000 * 1024 / pictures / 86400:,.1f} days" in said and "some GPU" in said
    # FSDP2: weights in bf16 for the forward and the backward pass, gradients in fp32
    gigabytes = 8 * count_parameters(model) * 63 / 64 / 1e9
    assert f"each GPU receives {gigabytes:,.0f} GB" in said and f"it {gigabytes / step:,.0f} GB/s" in said
    assert "GB/s" not in plan(r, 1, tmp_path)


def test_the_forecast_scales_the_best_by_what_a_whole_step_reached(tmp_path):
    from trainer.engine.plan import forecast, parts_of_a_step
    from trainer.recipes.measured import gpu_recipe

    def best(recipe, gpus):
        model = build_on_meta(recipe.model)
        rates = kernel_rates(recipe.model.token_width)
        return sum(parts_of_a_step(recipe, gpus, model, work_per_sample(recipe.model, model), rates).values())

    for name in ("gce_cuda.json", "profile_cuda.txt"):
        (tmp_path / name).write_bytes((ROOT / "assets" / "benchmarks" / name).read_bytes())
    paper, small = load_recipe("paper_1024", ["model.depth=2"]), gpu_recipe(64)
    assert forecast(paper, 2, tmp_path) is None  # no whole step on record
    row = {"ms": 1e3 * best(small, 1) / 0.8, "batch": 64, "flops_per_second": 4e14, "parameters": 3e8}
    record = {"environment": {"device": "some GPU"}, "rows": [row]}
    (tmp_path / "train_cuda.json").write_text(json.dumps(record))
    assert forecast(paper, 2, tmp_path) == pytest.approx(best(paper, 2) / 0.8)
    assert f"forecast: {1e3 * best(paper, 2) / 0.8:,.0f} ms a step" in plan(paper, 2, tmp_path)


@pytest.mark.parametrize("recomputed", [False, True])
def test_what_a_block_keeps_is_what_the_plan_says(tmp_path, monkeypatch, recomputed):
    """Peak memory of a training step at two depths: their difference is what the blocks between them keep."""
    # as on the devices that are planned for, whatever this one is fast in
    monkeypatch.setattr("mdm_core.device.fast_dtype", lambda device: torch.bfloat16)
    found, names = [], ["activations (estimate)"]
    if not recomputed:  # else each block's copies are gone before the next one's are made
        names.append("copies of the weights, bf16")
    for depth in (2, 6):
        r = cpu_recipe(8)
        model = dataclasses.replace(
            r.model,
            vocab_size=256,
            code_levels=(4, 4, 4, 4),
            depth=depth,
            heads=2,
            kv_heads=2,
            width=128,
            ffn=320,
        )
        r = dataclasses.replace(
            r, model=model, data=dataclasses.replace(r.data, vocab_size=256), checkpointing=recomputed
        )
        folder = tmp_path / f"{recomputed}-{depth}"
        folder.mkdir()
        run = make_trainer(r, CPU, folder)
        x0, text, _ = run.draw()
        step(run)
        plan_of = memory(r, 1, run.model, kernels=False)
        found.append((peak_bytes(gradients_only(run, x0, text), CPU), [plan_of[name] for name in names]))
    measured = found[1][0] - found[0][0]
    said = sum(found[1][1]) - sum(found[0][1])
    assert measured == pytest.approx(said, rel=0.1)


def test_the_shipped_records_carry_the_papers_plan():
    said = plan(load_recipe("paper_1024", []), 64)
    record = json.loads((ROOT / "assets" / "benchmarks" / "gce_cuda.json").read_text())
    assert f"at best, from kernels measured on {record['environment']['device']}" in said
    # the figures at the head of the recipe are those of the plan
    head = " ".join(importlib.import_module("trainer.recipes.paper_1024").__doc__.split())
    speed = re.search(r"([\d,.]+) pictures/s, [\d,]+ image tokens/s: .* in ([\d.]+) days", said)
    memory_gib = re.search(r"together +([\d.]+) GiB", said)
    received = re.search(r"each GPU receives (\d+) GB", said)
    assert f"at best {float(speed[1]):.0f} pictures/s" in head and f"{speed[2]} days" in head
    assert (
        f"{float(memory_gib[1]):.0f} GiB of each of 64 GPUs" in head
        and f"({received[1]} GB to each GPU" in head
    )


def test_muons_work_is_shared_where_the_matrices_are_sharded():
    r = load_recipe("paper_1024", ["model.depth=8"])
    model = build_on_meta(r.model)

    def iterations(rows, columns):  # half of X X^T and of (X X^T)^2, and a product with X, five times
        small, large = sorted((rows, columns))
        return 5 * (small * small * large + small**3 + 2 * small * small * large)

    body = sum(iterations(*p.shape) for b in model.blocks for p in b.parameters() if p.ndim == 2)
    light = sum(iterations(*p.shape) for b in model.token_blocks for p in b.parameters() if p.ndim == 2)
    assert muon_work(r, 1, model) == body + light
    assert muon_work(r, 8, model) == body / 8 + light / 2  # two token blocks: at best half of it each
    assert muon_work(dataclasses.replace(r, parallel="ddp"), 8, model) == body + light
    assert muon_work(dataclasses.replace(r, matrix_lr=0.0), 8, model) == 0


@pytest.mark.parametrize("groups", ["lattice", "kmeans", "knn", "none"])
def test_a_shrunken_copy_of_the_paper_recipe_trains(tmp_path, groups):
    r = load_recipe("paper_1024", [])
    tiny = tiny_run(codec_folder(tmp_path / "codec"), tmp_path / "unused").recipe
    small = dataclasses.replace(
        r,
        model=dataclasses.replace(tiny.model, heads=4, kv_heads=1, width=32, depth=2, token_heads=2),
        data=TinyData(),
        compile=False,
        steps=6,
        lr=1e-2,
        log_every=3,
        export_every=0,
        precision="fp32",
        groups=groups,
        group_size=4,
        corruption=CorruptionConfig(flip_group=float(groups != "none")),
        validate_every=6,
        sheet_every=6,
        save_every=6,
    )
    assert small.model.code_levels == TINY_LEVELS and small.checkpointing
    run = Trainer(small, tmp_path / "codec", tmp_path / "run", CPU)
    run.run()
    losses = [e["loss"] for e in run.log]
    assert losses[1] < losses[0] and run.log[-1]["masked_bits"] > 0 and run.log[-1]["flipped_bits"] > 0
    assert (tmp_path / "run" / "sheets" / "step-000000006.webp").exists()


SHRUNKEN = (
    "model.grid=4 model.width=64 model.depth=2 model.heads=4 model.kv_heads=1 model.ffn=64 model.token_width=32 "
    "model.token_heads=2 model.token_ffn=32 model.text_vocab_size=512 model.text_length=16 data.image_size=64 "
    "data.batch_size=2 data.workers=0 compile=False steps=4 log_every=2 save_every=2 validate_every=4 sheet_every=4"
).split()


def test_the_papers_commands_in_small(tmp_path, monkeypatch, capsys):
    """Tokenizer, tokens, training, as the recipe's head tells, with the vocabulary of 131,072 and 16 px patches."""
    from trainer.data import make_tokens
    from trainer.tokenizer import train as train_tokenizer

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    pictures, codec, tokens = (tmp_path / name for name in ("pictures", "codec", "tokens"))
    captioned_folder(pictures, 12)
    options = "--images-share 1 --image-size 64 --patch 16 --levels 16 16 8 8 8 --steps 2 --batch 2".split()
    run = train_tokenizer.build(["--images", str(pictures), *options, "--device", "cpu", "--out", str(codec)])
    run.run()
    assert (run.config.vocab_size, run.config.grid) == (131072, 4)
    monkeypatch.setattr(sys, "argv", ["x", str(pictures), "--codec", str(codec), "--out", str(tokens)])
    make_tokens.main()
    where = ["--codec", str(codec), "--out", str(tmp_path / "run"), "--device", "cpu"]
    train.main(["paper_1024", *where, f"data.path={tokens}", *SHRUNKEN])
    said = capsys.readouterr().out
    assert "'masked_bits'" in said and f"wrote {tmp_path / 'run' / 'model'}" in said
    pipe = Pipeline.from_pretrained(tmp_path / "run" / "model", "cpu")
    assert pipe.generate("a red disc", steps=2).tokens.shape == (4, 4) and pipe.vocab_size == 131072


def test_recomputed_blocks_change_no_gradient(tmp_path):
    codec = codec_folder(tmp_path / "codec")
    gradients = []
    for name, changes in {"plain": {}, "recomputed": {"checkpointing": True}}.items():
        run = tiny_run(codec, tmp_path / name, **changes)
        run.stream = iter([run.source.batch(0)])
        run.gradient()
        gradients.append([p.grad.clone() for p in run.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_codec_that_does_not_fit_is_named(tmp_path):
    codec = ImageTokenizer(ImageTokenizerConfig(image_size=32, levels=(4, 4, 4)))
    save_weights(codec, tmp_path / "image_tokenizer.safetensors")
    config = dataclasses.replace(ModelConfig(), vocab_size=64, code_levels=(4, 4, 4), grid=4)
    save_config(PipelineConfig(tokenizer=codec.config, model=config), tmp_path / "config.json")
    with pytest.raises(ValueError, match="64 codes on a grid of 4, and 32 on 4; choose another --codec"):
        tiny_run(tmp_path, tmp_path / "run")
