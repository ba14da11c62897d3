"""The model: one bidirectional transformer over text and image tokens, without a time input.

A masked discrete diffusion model needs no t: the number of masks tells it (Ou et al. 2024). As in the paper's
configuration, 2x2 image tokens are merged into one position before the body and split again after it, so the
body sees a quarter of the positions; light per-token layers then settle what the four tokens say to each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.families.chisel.config import ModelConfig
from mdm_core.families.chisel.layers import RMSNorm, TransformerBlock, rotary_2d
from mdm_core.ops.block import training as block_ops


class LatticeEmbedding(nn.Module):
    """Embeds a token of a lattice codebook by its place in every dimension, and the mask token by a vector.

    Neighbouring codes look alike, so they start alike; and sum(levels) rows learn from every token, where a
    free table of V rows would learn each rare token alone (and weigh 8 MB at V = 16,384).
    """

    hot: Tensor  # [V + 1, sum(levels)]

    def __init__(self, levels: tuple[int, ...], width: int):
        super().__init__()
        self.place = nn.Linear(sum(levels), width, bias=False)
        self.mask_embed = nn.Parameter(torch.randn(width) * 0.5)
        self.mix = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.levels, self.mask_id = tuple(levels), math.prod(levels)
        self.reset_buffers()

    def reset_buffers(self) -> None:
        """Compute what no file holds, on the default device."""
        v, places = torch.arange(self.mask_id), []
        for n in self.levels:  # the first dimension varies fastest
            places.append(F.one_hot(v % n, n))
            v = v // n
        hot = torch.cat(places, 1).float()  # [V, sum(levels)]
        # one-hot rows and a product, not an index: its gradient is a product too, without a slow scatter
        # [V + 1, .]
        self.register_buffer("hot", torch.cat([hot, torch.zeros_like(hot[:1])]), persistent=False)

    def forward(self, zt: Tensor) -> Tensor:
        """ids [B, L] -> [B, L, width]"""
        e = self.place(self.hot[zt].to(self.place.weight.dtype))  # [B, L, D]
        e = e + self.mix(e)  # [B, L, D]
        return torch.where((zt == self.mask_id)[..., None], self.mask_embed.to(e.dtype), e)


class GuidanceEmbedding(nn.Module):
    """What beta = 1 / (1 + g) adds, so that one pass gives guided hidden states (Chen et al. 2025, arXiv 2501.15420).

    A vector for every position of the body, and factors for the last norm: guided states are longer than others, and
    a norm alone could not make them so. Both are zero at beta = 1, whatever the weights: there the model is as it was.
    """

    waves = 8  # sines of 1 - beta, from a quarter of a wave up

    def __init__(self, width: int, token_width: int):
        super().__init__()
        self.shift = nn.Linear(self.waves, width, bias=False)
        self.scale = nn.Linear(self.waves, token_width, bias=False)

    def forward(self, beta: Tensor) -> tuple[Tensor, Tensor]:
        """float [B] in (0, 1] -> fp32 [B, 1, width] to add, and [B, 1, token_width] to multiply with."""
        turn = torch.arange(1, self.waves + 1, device=beta.device) * (torch.pi / 2)  # [waves]
        wave = torch.sin((1 - beta.float())[:, None, None] * turn)  # [B, 1, waves]
        shift, scale = (part(wave.to(part.weight.dtype)).float() for part in (self.shift, self.scale))
        return shift, 1 + scale


class MaskedDiffusionTransformer(nn.Module):
    """tokens [B, L] with masks, text ids [B, T] -> hidden states [B, L, D]; logits = hidden @ head_weight.T.

    The logits are left to the operators, which never store them whole. D is `config.token_width`.
    """

    body_cos: Tensor
    body_sin: Tensor
    token_cos: Tensor
    token_sin: Tensor

    def __init__(self, config: ModelConfig = ModelConfig()):
        super().__init__()
        self.config = c = config
        D, r = c.token_width, c.resample
        self.token_embed: nn.Embedding | LatticeEmbedding
        if c.code_levels is None:
            self.token_embed = nn.Embedding(c.vocab_size + 1, D)  # the last row is the mask token
        else:
            self.token_embed = LatticeEmbedding(c.code_levels, D)
        self.text_embed = nn.Embedding(c.text_vocab_size, c.width)
        self.text_position = nn.Parameter(torch.zeros(c.text_length, c.width))
        # stands for every text position of a dropped prompt
        self.no_text = nn.Parameter(torch.zeros(c.width))
        self.merge = nn.Linear(r * r * D, c.width, bias=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(c.width, c.heads, c.kv_heads, c.ffn) for _ in range(c.depth)
        )
        self.body_norm = RMSNorm(c.width)
        self.split = nn.Linear(c.width, r * r * D, bias=False)
        self.token_blocks = nn.ModuleList(
            TransformerBlock(D, c.token_heads, c.token_heads, c.token_ffn) for _ in range(c.token_depth)
        )
        self.norm = RMSNorm(D)
        self.head = nn.Linear(D, c.vocab_size, bias=False)
        self.guide = GuidanceEmbedding(c.width, D) if c.guided else None
        self.reset_buffers()
        self.reset_parameters()

    def reset_buffers(self) -> None:
        """Compute what no file holds, on the default device."""
        c = self.config
        body = rotary_2d(c.grid // c.resample, c.width // c.heads, c.rope_base, c.text_length)
        token = rotary_2d(c.grid, c.token_width // c.token_heads, c.rope_base)
        for name, value in zip(
            ("body_cos", "body_sin", "token_cos", "token_sin"), (*body, *token), strict=True
        ):
            self.register_buffer(name, value, persistent=False)

    def reset_parameters(self) -> None:
        """Linear layers at fan-in scale, layers that write to a residual stream at zero."""
        for name, p in self.named_parameters():
            if p.ndim < 2 or name == "text_position":
                if name.endswith("bias"):
                    nn.init.zeros_(p)
                continue
            if name.endswith(("attention.out.weight", "ffn.down.weight")) or name.startswith("guide."):
                nn.init.zeros_(p)
            elif name.endswith("embed.weight"):
                nn.init.normal_(p, std=1.0 if name.startswith("text") else 0.5)
            elif name.endswith("place.weight"):
                nn.init.normal_(p, std=0.25)  # a handful of places add up to a vector of about 0.5
            else:
                nn.init.normal_(p, std=p.shape[1] ** -0.5)
        nn.init.normal_(self.text_position, std=0.3)
        nn.init.normal_(self.no_text, std=0.3)
        nn.init.normal_(self.head.weight, std=0.02)

    @property
    def head_weight(self) -> Tensor:
        """[V, D]"""
        return self.head.weight

    def forward(
        self,
        zt: Tensor,
        text: Tensor,
        drop: Tensor | None = None,
        beta: Tensor | None = None,
        watch: Callable[[nn.Module, Tensor], None] | None = None,
    ) -> Tensor:
        """Hidden states of every image position.

        Args:
            zt: image tokens int64 [B, L]; mask_id = V where masked.
            text: prompt ids int64 [B, T], padded to config.text_length.
            drop: bool [B]; True replaces the whole prompt by the learned "no text" embedding, the
                unconditional branch of classifier-free guidance.
            beta: float [B], 1 / (1 + g) of the guidance that the states are to hold; only for `config.guided`
                weights. None is 1: no guidance.
            watch: is shown each block and what enters it, [B, T + L/r^2, W], or [B, L, D] of the token blocks.
        Returns:
            [B, L, D] in the dtype of the computation.
        """
        c = self.config
        if zt.shape[1:] != (c.length,) or text.shape != (zt.shape[0], c.text_length):
            raise ValueError(
                f"expected tokens [B, {c.length}] and text [B, {c.text_length}], "
                f"got {list(zt.shape)} and {list(text.shape)}"
            )
        e = self.token_embed(zt)  # [B, L, D]
        p = self.text_embed(text)  # [B, T, W]
        if drop is not None:
            p = torch.where(drop[:, None, None], self.no_text.to(p.dtype), p)  # [B, T, W]
        p = p + self.text_position  # [B, T, W]
        x = torch.cat([p, self.merge(self._fold(e))], dim=1)  # [B, T + L/r^2, W]
        scale = None
        if beta is not None:
            if self.guide is None:
                raise ValueError("these weights were not trained with beta: guidance takes two passes")
            shift, scale = self.guide(beta)  # [B, 1, W], [B, 1, D]
            x = x + shift.to(x.dtype)
        if block_ops.fused(x):  # as FSDP2 does: residual sums are kept in the type of the products
            x = x.to(block_ops.product_dtype(x))
        for block in self.blocks:
            if watch is not None:
                watch(block, x)
            x = block(x, self.body_cos, self.body_sin)  # [B, T + L/r^2, W]
        y = self.split(self.body_norm(x[:, c.text_length :]))  # [B, L/r^2, r*r*D]
        h = e + self._unfold(y)  # [B, L, D]
        for block in self.token_blocks:
            if watch is not None:
                watch(block, h)
            h = block(h, self.token_cos, self.token_sin)  # [B, L, D]
        h = self.norm(h)  # [B, L, D]
        return h if scale is None else (h * scale).to(h.dtype)

    def compile_blocks(self) -> None:
        """torch.compile every block by itself: one short compilation serves all; the whole model takes a minute."""
        for block in (*self.blocks, *self.token_blocks):
            block.compile(fullgraph=True)

    def logits(self, hidden: Tensor) -> Tensor:
        """The whole [.., V] logits: for tests and tiny vocabularies."""
        return F.linear(hidden, self.head.weight)

    def _fold(self, e: Tensor) -> Tensor:
        """[B, L, D] -> [B, L/r^2, r*r*D]: the r x r neighbours of a body position side by side."""
        B, _, D = e.shape
        g, r = self.config.grid // self.config.resample, self.config.resample
        e = e.view(B, g, r, g, r, D).transpose(2, 3)  # [B, g, g, r, r, D]
        return e.reshape(B, g * g, r * r * D)

    def _unfold(self, y: Tensor) -> Tensor:
        """The inverse of `_fold`."""
        B = y.shape[0]
        g, r = self.config.grid // self.config.resample, self.config.resample
        y = y.view(B, g, g, r, r, -1).transpose(2, 3)  # [B, g, r, g, r, D]
        return y.reshape(B, self.config.length, -1)


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
