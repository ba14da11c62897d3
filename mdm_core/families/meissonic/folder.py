"""A folder of Meissonic or Monetico in the layout of diffusers.

Their transformer is told how many steps come after this one, counted from the steps of the run. A backbone knows the
share of masked cells instead: what is told follows from it by the cosine schedule, for a run of as many steps as the
model's defaults name. There it is the published number exactly; runs of other lengths are told the same for the same
share.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import torch
from torch import Tensor

from mdm_core.device import fast_dtype
from mdm_core.facts import Facts
from mdm_core.families.meissonic.config import MeissonicConfig, load_config
from mdm_core.families.meissonic.mmdit import MMDiT
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

FAMILY = "meissonic"
# what its authors' programs lead away from
NEGATIVE = (
    "worst quality, low quality, low res, blurry, distortion, watermark, logo, signature, text, jpeg artifacts, "
    "signature, sketch, duplicate, ugly, identifying mark"
)
# ours
EXAMPLES = (
    "a red fox in the snow, oil painting",
    "a lighthouse on a cliff at dusk, photograph",
    "a paper boat on a calm lake, watercolour",
    "a robot that waters sunflowers, children's book",
)


def open_folder(path: Path, device: torch.device, dtype: torch.dtype | None = None) -> Parts:
    """The parts of a model folder on `device`; ValueError names the file that is missing or does not fit.

    dtype: what the weights are held and multiplied in; None is bf16 where the device is fast in it, else fp32.
    """
    config = load_config(path)
    dtype = dtype or fast_dtype(device)
    side = config.transformer.side
    files = [weights_file(path, stem, dtype) for stem in (TRANSFORMER, VQVAE)]
    prompts = prompt_encoder(path, config.text, device, dtype, negative=NEGATIVE)
    model = filled(functools.partial(MMDiT, config.transformer), files[0], device, dtype)
    codec = filled(functools.partial(VQGAN, config.vqvae, side), files[1], device, dtype)
    steps = default_steps(config)

    def run(ids: Tensor, states: Tensor, pooled: Tensor, micro: Tensor, progress: Tensor) -> Tensor:
        return model(ids, states, pooled, micro, steps_left(progress, steps))

    mask, patch = config.scheduler.mask_token_id, config.vqvae.patch
    backbone = GridBackbone(model, model.mlm_layer.conv2, run, mask_id=mask, side=side, patch=patch)
    return Parts(codec, prompts, backbone, _facts(path, config), config)


def facts(path: Path) -> Facts:
    """The facts of a model folder without its weights: those are read when their fingerprint is asked for."""
    return _facts(path, load_config(path))


def default_steps(config: MeissonicConfig) -> int:
    """Of a run: 64 for Meissonic's 1,024 pixels, 48 for Monetico's 512."""
    return 64 if config.transformer.downsample else 48


def steps_left(progress: Tensor, steps: int) -> Tensor:
    """Share of visible cells [B] -> steps of `steps` that come after the next one [B]: T - 1 - k at step k, from 0."""
    done = torch.arccos((1 - progress.double()).clamp(0, 1)) * (2 / math.pi) * steps
    return (steps - 1 - done.round()).clamp(min=0).float()


def _facts(path: Path, config: MeissonicConfig) -> Facts:
    side, patch, steps = config.transformer.side, config.vqvae.patch, default_steps(config)
    name = "Meissonic" if config.transformer.downsample else "Monetico"
    return Facts(
        name=f"{name} {side * patch}",
        family=FAMILY,
        grid=(side, side),
        patch=patch,
        vocab_size=config.vqvae.num_vq_embeddings,
        mask_id=config.vqvae.num_vq_embeddings,
        defaults={
            "steps": steps,
            "guidance": 8.0,  # published as 9, see `GridBackbone`
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
