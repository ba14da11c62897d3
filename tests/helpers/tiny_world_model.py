"""A model and a judge of the world at 256 pixels with random weights, as folders: small enough to draw in a test."""

import dataclasses
import json

import torch
from tiny_model import TINY_LEVELS, tiny_config
from tiny_world import STYLES

from mdm_core.families.chisel.config import ImageTokenizerConfig, PipelineConfig
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.pipeline import Pipeline
from trainer.judge.detector import Detector, save_quantised, sha256

WIDTHS = (8, 16, 24, 24)
# of prompts, which a vocabulary of a few words spells letter by letter
LENGTH = 128


def build_model(folder, objects):
    """A model folder whose card says what it knows and of which world."""
    torch.manual_seed(0)
    tiny = tiny_config()
    codec = ImageTokenizerConfig(256, 8, TINY_LEVELS, 32, 16, 1)
    card = {"world": "world_256", "objects": list(objects), "styles": list(STYLES)}
    model = dataclasses.replace(tiny.model, grid=codec.grid, text_length=LENGTH)
    config = PipelineConfig(tokenizer=codec, model=model, card=card)
    text = TextTokenizer.train(["a cat on a red background", "two dogs"] * 3, vocab_size=300, length=LENGTH)
    parts = ImageTokenizer(codec).eval(), MaskedDiffusionTransformer(model).eval(), text
    Pipeline.save(folder, *parts, config)
    return folder


def build_judge(folder, objects, **told):
    """A judge folder; `told`: what its card says beside the necessary."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    save_quantised(Detector(len(objects), WIDTHS), folder / "verifier.safetensors")
    card = {
        "world": "world_256",
        "widths": list(WIDTHS),
        "objects": list(objects),
        "place_above": 0.3,
        "name_above": 0.5,
        "sha256": sha256(folder / "verifier.safetensors"),
        **told,
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder
