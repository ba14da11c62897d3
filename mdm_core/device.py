"""Devices: the one asked for, or a sentence; and the precision that it multiplies matrices fast in."""

from __future__ import annotations

import contextlib

import torch


def usable(device: str | torch.device) -> torch.device:
    """The device, or ValueError where this machine or this PyTorch has none such."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"the device {str(device)!r} cannot be used here; try cpu") from error
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


def precision(device: torch.device, weights: torch.dtype = torch.float32):
    """A context in which products of fp32 weights run in `fast_dtype`; narrower weights keep their own."""
    if weights != torch.float32 or fast_dtype(device) == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
