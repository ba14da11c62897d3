"""The weights that ship: the tokenizer's promises on unseen scenes, and pictures that show what the prompt names."""

import json

import numpy as np
import pytest
import torch

from mdm_core.pipeline import SHIPPED, Pipeline
from trainer.codec import open_codec
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.render import SpriteBank, render
from trainer.scenes.generator import ONE, SceneObject
from trainer.tokenizer.fidelity import fidelity
from trainer.tokenizer.measure import consistency, one_sprite, scenes

OBJECTS = ("strawberry", "panda", "banana", "penguin", "soccer ball", "cactus", "rocket", "umbrella")


@pytest.fixture(scope="module")
def pipe():
    return Pipeline.from_pretrained()


@pytest.fixture(scope="module")
def bank():
    return SpriteBank(Atlas.load(), n_objects=40, styles=["flat", "cartoon", "simple"])


def test_size_and_card():
    assert sum(f.stat().st_size for f in SHIPPED.iterdir()) < 40 * 2**20
    card = json.loads((SHIPPED / "config.json").read_text())["card"]
    assert len(card["objects"]) >= 60 and len(card["styles"]) >= 3


def test_round_trip_of_unseen_scenes(bank):
    assert fidelity(open_codec(SHIPPED), scenes(Atlas.load(), bank, 64))["psnr_db"] >= 27


def test_tokens_mean_the_same_everywhere(bank):
    kept = consistency(open_codec(SHIPPED), bank, 24)
    assert kept["kept_place"] >= 0.98 and kept["kept_background"] >= 0.95
    assert kept["cells_background"] > 500  # the shares are over real cells


def test_pictures_show_what_the_prompt_names(pipe, bank):
    """The nearest of all templates (8 objects x 3 styles x every place and size) is one of the named object."""
    lavender = 12
    rows, templates = [], []
    for name in OBJECTS:
        for style in bank.styles:
            for size, ((x, y),) in sorted(set(ONE)):
                batch = one_sprite(np.array([bank.index(name, style)]), np.array([lavender]), size, (x, y))
                templates.append(render(batch, bank))
                rows.append(name)
    templates = small(torch.cat(templates))
    right = 0
    for i, name in enumerate(OBJECTS):
        image = pipe.generate(f"a {name} on a lavender background", seed=i).image
        distance = (templates - small(torch.from_numpy(np.array(image))[None])).square().mean((1, 2, 3))
        right += rows[int(distance.argmin())] == name
    assert right >= 7, f"{right} of {len(OBJECTS)}"


def small(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(images.permute(0, 3, 1, 2).float(), 4)


def test_guided_editing_heals_broken_tokens(pipe):
    """Break a tenth of a finished picture's tokens; healing must bring most of the damage in pixels back."""
    prompt = "a strawberry on a lavender background"
    whole = pipe.generate(prompt, seed=3).tokens
    rng = np.random.default_rng(0)
    where = rng.choice(256, 26, replace=False)
    broken = whole.reshape(-1).copy()
    broken[where] = rng.integers(0, pipe.vocab_size, 26)
    healed = pipe.heal(broken.reshape(16, 16), prompt).tokens
    before, after = (
        np.square(np.asarray(pipe.decode(t), float) - np.asarray(pipe.decode(whole), float)).mean()
        for t in (broken.reshape(16, 16), healed)
    )
    assert after < 0.3 * before


def test_places_of_the_atlas_are_what_the_test_assumes():
    from trainer.scenes.colours import BACKGROUNDS

    assert BACKGROUNDS[12].name == "lavender"
    assert SceneObject("a", None, 96, 0, 0).size == 96
