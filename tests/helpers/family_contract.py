"""The contract of a family, whatever it is: all that the core does with a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdm_core.diffusion.trajectory import Trajectory
from mdm_core.explain import outlook
from mdm_core.pipeline import Pipeline
from mdm_core.protocols import Backbone, ImageCodec, PromptEncoder

SETTINGS: dict[str, Any] = dict(steps=4, polish=2, edit="overwrite", edit_threshold=0.05, edit_budget=0.5)


def run_contract(pipe: Pipeline, prompt: str, other: str, folder: Path) -> None:
    """Whatever the family: all that the core does with a model."""
    (h, w), V, p = pipe.grid, pipe.vocab_size, pipe.patch
    settings: dict[str, Any] = {**SETTINGS, "edit_threshold": 0.0}
    assert isinstance(pipe.codec, ImageCodec) and isinstance(pipe.prompts, PromptEncoder)
    assert isinstance(pipe.backbone, Backbone) and pipe.image_size == pipe.facts.image_size == (h * p, w * p)

    run = pipe.generate(prompt, seed=3, **settings)
    assert run.tokens.shape == (h, w) and (run.tokens < V).all() and run.image.size == (w * p, h * p)
    assert run.image_at(0).getpixel((0, 0)) == (201, 196, 188)  # masked
    assert not np.array_equal(run.tokens, pipe.generate(prompt, seed=4, **settings).tokens)
    assert np.array_equal(list(pipe.stream(prompt, seed=3, **settings))[-1].tokens, run.tokens.reshape(-1))

    many = pipe.generate_batch([prompt, other, prompt], [3, 3, 4], **settings)
    for got, text, seed in zip(many, (prompt, other, prompt), (3, 3, 4), strict=True):
        assert np.array_equal(got.tokens, pipe.generate(text, seed=seed, **settings).tokens)
    assert not np.array_equal(many[0].tokens, many[1].tokens)  # prompts matter

    cells = np.zeros((h, w), bool)
    cells[0, : w // 2] = True
    painted = pipe.repaint(run.image, cells, other, seed=5, **settings)
    assert np.array_equal(painted.tokens[~cells], pipe.encode(run.image)[~cells])
    outside = ~np.kron(cells, np.ones((p, p), bool))
    assert np.array_equal(np.asarray(painted.image)[outside], np.asarray(run.image)[outside])

    broken = run.tokens.copy()
    broken[0] = (broken[0] + 5) % V
    healed = pipe.heal(broken, prompt, region=range(w), edit_threshold=0.0)
    assert np.array_equal(healed.tokens[1:], broken[1:]) and healed.n_edits > 0

    for index in (1, 2):
        for cell in range(h * w):
            seen = outlook.candidates(pipe, run, index, cell, k=3)
            assert seen.p == pytest.approx(run.records[index].confidence[cell], abs=2e-5)
            assert seen.entropy == pytest.approx(run.records[index].entropy[cell], abs=2e-4)
    assert outlook.patches_in_place(pipe, run.records[1].tokens, h * w - 1, [1, 2]).shape == (2, p, p, 3)
    assert outlook.patches_alone(pipe, [0, 1]).shape == (2, p, p, 3)

    run.save(folder / "run.json")
    again = Trajectory.load(folder / "run.json")
    assert again.grid == pipe.grid and np.array_equal(again.tokens, run.tokens)
    assert again.settings == json.loads(json.dumps(run.settings))
