"""The block's kernels against PyTorch: on a GPU if there is one, else interpreted, in fp32."""

import pytest
import torch
import torch.nn.functional as F

from mdm_core.families.chisel.layers import Attention, SwiGLU, TransformerBlock, rotary_2d
from mdm_core.ops.block import training as block_ops

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's exp of large numbers, interpreted


def numbers(*shape, seed=0, spread=1.0):
    g = torch.Generator().manual_seed(seed + sum(shape))
    return (torch.randn(*shape, generator=g) * spread).to(DEVICE).requires_grad_()


def same(ours, theirs, inputs, upstream, rtol=2e-5, atol=2e-5):
    """Values and all gradients of two computations."""
    ours, theirs = (x if isinstance(x, tuple) else (x,) for x in (ours, theirs))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)
    mine, others = (torch.autograd.grad(x, inputs, upstream, allow_unused=True) for x in (ours, theirs))
    for a, b in zip(mine, others, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol * max(1.0, float(b.detach().abs().max())))


def plain_norm(x, weight):
    return F.rms_norm(x, (x.shape[-1],), weight, block_ops.EPS)


@pytest.mark.parametrize("rows, columns", [(1, 1), (7, 5), (37, 96), (9, 1024), (3, 4096), (2, 5000)])
def test_norm_and_its_residual_sum(rows, columns):
    x, y, weight = numbers(rows, columns), numbers(rows, columns, seed=1), numbers(columns, seed=2)
    up = numbers(rows, columns, seed=3).detach(), numbers(rows, columns, seed=4).detach()
    same(block_ops.rms_norm(x, weight), plain_norm(x, weight), (x, weight), up[:1])
    total = x + y
    same(block_ops.add_rms_norm(x, y, weight), (total, plain_norm(total, weight)), (x, y, weight), up)


def test_norm_sums_over_more_rows_than_one_program_holds(monkeypatch):
    from mdm_core.ops.block import training_triton as block_triton

    monkeypatch.setattr(block_triton, "PROGRAMS", 3)
    x, weight = numbers(3, 30, 700), numbers(700, seed=1)
    same(
        block_ops.rms_norm(x, weight),
        plain_norm(x, weight),
        (x, weight),
        numbers(3, 30, 700, seed=5).detach(),
    )


def test_norm_where_only_one_result_is_used():
    x, y, weight = numbers(4, 64), numbers(4, 64, seed=1), numbers(64, seed=2)
    for used in (0, 1):
        ours, theirs = block_ops.add_rms_norm(x, y, weight)[used], (x + y, plain_norm(x + y, weight))[used]
        wanted = (x, y) if used == 0 else (x, y, weight)
        same(ours, theirs, wanted, numbers(4, 64, seed=3).detach())


@pytest.mark.parametrize("shape", [(1, 2), (3, 5, 14), (37, 2048), (2, 1100)])
def test_swiglu(shape):
    x = numbers(*shape, spread=3.0)
    gate, up = x.chunk(2, -1)
    same(block_ops.swiglu(x), F.silu(gate) * up, (x,), numbers(*shape[:-1], shape[-1] // 2, seed=1).detach())


def test_swiglu_of_extreme_gates():
    x = torch.tensor([[-200.0, 200.0, 0.0, 1.0, 1.0, 1.0]], device=DEVICE, requires_grad=True)
    y = block_ops.swiglu(x)
    assert y.tolist() == [[0.0, 200.0, 0.0]]
    (g,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(g, torch.tensor([[0.0, 1.0, 0.5, 0.0, 200.0, 0.0]], device=DEVICE))


def attention_layer(width, heads, kv_heads, text, grid):
    torch.manual_seed(width)
    layer = Attention(width, heads, kv_heads).to(DEVICE)
    for norm in (layer.q_norm, layer.k_norm):
        torch.nn.init.normal_(norm.weight, 1.0, 0.3)
    return layer, *(t.to(DEVICE) for t in rotary_2d(grid, width // heads, 100.0, text))


@pytest.mark.parametrize(
    "width, heads, kv_heads, text, grid",
    [
        (64, 2, 2, 5, 2),
        (32, 1, 1, 0, 4),
        (64, 1, 1, 5, 8),
        (32, 2, 1, 3, 3),
        (128, 2, 2, 1, 12),
        (16, 2, 2, 0, 2),
    ],
)
def test_attention(width, heads, kv_heads, text, grid):
    """One program a head, or norm and rotation in a kernel before PyTorch's attention: as the layer computes it."""
    layer, cos, sin = attention_layer(width, heads, kv_heads, text, grid)
    x = numbers(2, text + grid * grid, width)
    theirs = layer(x, cos, sin)
    weights = layer.q_norm.weight, layer.k_norm.weight
    y = block_ops.attention(layer.qkv(x), *weights, cos, sin, heads, kv_heads)
    up = numbers(*theirs.shape, seed=3).detach()
    same(layer.out(y), theirs, (x, *layer.parameters()), up, rtol=1e-4, atol=5e-5)


def test_a_whole_block_and_the_choice_of_kernels(monkeypatch):
    torch.manual_seed(0)
    block = TransformerBlock(64, 2, 2, 96).to(DEVICE)
    cos, sin = (t.to(DEVICE) for t in rotary_2d(3, 32, 100.0, 2))
    x, up = numbers(3, 11, 64), numbers(3, 11, 64, seed=1).detach()
    plain, used = block(x, cos, sin), []
    assert not block_ops.fused(x)  # fp32: PyTorch computes it
    monkeypatch.setattr(block_ops, "fused", lambda x: True)
    for name in ("rms_norm", "add_rms_norm", "swiglu", "attention"):
        real = getattr(block_ops, name)
        monkeypatch.setattr(block_ops, name, lambda *a, real=real, name=name: used.append(name) or real(*a))
    same(block(x, cos, sin), plain, (x, *block.parameters()), up, rtol=1e-4, atol=5e-5)
    assert used == ["rms_norm", "attention", "add_rms_norm", "swiglu"]
    assert isinstance(block.ffn, SwiGLU)


def test_a_block_compiles_as_one_graph(monkeypatch):
    torch.manual_seed(0)
    block = TransformerBlock(32, 1, 1, 48).to(DEVICE)
    cos, sin = (t.to(DEVICE) for t in rotary_2d(2, 32, 100.0, 1))
    x, up = numbers(2, 5, 32), numbers(2, 5, 32, seed=1).detach()
    monkeypatch.setattr(block_ops, "fused", lambda x: True)
    eager = block(x, cos, sin)
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    same(compiled(x, cos, sin), eager, (x, *block.parameters()), up)


def test_operators_are_well_formed():
    """PyTorch's own check: fakes agree with results, gradients are registered, nothing is an alias."""
    weight = numbers(32, seed=1)
    cos, sin = (t.to(DEVICE) for t in rotary_2d(2, 32, 100.0))
    check = torch.library.opcheck
    check(block_ops._norm, (numbers(3, 32), None, weight, torch.float32))
    check(block_ops._norm, (numbers(3, 32), numbers(3, 32, seed=2), weight, torch.float32))
    check(block_ops._swiglu, (numbers(3, 32),))
    check(block_ops._short_attention, (numbers(1, 4, 96), weight, weight, cos, sin, 1))
    check(block_ops._heads, (numbers(1, 4, 96), weight, weight, cos, sin, 1, 1))


def test_grids_grow_along_their_first_axis_alone(monkeypatch):
    """The others of a GPU's grid hold 65,535 programs, which a large batch has of rows and of pictures."""
    from mdm_core.ops.block import attention_triton, training_triton

    grids = []

    class Recorder:
        def __getitem__(self, grid):
            grids.append(grid)
            return lambda *args, **kwargs: None

    monkeypatch.setattr(training_triton, "wrap_triton", lambda kernel: Recorder())
    for kernel in ("_forward_kernel", "_backward_kernel"):
        monkeypatch.setattr(attention_triton, kernel, Recorder())
    rows, count = 1 << 23, 1 << 17
    meta = {"device": "meta", "dtype": torch.bfloat16}
    x = torch.empty(rows, 64, **meta)
    training_triton.swiglu(torch.empty(rows, 128, **meta))
    training_triton.swiglu_backward(x, torch.empty(rows, 128, **meta))
    angles = torch.empty(4, 16, **meta)
    qkv, w = torch.empty(count, 4, 3 * 2 * 32, **meta), torch.empty(32, **meta)
    attention_triton.attention(qkv, w, w, angles, angles, 2, 1e-6)
    attention_triton.attention_backward(torch.empty(count, 4, 64, **meta), qkv, w, w, angles, angles, 2, 1e-6)
    training_triton.heads(qkv, w, w, angles, angles, 2, 2, 1e-6)
    assert len(grids) == 5 and all(max(grid[1:], default=1) < 65_536 for grid in grids), grids
