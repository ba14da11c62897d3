"""A family of parts that shares nothing with ours runs through the whole pipeline: the protocols tell the truth."""

import numpy as np
import pytest
import torch
from PIL import Image

from mdm_core.config import ModelConfig, PipelineConfig
from mdm_core.diffusion.trajectory import Trajectory
from mdm_core.explain import outlook
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.pipeline import Pipeline, TransformerBackbone
from mdm_core.protocols import Backbone, ImageCodec, PromptEncoder
from mdm_core.settings import SCHEDULES, SampleConfig

V, GRID, PATCH, OWN_MASK = 27, (2, 8), 4, 30


class StripeCodec:
    """27 colours, one a patch of 4x4 pixels, on a grid of 2x8: three grey levels a channel."""

    vocab_size, grid, patch = V, GRID, PATCH

    def encode(self, images):
        B, H, W, _ = images.shape
        assert (H, W) == (8, 32) and images.dtype == torch.uint8
        mean = images.float().view(B, 2, 4, 8, 4, 3).mean((2, 4))  # [B, 2, 8, 3]
        return ((mean / 127.5).round().long() * torch.tensor([1, 3, 9])).sum(-1)

    def decode(self, ids):
        assert int(ids.min()) >= 0 and int(ids.max()) < V  # a mask token never gets here
        colour = torch.stack([ids % 3, ids // 3 % 3, ids // 9], -1) * 127
        return colour.to(torch.uint8).repeat_interleave(4, 1).repeat_interleave(4, 2)


class Letters:
    """Prompts as a condition [B, 3, 5]: letters counted in three ways."""

    def encode(self, prompts):
        if any("#" in p for p in prompts):
            raise ValueError("the prompt holds a #")
        counts = [[p.count(c) for c in "aeiou"] for p in prompts]
        return torch.tensor(counts).float()[:, None, :].repeat(1, 3, 1)


class Table:
    """Hidden states looked up; its own mask token has another id than V, and it counts rows of its condition."""

    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.head_weight = torch.randn(V, 6, generator=g)
        self.embed = torch.randn(OWN_MASK + 1, 6, generator=g)
        self.place = torch.randn(16, 6, generator=g)

    def hidden(self, tokens, condition, guidance):
        assert tokens.shape == (len(condition), 16) and condition.shape[1:] == (3, 5)
        own = torch.where(tokens == V, OWN_MASK, tokens)
        base = self.embed[own] + self.embed[own].mean(1, keepdim=True) + self.place
        return base + (1 + guidance) * condition.mean(1).sum(1)[:, None, None] * self.place.flip(0)


@pytest.fixture
def pipe():
    return Pipeline(StripeCodec(), Letters(), Table())


SETTINGS = dict(steps=4, polish=2, edit_threshold=0.05, edit_budget=0.5)


def test_the_parts_are_parts(pipe):
    assert isinstance(pipe.codec, ImageCodec) and isinstance(pipe.prompts, PromptEncoder)
    assert isinstance(pipe.backbone, Backbone)
    assert pipe.grid == GRID and pipe.patch == PATCH and pipe.image_size == (8, 32)
    assert outlook.group_sizes(pipe.config) == []  # our lattice is not claimed for it


def test_generate_stream_and_batch(pipe, tmp_path):
    run = pipe.generate("a tree", seed=3, **SETTINGS)
    assert run.tokens.shape == GRID and run.image.size == (32, 8) and (run.tokens < V).all()
    assert run.image_at(0).getpixel((0, 0)) == (201, 196, 188)
    assert np.array_equal(list(pipe.stream("a tree", seed=3, **SETTINGS))[-1].tokens, run.tokens.reshape(-1))
    many = pipe.generate_batch(["a tree", "oo", "a tree"], [3, 3, 4], **SETTINGS)
    for got, prompt, seed in zip(many, ("a tree", "oo", "a tree"), (3, 3, 4), strict=True):
        assert np.array_equal(got.tokens, pipe.generate(prompt, seed=seed, **SETTINGS).tokens)
    assert not np.array_equal(many[0].tokens, many[1].tokens)
    run.save(tmp_path / "x.json")
    assert Trajectory.load(tmp_path / "x.json").grid == GRID
    with pytest.raises(ValueError, match="holds a #"):
        pipe.generate("#")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_orders_and_schedules_on_a_rectangle(pipe, schedule):
    run = pipe.generate("a", seed=1, steps=5, order="halton", schedule=schedule)
    assert (run.tokens < V).all()


def test_repaint_on_a_picture_of_another_shape(pipe):
    """The model's frame is 4:1, so a square loses most of its height, and its mask with it."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
    mask = Image.new("L", (96, 96))
    mask.paste(255, (36, 36, 48, 48))  # kept are rows 36..60: one row of cells, columns 3
    run = pipe.repaint(picture, mask, "oo", seed=2, **SETTINGS)
    fitted, cells = pipe.fit(picture), np.zeros(GRID, bool)
    cells[0, 3] = True
    assert fitted.size == (32, 8)
    assert np.array_equal(run.tokens[~cells], pipe.encode(picture)[~cells])
    outside = ~np.kron(cells, np.ones((4, 4), bool))
    assert np.array_equal(np.asarray(run.image)[outside], np.asarray(fitted)[outside])


def test_heal_and_decode_and_the_outlook(pipe):
    tokens = pipe.generate("a tree", seed=1, **SETTINGS).tokens
    broken = tokens.copy()
    broken[0] = (broken[0] + 5) % V
    run = pipe.heal(broken, "a tree", region=range(8), edit_threshold=0.0)
    assert np.array_equal(run.tokens[1], broken[1]) and run.n_edits > 0
    assert [i.size for i in pipe.decode(np.stack([tokens, tokens]))] == [(32, 8)] * 2
    assert np.array_equal(pipe.encode(pipe.decode(tokens)), tokens)
    told = outlook.candidates(pipe, run, 1, 3)
    assert told.p == pytest.approx(run.records[1].confidence[3], abs=1e-5)
    assert outlook.patches_in_place(pipe, tokens, 9, [1, 2]).shape == (2, 4, 4, 3)


def test_batches_take_what_each_picture_starts_from(pipe):
    tokens = pipe.generate("a tree", seed=1, **SETTINGS).tokens
    hole = tokens.copy()
    hole[:, :4] = V
    regions = [None, [0, 1, 2, 3, 8, 9, 10, 11]]
    free, kept = pipe.generate_batch(["oo", "oo"], [7, 7], tokens=[None, hole], region=regions, **SETTINGS)
    assert np.array_equal(kept.tokens[:, 4:], tokens[:, 4:])
    alone = pipe.generate("oo", seed=7, tokens=hole, region=regions[1], **SETTINGS)
    assert np.array_equal(alone.tokens, kept.tokens)
    assert np.array_equal(free.tokens, pipe.generate("oo", seed=7, **SETTINGS).tokens)


class Mute:
    """A codec that does not say how its pictures lie."""

    vocab_size = V
    encode, decode = StripeCodec.encode, StripeCodec.decode


def test_what_does_not_fit_is_refused_in_one_sentence(tiny):
    with pytest.raises(ValueError, match="must say its grid"):
        Pipeline(Mute(), Letters(), Table())
    short = Table()
    short.head_weight = short.head_weight[:-1]
    with pytest.raises(ValueError, match="27 codes and the backbone's head 26"):
        Pipeline(StripeCodec(), Letters(), short)
    two = type("Two", (), {"encode": lambda self, prompts: (torch.zeros(1, 3, 5), torch.zeros(1, 2))})()
    with pytest.raises(ValueError, match="one tensor"):
        Pipeline(StripeCodec(), two, Table()).generate("a")


def test_our_codec_and_backbone_must_share_the_lattice(tiny):
    other = tiny.codec.config.__class__(**{**vars(tiny.codec.config), "levels": (2, 4, 4)})
    with pytest.raises(
        ValueError, match=r"lattice of the codes: levels \(2, 4, 4\), and code_levels \(4, 4, 2\)"
    ):
        Pipeline(ImageTokenizer(other), tiny.prompts, TransformerBackbone(tiny.backbone.model))


def test_without_a_configuration_our_own_parts_say_all(tiny):
    pipe = Pipeline(tiny.codec, tiny.prompts, tiny.backbone)
    assert pipe.config == PipelineConfig(tiny.config.tokenizer, tiny.config.model, SampleConfig())
    assert pipe.grid == (4, 4) and pipe.config.model != ModelConfig()
