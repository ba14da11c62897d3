"""Whole objects as regions: training masks the cells of one thing of a scene, and nothing beyond them."""

import numpy as np
import pytest
import torch

from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.families.chisel.config import ModelConfig
from mdm_core.pipeline import SHIPPED
from trainer.engine import step
from trainer.engine.loop import Trainer
from trainer.engine.parallel import open_device
from trainer.engine.step import one_thing
from trainer.recipes.recipe import Recipe
from trainer.scenes.repaint import regions_of
from trainer.scenes.source import SceneDataConfig

SMALL = dict(width=32, heads=2, kv_heads=2, depth=1, ffn=32, token_width=32, token_heads=2, token_ffn=32)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A run on scenes of the emoji world with the shipped image tokenizer; the share of regions is its argument."""

    def make(region, batch=24):
        recipe = Recipe(
            model=ModelConfig(text_length=40, **SMALL),
            data=SceneDataConfig(n_objects=8, batch_size=batch),
            corruption=CorruptionConfig(region=region),
            steps=1,
            precision="fp32",
        )
        run = Trainer(recipe, SHIPPED, tmp_path_factory.mktemp("run"), open_device("cpu"))
        run.stream = (run.source.batch(i) for i in range(9))
        return run

    return make


def test_one_thing_of_each_picture_every_one_as_likely():
    things = torch.zeros(3000, 4, 9, dtype=torch.bool)
    for slot in (0, 2, 3):
        things[:, slot, 2 * slot] = True
    things[0] = False
    chosen = one_thing(things, torch.Generator().manual_seed(1))
    assert not chosen[0].any() and (chosen[1:].sum(1) == 1).all()
    share = chosen.float().mean(0)
    assert torch.allclose(share[[0, 4, 6]], torch.full((3,), 1 / 3), atol=0.03)
    assert torch.equal(chosen, one_thing(things, torch.Generator().manual_seed(1)))


def test_the_cells_of_a_thing_are_those_that_it_and_its_shadow_touch(build):
    run = build(1.0)
    things = run.draw().things
    scenes = run.source.batch(0).scenes
    corners = regions_of(scenes, run.source.scenes.spec)
    assert things.shape == (24, 4, 256)
    for scene, slot in np.ndindex(24, 4):
        left, top, right, bottom = corners[scene, slot]
        cells = torch.zeros(128, 128, dtype=torch.bool)
        cells[top:bottom, left:right] = True
        touched = cells.view(16, 8, 16, 8).any(3).any(1).flatten()
        assert torch.equal(things[scene, slot], touched)
        assert touched.any() == (scenes.sprite[scene, slot] >= 0)


def test_half_of_the_regions_are_a_whole_thing(build, monkeypatch):
    run, seen = build(1.0), []
    corrupt = step.corrupt
    monkeypatch.setattr(step, "corrupt", lambda *a, **k: seen.append(corrupt(*a, **k)) or seen[-1])
    run.net.objective = lambda hidden, *rest: hidden.sum()
    whole = 0
    for seed in range(8):
        x0, text, things = run.draw()
        run.net(x0, text, seed, False, things)
        changed = seen[-1].zt != x0
        inside = (changed[:, None] & ~things).sum(2) == 0  # [B, S]
        whole += int((inside & things.any(2)).any(1).sum())
    # a region of another shape may lie in a thing's too, or the box of a thing cover nearly all
    assert 0.45 < whole / (8 * 24) < 0.75


def test_without_regions_nothing_is_drawn_for_them(build):
    run = build(0.0, 2)
    x0, text, things = run.draw()
    assert things is None
    assert torch.equal(run.net(x0, text, 5), build(0.0, 2).net(x0, text, 5))
