"""The block's and Muon's kernels on a real GPU: the interpreter's tests once more, and errors in half precision."""

import pytest
import torch
import torch.nn.functional as F
from test_block_triton import *  # noqa: F403
from test_muon_triton import *  # noqa: F403

from mdm_core.families.chisel.layers import Attention, TransformerBlock, rotary_2d
from mdm_core.ops.block import training as block_ops

GPU = torch.device("cuda")
# the first product in a fresh process of xdist's remarks on its context
pytestmark = pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS")


def draw(*shape, seed=0, spread=1.0):
    g = torch.Generator(GPU).manual_seed(seed + sum(shape))
    return (torch.randn(*shape, device=GPU, generator=g) * spread).bfloat16()


def errors_are_those_of_rounding(ours, plain, exact, inputs, upstream, bound=1.5):
    """Values and gradients against fp64: no worse than PyTorch's own bf16 computation, by more than half."""
    found = []
    for function, kind in ((ours, None), (plain, None), (exact, torch.float64)):
        given = [x.detach().to(kind or x.dtype).requires_grad_() for x in inputs]
        y = function(*given)
        found.append([y.detach(), *torch.autograd.grad(y, given, upstream.to(y.dtype))])
    for i, (a, b, c) in enumerate(zip(*found, strict=True)):
        mine, theirs = (float((x.double() - c.double()).norm() / c.double().norm()) for x in (a, b))
        assert mine <= max(bound * theirs, 2**-9), (i, mine, theirs)


def plain_norm(x, weight):
    return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), block_ops.EPS)


@pytest.mark.parametrize("rows, columns", [(5000, 1024), (333, 4096), (9999, 256)])
def test_half_norm(rows, columns):
    x, y, weight = draw(rows, columns), draw(rows, columns, seed=1), draw(columns, seed=2).float()
    up = draw(rows, columns, seed=3)
    errors_are_those_of_rounding(block_ops.rms_norm, plain_norm, plain_norm, (x, weight), up)
    total = [lambda x, y, w, i=i: block_ops.add_rms_norm(x, y, w)[i] for i in range(2)]
    exact = [lambda x, y, w: x + y, lambda x, y, w: plain_norm(x + y, w)]
    for i in (1,):
        errors_are_those_of_rounding(total[i], exact[i], exact[i], (x, y, weight), up)


def test_half_swiglu():
    def plain(x):
        gate, up = x.chunk(2, -1)
        return F.silu(gate) * up

    x = draw(3000, 2 * 2816, spread=2.0)
    errors_are_those_of_rounding(block_ops.swiglu, plain, plain, (x,), draw(3000, 2816, seed=1))


def test_more_rows_and_pictures_than_an_axis_of_a_grid_holds():
    """Batches of 512 pictures of 1,024 tokens failed: 65,536 programs along the second axis."""
    x = draw(65_536 * 16 + 5, 2 * 256)
    gate, up = x[-5:].chunk(2, -1)
    torch.testing.assert_close(block_ops.swiglu(x)[-5:], F.silu(gate) * up, rtol=2e-2, atol=2e-2)
    cos, sin = (x.to(GPU) for x in rotary_2d(4, 32, 100.0))
    weight = torch.ones(32, device=GPU, dtype=torch.bfloat16)
    qkv = draw(70_000, 16, 3 * 32)
    y = block_ops.attention(qkv, weight, weight, cos, sin, 1, 1)
    few = block_ops.attention(qkv[-3:], weight, weight, cos, sin, 1, 1)
    torch.testing.assert_close(y[-3:], few)


@pytest.mark.parametrize(
    "B, heads, kv, dim, text, grid",
    [
        (5, 8, 8, 128, 40, 8),
        (3, 6, 6, 64, 40, 8),
        (3, 4, 4, 64, 0, 16),
        (2, 8, 2, 128, 20, 14),
        (2, 4, 4, 32, 3, 5),
    ],
)
def test_half_attention(B, heads, kv, dim, text, grid):
    cos, sin = (t.to(GPU) for t in rotary_2d(grid, dim, 100.0, text))
    layer = Attention(heads * dim, heads, kv).to(GPU)

    def plain(qkv, qw, kw):
        layer.q_norm.weight, layer.k_norm.weight = (torch.nn.Parameter(w) for w in (qw, kw))
        from mdm_core.families.chisel.layers import rotate

        q, k, v = qkv.view(B, -1, heads + 2 * kv, dim).transpose(1, 2).split([heads, kv, kv], 1)
        q, k = (rotate(plain_norm(x, w), cos, sin) for x, w in ((q, qw), (k, kw)))
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=heads != kv)
        return y.transpose(1, 2).flatten(2)

    def ours(qkv, qw, kw):
        return block_ops.attention(qkv, qw, kw, cos, sin, heads, kv)

    T = text + grid * grid
    qkv = draw(B, T, (heads + 2 * kv) * dim)
    weights = [1 + 0.3 * draw(dim, seed=s).float() for s in (1, 2)]
    errors_are_those_of_rounding(ours, plain, plain, (qkv, *weights), draw(B, T, heads * dim, seed=5))


def test_a_block_under_autocast_compiled_and_not():
    torch.manual_seed(0)
    block = TransformerBlock(256, 2, 2, 512).to(GPU)
    cos, sin = (t.to(GPU) for t in rotary_2d(8, 128, 100.0, 40))
    x, up = draw(4, 104, 256).requires_grad_(), draw(4, 104, 256, seed=1)

    def run(function):
        with torch.autocast("cuda", torch.bfloat16):
            y = function(x, cos, sin)
        return y, *torch.autograd.grad(y, (x, *block.parameters()), up)

    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        assert block_ops.fused(x) and not block_ops.fused(x.cpu())
    mine = run(block)
    compiled = run(torch.compile(block, fullgraph=True))
    block.double()
    exact = block(x.double(), cos.double(), sin.double())
    exact = exact, *torch.autograd.grad(exact, (x, *block.parameters()), up.double())
    for a, b, c in zip(mine, compiled, exact, strict=True):
        for value in (a, b):
            assert (value.double() - c.double()).norm() < 0.02 * c.double().norm()
