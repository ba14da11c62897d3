"""A model folder of ours: config.json, image_tokenizer.safetensors, model.safetensors and text.json."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from mdm_core.facts import Facts, Fingerprint
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.config import PipelineConfig, check_pair, load_config, save_config
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.families.parts import Parts
from mdm_core.families.weights import load_weights, save_weights, stored_weights
from mdm_core.paths import located

CODEC, MODEL, TEXT, CONFIG = "image_tokenizer.safetensors", "model.safetensors", "text.json", "config.json"
M = TypeVar("M", bound=nn.Module)


def open_folder(path: Path, device: torch.device, dtype: torch.dtype | None = None) -> Parts:
    """The parts of a model folder on `device`; ValueError names the file that is missing or does not fit.

    dtype: what the weights are held in, fp32 for None. The fingerprint is that of the file, whatever they are
    narrowed to.
    """
    dtype = dtype or torch.float32
    config, told = load_config(path / CONFIG), Fingerprint()
    narrow = dtype != torch.float32
    codec, model = empty(ImageTokenizer, config.tokenizer), empty(MaskedDiffusionTransformer, config.model)
    for name, module, file in (("codec", codec, CODEC), ("model", model, MODEL)):
        # weights as wide as their file's can be asked later, narrower ones no more
        seen = functools.partial(_tell, told, name) if narrow else None
        load_weights(module, path / file, dtype=dtype, device=device, seen=seen)
    text = TextTokenizer.load(path / TEXT, config.model.text_length)
    if text.vocab_size > config.model.text_vocab_size:
        raise ValueError(f"{path / TEXT} has more ids than the model's text vocabulary")
    codec, model = codec.eval().to(device), model.eval().to(device)
    told.lattice = config.tokenizer.levels
    backbone = TransformerBackbone(model)
    fingerprint = str(told) if narrow else functools.partial(Fingerprint.of, codec, backbone)
    return Parts(codec, text, backbone, config.facts(fingerprint), config)


def facts(path: Path) -> Facts:
    """The facts of a model folder without its weights: those are read when their fingerprint is asked for."""
    config = load_config(path / CONFIG)

    def fingerprint() -> str:
        told = Fingerprint(config.tokenizer.levels)
        for name, file in (("codec", CODEC), ("model", MODEL)):
            for key, values in stored_weights(path / file):
                _tell(told, name, key, values)
        return str(told)

    return config.facts(fingerprint)


def save(
    path: str | Path,
    codec: ImageTokenizer,
    model: MaskedDiffusionTransformer,
    text: TextTokenizer,
    config: PipelineConfig,
    int8: bool = False,
) -> None:
    """Write a model folder that `open_folder` opens."""
    path = located(path)
    check_pair(codec.config, model.config)
    path.mkdir(parents=True, exist_ok=True)
    save_weights(codec, path / CODEC)
    save_weights(model, path / MODEL, int8=int8)
    text.save(path / TEXT)
    save_config(config, path / CONFIG)


def empty(kind: Callable[[Any], M], config: Any) -> M:
    """A module without numbers, for `load_weights` to fill: no time goes into random ones, and no memory."""
    with torch.device("meta"):
        module = kind(config)
    for part in module.modules():
        reset = getattr(part, "reset_buffers", None)
        if reset is not None:
            reset()
    return module


def _tell(told: Fingerprint, part: str, name: str, values: torch.Tensor) -> None:
    told.add(f"{part}.{name}", values)
