"""Building blocks of the transformer: RMSNorm, 2-D rotary positions, attention with QK norm, SwiGLU.

Written out in PyTorch; where block_ops.fused says so, kernels compute the same with fewer journeys through memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.ops.block import training as block_ops


class RMSNorm(nn.Module):
    """x / rms(x) * weight (Zhang & Sennrich 2019); statistics in fp32 whatever the input."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if block_ops.fused(x):
            return block_ops.rms_norm(x, self.weight)
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight.float(), block_ops.EPS).to(x.dtype)


def rotary_2d(grid: int, head_dim: int, base: float, n_text: int = 0) -> tuple[Tensor, Tensor]:
    """cos and sin [n_text + grid*grid, head_dim/2] of 2-D rotary positions (Su et al. 2021, one axis per half).

    The first quarter pairs of a head turn with the row, the rest with the column. Text positions come
    first and are not turned: their order is learned through position embeddings.
    """
    quarter = head_dim // 4
    freq = base ** (-torch.arange(quarter, dtype=torch.float32) / quarter)  # [hd/4]
    row, col = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    angle = torch.cat([row.reshape(-1, 1) * freq, col.reshape(-1, 1) * freq], dim=1)  # [grid^2, hd/2]
    angle = torch.cat([angle.new_zeros(n_text, head_dim // 2), angle])
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs (x_i, x_{i+hd/2}) of x [B, heads, T, hd] by the angles of cos, sin [T, hd/2]."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Attention(nn.Module):
    """Bidirectional grouped-query attention with QK norm."""

    def __init__(self, width: int, heads: int, kv_heads: int):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, width // heads
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.head_dim, bias=False)
        self.out = nn.Linear(heads * self.head_dim, width, bias=False)
        self.q_norm = RMSNorm(self.head_dim)
        self.k_norm = RMSNorm(self.head_dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        B, T, _ = x.shape
        if block_ops.fused(x) and block_ops.takes_heads(self.head_dim):
            weights = self.q_norm.weight, self.k_norm.weight
            # -> [B, T, width]
            return self.out(block_ops.attention(self.qkv(x), *weights, cos, sin, self.heads, self.kv_heads))
        qkv = self.qkv(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # [B, heads + 2 kv, T, hd]
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        q = rotate(self.q_norm(q), cos, sin)  # [B, heads, T, hd]
        k = rotate(self.k_norm(k), cos, sin)  # [B, kv, T, hd]
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=self.heads != self.kv_heads)
        return self.out(y.transpose(1, 2).reshape(B, T, -1))  # [B, T, width]

    def shares(self, x: Tensor, cos: Tensor, sin: Tensor, position: int) -> Tensor:
        """How one position of x [B, T, width] shares its attention out: fp32 [B, heads, T], each head's adding up to 1.

        What `forward` weighs the values of that position with; no [T, T] exists, and nothing is fused.
        """
        B, T, _ = x.shape
        qkv = self.qkv(x).view(B, T, -1, self.head_dim).transpose(1, 2)  # [B, heads + 2 kv, T, hd]
        q, k, _ = qkv.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        here = slice(position, position + 1)
        q = rotate(self.q_norm(q[:, :, here]), cos[here], sin[here]).float()  # [B, heads, 1, hd]
        k = rotate(self.k_norm(k), cos, sin).float()  # [B, kv, T, hd]
        k = k.repeat_interleave(self.heads // self.kv_heads, 1)  # [B, heads, T, hd]
        return (q @ k.transpose(2, 3) / self.head_dim**0.5).softmax(-1)[:, :, 0]


class SwiGLU(nn.Module):
    """down(silu(gate x) * up x) (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if block_ops.fused(x):
            return self.down(block_ops.swiglu(self.gate_up(x)))
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class TransformerBlock(nn.Module):
    """Pre-norm attention and SwiGLU, each with a residual; [B, T, width] -> the same."""

    def __init__(self, width: int, heads: int, kv_heads: int, ffn: int):
        super().__init__()
        self.attention_norm = RMSNorm(width)
        self.attention = Attention(width, heads, kv_heads)
        self.ffn_norm = RMSNorm(width)
        self.ffn = SwiGLU(width, ffn)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        y = self.attention(self.attention_norm(x), cos, sin)
        if block_ops.fused(x):
            x, y = block_ops.add_rms_norm(x, y, self.ffn_norm.weight)
            return x + self.ffn(y)
        x = x + y
        return x + self.ffn(self.ffn_norm(x))
