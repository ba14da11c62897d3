"""Muon's kernels against PyTorch: on a GPU if there is one, else interpreted, in fp32."""

import pytest
import torch

from trainer.engine.muon import COEFFICIENTS, NEWTON_SCHULZ_STEPS

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton")
muon_triton = pytest.importorskip("trainer.engine.muon_triton")
SMALL = (16, 32, 16, 4, 1)  # a tile that makes several of a small matrix


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(DEVICE)


@pytest.mark.parametrize("n, r, c", [(1, 16, 16), (3, 40, 70), (2, 64, 64), (2, 100, 33), (1, 7, 5)])
def test_symmetric_products(n, r, c):
    x, factors = numbers(n, r, c), numbers(n, 3)
    addend = numbers(n, r, r, seed=1)
    addend = addend + addend.mT
    product, eye = x @ x.mT, torch.eye(r, device=DEVICE)
    f = factors[:, :, None, None]
    close = dict(rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(muon_triton.symmetric(x, factors, tile=SMALL), f[:, 0] * product, **close)
    both = muon_triton.symmetric(x, factors, addend, tile=SMALL)
    torch.testing.assert_close(both, f[:, 0] * product + f[:, 1] * addend + f[:, 2] * eye, **close)
    assert torch.equal(both, both.mT)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e4])
def test_iteration(monkeypatch, size):
    """The same polynomial as in PyTorch, whatever the gradient's size: the norm is found on the way."""
    monkeypatch.setattr(muon_triton, "TILE", SMALL)
    x = numbers(2, 24, 50) * size
    expected = x / x.norm(dim=(1, 2), keepdim=True)
    a, b, c = COEFFICIENTS
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = expected @ expected.mT
        expected = a * expected + (b * gram + c * gram @ gram) @ expected
    found = muon_triton.orthogonalise(x, COEFFICIENTS, NEWTON_SCHULZ_STEPS)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-4)
    assert not muon_triton.orthogonalise(x * 0, COEFFICIENTS, NEWTON_SCHULZ_STEPS).any()


@pytest.mark.parametrize("rows, columns", [(3, 5), (130, 70), (64, 64)])
@pytest.mark.parametrize("turn", [False, True])
def test_momentum_and_weights_in_one_pass(rows, columns, turn):
    grads, buffers, weights = ([numbers(rows, columns, seed=10 * k + i) for i in range(3)] for k in range(3))
    expected = [b.lerp(g, 0.05) for b, g in zip(buffers, grads, strict=True)]
    updates = torch.stack([g.lerp(b, 0.95) for b, g in zip(expected, grads, strict=True)])
    out = torch.full((3, columns, rows) if turn else (3, rows, columns), torch.nan, device=DEVICE)
    muon_triton.momentum_(grads, buffers, 0.95, out, turn)
    torch.testing.assert_close(buffers, expected)
    torch.testing.assert_close(out.mT if turn else out, updates)
    expected = [w * 0.9 - 0.3 * u for w, u in zip(weights, updates, strict=True)]
    muon_triton.apply_(weights, out, -0.3, 0.9, turn)
    torch.testing.assert_close(weights, expected)


@pytest.mark.skipif(DEVICE == "cpu", reason="bf16 products need a GPU")
def test_muon_on_the_gpu_is_muon_on_the_cpu():
    from trainer.engine.muon import Muon

    shapes = [(384, 256), (256, 384), (384, 256), (256, 256), (64, 200)]
    runs = []
    for device in ("cpu", DEVICE):
        g = torch.Generator().manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(*s, generator=g).to(device)) for s in shapes]
        start = [p.detach().clone() for p in params]
        optimizer = Muon(params, lr=0.1, weight_decay=0.1)
        for _ in range(3):
            for p in params:
                p.grad = torch.randn(p.shape, generator=g).to(device)
            optimizer.step()
        runs.append([(p.detach() - s).cpu() for p, s in zip(params, start, strict=True)])
    for a, b in zip(*runs, strict=True):
        assert (a - b).norm() < 0.03 * a.norm()
