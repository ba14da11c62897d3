"""A folder of NL-Diffusion-Image: config.json, tokenizer.json, emu3_vqvae/config.json and weights in shards.

Its weights hold more than pictures from text need (a vision tower, a head over the prompt's tokens): that is not read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from mdm_core.device import fast_dtype
from mdm_core.facts import Facts, Fingerprint
from mdm_core.families.nl_diffusion.backbone import NLBackbone
from mdm_core.families.nl_diffusion.config import NLConfig, load_config
from mdm_core.families.nl_diffusion.prompts import NLPrompts
from mdm_core.families.nl_diffusion.transformer import NLTransformer
from mdm_core.families.parts import Parts
from mdm_core.families.published.ibq import IBQ
from mdm_core.families.published.shards import Shards
from mdm_core.hub.card import licence

FAMILY = "nl_diffusion"
NAME = "NL-Diffusion-Image"
LICENCE = "NVIDIA's licence: research and development only, not commercial"
MODEL, CODEC = "encoder.", "encoder.vqvae."  # what names of the files begin with
UNNEEDED = ("diffusion_head.", "encoder.image_newline", "encoder.mm_projector.", "encoder.vision_tower.")
SMALL = 4e9  # bytes of weights that run anywhere
WORKING = 3e9  # bytes that a run needs beside its weights, about
# ours
EXAMPLES = (
    "a red fox in the snow, oil painting",
    "a lighthouse on a cliff at dusk, photograph",
    "a glass teapot with a blooming flower inside, studio light",
    "an old tram in the rain, seen through a café window",
    "a robot that waters sunflowers, children's book",
)
log = logging.getLogger(__name__)


def open_folder(path: Path, device: torch.device, dtype: torch.dtype | None = None) -> Parts:
    """The parts of a model folder on `device`; ValueError names the file that is missing or does not fit.

    Before any weight is read it says where a machine is too small for the model, and what its licence allows.

    dtype: what the weights are held and multiplied in; None is bf16 where the device is fast in it, else fp32. The
        encoder of pictures and the codebook stay in fp32, see `IBQ`.
    """
    config = load_config(path)
    dtype = dtype or fast_dtype(device)
    side = config.body.sample_size
    with torch.device("meta"):
        model, codec = NLTransformer(config), IBQ(config.tokenizer, side)

    def held(name: str) -> torch.dtype:
        """Of the codec: what only draws may be narrow."""
        return dtype if name.startswith(("decoder.", "post_quant_conv.")) else torch.float32

    check_room(_bytes(model, lambda name: dtype) + _bytes(codec, held), device)
    shards = Shards(path, UNNEEDED)
    shards.check(_names(model, codec))
    prompts = NLPrompts.load(path, config.body, side * config.tokenizer.patch)
    log.warning("%s: %s", NAME, _licence(path))
    codec = shards.fill(codec, CODEC, device, held)
    model = shards.fill(model, MODEL, device, lambda name: dtype)
    return Parts(codec, prompts, NLBackbone(model, config), _facts(path, config), config)


def facts(path: Path) -> Facts:
    """The facts of a model folder without its weights: those are read when their fingerprint is asked for."""
    return _facts(path, load_config(path))


def check_room(weights: float, device: torch.device) -> None:
    """ValueError, one sentence, where weights of so many bytes do not run on a device."""
    if weights <= SMALL:
        return
    there = "no GPU is used here"
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        if memory >= weights + WORKING:
            return
        there = f"this one has {memory / 2**30:.0f} GB"
    raise ValueError(
        f"{NAME} needs a GPU of 24 GB, as its weights alone take {weights / 1e9:.0f} GB, and {there} ({LICENCE})"
    )


def _bytes(module: nn.Module, held: Callable[[str], torch.dtype]) -> int:
    """What the weights of a module take."""
    return sum(v.numel() * held(k).itemsize for k, v in module.state_dict().items())


def _names(model: nn.Module, codec: nn.Module) -> list[str]:
    """Of all tensors of both, as the files name them."""
    return [MODEL + k for k in model.state_dict()] + [CODEC + k for k in codec.state_dict()]


def _fingerprint(path: Path, config: NLConfig) -> Callable[[], str]:
    """What tells these weights from others, once somebody asks."""

    def read() -> str:
        with torch.device("meta"):
            parts = {"codec": IBQ(config.tokenizer, 2), "model": NLTransformer(config)}
        shards, told = Shards(path, UNNEEDED), Fingerprint()
        shards.check(_names(parts["model"], parts["codec"]))
        for part, prefix in (("codec", CODEC), ("model", MODEL)):
            wanted = {prefix + k: tuple(v.shape) for k, v in parts[part].state_dict().items()}
            for name, values in shards.read(wanted):
                told.add(f"{part}.{name.removeprefix(prefix)}", values)
        return str(told)

    return read


def _licence(path: Path) -> str:
    """Of the weights: what a card calls by a name alone, in words."""
    said = licence(path)
    return LICENCE if said in ("", "other", "nvidia-license") else said


def _facts(path: Path, config: NLConfig) -> Facts:
    side, tokenizer = config.body.sample_size, config.tokenizer
    return Facts(
        name=f"{NAME} {side * tokenizer.patch}",
        family=FAMILY,
        grid=(side, side),
        patch=tokenizer.patch,
        vocab_size=tokenizer.codebook_size,
        mask_id=tokenizer.codebook_size,
        # as its authors' programs run it, but for editing, which is ours and stricter than theirs
        defaults={
            "steps": 20,
            "guidance": 5.0,
            "temperature": 1.0,
            "order": "confidence",
            "schedule": "shift",
            "gumbel": 1.0,
            "edit": "overwrite",
        },
        # a fifth of its tokens was flipped in training, and it learned to mend them
        revises=True,
        examples=EXAMPLES,
        licence=_licence(path),
        fingerprint=_fingerprint(path, config),
    )
