"""What both fused operators ask of their arguments, and which of its three implementations each of them uses."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch._library.custom_ops import CustomOpDef

BACKENDS = ("auto", "reference", "torch", "triton")
F = TypeVar("F", bound=Callable[..., Any])


def constant_result(function: F) -> F:
    """What torch.compiler.assume_constant_result does, without its import of the whole compiler.

    That import takes longer than PyTorch's own, and who only looks at pictures compiles nothing.
    """
    function.__dict__["_dynamo_marked_constant"] = True
    return function


def choose_backend(backend: str, device: torch.device) -> str:
    """Resolve "auto": Triton on a GPU where it is installed, PyTorch operations otherwise."""
    if backend not in BACKENDS:
        raise ValueError(f"Unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}.")
    if backend != "auto":
        return backend
    return "triton" if device.type == "cuda" and triton_installed() else "torch"


# the compiler refuses to trace the search for a package
@constant_result
def triton_installed() -> bool:
    """Whether the kernels have their language here."""
    return _triton_found()


@cache
def _triton_found() -> bool:
    return importlib.util.find_spec("triton") is not None


@cache
def traces_kernels() -> bool:
    """Whether `torch.compile` may look into operators made of Triton kernels, and launch those itself.

    A compiled program then launches a kernel in some ten microseconds; through an operator and Triton's own launcher
    it takes the host a tenth of a millisecond, for which a GPU waits. Interpreted kernels are no kernels to it.
    """
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    compiled = os.environ.get("TRITON_INTERPRET", "0") != "1" and torch.version.cuda is not None
    return version >= (2, 9) and compiled and _triton_found()


def operator(name: str, kernels: Path) -> Callable[[Callable[..., Any]], CustomOpDef]:
    """Decorator: an operator that launches Triton kernels of a file and changes none of its arguments.

    Compiled programs are kept on disk under the names of their operators. One that has the kernels in it must not
    outlive them, so there the name ends in a digest of their file.
    """
    if not traces_kernels():
        return torch.library.custom_op(name, mutates_args=())
    digest = hashlib.sha256(kernels.read_bytes()).hexdigest()[:8]
    return torch.library.triton_op(f"{name}_{digest}", mutates_args=())


def wrap_triton(kernel: Any) -> Any:
    """A kernel as an `operator` launches it."""
    return torch.library.wrap_triton(kernel) if traces_kernels() else kernel


def describe_backend(device: torch.device | str) -> str:
    """One line for a start-up message: which backend the fused operators use on this device."""
    device = torch.device(device)
    backend = choose_backend("auto", device)
    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {torch.get_num_threads()} threads"
    )
    return f"fused operators: {backend} backend on {where} (PyTorch {torch.__version__})"


def is_integer(values: Tensor) -> bool:
    """Whether a tensor holds integers: neither floating point nor complex numbers, nor truth values."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def refuse_sharded(name: str, x: Tensor | None) -> None:
    """A DTensor would go through the operators as its local shard, or not at all: say what to give instead."""
    if hasattr(x, "device_mesh"):
        raise ValueError(
            f"{name} is a DTensor, and the fused operators take plain tensors: give {name}.full_tensor(), or its "
            "to_local() where that is all of it."
        )


def fold_bias(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """([hidden | 1 | 0 ...], [weight | bias | 0 ...]): the same logits of a head without bias.

    The zeros fill the rows to a width that suits the product: a multiple of 32.
    """
    if bias is None:
        return hidden, weight
    if bias.shape != weight.shape[:1] or not bias.is_floating_point():
        raise ValueError(
            f"bias must hold one floating-point number per token, [{len(weight)}], "
            f"not {list(bias.shape)} {bias.dtype}."
        )
    more = -(hidden.shape[1] + 1) % 32  # columns of zeros
    columns = [hidden.new_ones(len(hidden), 1), hidden.new_zeros(len(hidden), more)]
    wide = [bias.to(weight.dtype)[:, None], weight.new_zeros(len(weight), more)]
    return torch.cat([hidden, *columns], 1), torch.cat([weight, *wide], 1)
