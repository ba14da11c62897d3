"""One training step's computation: tokens -> corrupted tokens -> hidden states -> loss.

Weights that are to hold guidance (`ModelConfig.guided`) are trained as in Guidance-Free Training (Chen et al. 2025,
arXiv 2501.15420): the conditional states that the loss sees are beta h(prompt, beta) + (1 - beta) h(no prompt), the
second without gradient and beta = 1 / (1 + g) drawn for each picture. What fits them is h(prompt, beta) =
(1 + g) h(prompt) - g h(no prompt), the guided states in one pass. Any weights may be tuned so: without beta they are
as they were.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mdm_core.device import precision
from mdm_core.diffusion.corruption import corrupt
from mdm_core.diffusion.loss import objective
from mdm_core.families.chisel.config import MOST_GUIDANCE
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.families.weights import load_weights, names
from mdm_core.groups import Groups
from mdm_core.ops import sample_step
from trainer.recipes.recipe import Recipe


def stream_seed(seed: int, index: int) -> int:
    """The seed of micro-batch `index`: everything random about it follows from this number."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:7], "big")


class Drawn(NamedTuple):
    """A micro-batch on the training device."""

    x0: Tensor  # int64 [B, L], clean tokens
    text: Tensor  # int64 [B, T], prompt ids
    # bool [B, S, L], the cells of each thing in each picture, all False where a slot is empty; None: not asked for
    things: Tensor | None = None


class Objective(nn.Module):
    """The model with its loss in one module, so that DDP and FSDP2 see everything that touches a weight."""

    def __init__(self, model: MaskedDiffusionTransformer, groups: Groups | None, recipe: Recipe):
        super().__init__()
        self.model, self.groups, self.recipe = model, groups, recipe
        # the benchmark puts a naive one here, an arm of a study its own
        self.objective: Callable[..., Tensor] = objective

    def forward(
        self, x0: Tensor, text: Tensor, seed: int, draft: bool = False, things: Tensor | None = None
    ) -> Tensor:
        """Scalar loss of one micro-batch.

        Args:
            x0: int64 [B, L], clean tokens.
            text: int64 [B, T], prompt ids.
            seed: of every random choice made here: masks, flips, drafts, dropped prompts.
            draft: flips are the model's own mistakes instead of random tokens.
            things: bool [B, S, L], the cells of each thing (all False: an empty slot). With corruption.region > 0
                one of each picture is the region of every other picture that loses tokens in a region only.
        """
        r, device = self.recipe, x0.device
        generator = torch.Generator(device).manual_seed(seed)
        corruption = r.corruption
        if draft:
            corruption = dataclasses.replace(corruption, flip_uniform=0.0, flip_group=0.0, flip_self=1.0)
        corrupted = corrupt(
            x0,
            r.model.mask_id,
            corruption,
            groups=self.groups,
            generator=generator,
            grid=(r.model.grid, r.model.grid),
            things=None if things is None else one_thing(things, generator),
            draft=self._drafter(text, generator) if corruption.flip_self else None,
        )
        drop = torch.rand(len(x0), device=device, generator=generator) < r.prompt_dropout  # [B]
        beta = free = None
        if r.model.guided:
            beta = draw_beta(drop, generator)  # [B]
            # in an autocast region of its own: one that has cast weights without gradient goes on using those
            with torch.no_grad(), autocast(r, device), self._eager():
                free = self.model(corrupted.zt, text, torch.ones_like(drop))  # [B, L, D]
        with autocast(r, device):
            hidden = self.model(corrupted.zt, text, drop, beta)  # [B, L, D]
            if beta is not None and free is not None:
                part = beta[:, None, None]
                hidden = (part * hidden + (1 - part) * free).to(hidden.dtype)
            return self.objective(
                hidden, self.model.head_weight, x0, corrupted, self.groups, r.objective, r.backend
            )

    def _eager(self) -> contextlib.AbstractContextManager[Any]:
        """A pass without gradients would compile the blocks once more; and asking costs ten seconds of imports."""
        return torch.compiler.set_stance("force_eager") if self.recipe.compile else contextlib.nullcontext()

    def _drafter(self, text: Tensor, generator: torch.Generator) -> Callable[[Tensor, Tensor], Tensor]:
        """The model's own guesses, for flips that look like its mistakes."""

        def draft(zt: Tensor, where: Tensor) -> Tensor:
            with torch.no_grad(), autocast(self.recipe, zt.device), self._eager():
                rows = self.model(zt, text)[where]  # [n, D]
            weight = self.model.head_weight.detach().to(rows.dtype)  # [V, D]
            seed = torch.randint(2**62, (1,), device=zt.device, generator=generator).expand(len(rows))  # [n]
            nothing = torch.full_like(seed, len(weight))  # [n]: no token to compare with
            return sample_step(rows, weight, nothing, seed=seed, step=0, backend=self.recipe.backend).token

        return draft


def draw_beta(drop: Tensor, generator: torch.Generator) -> Tensor:
    """beta = 1 / (1 + g) of each picture, float [B]: g anywhere from 0 to `MOST_GUIDANCE`, half of them near 1.5.

    drop: bool [B], the pictures without a prompt, which have nothing to guide by: beta is 1 there.
    """
    u = torch.rand(3, len(drop), device=drop.device, generator=generator)
    near = 1.5 + 1.5 * (u[1] + u[2] - 1)  # 0 to 3, a triangle over 1.5
    g = torch.where(u[0] < 0.5, MOST_GUIDANCE * u[1], near)
    return torch.where(drop, 1.0, 1 / (1 + g))


def one_thing(things: Tensor, generator: torch.Generator) -> Tensor:
    """The cells of one thing a picture, each of its things as likely: bool [B, S, L] -> [B, L]."""
    there = things.any(2)  # [B, S]
    draw = torch.rand(there.shape, device=things.device, generator=generator)
    chosen = draw.masked_fill(~there, -1.0).argmax(1)  # [B]
    return things[torch.arange(len(things), device=things.device), chosen]


def autocast(recipe: Recipe, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """bf16 products where they are asked for and native to the device: another CPU takes ten times as long for them."""
    return precision(device) if recipe.precision == "bf16" else contextlib.nullcontext()


def blocks_of(model: MaskedDiffusionTransformer) -> list[nn.Module]:
    return [*model.blocks, *model.token_blocks]


def start_from(model: MaskedDiffusionTransformer, folder: Path) -> None:
    """Take the weights of a model folder; what only the new model has, for guidance, begins at nothing."""
    file = folder / "model.safetensors"
    if model.guide is None and any(name.startswith("guide.") for name in names(file)):
        raise ValueError(f"the weights in {folder} hold guidance: go on from them with model.guided=True")
    load_weights(model, file, new=("guide.",))


def prepare_blocks(model: MaskedDiffusionTransformer, recipe: Recipe, sharded: bool) -> None:
    """Gradient checkpointing and compilation, block by block, as the recipe asks."""
    inner = sharded or recipe.checkpointing
    for block in blocks_of(model):
        # the hooks of FSDP2 and of recomputation must run outside what is compiled
        if recipe.compile and inner:
            block.forward = torch.compile(block.forward)
        if recipe.checkpointing:
            block.forward = _Recomputed(block.forward)
    if recipe.compile and not inner:
        model.compile_blocks()


class _Recomputed:
    """Calls a block's forward without keeping its insides; they are computed again in the backward pass.

    Blocks draw no random numbers, so no generator needs to be put back.
    """

    def __init__(self, forward: Callable[..., Tensor]) -> None:
        self.forward = forward

    def __call__(self, *args: Any) -> Any:
        return checkpoint(self.forward, *args, use_reentrant=False, preserve_rng_state=False)


def make_groups(recipe: Recipe, levels: tuple[int, ...] | None, codebook: Tensor) -> Groups | None:
    """The codebook groups that a recipe names.

    Args:
        levels: the lattice of the image tokenizer, for groups="lattice"; None where its codes are learned.
        codebook: [V, d], its codes as vectors, of any quantiser, for "kmeans" and "knn".
    """
    if recipe.groups == "lattice":
        if levels is None:
            raise ValueError(
                "the image tokenizer's codes are learned and lie on no lattice: set groups=kmeans or groups=knn"
            )
        return Groups.lattice(levels, recipe.group_factor)
    if recipe.groups == "kmeans":
        return Groups.kmeans(codebook, max(1, len(codebook) // recipe.group_size))
    if recipe.groups == "knn":
        return Groups.knn(codebook, recipe.group_size)
    return None
