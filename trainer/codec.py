"""The image tokenizer of a model folder, opened by itself: what training, tokens and evidence need of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from mdm_core.families.chisel.config import load_config
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.weights import load_weights

WEIGHTS = "image_tokenizer.safetensors"


def open_codec(
    folder: Path,
    device: str | torch.device = "cpu",
    levels: tuple[int, ...] | None = None,
) -> ImageTokenizer:
    """The image tokenizer of a folder, ready to encode and decode on `device`.

    levels: of the lattice, instead of those it was trained with. ValueError names the file that is missing or damaged.
    """
    config = load_config(folder / "config.json").tokenizer
    if levels is not None:
        config = dataclasses.replace(config, levels=tuple(levels))
    codec = ImageTokenizer(config)
    load_weights(codec, folder / WEIGHTS)
    return codec.eval().to(device)
