"""A folder of aMUSEd in the layout of diffusers: model_index.json, and a folder each for what it names."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor

from mdm_core.device import fast_dtype
from mdm_core.facts import Facts
from mdm_core.families.amused.config import AmusedConfig, load_config
from mdm_core.families.amused.uvit import UViT
from mdm_core.families.parts import Parts
from mdm_core.families.published.backbone import GridBackbone
from mdm_core.families.published.folder import (
    TRANSFORMER,
    VQVAE,
    filled,
    fingerprint,
    prompt_encoder,
    weights_file,
)
from mdm_core.families.published.vqgan import VQGAN
from mdm_core.hub.card import licence

FAMILY = "amused"
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
    side = config.transformer.sample_size
    files = [weights_file(path, stem, dtype) for stem in (TRANSFORMER, VQVAE)]
    # before the larger ones, as their files are more often wrong
    prompts = prompt_encoder(path, config.text, device, dtype)
    model = filled(functools.partial(UViT, config.transformer), files[0], device, dtype)
    codec = filled(functools.partial(VQGAN, config.vqvae, side), files[1], device, dtype)

    def run(ids: Tensor, states: Tensor, pooled: Tensor, micro: Tensor, progress: Tensor) -> Tensor:
        """This model is told no time, the masks tell it."""
        return model(ids, states, pooled, micro)

    mask, patch = config.scheduler.mask_token_id, config.vqvae.patch
    backbone = GridBackbone(model, model.mlm_layer.conv2, run, mask_id=mask, side=side, patch=patch)
    return Parts(codec, prompts, backbone, _facts(path, config), config)


def facts(path: Path) -> Facts:
    """The facts of a model folder without its weights: those are read when their fingerprint is asked for."""
    return _facts(path, load_config(path))


def _facts(path: Path, config: AmusedConfig) -> Facts:
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
            "guidance": 9.0,  # published as 10, see `GridBackbone`
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
        fingerprint=fingerprint(path),
    )
