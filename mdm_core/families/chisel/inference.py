"""The transformer as it samples on a GPU: the same function as `MaskedDiffusionTransformer`, in fewer kernels.

Weights of the products are kept in the type the device is fast in; every token's embedding is computed once, since it
depends on nothing but the token; what lies between the products is fused (ops.block_triton). Both branches of
guidance run in one batch, and their common beginning once. The residual stream keeps the model's own type.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from mdm_core.families.chisel.config import MOST_GUIDANCE
from mdm_core.families.chisel.layers import TransformerBlock
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer

TABLE_TOKENS = 1 << 17  # of a larger vocabulary the embedding is computed for the tokens at hand


class InferenceModel:
    """A frozen copy of a model for guided forward passes on a device that Triton serves."""

    def __init__(self, model: MaskedDiffusionTransformer, dtype: torch.dtype, one_pass: bool | None = None):
        """dtype: of the products; bf16 on a GPU. one_pass: guide by beta (default: where the weights know it)."""
        self.one_pass = model.config.guided if one_pass is None else one_pass
        self.model, self.config, self.dtype = model, model.config, dtype
        self.stamp = stamp(model)
        with torch.inference_mode():
            ids = torch.arange(self.config.vocab_size + 1, device=model.head_weight.device)
            self.table = self._embed(ids[None])[0] if len(ids) <= TABLE_TOKENS else None  # [V + 1, D]
            self.body = [_Block(cast(TransformerBlock, block), dtype) for block in model.blocks]
            self.tokens = [_Block(cast(TransformerBlock, block), dtype) for block in model.token_blocks]
            self.merge, self.split = (m.weight.to(dtype) for m in (model.merge, model.split))
            self.text_position = model.text_position.float()  # [T, W]
            self.without_text = model.no_text.float() + self.text_position  # [T, W]

    @torch.inference_mode()
    def hidden(self, zt: Tensor, text: Tensor, guidance: Tensor | None) -> Tensor:
        """Hidden states fp32 [B, L, D], guidance folded in.

        zt, text: ids int64 [B, L] and [B, T]. guidance: g [] of (1+g) cond - g uncond, on the device; None: no
        guidance, half the work. With `one_pass` half the work too.
        """
        from mdm_core.ops.block import inference_triton as fused

        c = self.config
        B, T, L, D, r, W = len(zt), c.text_length, c.length, c.token_width, c.resample, c.width
        beta = None
        if guidance is not None and self.one_pass:
            beta, guidance = 1 / (1 + guidance.clamp(max=MOST_GUIDANCE)), None
        g, branches = c.grid // r, 1 if guidance is None else 2
        e = self._embed(zt) if self.table is None else F.embedding(zt, self.table)  # [B, L, D]
        fold = e.view(B, g, r, g, r, D).transpose(2, 3).reshape(B * g * g, r * r * D)
        x = torch.empty(branches, B, T + g * g, W, device=e.device)
        x[0, :, :T] = self.model.text_embed(text).float() + self.text_position
        if branches == 2:
            x[1, :, :T] = self.without_text
        x[:, :, T:] = F.linear(fold.to(self.dtype), self.merge).view(B, g * g, W)
        last = self.model.norm.weight  # [D]
        if beta is not None and self.model.guide is not None:
            shift, scale = self.model.guide(beta.view(1))  # [1, 1, W], [1, 1, D]
            x += shift
            last = last.float() * scale.view(D)
        x = x.view(-1, W)  # [branches B (T + L/r^2), W], fp32

        update = None
        for block in self.body:
            update = block(x, update, branches * B, self.model.body_cos, self.model.body_sin)
        y = fused.add_norm(x, update, self.model.body_norm.weight, self.dtype).view(-1, T + g * g, W)
        y = F.linear(y[:, T:], self.split)  # [branches B, L/r^2, r*r*D]
        y = y.view(branches, B, g, g, r, r, D).transpose(3, 4)  # [branches, B, g, r, g, r, D]
        h = torch.empty(y.shape, device=e.device, dtype=torch.promote_types(e.dtype, self.dtype))
        torch.add(e.view(B, g, r, g, r, D), y, out=h)
        h = h.view(-1, D)  # [branches B L, D]

        update = None
        for block in self.tokens:
            update = block(h, update, branches * B, self.model.token_cos, self.model.token_sin)
        if update is None:
            update = torch.zeros_like(h)
        return fused.guided_norm(h, update, last, guidance).view(B, L, D)

    def _embed(self, zt: Tensor) -> Tensor:
        with torch.autocast(zt.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model.token_embed(zt)


class _Block:
    """One transformer block on a residual stream that is a plain [rows, width] array."""

    def __init__(self, block: TransformerBlock, dtype: torch.dtype):
        a, f = block.attention, block.ffn
        self.heads, self.kv_heads, self.head_dim, self.dtype = a.heads, a.kv_heads, a.head_dim, dtype
        self.qkv, self.out, self.gate_up, self.down = (
            m.weight.to(dtype) for m in (a.qkv, a.out, f.gate_up, f.down)
        )
        self.attention_norm, self.ffn_norm, self.q_norm, self.k_norm = (
            norm.weight for norm in (block.attention_norm, block.ffn_norm, a.q_norm, a.k_norm)
        )

    def __call__(self, x: Tensor, update: Tensor | None, batch: int, cos: Tensor, sin: Tensor) -> Tensor:
        """x [batch T, width] += update, attention; returns what the feed-forward layer adds, for the next to add."""
        from mdm_core.ops.block import inference_triton as fused

        n = fused.add_norm(x, update, self.attention_norm, self.dtype)
        qkv = F.linear(n, self.qkv).view(batch, len(x) // batch, -1, self.head_dim)
        fused.norm_rotate_(qkv, self.q_norm, self.k_norm, cos, sin, self.heads)
        q, k, v = qkv.transpose(1, 2).split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=self.heads != self.kv_heads)
        update = F.linear(y.transpose(1, 2).reshape(len(x), -1), self.out)
        n = fused.add_norm(x, update, self.ffn_norm, self.dtype)
        return F.linear(fused.swiglu(F.linear(n, self.gate_up)), self.down)


def stamp(model: MaskedDiffusionTransformer) -> tuple[tuple[int, int], ...]:
    """Changes when a weight does: an `InferenceModel` of another stamp is out of date."""
    return tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters())
