"""A family of models that shares nothing with ours: what the protocols allow, and nothing that they do not ask for.

A rectangular grid of 2x8 cells of 4 pixels, 27 codes without a lattice, a mask token with an id of its own, a head
with a bias, a condition that is a dict with a nested tuple, a negative prompt, and a clock. Pictures come out of
random tables, so that they depend on prompt, seed, guidance, negative prompt, clock and bias.
"""

from __future__ import annotations

import json
from functools import partial

import torch

from mdm_core.facts import Facts, Fingerprint
from mdm_core.families.parts import Parts
from mdm_core.pipeline import Pipeline

V, GRID, PATCH, OWN_MASK = 27, (2, 8), 4, 30
DEFAULTS = {"steps": 5, "guidance": 3.0, "temperature": 1.0, "edit": "off", "polish": 0}


class StripeCodec:
    """27 colours, one a patch of 4x4 pixels: three grey levels a channel. Decodes whole grids alone."""

    vocab_size, grid, patch = V, GRID, PATCH

    def encode(self, images):
        B, H, W, _ = images.shape
        assert (H, W) == (8, 32) and images.dtype == torch.uint8
        mean = images.float().view(B, 2, 4, 8, 4, 3).mean((2, 4))  # [B, 2, 8, 3]
        return ((mean / 127.5).round().long() * torch.tensor([1, 3, 9])).sum(-1)

    def decode(self, ids):
        assert ids.shape[1:] == GRID and ids.dtype == torch.int64
        assert int(ids.min()) >= 0 and int(ids.max()) < V  # a mask token never gets here
        colour = torch.stack([ids % 3, ids // 3 % 3, ids // 9], -1) * 127
        return colour.to(torch.uint8).repeat_interleave(4, 1).repeat_interleave(4, 2)


class BookCodec(StripeCodec):
    """The same with a codebook, as vector quantisers have one, but no lattice."""

    def codebook(self):
        ids = torch.arange(V)
        return torch.stack([ids % 3, ids // 3 % 3, ids // 9], -1).float()


class Letters:
    """Prompts as letters counted: {"pooled": [B, 5], "rest": ([B, 3, 5], a text for all)}."""

    negative = "u"

    def encode(self, prompts, negative=None):
        assert negative is not None  # who has one is told which
        if any("#" in p for p in (*prompts, negative)):
            raise ValueError("the prompt holds a #")
        counts = torch.tensor([[p.count(c) for c in "aeiou"] for p in prompts]).float()
        away = torch.tensor([negative.count(c) for c in "aeiou"]).float().expand(len(prompts), 5)
        return {"pooled": counts, "away": away, "rest": (counts[:, None].repeat(1, 3, 1), "letters")}


class Table:
    """Hidden states looked up: of the cell's token, its place, the prompt and the time."""

    mask_id = OWN_MASK

    def __init__(self, seed: int = 0):
        g = torch.Generator().manual_seed(seed)
        self.head_weight = torch.randn(V, 6, generator=g)
        self.head_bias = torch.randn(V, generator=g)
        self.embed = torch.randn(OWN_MASK + 1, 6, generator=g)
        self.place = torch.randn(16, 6, generator=g)
        self.times: list[float] = []  # that it was told, picture by picture

    def hidden(self, tokens, condition, guidance, progress):
        B = len(tokens)
        assert tokens.shape == (B, 16) and ((tokens < V) | (tokens == OWN_MASK)).all()
        assert condition["rest"][0].shape == (B, 3, 5) and condition["rest"][1] == "letters"
        assert progress.shape == (B,) and torch.allclose(progress, (tokens < V).float().mean(1))
        self.times += progress.tolist()
        own = self.embed[tokens] * (1 + progress[:, None, None])
        base = own + own.mean(1, keepdim=True) + self.place
        letters, away = (condition[k].sum(1)[:, None, None] * self.place.flip(0) for k in ("pooled", "away"))
        return (1 + guidance) * (base + letters) - guidance * (base + away)


def told(**changes) -> Facts:
    """Facts of this family."""
    given = {
        "name": "Stripes",
        "family": "stripes",
        "grid": GRID,
        "patch": PATCH,
        "vocab_size": V,
        "mask_id": V,
        "defaults": DEFAULTS,
        "examples": ("a tree", "oo"),
        "licence": "CC0-1.0",
    }
    return Facts(**{**given, **changes})


def fake_parts(seed: int = 0, codec: StripeCodec | None = None) -> Parts:
    """Parts as an opener gives them; another seed is another model of the same shape."""
    codec, backbone = codec or StripeCodec(), Table(seed)
    return Parts(codec, Letters(), backbone, told(fingerprint=partial(Fingerprint.of, codec, backbone)))


def fake_pipeline(seed: int = 0, codec: StripeCodec | None = None) -> Pipeline:
    """The family as the page and the library are given it."""
    return Pipeline(*fake_parts(seed, codec))


# ---- as a module of `mdm_core.families.FAMILIES` ---------------------------------------------------------


def open_folder(path, device, dtype):
    """A folder whose config.json holds {"family": "stripes", "seed": n}."""
    return fake_parts(json.loads((path / "config.json").read_text())["seed"])


def facts(path):
    return told()
