"""Training an image tokenizer with a learned codebook."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from tiny_tokenizer import CONFIG, tiny_tokenizer

from mdm_core.families.chisel.codebook import choose
from trainer.codec import open_codec
from trainer.engine.state import split
from trainer.tokenizer.loop import TokenizerSettings

LEARNED = dataclasses.replace(CONFIG, codebook=64, code_width=4)


def test_it_learns_pictures_and_uses_its_codes(tmp_path):
    run = tiny_tokenizer(tmp_path / "p", tmp_path / "run", LEARNED, steps=60, save_every=1000, measure_on=8)
    run.run()
    losses = [e["loss"] for e in run.log]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    told = json.loads((tmp_path / "run" / "tokenizer.json").read_text())
    assert told["vocab_size"] == 64 and told["levels"] == [] and told["unseen"]["pictures"]["codes_used"] > 1
    codec = open_codec(tmp_path / "run")
    assert codec.levels is None and codec.codebook().shape == (64, 4)


def test_a_resumed_run_equals_an_unbroken_one_and_a_lattice_does_not_go_on_with_it(tmp_path):
    whole, first = (tiny_tokenizer(tmp_path / "p", tmp_path / n, LEARNED) for n in "ab")
    whole.run()
    update = first.update
    first.update = lambda: (update(), setattr(first, "stop", first.step == 3))
    first.run()
    again = tiny_tokenizer(tmp_path / "p", tmp_path / "b", LEARNED)
    assert again.resume() and again.step == 3
    again.run()
    a, b = (dict(split(r.parts)[0]) for r in (whole, again))
    assert "model.quantiser.weight" in a and all(torch.equal(a[k], b[k]) for k in a)
    with pytest.raises(ValueError, match="another shape"):
        tiny_tokenizer(tmp_path / "p", tmp_path / "b").resume()


def test_a_frozen_encoder_keeps_every_token(tmp_path):
    run = tiny_tokenizer(tmp_path / "p", tmp_path / "a", LEARNED)
    run.run()
    weights = tmp_path / "a" / "image_tokenizer.safetensors"
    tuned = tiny_tokenizer(tmp_path / "p", tmp_path / "b", LEARNED, init=weights, freeze_encoder=True)
    tuned.run()
    found = json.loads((tmp_path / "b" / "tokenizer.json").read_text())["unseen"]["pictures"]
    assert found["tokens_kept"] == 1.0
    assert TokenizerSettings(steps=1).blend == 1


def test_a_large_codebook_takes_no_more_memory_than_its_tiles():
    """65,536 codes for 700 patches: the products together would be 180 MB, a tile is 32."""
    rows = torch.randn(700, 16, requires_grad=True)
    codes = F.normalize(torch.randn(65536, 16), dim=1).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        kept: list[int] = []
        chosen, doubt, use = choose(rows, codes)
    assert max(kept) == codes.numel()  # nothing of [N, V] waits for the backward pass
    (chosen.sum() + doubt - use).backward()
    assert (codes.grad.abs().sum(1) > 0).float().mean() > 0.99
