"""A folder of Halton-MaskGIT, as `python -m mdm_core.families.halton` makes it of its published files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mdm_core.device import fast_dtype
from mdm_core.facts import Facts, Fingerprint
from mdm_core.families.halton.classes import card, find
from mdm_core.families.halton.config import FAMILY, HaltonConfig, load_config
from mdm_core.families.halton.transformer import MaskGIT, MaskGITBackbone
from mdm_core.families.parts import Parts
from mdm_core.families.published.folder import filled
from mdm_core.families.published.ibq import IBQ
from mdm_core.families.weights import stored_weights
from mdm_core.hub.card import licence

MODEL, CODEC = "model.safetensors", "tokenizer.safetensors"
EXAMPLES = ("goldfish", "tiger cat", "castle", "espresso", "hot pot", "balloon", "lakeside")


class ClassPrompts:
    """The `PromptEncoder`: a class by its name."""

    def __init__(self, classes: int):
        self.classes = classes

    def encode(self, prompts: list[str]) -> Tensor:
        """B prompts -> classes int64 [B]; ValueError where one names none."""
        found = [find(prompt) for prompt in prompts]
        for prompt, number in zip(prompts, found, strict=True):
            if number >= self.classes:
                raise ValueError(
                    f"this model knows {self.classes} classes, and {prompt!r} is number {number}"
                )
        return torch.tensor(found)


def open_folder(path: Path, device: torch.device, dtype: torch.dtype | None = None) -> Parts:
    """The parts of a model folder on `device`; ValueError names the file that is missing or does not fit.

    dtype: what the weights are held and multiplied in; None is bf16 where the device is fast in it, else fp32. The
        encoder of pictures and the codebook stay in fp32, see `IBQ`.
    """
    config = load_config(path)
    dtype = dtype or fast_dtype(device)
    files = [_there(path / name) for name in (MODEL, CODEC)]
    model = filled(lambda: MaskGIT(config.model), files[0], device, dtype)
    codec = filled(lambda: IBQ(config.tokenizer, config.model.input_size), files[1], device, torch.float32)
    codec.decoder.to(dtype)
    codec.post_quant_conv.to(dtype)
    prompts = ClassPrompts(config.model.classes)
    return Parts(codec, prompts, MaskGITBackbone(model), _facts(path, config), config)


def facts(path: Path) -> Facts:
    """The facts of a model folder without its weights: those are read when their fingerprint is asked for."""
    return _facts(path, load_config(path))


def _there(file: Path) -> Path:
    if not file.is_file():
        raise ValueError(f"{file} is missing from the model folder")
    return file


def _fingerprint(path: Path) -> Callable[[], str]:
    """What tells these weights from others, once somebody asks."""

    def read() -> str:
        told = Fingerprint()
        for part, name in (("codec", CODEC), ("model", MODEL)):
            for key, values in stored_weights(path / name, ours=False):
                told.add(f"{part}.{key}", values)
        return str(told)

    return read


def _facts(path: Path, config: HaltonConfig) -> Facts:
    side, patch, V = config.model.input_size, config.tokenizer.patch, config.model.codebook_size
    return Facts(
        name=f"Halton-MaskGIT {side * patch}",
        family=FAMILY,
        grid=(side, side),
        patch=patch,
        vocab_size=V,
        mask_id=V,
        defaults={
            "steps": 32,
            "guidance": config.model.guidance,
            "temperature": 1.0,
            "order": "halton",
            "schedule": "arccos",
            "gumbel": 0.0,
            # the tokens that it saw in training were never wrong: it did not learn to doubt them
            "edit": "off",
            "polish": 0,
        },
        revises=False,
        examples=EXAMPLES,
        licence=licence(path) or "MIT",
        fingerprint=_fingerprint(path),
        card=card(config.model.classes),
    )
