"""What a transformer block does between its matrix products, as operators with a backward pass of their own.

    rms_norm, add_rms_norm    the norm, with the residual sum before it
    swiglu                    silu(gate) * up
    attention                 QK norm, rotary positions and attention, from the projection's output

On a GPU with Triton each is one kernel forward and one backward (training_triton.py, attention_triton.py), operators
for eager code, autocast and `torch.compile` alike; layers.py says in PyTorch what they compute, and does so everywhere
else. The compiler looks into them and launches the kernels itself, but for short attention: its kernels ran 2.5 to 3.6
times slower that way (PyTorch 2.11, H200). Sums and statistics are fp32; each result is rounded once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mdm_core.ops.backend import operator, triton_installed
from mdm_core.ops.shared_memory_triton import available

EPS = 1e-6  # of every norm
HALVES = (torch.bfloat16, torch.float16)
KERNELS = Path(__file__).with_name("training_triton.py")


def fused(x: Tensor) -> bool:
    """Whether the kernels take this activation: it is on a GPU, and its products run in a half type."""
    return x.is_cuda and product_dtype(x) in HALVES and triton_installed()


def takes_heads(dim: int) -> bool:
    """Whether the kernels take heads of this width: a power of two."""
    return dim >= 8 and dim & (dim - 1) == 0


def product_dtype(x: Tensor) -> torch.dtype:
    """The type that a matrix product with x runs in."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """The RMS norm of x [..., C], in the type that the next product wants."""
    return _norm(x.contiguous(), None, weight, product_dtype(x))[1]


def add_rms_norm(x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(x + y, its RMS norm), both [..., C]."""
    total, out, _ = _norm(x.contiguous(), y.contiguous(), weight, product_dtype(x))
    return total, out


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up [..., C] of gate_up [..., 2 C]."""
    return _swiglu(gate_up.contiguous())


def attention(
    qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int, kv_heads: int
) -> Tensor:
    """Attention of all positions to all.

    Args:
        qkv: [B, T, (heads + 2 kv_heads) hd], queries, keys and values as the projection gives them.
        q_weight, k_weight: [hd] of their norms. cos, sin: [T, hd / 2], see `layers.rotary_2d`.
    Returns:
        [B, T, heads hd].
    """
    from mdm_core.ops.block import attention_triton

    dim = qkv.shape[-1] // (heads + 2 * kv_heads)
    if attention_triton.takes(qkv.shape[1], dim, heads, kv_heads, available(qkv.device)):
        return _short_attention(qkv.contiguous(), q_weight, k_weight, cos, sin, heads)
    q, k, v = _heads(qkv.contiguous(), q_weight, k_weight, cos, sin, heads, kv_heads)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, enable_gqa=heads != kv_heads)
    return y.transpose(1, 2).flatten(2)


# ---- the norm -----------------------------------------------------------------------------------------------


@operator("chisel::rms_norm", KERNELS)
def _norm(x: Tensor, y: Tensor | None, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """x + y (empty without y), its norm, and 1 / rms of the rows."""
    from mdm_core.ops.block import training_triton as block_triton

    rows = x.view(-1, x.shape[-1])
    total, out, rstd = block_triton.norm(rows, None if y is None else y.view_as(rows), weight, EPS, dtype)
    return x.new_empty(0) if total is None else total.view_as(x), out.view_as(x), rstd


@_norm.register_fake
def _(x: Tensor, y: Tensor | None, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    total = x.new_empty(0) if y is None else torch.empty_like(x, dtype=torch.promote_types(x.dtype, y.dtype))
    rows = x.numel() // x.shape[-1]
    return total, torch.empty_like(x, dtype=dtype), x.new_empty(rows, dtype=torch.float32)


@operator("chisel::rms_norm_backward", KERNELS)
def _norm_backward(
    upstream: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, through: Tensor | None
) -> tuple[Tensor, Tensor]:
    from mdm_core.ops.block import training_triton as block_triton

    rows = x.view(-1, x.shape[-1])
    through = None if through is None else through.contiguous().view_as(rows)
    dx, dweight = block_triton.norm_backward(
        upstream.contiguous().view(rows.shape), rows, weight, rstd, through
    )
    return dx.view_as(x), dweight


@_norm_backward.register_fake
def _(
    upstream: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, through: Tensor | None
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight)


def _norm_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, y, weight, _ = inputs
    total, _, rstd = output
    ctx.save_for_backward(x if y is None else total, weight, rstd)
    ctx.types = x.dtype, None if y is None else y.dtype
    ctx.set_materialize_grads(False)


def _norm_grad(
    ctx: Any, through: Tensor | None, upstream: Tensor | None, unused: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
    x, weight, rstd = ctx.saved_tensors
    kind, other = ctx.types
    if other is None:
        through = None  # nothing was summed: that output is empty
    if upstream is None:
        dx, dweight = through, None
    else:
        dx, dweight = _norm_backward(upstream, x, weight, rstd, through)
    dy = None if other is None or dx is None else dx.to(other)
    return None if dx is None else dx.to(kind), dy, dweight, None


_norm.register_autograd(_norm_grad, setup_context=_norm_context)


# ---- SwiGLU -------------------------------------------------------------------------------------------------


@operator("chisel::swiglu", KERNELS)
def _swiglu(gate_up: Tensor) -> Tensor:
    from mdm_core.ops.block import training_triton as block_triton

    out = block_triton.swiglu(gate_up.view(-1, gate_up.shape[-1]))
    return out.view(*gate_up.shape[:-1], -1)


@_swiglu.register_fake
def _(gate_up: Tensor) -> Tensor:
    return gate_up.new_empty(*gate_up.shape[:-1], gate_up.shape[-1] // 2)


@operator("chisel::swiglu_backward", KERNELS)
def _swiglu_backward(upstream: Tensor, gate_up: Tensor) -> Tensor:
    from mdm_core.ops.block import training_triton as block_triton

    rows = gate_up.view(-1, gate_up.shape[-1])
    flat = upstream.contiguous().view(len(rows), -1)
    return block_triton.swiglu_backward(flat, rows).view_as(gate_up)


@_swiglu_backward.register_fake
def _(upstream: Tensor, gate_up: Tensor) -> Tensor:
    return torch.empty_like(gate_up)


_swiglu.register_autograd(
    lambda ctx, upstream: _swiglu_backward(upstream, *ctx.saved_tensors),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


# ---- attention ----------------------------------------------------------------------------------------------


@torch.library.custom_op("chisel::short_attention", mutates_args=())
def _short_attention(
    qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int
) -> Tensor:
    from mdm_core.ops.block import attention_triton

    return attention_triton.attention(qkv, q_weight, k_weight, cos, sin, heads, EPS)


@_short_attention.register_fake
def _(qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int) -> Tensor:
    return qkv.new_empty(*qkv.shape[:2], qkv.shape[2] // 3)


@torch.library.custom_op("chisel::short_attention_backward", mutates_args=())
def _short_attention_backward(
    upstream: Tensor, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    from mdm_core.ops.block import attention_triton

    return attention_triton.attention_backward(
        upstream.contiguous(), qkv, q_weight, k_weight, cos, sin, heads, EPS
    )


@_short_attention_backward.register_fake
def _(
    upstream: Tensor, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(qkv), torch.empty_like(q_weight), torch.empty_like(k_weight)


def _short_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.heads = inputs[5]


_short_attention.register_autograd(
    lambda ctx, upstream: (
        *_short_attention_backward(upstream, *ctx.saved_tensors, ctx.heads),
        None,
        None,
        None,
    ),
    setup_context=_short_context,
)


@operator("chisel::heads", KERNELS)
def _heads(
    qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int, kv_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, normed and turned, and values: [B, T, heads, hd], twice [B, T, kv_heads, hd]."""
    from mdm_core.ops.block import training_triton as block_triton

    return block_triton.heads(qkv, q_weight, k_weight, cos, sin, heads, kv_heads, EPS)


@_heads.register_fake
def _(
    qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, heads: int, kv_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    B, T, width = qkv.shape
    q, k, v = (qkv.new_empty(B, T, n, width // (heads + 2 * kv_heads)) for n in (heads, kv_heads, kv_heads))
    return q, k, v


@operator("chisel::heads_backward", KERNELS)
def _heads_backward(
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    qkv: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    from mdm_core.ops.block import training_triton as block_triton

    dq, dk, dv = (x.contiguous() for x in (dq, dk, dv))
    return block_triton.heads_backward(dq, dk, dv, qkv, q_weight, k_weight, cos, sin, EPS)


@_heads_backward.register_fake
def _(
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    qkv: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(qkv), torch.empty_like(q_weight), torch.empty_like(k_weight)


_heads.register_autograd(
    lambda ctx, dq, dk, dv: (*_heads_backward(dq, dk, dv, *ctx.saved_tensors), None, None, None, None),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs[:5]),
)
