"""What stands between a block's matrix products, in Triton: each of these reads its input once and writes once.

Legend
    M     rows (batch times positions)      C     columns of a row
    R     rows a program holds at a time    W     C rounded up to 2^i

Statistics and derivatives are computed in fp32 and rounded once, where they are stored. No locks, no atomics: sums
over rows are written per program and added up by the caller, so that a rerun is bitwise equal.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdm_core.ops.backend import wrap_triton

TILE = 4096  # numbers that a program holds of each array
PROGRAMS = 264  # of a kernel that sums over rows: two for each multiprocessor of a large GPU


@triton.jit
def _norm_kernel(
    x, y, weight, total, out, rstd, M, C, eps, ADD: tl.constexpr, R: tl.constexpr, W: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)  # [R]
    column = tl.arange(0, W)  # [W]
    inside = (row < M)[:, None] & (column < C)[None, :]  # [R, W]
    at = row[:, None] * C + column[None, :]  # [R, W]
    v = tl.load(x + at, mask=inside, other=0.0)
    if ADD:
        v = v.to(tl.float32) + tl.load(y + at, mask=inside, other=0.0).to(tl.float32)
        v = v.to(total.dtype.element_ty)
        tl.store(total + at, v, mask=inside)
    v = v.to(tl.float32)
    scale = tl.rsqrt(tl.sum(v * v, 1) / C + eps)  # [R]
    tl.store(rstd + row, scale, mask=row < M)
    w = tl.load(weight + column, mask=column < C, other=0.0).to(tl.float32)  # [W]
    tl.store(out + at, (v * scale[:, None] * w[None, :]).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _norm_backward_kernel(
    upstream,
    x,
    weight,
    rstd,
    through,
    dx,
    dweight,
    M,
    C,
    share,
    THROUGH: tl.constexpr,
    R: tl.constexpr,
    W: tl.constexpr,
):
    column = tl.arange(0, W)  # [W]
    w = tl.load(weight + column, mask=column < C, other=0.0).to(tl.float32)  # [W]
    first = tl.program_id(0).to(tl.int64) * share
    collected = tl.zeros((R, W), tl.float32)
    for start in range(first, tl.minimum(first + share, M), R):
        row = start + tl.arange(0, R)  # [R]
        inside = (row < M)[:, None] & (column < C)[None, :]  # [R, W]
        at = row[:, None] * C + column[None, :]  # [R, W]
        g = tl.load(upstream + at, mask=inside, other=0.0).to(tl.float32)
        v = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        scale = tl.load(rstd + row, mask=row < M, other=0.0)  # [R]
        unit = v * scale[:, None]
        collected += g * unit
        g = g * w[None, :]
        along = tl.sum(g * unit, 1) / C  # [R]
        g = (g - unit * along[:, None]) * scale[:, None]
        if THROUGH:
            g += tl.load(through + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(dx + at, g.to(dx.dtype.element_ty), mask=inside)
    at = dweight + tl.program_id(0).to(tl.int64) * C + column
    tl.store(at, tl.sum(collected, 0), mask=column < C)


@triton.jit
def _swiglu_kernel(gate_up, out, M, C, R: tl.constexpr, W: tl.constexpr):
    across = tl.cdiv(C, W)
    row = (tl.program_id(0) // across).to(tl.int64) * R + tl.arange(0, R)  # [R]
    column = tl.program_id(0) % across * W + tl.arange(0, W)  # [W]
    inside = (row < M)[:, None] & (column < C)[None, :]  # [R, W]
    at = gate_up + row[:, None] * (2 * C) + column[None, :]  # [R, W]
    gate = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(at + C, mask=inside, other=0.0).to(tl.float32)
    y = gate * up / (1.0 + tl.exp(-gate))
    tl.store(out + row[:, None] * C + column[None, :], y.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _swiglu_backward_kernel(upstream, gate_up, dgate_up, M, C, R: tl.constexpr, W: tl.constexpr):
    across = tl.cdiv(C, W)
    row = (tl.program_id(0) // across).to(tl.int64) * R + tl.arange(0, R)  # [R]
    column = tl.program_id(0) % across * W + tl.arange(0, W)  # [W]
    inside = (row < M)[:, None] & (column < C)[None, :]  # [R, W]
    g = tl.load(upstream + row[:, None] * C + column[None, :], mask=inside, other=0.0).to(tl.float32)
    at = row[:, None] * (2 * C) + column[None, :]  # [R, W]
    gate = tl.load(gate_up + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + at + C, mask=inside, other=0.0).to(tl.float32)
    share = 1.0 / (1.0 + tl.exp(-gate))
    kind = dgate_up.dtype.element_ty
    tl.store(dgate_up + at, (g * up * share * (1.0 + gate * (1.0 - share))).to(kind), mask=inside)
    tl.store(dgate_up + at + C, (g * gate * share).to(kind), mask=inside)


@triton.jit
def _heads_kernel(
    qkv,
    q,
    k,
    v,
    q_weight,
    k_weight,
    cos,
    sin,
    M,
    T,
    heads,
    kv_heads,
    eps,
    R: tl.constexpr,
    HALF: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)  # [R]
    head, i = tl.program_id(1), tl.arange(0, HALF)
    keep = (row < M)[:, None]
    at = row[:, None] * ((heads + 2 * kv_heads) * 2 * HALF) + head * 2 * HALF + i[None, :]  # [R, HALF]
    first, second = tl.load(qkv + at, mask=keep, other=0.0), tl.load(qkv + at + HALF, mask=keep, other=0.0)
    if head < heads + kv_heads:
        a, b = first.to(tl.float32), second.to(tl.float32)
        scale = tl.rsqrt((tl.sum(a * a, 1) + tl.sum(b * b, 1)) / (2 * HALF) + eps)[:, None]
        angle = (row % T)[:, None] * HALF + i[None, :]
        c, s = tl.load(cos + angle).to(tl.float32), tl.load(sin + angle).to(tl.float32)
        if head < heads:
            weight, out = q_weight, q + row[:, None] * (heads * 2 * HALF) + head * 2 * HALF + i[None, :]
        else:
            weight = k_weight
            out = k + row[:, None] * (kv_heads * 2 * HALF) + (head - heads) * 2 * HALF + i[None, :]
        a = a * scale * tl.load(weight + i).to(tl.float32)[None, :]
        b = b * scale * tl.load(weight + HALF + i).to(tl.float32)[None, :]
        kind = q.dtype.element_ty
        tl.store(out, (a * c - b * s).to(kind), mask=keep)
        tl.store(out + HALF, (a * s + b * c).to(kind), mask=keep)
    else:
        place = (head - heads - kv_heads) * 2 * HALF
        out = v + row[:, None] * (kv_heads * 2 * HALF) + place + i[None, :]
        tl.store(out, first, mask=keep)
        tl.store(out + HALF, second, mask=keep)


@triton.jit
def _heads_backward_kernel(
    dq,
    dk,
    dv,
    qkv,
    dqkv,
    dweight,
    q_weight,
    k_weight,
    cos,
    sin,
    M,
    T,
    heads,
    kv_heads,
    eps,
    R: tl.constexpr,
    HALF: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)  # [R]
    head, i = tl.program_id(1), tl.arange(0, HALF)
    keep = (row < M)[:, None]
    at = row[:, None] * ((heads + 2 * kv_heads) * 2 * HALF) + head * 2 * HALF + i[None, :]  # [R, HALF]
    kind = dqkv.dtype.element_ty
    if head < heads + kv_heads:
        if head < heads:
            weight, up = q_weight, dq + row[:, None] * (heads * 2 * HALF) + head * 2 * HALF + i[None, :]
        else:
            weight = k_weight
            up = dk + row[:, None] * (kv_heads * 2 * HALF) + (head - heads) * 2 * HALF + i[None, :]
        ga, gb = (
            tl.load(up, mask=keep, other=0.0).to(tl.float32),
            tl.load(up + HALF, mask=keep, other=0.0).to(tl.float32),
        )
        angle = (row % T)[:, None] * HALF + i[None, :]
        c, s = tl.load(cos + angle).to(tl.float32), tl.load(sin + angle).to(tl.float32)
        ga, gb = ga * c + gb * s, gb * c - ga * s
        a = tl.load(qkv + at, mask=keep, other=0.0).to(tl.float32)
        b = tl.load(qkv + at + HALF, mask=keep, other=0.0).to(tl.float32)
        scale = tl.rsqrt((tl.sum(a * a, 1) + tl.sum(b * b, 1)) / (2 * HALF) + eps)[:, None]
        a, b = a * scale, b * scale
        part = dweight + (head.to(tl.int64) * tl.num_programs(0) + tl.program_id(0)) * (2 * HALF) + i
        tl.store(part, tl.sum(ga * a, 0))
        tl.store(part + HALF, tl.sum(gb * b, 0))
        ga = ga * tl.load(weight + i).to(tl.float32)[None, :]
        gb = gb * tl.load(weight + HALF + i).to(tl.float32)[None, :]
        along = ((tl.sum(ga * a, 1) + tl.sum(gb * b, 1)) / (2 * HALF))[:, None]
        tl.store(dqkv + at, ((ga - a * along) * scale).to(kind), mask=keep)
        tl.store(dqkv + at + HALF, ((gb - b * along) * scale).to(kind), mask=keep)
    else:
        place = (head - heads - kv_heads) * 2 * HALF
        up = dv + row[:, None] * (kv_heads * 2 * HALF) + place + i[None, :]
        tl.store(dqkv + at, tl.load(up, mask=keep, other=0.0).to(kind), mask=keep)
        tl.store(dqkv + at + HALF, tl.load(up + HALF, mask=keep, other=0.0).to(kind), mask=keep)


def _tile(columns: int) -> tuple[int, int]:
    """(R, W) of a program that holds whole rows."""
    wide = triton.next_power_of_2(columns)
    return max(1, TILE // wide), wide


def norm(
    x: Tensor, y: Tensor | None, weight: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor | None, Tensor, Tensor]:
    """(x + y, its RMS norm in `dtype`, 1 / rms fp32 [M]) of rows [M, C]; without y, no sum is formed."""
    (rows, columns), (R, W) = x.shape, _tile(int(x.shape[1]))
    total = None if y is None else torch.empty_like(x, dtype=torch.promote_types(x.dtype, y.dtype))
    out, rstd = torch.empty_like(x, dtype=dtype), x.new_empty(rows, dtype=torch.float32)
    if rows:
        wrap_triton(_norm_kernel)[(triton.cdiv(rows, R),)](
            x,
            x if y is None else y,
            weight,
            out if total is None else total,
            out,
            rstd,
            rows,
            columns,
            eps,
            ADD=y is not None,
            R=R,
            W=W,
            num_warps=8 if R * W >= TILE else 4,
        )
    return total, out, rstd


def norm_backward(
    upstream: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, through: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(gradient of x [M, C], with `through` added to it; gradient of weight [C]), x being what was normed."""
    (rows, columns), (R, W) = x.shape, _tile(int(x.shape[1]))
    share = triton.cdiv(max(1, triton.cdiv(rows, R)), PROGRAMS) * R  # rows of one program
    count = max(1, triton.cdiv(rows, share))
    dx, parts = torch.empty_like(x), x.new_empty(count, columns, dtype=torch.float32)
    wrap_triton(_norm_backward_kernel)[(count,)](
        upstream,
        x,
        weight,
        rstd,
        upstream if through is None else through,
        dx,
        parts,
        rows,
        columns,
        share,
        THROUGH=through is not None,
        R=R,
        W=W,
        num_warps=8 if R * W >= TILE else 4,
    )
    return dx, parts.sum(0).to(weight.dtype)


def _pieces(rows: int, columns: int) -> tuple[int, int, tuple[int]]:
    """(R, W, grid) over [M, C] in tiles, along the one axis of a grid that holds more than 65,535 programs."""
    W = min(512, triton.next_power_of_2(int(columns)))
    R = TILE // W
    return R, W, (triton.cdiv(columns, W) * triton.cdiv(rows, R),)


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up [M, C] of gate_up [M, 2 C]."""
    rows, columns = gate_up.shape[0], gate_up.shape[1] // 2
    out = gate_up.new_empty(rows, columns)
    if rows:
        R, W, grid = _pieces(rows, columns)
        wrap_triton(_swiglu_kernel)[grid](gate_up, out, rows, columns, R=R, W=W, num_warps=8)
    return out


def swiglu_backward(upstream: Tensor, gate_up: Tensor) -> Tensor:
    """The gradient of gate_up [M, 2 C] from that of the output [M, C]."""
    rows, columns = upstream.shape
    out = torch.empty_like(gate_up)
    if rows:
        R, W, grid = _pieces(rows, columns)
        wrap_triton(_swiglu_backward_kernel)[grid](
            upstream, gate_up, out, rows, columns, R=R, W=W, num_warps=8
        )
    return out


def _rows_of_heads(half: int) -> int:
    return max(1, TILE // 2 // half)


def heads(
    qkv: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    count: int,
    kv_count: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, normed and turned by cos, sin [T, hd / 2], and values, of qkv [B, T, (heads + 2 kv) hd].

    Returns [B, T, heads, hd] and twice [B, T, kv, hd].
    """
    B, T, width = qkv.shape
    dim = width // (count + 2 * kv_count)
    q = qkv.new_empty(B, T, count, dim)
    k, v = (qkv.new_empty(B, T, kv_count, dim) for _ in range(2))
    R = _rows_of_heads(dim // 2)
    wrap_triton(_heads_kernel)[(triton.cdiv(B * T, R), count + 2 * kv_count)](
        qkv,
        q,
        k,
        v,
        q_weight,
        k_weight,
        cos,
        sin,
        B * T,
        T,
        count,
        kv_count,
        eps,
        R=R,
        HALF=dim // 2,
        num_warps=8,
    )
    return q, k, v


def heads_backward(
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    qkv: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of qkv and of both weights, from those of what `heads` returned."""
    (B, T, count, dim), kv_count = dq.shape, dk.shape[2]
    R = _rows_of_heads(dim // 2)
    blocks = triton.cdiv(B * T, R)
    dqkv, parts = torch.empty_like(qkv), qkv.new_empty(count + kv_count, blocks, dim, dtype=torch.float32)
    wrap_triton(_heads_backward_kernel)[(blocks, count + 2 * kv_count)](
        dq,
        dk,
        dv,
        qkv,
        dqkv,
        parts,
        q_weight,
        k_weight,
        cos,
        sin,
        B * T,
        T,
        count,
        kv_count,
        eps,
        R=R,
        HALF=dim // 2,
        num_warps=8,
    )
    dq_weight, dk_weight = parts[:count].sum((0, 1)), parts[count:].sum((0, 1))
    return dqkv, dq_weight.to(q_weight.dtype), dk_weight.to(k_weight.dtype)
