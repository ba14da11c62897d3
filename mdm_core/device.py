"""Where the work is done: a device that can be used here, and the precision that its products are fast in."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


def default() -> torch.device:
    """A GPU where PyTorch has one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def usable(device: str | torch.device | None) -> torch.device:
    """The device, or the default for None; ValueError where this machine or this PyTorch has none such."""
    if device is None:
        return default()
    try:
        # "meta" makes tensors but holds no numbers
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"the device {str(device)!r} cannot be used here; try cpu ({reason.rstrip('.')})"
        ) from error
    return torch.device(device)


def fast_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the hardware multiplies it natively, else fp32."""
    if device.type == "cpu":
        names = "_is_avx512_bf16_supported", "_is_amx_tile_supported"
        fast = any(getattr(torch.cpu, name, lambda: False)() for name in names)
    elif device.type == "cuda":
        fast = torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
    else:
        fast = True
    return torch.bfloat16 if fast else torch.float32


def precision(device: torch.device, weights: torch.dtype = torch.float32) -> AbstractContextManager[None]:
    """A context in which products of fp32 weights run in `fast_dtype`; narrower weights keep their own."""
    if weights != torch.float32 or fast_dtype(device) == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
