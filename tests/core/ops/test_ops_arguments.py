"""What people hand to the operators: integers of any width, a bias, sharded tensors."""

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mdm_core.ops import linear_grouped_cross_entropy, sample_step

INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, in Triton's interpreter


def problem(n=30, d=7, v=200, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(n, d, generator=g).to(dtype), torch.randn(v, d, generator=g).to(dtype)
    return hidden.requires_grad_(), weight.requires_grad_(), torch.randint(0, v, (n,), generator=g)


@pytest.mark.parametrize("backend", ["torch", "reference", "triton"])
@pytest.mark.parametrize(
    "ignore_index", [-100, -1, 0, 7, 255, 256, 2**31, -(2**63), 2**63 - 1, np.int64(-100)]
)
def test_targets_of_every_integer_type_with_any_ignore_index(backend, ignore_index):
    """uint8 has no -100: compared as it stands, PyTorch takes token 156 for it."""
    if backend == "triton":
        pytest.importorskip("triton")
    hidden, weight, target = problem(v=200)
    target = target.clamp(max=127)
    wide = target.clone()
    for name in INTEGERS:
        dtype = getattr(torch, name)
        if not dtype.is_signed and dtype.itemsize < 8:
            wide[:2] = torch.tensor([156, 156])
        narrow = wide.numpy().astype(name)
        if np.iinfo(name).min <= ignore_index <= np.iinfo(name).max:
            narrow[4:9] = ignore_index
        expected = F.cross_entropy(
            hidden @ weight.t(), torch.from_numpy(narrow.astype(np.int64)), ignore_index=int(ignore_index)
        )
        loss = linear_grouped_cross_entropy(
            hidden, weight, torch.from_numpy(narrow), ignore_index=ignore_index, backend=backend
        )
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
        wide[:2] = target[:2]


def test_what_is_no_target_is_refused_in_one_sentence():
    hidden, weight, target = problem()
    for bad in (target > 3, target.double(), target.to(torch.complex64)):
        with pytest.raises(ValueError, match=r"one integer per row of hidden, not .*\.$"):
            linear_grouped_cross_entropy(hidden, weight, bad)
        with pytest.raises(ValueError, match=r"current must hold one integer .*\.$"):
            sample_step(hidden, weight, bad, seed=0, step=0)
    for bad in (2**63, -(2**63) - 1, 1.5, None):
        with pytest.raises(ValueError, match=r"ignore_index must be an integer of 64 bits, not .*\.$"):
            linear_grouped_cross_entropy(hidden, weight, target, ignore_index=bad)
    for far in (torch.full((30,), 255, dtype=torch.uint8), torch.full((30,), -1, dtype=torch.int8)):
        with pytest.raises(ValueError, match=r"token ids from 0 to 199, or ignore_index \(-100\)\.$"):
            linear_grouped_cross_entropy(hidden, weight, far)


@pytest.mark.parametrize("backend", ["torch", "reference", "triton"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_bias_is_part_of_the_logits_and_of_the_gradient(backend, reduction):
    hidden, weight, target = problem()
    bias = torch.randn(200, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    target[3:6] = -100
    expected = F.cross_entropy(hidden @ weight.t() + bias, target, reduction=reduction)
    loss = linear_grouped_cross_entropy(
        hidden, weight, target, bias=bias, reduction=reduction, backend=backend
    )
    torch.testing.assert_close(loss, expected)
    of = (hidden, weight, bias)
    for a, b in zip(*(torch.autograd.grad(x.sum(), of) for x in (loss, expected)), strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_a_bias_is_part_of_the_sample(backend):
    hidden, weight, target = (x.detach() for x in problem(dtype=torch.float32))
    bias = torch.zeros(200)
    bias[17] = 50.0
    step = sample_step(hidden, weight, target, bias=bias, seed=0, step=0, backend=backend)
    assert (step.token == 17).all() and (step.best == 17).all()
    bias = torch.randn(200, generator=torch.Generator().manual_seed(1))
    step = sample_step(hidden, weight, target, bias=bias, seed=0, step=0, backend=backend)
    p = (hidden @ weight.t() + bias).softmax(1)
    torch.testing.assert_close(step.current_p, p.gather(1, target[:, None])[:, 0], rtol=1e-4, atol=1e-6)


def test_a_bias_that_does_not_fit_is_refused():
    hidden, weight, target = problem()
    for bad in (torch.zeros(3), torch.zeros(200, dtype=torch.long), torch.zeros(200, 1)):
        with pytest.raises(
            ValueError, match=r"bias must hold one floating-point number per token, \[200\], not .*\.$"
        ):
            linear_grouped_cross_entropy(hidden, weight, target, bias=bad)


def test_sharded_tensors_are_refused_in_one_sentence(monkeypatch):
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, distribute_tensor

    for name, value in (
        ("RANK", "0"),
        ("WORLD_SIZE", "1"),
        ("MASTER_ADDR", "127.0.0.1"),
        ("MASTER_PORT", "0"),
    ):
        monkeypatch.setenv(name, value)
    assert os.environ["WORLD_SIZE"] == "1"
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        hidden, weight, target = (x.detach() for x in problem())
        sharded = distribute_tensor(weight, init_device_mesh("cpu", (1,)), [Replicate()])
        for call in (
            lambda: linear_grouped_cross_entropy(hidden, sharded, target),
            lambda: sample_step(hidden, sharded, target, seed=0, step=0),
        ):
            with pytest.raises(ValueError, match=r"^weight is a DTensor, .*weight\.full_tensor\(\).*\.$"):
                call()
        loss = linear_grouped_cross_entropy(hidden, sharded.full_tensor(), target)
        torch.testing.assert_close(loss, F.cross_entropy(hidden @ weight.t(), target))
    finally:
        distributed.destroy_process_group()
