"""A folder of aMUSEd in the layout of diffusers: model_index.json, and a folder each for what it names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from mdm_core.device import fast_dtype
from mdm_core.facts import Facts, Fingerprint
from mdm_core.families.amused.backbone import UViTBackbone
from mdm_core.families.amused.clip import ClipText
from mdm_core.families.amused.config import AmusedConfig, load_config
from mdm_core.families.amused.prompts import ClipPrompts, ClipTokenizer
from mdm_core.families.amused.uvit import UViT
from mdm_core.families.amused.vqgan import VQGAN
from mdm_core.families.parts import Parts
from mdm_core.families.weights import load_weights, stored_weights
from mdm_core.hub.card import licence

FAMILY = "amused"
M = TypeVar("M", bound=nn.Module)
TRANSFORMER, VQVAE, TEXT = (
    "transformer/diffusion_pytorch_model",
    "vqvae/diffusion_pytorch_model",
    "text_encoder/model",
)
# counted up when it is loaded: early files hold it, later ones do not
_UNNEEDED = frozenset({"text_model.embeddings.position_ids"})
_PICKLES = {".bin", ".pt", ".pth", ".ckpt"}
# ours; photographs, paintings and drawings are what these weights were trained on
EXAMPLES = (
    "a red fox in the snow, oil painting",
    "a lighthouse on a cliff at dusk",
    "a bowl of cherries on a wooden table, photograph",
    "a paper boat on a calm lake, watercolour",
    "an old tram in the rain, pencil drawing",
)


def open_folder(path: Path, device: torch.device, dtype: torch.dtype | None = None) -> Parts:
    """The parts of a model folder on `device`; ValueError names the file that is missing or does not fit.

    dtype: what the weights are held and multiplied in; None is bf16 where the device is fast in it, else fp32.
    """
    config = load_config(path)
    dtype = dtype or fast_dtype(device)
    files = [weights_file(path, stem, dtype) for stem in (TRANSFORMER, VQVAE, TEXT)]
    tokenizer = ClipTokenizer.load(path / "tokenizer", config.text.max_position_embeddings)
    if tokenizer.largest >= config.text.vocab_size:
        raise ValueError(f"{path / 'tokenizer'} has more ids than the text encoder")
    model = _filled(functools.partial(UViT, config.transformer), files[0], device, dtype)
    codec = _filled(
        functools.partial(VQGAN, config.vqvae, config.transformer.sample_size), files[1], device, dtype
    )
    text = _filled(functools.partial(ClipText, config.text), files[2], device, dtype)
    backbone = UViTBackbone(model, config.scheduler.mask_token_id, config.vqvae.patch)
    told = _facts(path, config, files[1], files[0])
    return Parts(codec, ClipPrompts(tokenizer, text), backbone, told, config)


def facts(path: Path) -> Facts:
    """The facts of a model folder without its weights: those are read when their fingerprint is asked for."""
    config = load_config(path)
    return _facts(path, config, *(weights_file(path, stem, torch.float32) for stem in (VQVAE, TRANSFORMER)))


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


def _filled(build: Callable[[], M], file: Path, device: torch.device, dtype: torch.dtype) -> M:
    """A module whose parameters are the file's own tensors: nothing is made at random first, or held twice."""
    with torch.device("meta"):
        module = build()
    load_weights(module, file, dtype=dtype, device=device, unneeded=_UNNEEDED, ours=False)
    return module.eval().requires_grad_(False)


def _facts(path: Path, config: AmusedConfig, codec: Path, model: Path) -> Facts:
    side, patch = config.transformer.sample_size, config.vqvae.patch
    steps = 12
    return Facts(
        name=f"aMUSEd {side * patch}",
        family=FAMILY,
        grid=(side, side),
        patch=patch,
        vocab_size=config.vqvae.num_vq_embeddings,
        mask_id=config.vqvae.num_vq_embeddings,
        defaults={
            "steps": steps,
            "guidance": 9.0,  # published as 10, see `UViTBackbone`
            "temperature": 1.0,
            "schedule": config.scheduler.masking_schedule,
            # noise of 2 at the first step, 0 at the last
            "gumbel": 2 / (1 - 1 / steps),
            # its loss was on masked tokens alone: it never learned to doubt what it sees
            "edit": "off",
            "polish": 0,
        },
        revises=False,
        examples=EXAMPLES,
        licence=licence(path),
        fingerprint=functools.partial(_fingerprint, codec, model),
    )


def _fingerprint(codec: Path, model: Path) -> str:
    """Of the numbers in the files, so that it is the same in fp32 and bf16."""
    told = Fingerprint()
    for part, name, values in _all(codec, model):
        told.add(f"{part}.{name}", values)
    return str(told)


def _all(codec: Path, model: Path) -> Iterator[tuple[str, str, Tensor]]:
    for part, file in (("codec", codec), ("model", model)):
        for name, values in stored_weights(file, ours=False):
            yield part, name, values
