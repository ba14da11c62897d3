"""Grouped cross-entropy on a real GPU: accuracy, big offsets, determinism, memory, full-graph compile.

Also runs without pytest: `python -m tests.gpu.test_gce_gpu`.
"""

import pytest
import torch

from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy

GPU = torch.device("cuda")


def problem(n, d, v, dtype):
    g = torch.Generator(GPU).manual_seed(n + d + v)
    hidden = torch.randn(n, d, device=GPU, generator=g).mul_(2 * d**-0.5).to(dtype).requires_grad_()
    weight = torch.randn(v, d, device=GPU, generator=g).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(0, v, (n,), device=GPU, generator=g)


def results(hidden, weight, target, groups, **options):
    hidden, weight = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
    loss = linear_grouped_cross_entropy(hidden, weight, target, groups, **options)
    loss.backward(torch.linspace(-1, 2, len(loss), device=GPU) if loss.dim() else None)
    return loss.detach(), hidden.grad, weight.grad


def error(value, exact):
    return float((value.double() - exact.double()).abs().max() / exact.double().abs().max())


def test_error_is_at_most_that_of_plain_pytorch():
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for n, d, v in ((257, 64, 1000), (1024, 256, 16384), (300, 128, 40000)):
            groups = Groups.from_ids(torch.arange(v, device=GPU) // 8)
            hidden, weight, target = problem(n, d, v, dtype)
            for options in (
                {"reduction": "mean"},
                {"reduction": "none"},
                {"schedule": "vocabulary", "z_loss": 1e-3},
            ):
                exact = results(
                    hidden.double(), weight.double(), target, groups, backend="reference", **options
                )
                plain = results(hidden, weight, target, groups, backend="reference", **options)
                ours = results(hidden, weight, target, groups, backend="triton", **options)
                for name, a, b, c in zip(("loss", "dH", "dW"), ours, plain, exact, strict=True):
                    mine, theirs = error(a, c), error(b, c)
                    floor = 4 * torch.finfo(torch.float32 if name == "loss" else dtype).eps
                    assert mine <= max(1.5 * theirs, floor), (dtype, (n, d, v), options, name, mine, theirs)


def test_a_rerun_is_bitwise_equal_and_row_order_does_not_matter_to_the_loss():
    hidden, weight, target = problem(2000, 128, 16384, torch.bfloat16)
    groups = Groups.lattice((8, 8, 8, 8, 4)).to(GPU)
    first, second = (results(hidden, weight, target, groups) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_offsets_beyond_32_bits():
    n, v = 40000, 65536  # one tile of 2.6e9 logits
    hidden, weight, target = problem(n, 16, v, torch.bfloat16)
    loss, dh, dw = results(hidden, weight, target, None, tile_bytes=8 << 30)
    split, dh2, dw2 = results(hidden, weight, target, None, tile_bytes=256 << 20)
    torch.testing.assert_close(loss, split, rtol=1e-5, atol=0)
    torch.testing.assert_close(dh, dh2, rtol=0.02, atol=1e-7)
    torch.testing.assert_close(dw, dw2, rtol=0.02, atol=1e-6)


@pytest.mark.filterwarnings("ignore:TensorFloat32")  # a remark of the compiler's on the device
def test_compiles_without_graph_break_and_under_autocast():
    hidden, weight, target = problem(512, 64, 4096, torch.float32)
    groups = Groups.lattice((8, 8, 8, 8)).to(GPU)

    def loss_of(h, w, y):
        with torch.autocast("cuda", torch.bfloat16):
            return linear_grouped_cross_entropy(h * 2.0, w, y, groups)

    compiled = torch.compile(loss_of, fullgraph=True)
    values = []
    for function in (loss_of, compiled):
        h, w = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
        loss = function(h, w, target)
        loss.backward()
        values.append((loss.detach(), h.grad, w.grad))
    assert values[0][2].dtype == torch.float32
    for a, b in zip(*values, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_the_loss_alone_takes_no_memory_to_speak_of():
    """Streaming forward: at most 8 MB beyond the outputs, whatever the vocabulary."""
    for n, d, v in ((16384, 256, 16384), (4096, 128, 131072)):
        hidden, weight, target = (x.detach() for x in problem(n, d, v, torch.bfloat16))
        groups = Groups.from_ids(torch.arange(v, device=GPU) // 8)
        losses = [linear_grouped_cross_entropy(hidden, weight, target, groups) for _ in range(2)]
        assert torch.equal(*losses)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        linear_grouped_cross_entropy(hidden, weight, target, groups)
        assert torch.cuda.max_memory_allocated() - before <= 8_000_000


def test_memory_beyond_the_outputs_is_one_tile():
    hidden, weight, target = problem(16384, 256, 16384, torch.bfloat16)
    groups = Groups.lattice((8, 8, 8, 8, 4)).to(GPU)
    tile = 32 << 20
    results(hidden, weight, target, groups, tile_bytes=tile)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    kept = results(hidden, weight, target, groups, tile_bytes=tile)
    extra = torch.cuda.max_memory_allocated() - before
    outputs = sum(t.numel() * t.element_size() for t in kept)
    assert extra <= outputs + tile + 4 * weight.numel() + (8 << 20), (extra, outputs)


if __name__ == "__main__":
    import argparse

    argparse.ArgumentParser(description=__doc__).parse_args()
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("passed", name, flush=True)
