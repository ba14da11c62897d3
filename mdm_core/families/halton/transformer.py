"""The transformer of Halton-MaskGIT: blocks scaled, shifted and gated by the class (Peebles & Xie 2023), with queries
and keys normalised over their whole width, learned positions, and a head that shares its rows with the token table.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.families.halton.config import MaskGITConfig

_EPS = 1e-5


def _moved(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x [B, T, D], by shift and scale [B, D] of the class."""
    return x * (1 + scale[:, None]) + shift[:, None]


class _Attention(nn.Module):
    """Over cells and registers; a width that its heads do not divide loses the rest."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, inner = heads, width // heads * heads
        self.wq = nn.Linear(width, inner, bias=False)
        self.wk = nn.Linear(width, inner, bias=False)
        self.wv = nn.Linear(width, inner, bias=False)
        self.wo = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D]"""
        q, k, v = self.wq(x), self.wk(x), self.wv(x)
        q, k = (F.rms_norm(y, y.shape[-1:], eps=_EPS) for y in (q, k))
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (q, k, v))
        seen = F.scaled_dot_product_attention(q, k, v)  # [B, heads, T, d]
        return self.wo(seen.transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.w1 = nn.Linear(width, inner, bias=False)
        self.w2 = nn.Linear(inner, width, bias=False)
        self.w3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class _Block(nn.Module):
    def __init__(self, c: MaskGITConfig):
        super().__init__()
        D = c.hidden_dim
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(D, 6 * D))
        self.ln1 = nn.RMSNorm(D, _EPS)
        self.attn = _Attention(D, c.heads)
        self.ln2 = nn.RMSNorm(D, _EPS)
        self.ff = _FeedForward(D, c.ffn)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """x [B, T, D], told [B, D]"""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.mlp(told).chunk(6, 1)
        x = x + gate1[:, None] * self.attn(_moved(self.ln1(x), shift1, scale1))
        return x + gate2[:, None] * self.ff(_moved(self.ln2(x), shift2, scale2))


class _Body(nn.Module):
    def __init__(self, c: MaskGITConfig):
        super().__init__()
        self.layers = nn.ModuleList(_Block(c) for _ in range(c.depth))


class _Norm(nn.Module):
    """An RMS norm with a shift of its own."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, _EPS) + self.bias


class _Last(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm_final = _Norm(width)
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        return _moved(self.norm_final(x), *self.mlp(told).chunk(2, 1))


class _Bias(nn.Module):
    """Of the head, whose rows are those of the token table."""

    def __init__(self, rows: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(rows))


class MaskGIT(nn.Module):
    """Tokens and a class -> hidden states; the head is the token table with a bias, the mask's row left out."""

    def __init__(self, config: MaskGITConfig):
        super().__init__()
        c = self.config = config
        D, V = c.hidden_dim, c.codebook_size
        self.cls_emb = nn.Embedding(c.classes + 1, D)
        self.tok_emb = nn.Embedding(V + 1, D)
        self.pos_emb = nn.Embedding(c.input_size**2, D)
        self.reg_tokens = nn.Embedding(c.register, D)
        self.transformer = _Body(c)
        self.last_norm = _Last(D)
        self.head = _Bias(V + 1)

    def forward(self, tokens: Tensor, classes: Tensor) -> Tensor:
        """tokens int64 [B, L], classes int64 [B] -> [B, L, D]"""
        told = self.cls_emb(classes)  # [B, D]
        x = self.tok_emb(tokens) + self.pos_emb.weight  # [B, L, D]
        x = torch.cat([x, self.reg_tokens.weight.expand(len(x), -1, -1)], 1)  # [B, T, D]
        for block in self.transformer.layers:
            x = block(x, told)
        return self.last_norm(x[:, : tokens.shape[1]], told)


class MaskGITBackbone:
    """The transformer as a `Backbone`: guidance leads away from the class that says nothing."""

    def __init__(self, model: MaskGIT):
        self.model, c = model, model.config
        self.grid = (c.input_size, c.input_size)
        V = c.codebook_size
        weight, bias = model.tok_emb.weight.detach()[:V], model.head.bias.detach()[:V]
        # on a CPU a bf16 product rounds the logits themselves, and the sampling step is not bound by it
        wide = weight.device.type == "cpu"
        self._head = weight.float() if wide else weight
        self.head_bias = bias.float() if wide else bias

    @property
    def head_weight(self) -> Tensor:
        """[V, D]"""
        return self._head

    @torch.no_grad()
    def hidden(self, tokens: Tensor, condition: Tensor, guidance: float, progress: Tensor) -> Tensor:
        """See `mdm_core.protocols.Backbone`. condition: int64 [B], classes."""
        device, B = self._head.device, len(tokens)
        ids, classes = tokens.to(device), condition.to(device)
        if guidance == 0:
            return self.model(ids, classes).float()
        none = torch.full_like(classes, self.model.config.classes)
        h = self.model(ids.repeat(2, 1), torch.cat([classes, none])).float()
        return (1 + guidance) * h[:B] - guidance * h[B:]
