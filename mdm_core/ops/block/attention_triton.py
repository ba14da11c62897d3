"""Attention over short sequences in Triton: one program holds all positions of a head, queries to gradients.

Legend
    T     positions, at most BT = 2^i      hd    width of a head, = 2 HALF; pairs (i, i + HALF) are turned
    S     scores [T, T], never in memory

The program reads its part of the projection's output as it is, norms and turns queries and keys on the way in, and
the backward pass writes the gradient of that same output: nothing else travels. Where a head does not fit into one
program, PyTorch's attention is the better one (see block_ops.py).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdm_core.ops.shared_memory_triton import BARRIERS

LONGEST = 128  # positions
WARPS, WARPS_BACKWARD = 8, 8  # of a program of more than 64 positions


@triton.jit
def _read(base, T, stride, HALF: tl.constexpr, BT: tl.constexpr):
    """Both halves of a head's vectors, fp32 [BT, HALF]; zero beyond T."""
    t, i = tl.arange(0, BT), tl.arange(0, HALF)
    at, keep = t[:, None] * stride + i[None, :], t[:, None] < T
    a = tl.load(base + at, mask=keep, other=0.0).to(tl.float32)
    b = tl.load(base + at + HALF, mask=keep, other=0.0).to(tl.float32)
    return a, b


@triton.jit
def _unit(a, b, eps, HALF: tl.constexpr):
    """1 / rms of each vector, [BT, 1]."""
    return tl.rsqrt((tl.sum(a * a, 1) + tl.sum(b * b, 1)) / (2 * HALF) + eps)[:, None]


@triton.jit
def _angles(cos, sin, T, HALF: tl.constexpr, BT: tl.constexpr):
    """fp32 [BT, HALF] each."""
    t, i = tl.arange(0, BT), tl.arange(0, HALF)
    at, keep = t[:, None] * HALF + i[None, :], t[:, None] < T
    c = tl.load(cos + at, mask=keep, other=0.0).to(tl.float32)
    return c, tl.load(sin + at, mask=keep, other=0.0).to(tl.float32)


@triton.jit
def _turned(base, weight, cos, sin, T, stride, eps, HALF: tl.constexpr, BT: tl.constexpr):
    """A head's vectors, normed and turned, in halves [BT, HALF] of the input's type."""
    i = tl.arange(0, HALF)
    a, b = _read(base, T, stride, HALF, BT)
    scale = _unit(a, b, eps, HALF)
    a = a * scale * tl.load(weight + i).to(tl.float32)[None, :]
    b = b * scale * tl.load(weight + HALF + i).to(tl.float32)[None, :]
    c, s = _angles(cos, sin, T, HALF, BT)
    kind = base.dtype.element_ty
    return (a * c - b * s).to(kind), (a * s + b * c).to(kind)


@triton.jit
def _softmax(qa, qb, ka, kb, T, scale, BT: tl.constexpr):
    """fp32 [BT, BT]: the softmax over keys of the scaled scores; keys beyond T have none of it."""
    s = tl.dot(qa, tl.trans(ka), input_precision="ieee")
    s = tl.dot(qb, tl.trans(kb), s, input_precision="ieee")
    s = tl.where(tl.arange(0, BT)[None, :] < T, s * (scale * 1.4426950408889634), float("-inf"))
    p = tl.exp2(s - tl.max(s, 1)[:, None])
    return p / tl.sum(p, 1)[:, None]


@triton.jit
def _forward_kernel(
    qkv, out, q_weight, k_weight, cos, sin, T, heads, scale, eps, HALF: tl.constexpr, BT: tl.constexpr
):
    head, picture = tl.program_id(0) % heads, (tl.program_id(0) // heads).to(tl.int64)
    HD: tl.constexpr = 2 * HALF
    stride = 3 * heads * HD
    base = qkv + picture * T * stride + head * HD
    qa, qb = _turned(base, q_weight, cos, sin, T, stride, eps, HALF, BT)
    ka, kb = _turned(base + heads * HD, k_weight, cos, sin, T, stride, eps, HALF, BT)
    t, d = tl.arange(0, BT), tl.arange(0, HD)
    keep = t[:, None] < T
    v = tl.load(base + 2 * heads * HD + t[:, None] * stride + d[None, :], mask=keep, other=0.0)
    p = _softmax(qa, qb, ka, kb, T, scale, BT)
    y = tl.dot(p.to(v.dtype), v, input_precision="ieee")
    at = out + (picture * T + t[:, None]) * (heads * HD) + head * HD + d[None, :]
    tl.store(at, y.to(out.dtype.element_ty), mask=keep)


@triton.jit
def _through_norm(
    ga, gb, base, dbase, part, weight, cos, sin, T, stride, eps, HALF: tl.constexpr, BT: tl.constexpr
):
    """Gradients of turned vectors become those of the vectors before turning and norm; sums for the weight."""
    t, i = tl.arange(0, BT), tl.arange(0, HALF)
    c, s = _angles(cos, sin, T, HALF, BT)
    ga, gb = ga * c + gb * s, gb * c - ga * s
    a, b = _read(base, T, stride, HALF, BT)
    scale = _unit(a, b, eps, HALF)
    a, b = a * scale, b * scale
    tl.store(part + i, tl.sum(ga * a, 0))
    tl.store(part + HALF + i, tl.sum(gb * b, 0))
    ga = ga * tl.load(weight + i).to(tl.float32)[None, :]
    gb = gb * tl.load(weight + HALF + i).to(tl.float32)[None, :]
    along = ((tl.sum(ga * a, 1) + tl.sum(gb * b, 1)) / (2 * HALF))[:, None]
    at, keep = t[:, None] * stride + i[None, :], t[:, None] < T
    kind = dbase.dtype.element_ty
    tl.store(dbase + at, ((ga - a * along) * scale).to(kind), mask=keep)
    tl.store(dbase + at + HALF, ((gb - b * along) * scale).to(kind), mask=keep)


@triton.jit
def _backward_kernel(
    upstream,
    qkv,
    dqkv,
    parts,
    q_weight,
    k_weight,
    cos,
    sin,
    T,
    heads,
    scale,
    eps,
    HALF: tl.constexpr,
    BT: tl.constexpr,
):
    head, picture = tl.program_id(0) % heads, (tl.program_id(0) // heads).to(tl.int64)
    HD: tl.constexpr = 2 * HALF
    stride = 3 * heads * HD
    here = picture * T * stride + head * HD
    base, dbase = qkv + here, dqkv + here
    t, d = tl.arange(0, BT), tl.arange(0, HD)
    keep = t[:, None] < T
    qa, qb = _turned(base, q_weight, cos, sin, T, stride, eps, HALF, BT)
    ka, kb = _turned(base + heads * HD, k_weight, cos, sin, T, stride, eps, HALF, BT)
    p = _softmax(qa, qb, ka, kb, T, scale, BT)
    at = upstream + (picture * T + t[:, None]) * (heads * HD) + head * HD + d[None, :]
    g = tl.load(at, mask=keep, other=0.0)
    at = 2 * heads * HD + t[:, None] * stride + d[None, :]
    v = tl.load(base + at, mask=keep, other=0.0)
    kind = g.dtype
    dv = tl.dot(tl.trans(p.to(kind)), g, input_precision="ieee")
    tl.store(dbase + at, dv.to(dqkv.dtype.element_ty), mask=keep)
    dp = tl.dot(g, tl.trans(v), input_precision="ieee")
    ds = (p * (dp - tl.sum(p * dp, 1)[:, None]) * scale).to(kind)
    part = parts + (picture * heads + head) * HD
    ga, gb = tl.dot(ds, ka, input_precision="ieee"), tl.dot(ds, kb, input_precision="ieee")
    _through_norm(ga, gb, base, dbase, part, q_weight, cos, sin, T, stride, eps, HALF, BT)
    ds = tl.trans(ds)
    ga, gb = tl.dot(ds, qa, input_precision="ieee"), tl.dot(ds, qb, input_precision="ieee")
    part += tl.num_programs(0).to(tl.int64) * HD
    _through_norm(
        ga, gb, base + heads * HD, dbase + heads * HD, part, k_weight, cos, sin, T, stride, eps, HALF, BT
    )


def needed(positions: int, dim: int) -> int:
    """Bytes of shared memory that the backward pass takes of a head in half precision, at most.

    Probabilities [BT, BT] and four arrays [BT, hd] are operands of its products at a time: of 128 positions and a
    width of 128 they are 2 * 128 * (128 + 4 * 128) = 163,840 bytes, which an A100 has and cards for games do not.
    """
    padded = _padded(positions)
    return 2 * padded * (padded + 4 * dim) + BARRIERS


def takes(positions: int, dim: int, heads: int, kv_heads: int, shared: int) -> bool:
    """Whether a head of this kind is one program's work where that may have so much shared memory, in bytes."""
    known = positions <= LONGEST and dim in (32, 64, 128) and heads == kv_heads
    return known and needed(positions, dim) <= shared


def attention(
    qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int, eps: float
) -> Tensor:
    """[B, T, heads hd] of qkv [B, T, 3 heads hd]; cos, sin: [T, hd / 2]."""
    B, T, width = qkv.shape
    dim = width // (3 * heads)
    out = qkv.new_empty(B, T, heads * dim)
    if B:
        _forward_kernel[(heads * B,)](
            qkv,
            out,
            q_weight,
            k_weight,
            cos,
            sin,
            T,
            heads,
            dim**-0.5,
            eps,
            HALF=dim // 2,
            BT=_padded(T),
            num_warps=WARPS if T > 64 else 4,
        )
    return out


def attention_backward(
    upstream: Tensor,
    qkv: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    heads: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of qkv and of both weights from that of the output [B, T, heads hd]."""
    B, T, width = qkv.shape
    dim = width // (3 * heads)
    dqkv, parts = torch.empty_like(qkv), qkv.new_zeros(2, B, heads, dim, dtype=torch.float32)
    if B:
        _backward_kernel[(heads * B,)](
            upstream,
            qkv,
            dqkv,
            parts,
            q_weight,
            k_weight,
            cos,
            sin,
            T,
            heads,
            dim**-0.5,
            eps,
            HALF=dim // 2,
            BT=_padded(T),
            num_warps=WARPS_BACKWARD if T > 64 else 4,
        )
    dq_weight, dk_weight = (part.sum((0, 1)) for part in parts)
    return dqkv, dq_weight.to(q_weight.dtype), dk_weight.to(k_weight.dtype)


def _padded(positions: int) -> int:
    return max(16, int(triton.next_power_of_2(positions)))
