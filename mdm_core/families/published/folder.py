"""Folders in the layout of diffusers: a folder for each part, with its weights as safetensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from mdm_core.facts import Fingerprint
from mdm_core.families.published.clip import ClipText
from mdm_core.families.published.config import ClipConfig
from mdm_core.families.published.prompts import ClipPrompts, ClipTokenizer
from mdm_core.families.weights import load_weights, stored_weights

M = TypeVar("M", bound=nn.Module)
TRANSFORMER, VQVAE, TEXT = (
    "transformer/diffusion_pytorch_model",
    "vqvae/diffusion_pytorch_model",
    "text_encoder/model",
)
# counted up when it is loaded: early files hold it, later ones do not
_UNNEEDED = frozenset({"text_model.embeddings.position_ids"})
_PICKLES = {".bin", ".pt", ".pth", ".ckpt"}


def weights_file(path: Path, stem: str, dtype: torch.dtype) -> Path:
    """The safetensors file of a part: the one of 16 bits where that is what it becomes or all that there is."""
    full, half = path / f"{stem}.safetensors", path / f"{stem}.fp16.safetensors"
    for file in (full, half) if dtype == torch.float32 else (half, full):
        if file.is_file():
            return file
    if any(file.suffix in _PICKLES for file in full.parent.glob("*")):
        raise ValueError(
            f"{full} is missing, and the weights beside it are pickles, which can run any program: "
            "take a copy of the model with .safetensors files"
        )
    raise ValueError(f"{full} is missing from the model folder")


def filled(build: Callable[[], M], file: Path, device: torch.device, dtype: torch.dtype) -> M:
    """A module whose parameters are the file's own tensors: nothing is made at random first, or held twice."""
    with torch.device("meta"):
        module = build()
    load_weights(module, file, dtype=dtype, device=device, unneeded=_UNNEEDED, ours=False)
    return module.eval().requires_grad_(False)


def prompt_encoder(
    path: Path, config: ClipConfig, device: torch.device, dtype: torch.dtype, **more: Any
) -> ClipPrompts:
    """Tokenizer and text encoder of a folder; more: as `ClipPrompts` takes it."""
    file = weights_file(path, TEXT, dtype)
    tokenizer = ClipTokenizer.load(path / "tokenizer", config.max_position_embeddings)
    if tokenizer.largest >= config.vocab_size:
        raise ValueError(f"{path / 'tokenizer'} has more ids than the text encoder")
    return ClipPrompts(tokenizer, filled(functools.partial(ClipText, config), file, device, dtype), **more)


def fingerprint(path: Path) -> Callable[[], str]:
    """What tells these weights from others, once somebody asks: of the files, so the same in fp32 and bf16."""
    files = {
        part: weights_file(path, stem, torch.float32)
        for part, stem in (("codec", VQVAE), ("model", TRANSFORMER))
    }

    def read() -> str:
        told = Fingerprint()
        for part, file in files.items():
            for name, values in stored_weights(file, ours=False):
                told.add(f"{part}.{name}", values)
        return str(told)

    return read
