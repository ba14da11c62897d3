"""A ground so small that arms are trained on it in seconds: twelve scenes of eight objects, 32 codes, a tiny body."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig, PipelineConfig, save_config
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.families.weights import save_weights
from mdm_core.pipeline import Pipeline
from trainer.codec import WEIGHTS, open_codec
from trainer.evidence.credit.ground import Ground, draw
from trainer.evidence.credit.training import TEXT_IDS
from trainer.settings.credit import GroundSettings, RunSettings

BODY = ModelConfig(
    width=32, depth=1, heads=2, kv_heads=2, ffn=32, token_width=32, token_depth=1, token_heads=2, token_ffn=32
)
LATTICE = ImageTokenizerConfig(128, 16, (4, 4, 2), 16, 16, 1, 4)
LEARNED = dataclasses.replace(LATTICE, levels=(), codebook=32, code_width=4)
RUN = RunSettings(steps=4, batch=4, rows=0.5, checks=2, pictures_every=2)


def tiny_codec(folder: Path, config: ImageTokenizerConfig = LATTICE) -> Path:
    """A folder with an image tokenizer of random weights, which tell patches apart."""
    torch.manual_seed(0)
    codec = ImageTokenizer(config)
    with torch.no_grad():
        for p in codec.encoder.parameters():
            p.mul_(4)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(codec, folder / WEIGHTS)
    save_config(PipelineConfig(config, ModelConfig().for_codec(config)), folder / "config.json")
    return folder


def tiny_ground(folder: Path, config: ImageTokenizerConfig = LATTICE, per_tag: int = 2) -> Ground:
    """Drawn by the real command's function, judged by the shipped judge."""
    settings = GroundSettings(
        codec=tiny_codec(folder / "codec", config),
        out=folder / "ground",
        objects=8,
        styles=("flat",),
        scenes=12,
        unseen=4,
        per_tag=per_tag,
        workers=0,
        device="cpu",
    )
    return Ground(draw(settings))


def tiny_model(folder: Path, ground: Ground) -> Path:
    """A model folder with random weights over the tokens of a ground."""
    torch.manual_seed(0)
    codec, text = open_codec(ground.folder), TextTokenizer.load(ground.folder / "text.json", 40)
    config = PipelineConfig(
        ground.codec, dataclasses.replace(BODY, text_vocab_size=TEXT_IDS).for_codec(ground.codec)
    )
    Pipeline.save(folder, codec, MaskedDiffusionTransformer(config.model).eval(), text, config)
    return folder
