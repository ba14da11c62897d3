"""The pipeline on a real GPU: the fast head, the fused forward pass, and graphs that change nothing.

Also runs without pytest: `python -m tests.gpu.test_pipeline_gpu`.
"""

import dataclasses
import threading

import numpy as np
import torch

from mdm_core import Pipeline
from mdm_core.device import fast_dtype, precision
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.captured import BATCH, CapturedSteps
from mdm_core.ops import product_triton
from mdm_core.ops.sample import sample_triton

GPU = torch.device("cuda")
PROMPTS = ["three strawberries on a teal background", "a panda", "two dice", "a red apple in the snow"]
_pipes = {}


def pipeline() -> Pipeline:
    if not _pipes:
        _pipes["shipped"] = Pipeline.from_pretrained(device="cuda")
    return _pipes["shipped"]


def inputs(pipe, count):
    g = torch.Generator().manual_seed(count)
    c = pipe.config.model
    zt = torch.randint(0, c.vocab_size, (count, c.length), generator=g)
    zt[torch.rand(zt.shape, generator=g) < 0.6] = c.mask_id
    text = torch.cat([pipe.prompts.encode([PROMPTS[b % len(PROMPTS)]]) for b in range(count)])
    return zt, text


def test_the_head_has_the_type_that_the_device_is_fast_in():
    pipe = pipeline()
    assert pipe.backbone.model.head_weight.dtype == torch.float32
    assert pipe.backbone.head_weight.dtype == fast_dtype(GPU)
    if torch.cuda.get_device_capability()[0] >= 8:
        assert pipe.backbone.head_weight.dtype == torch.bfloat16
        assert torch.equal(pipe.backbone.head_weight, pipe.backbone.model.head_weight.bfloat16())
        tiles = []
        kept = sample_triton.operands
        sample_triton.operands = lambda h, w, *tile: tiles.append((w.dtype, tile)) or kept(h, w, *tile)
        try:
            pipe.backbone._fast = None  # so that graphs are captured anew
            pipe.generate(PROMPTS[0], seed=0, steps=2)
        finally:
            sample_triton.operands = kept
        assert tiles and set(tiles) == {(torch.bfloat16, sample_triton.TILE_HALF[:3])}
    assert product_triton._has_bulk_copies(GPU) == (torch.cuda.get_device_capability()[0] >= 9)


def test_the_fused_pass_is_as_exact_as_the_models_own():
    pipe = pipeline()
    model = pipe.backbone.model
    zt, text = (x.to(GPU) for x in inputs(pipe, 5))
    drop = torch.arange(10, device=GPU) >= 5
    with torch.inference_mode():
        exact = model.double()(zt.repeat(2, 1), text.repeat(2, 1), drop)
        model.float()
        for g in (0.0, 1.5):
            want = (1 + g) * exact[:5] - g * exact[5:]
            with precision(GPU):
                plain = model(zt.repeat(2, 1), text.repeat(2, 1), drop).float()
            plain = (1 + g) * plain[:5] - g * plain[5:]
            ours = TransformerBackbone(model).hidden(zt, text, g)
            mine, theirs = ((x.double() - want).norm() / want.norm() for x in (ours, plain))
            assert mine <= 1.1 * theirs, (g, float(mine), float(theirs))


def test_graphs_give_what_launches_give():
    """Every size of graph, batches between sizes and above the largest: the same fields, bit for bit."""
    pipe = pipeline()
    fast, captured = pipe.backbone._parts()
    for count in (1, 2, 3, 8, BATCH, BATCH + 5):
        zt, text = inputs(pipe, count)
        for guidance, temperature, step in ((1.5, 0.4, 3), (0.0, 1.0, 7), (2.0, 0.7, 3)):
            got = captured(zt, text, list(range(count)), step, guidance, temperature)
            again = captured(zt, text, list(range(count)), step, guidance, temperature)
            for first in range(0, count, BATCH):
                part = slice(first, min(first + BATCH, count))
                size = 1 << (part.stop - first - 1).bit_length()
                pad = [torch.cat([x[part], x[:1].expand(size - part.stop + first, -1)]) for x in (zt, text)]
                seeds = torch.zeros(size, dtype=torch.long)
                seeds[: part.stop - first] = torch.arange(first, part.stop)
                with torch.inference_mode():
                    strength = torch.tensor(guidance, dtype=torch.float64, device=GPU) if guidance else None
                    hidden = fast.hidden(*(x.to(GPU) for x in pad), strength)
                    plain = sample_triton.sample_rows(
                        hidden.flatten(0, 1),
                        captured.head,
                        pad[0].flatten().to(GPU),
                        torch.tensor(temperature, dtype=torch.float64, device=GPU),
                        seeds.repeat_interleave(256).to(GPU),
                        torch.tensor(step, device=GPU),
                        torch.arange(256, device=GPU).repeat(size),
                    )
                for name, a, b, c in zip(got._fields, got, plain, again, strict=True):
                    b = b.view(size, 256)[: part.stop - first].cpu()
                    assert torch.equal(a[part], b) and torch.equal(a, c), (name, count, guidance)
    assert len(captured.graphs) <= 14


def same(a, b):
    assert len(a.records) == len(b.records)
    for x, y in zip(a.records, b.records, strict=True):
        for f in dataclasses.fields(x):
            assert np.array_equal(getattr(x, f.name), getattr(y, f.name)), f.name


def test_same_seed_same_picture_and_a_place_in_the_batch_does_not_matter():
    pipe = pipeline()
    first = pipe.generate_batch(PROMPTS, [5, 9, 2, 7])
    for a, b in zip(first, pipe.generate_batch(PROMPTS, [5, 9, 2, 7]), strict=True):
        same(a, b)
    turned = pipe.generate_batch(PROMPTS[::-1], [7, 2, 9, 5])[::-1]
    for a, b in zip(first, turned, strict=True):
        same(a, b)
    same(pipe.generate(PROMPTS[0], seed=3), pipe.generate(PROMPTS[0], seed=3))


def test_every_setting_runs_and_leaves_no_mask():
    pipe = pipeline()
    for settings in (
        {},
        {"guidance": 0},
        {"temperature": 2.0},
        {"top_k": 5},
        {"top_p": 0.5},
        {"order": "halton"},
        {"edit": "remask"},
        {"edit": "off", "steps": 1},
    ):
        for run in pipe.generate_batch(PROMPTS[:3], [1, 2, 3], **settings):
            assert (run.tokens < pipe.vocab_size).all(), settings


def test_pictures_from_several_threads_are_those_of_one():
    pipe = pipeline()
    alone = [pipe.generate(PROMPTS[0], seed=s).tokens for s in range(4)]
    found = [None] * 4

    def work(s):
        found[s] = pipe.generate(PROMPTS[0], seed=s).tokens

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(alone, found, strict=True))


def test_a_changed_weight_changes_the_picture():
    pipe = Pipeline.from_pretrained(device="cuda")
    before = pipe.generate(PROMPTS[0], seed=1).tokens
    with torch.no_grad():
        pipe.backbone.model.head.weight.copy_(pipe.backbone.model.head.weight.flip(0))
        pipe.backbone.model.text_embed.weight.mul_(0.5)
    assert not np.array_equal(before, pipe.generate(PROMPTS[0], seed=1).tokens)


def test_where_graphs_fail_sampling_goes_on_without():
    pipe = Pipeline.from_pretrained(device="cuda")
    kept = CapturedSteps._graph
    before = pipe.generate(PROMPTS[0], seed=1).tokens
    try:
        CapturedSteps._graph = lambda *_: None
        after = pipe.generate(PROMPTS[0], seed=1).tokens
    finally:
        CapturedSteps._graph = kept
    assert np.array_equal(before, after)
