"""What stands between the matrix products of a transformer block, in Triton, for inference.

    add_norm      x += update, and the RMS norm of the sum      norm_rotate_  query and key heads: norm, rotation
    guided_norm   the norm of both branches, guidance folded in  swiglu        silu(gate) * up

PyTorch launches a kernel for each operation and stores what it computes: some forty a block. Here a block is its
products, the attention and four of these. Arithmetic is fp32 whatever the arrays hold, rounded once when stored.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

EPSILON = tl.constexpr(1e-6)  # as in layers.RMSNorm


@triton.jit
def _add_norm_kernel(
    x, update, weight, out, R, W: tl.constexpr, BW: tl.constexpr, BR: tl.constexpr, ADD: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.arange(0, BW)
    at = row[:, None] * W + column[None, :]  # [BR, BW]
    live = (row < R)[:, None] & (column < W)[None, :]
    value = tl.load(x + at, mask=live, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(update + at, mask=live, other=0.0).to(tl.float32)
        value = value.to(x.dtype.element_ty)
        tl.store(x + at, value, mask=live)
        value = value.to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value, 1) / W + EPSILON)  # [BR]
    gain = tl.load(weight + column, mask=column < W, other=0.0).to(tl.float32)  # [BW]
    tl.store(out + at, (value * scale[:, None] * gain[None, :]).to(out.dtype.element_ty), mask=live)


@triton.jit
def _guided_norm_kernel(
    x,
    update,
    weight,
    guidance,
    out,
    R,
    W: tl.constexpr,
    BW: tl.constexpr,
    BR: tl.constexpr,
    GUIDED: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.arange(0, BW)
    at = row[:, None] * W + column[None, :]  # [BR, BW]
    live = (row < R)[:, None] & (column < W)[None, :]
    gain = tl.load(weight + column, mask=column < W, other=0.0).to(tl.float32)[None, :]  # [1, BW]
    value = tl.load(x + at, mask=live, other=0.0).to(tl.float32)
    value += tl.load(update + at, mask=live, other=0.0).to(tl.float32)
    hidden = value * tl.rsqrt(tl.sum(value * value, 1) / W + EPSILON)[:, None] * gain
    if GUIDED:
        other = tl.load(x + R.to(tl.int64) * W + at, mask=live, other=0.0).to(tl.float32)
        other += tl.load(update + R.to(tl.int64) * W + at, mask=live, other=0.0).to(tl.float32)
        other = other * tl.rsqrt(tl.sum(other * other, 1) / W + EPSILON)[:, None] * gain
        strength = tl.load(guidance).to(tl.float32)
        hidden = (1.0 + strength) * hidden - strength * other
    tl.store(out + at, hidden.to(out.dtype.element_ty), mask=live)


@triton.jit
def _norm_rotate_kernel(
    qkv, q_weight, k_weight, cos, sin, T, H, A, width, HALF: tl.constexpr, BA: tl.constexpr, BH: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    head, i = tl.arange(0, BA), tl.arange(0, BH)
    live = (head < A)[:, None] & (i < HALF)[None, :]  # [BA, BH]
    at = row * width + head[:, None] * (2 * HALF) + i[None, :]
    a = tl.load(qkv + at, mask=live, other=0.0).to(tl.float32)
    b = tl.load(qkv + at + HALF, mask=live, other=0.0).to(tl.float32)
    scale = tl.rsqrt((tl.sum(a * a, 1) + tl.sum(b * b, 1)) / (2 * HALF) + EPSILON)[:, None]  # [BA, 1]
    known = i < HALF
    query = (head < H)[:, None]
    low = tl.where(
        query,
        tl.load(q_weight + i, mask=known, other=0.0)[None, :],
        tl.load(k_weight + i, mask=known, other=0.0)[None, :],
    )
    high = tl.where(
        query,
        tl.load(q_weight + HALF + i, mask=known, other=0.0)[None, :],
        tl.load(k_weight + HALF + i, mask=known, other=0.0)[None, :],
    )
    a, b = a * scale * low, b * scale * high
    place = (row % T) * HALF + i
    c = tl.load(cos + place, mask=known, other=0.0)[None, :]
    s = tl.load(sin + place, mask=known, other=0.0)[None, :]
    tl.store(qkv + at, (a * c - b * s).to(qkv.dtype.element_ty), mask=live)
    tl.store(qkv + at + HALF, (a * s + b * c).to(qkv.dtype.element_ty), mask=live)


@triton.jit
def _swiglu_kernel(gate_up, out, count, F: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, column = at // F, at % F
    gate = tl.load(gate_up + row * (2 * F) + column, mask=at < count, other=0.0).to(tl.float32)
    up = tl.load(gate_up + row * (2 * F) + F + column, mask=at < count, other=0.0).to(tl.float32)
    tl.store(out + at, (gate / (1.0 + tl.exp(-gate)) * up).to(out.dtype.element_ty), mask=at < count)


def _tile(width: int) -> tuple[int, int]:
    """Columns and rows that a program of four warps handles: about 16 numbers a thread."""
    columns = triton.next_power_of_2(width)
    return columns, max(1, 2048 // columns)


def add_norm(x: Tensor, update: Tensor | None, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """x [R, W] += update [R, W] in place, and rms_norm(x) * weight in `dtype`; both contiguous."""
    rows, width = x.shape
    columns, block = _tile(width)
    out = torch.empty(rows, width, device=x.device, dtype=dtype)
    _add_norm_kernel[(triton.cdiv(rows, block),)](
        x,
        x if update is None else update,
        weight,
        out,
        rows,
        W=width,
        BW=columns,
        BR=block,
        ADD=update is not None,
        num_warps=4,
    )
    return out


def guided_norm(x: Tensor, update: Tensor, weight: Tensor, guidance: Tensor | None) -> Tensor:
    """rms_norm(x + update) * weight, fp32 [R, W].

    With guidance g [] x and update are [2 R, W], conditional rows first, and the result is (1 + g) c - g u.
    """
    rows, width = len(x) if guidance is None else len(x) // 2, x.shape[1]
    columns, block = _tile(width)
    out = torch.empty(rows, width, device=x.device)
    _guided_norm_kernel[(triton.cdiv(rows, block),)](
        x,
        update,
        weight,
        x if guidance is None else guidance,
        out,
        rows,
        W=width,
        BW=columns,
        BR=block,
        GUIDED=guidance is not None,
        num_warps=4,
    )
    return out


def norm_rotate_(
    qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int
) -> None:
    """QK norm and rotation in place; qkv [B, T, heads + 2 kv heads, hd] contiguous, cos and sin [T, hd / 2].

    The first `heads` heads are queries, the next half of the others keys; the values stay as they are.
    """
    batch, length, every, width = qkv.shape
    turned = heads + (every - heads) // 2
    _norm_rotate_kernel[(batch * length,)](
        qkv,
        q_weight,
        k_weight,
        cos,
        sin,
        length,
        heads,
        turned,
        every * width,
        HALF=width // 2,
        BA=triton.next_power_of_2(turned),
        BH=triton.next_power_of_2(width // 2),
        num_warps=4,
    )


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up [R, F] of gate_up [R, 2 F], contiguous."""
    rows, width = len(gate_up), gate_up.shape[1] // 2
    out = torch.empty(rows, width, device=gate_up.device, dtype=gate_up.dtype)
    _swiglu_kernel[(triton.cdiv(out.numel(), 2048),)](
        gate_up, out, out.numel(), F=width, BLOCK=2048, num_warps=4
    )
    return out
