"""The image tokenizer of a model folder, opened by itself: what training, tokens and evidence need of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from mdm_core.families.chisel.config import ModelConfig, check_pair, load_config
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.weights import load_weights

WEIGHTS = "image_tokenizer.safetensors"


def open_codec(
    folder: Path,
    device: str | torch.device = "cpu",
    model: ModelConfig | None = None,
    levels: tuple[int, ...] | None = None,
) -> ImageTokenizer:
    """The image tokenizer of a folder, ready to encode and decode on `device`.

    model: that is to be trained on its tokens. levels: of the lattice, instead of those it was trained with.
    ValueError names the file that is missing or damaged, or what of codec and model does not fit.
    """
    config = load_config(folder / "config.json").tokenizer
    if levels is not None:
        config = dataclasses.replace(config, levels=tuple(levels))
    if model is not None:
        if (config.vocab_size, config.grid) != (model.vocab_size, model.grid):
            raise ValueError(
                f"the image tokenizer in {folder} has {config.vocab_size} codes on a grid of {config.grid}, the "
                f"recipe's model {model.vocab_size} on {model.grid}: choose another --codec or set model.vocab_size, "
                "model.code_levels and model.grid"
            )
        check_pair(config, model)
    codec = ImageTokenizer(config)
    load_weights(codec, folder / WEIGHTS)
    return codec.eval().to(device)
