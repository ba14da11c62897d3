"""Weights on disk: safetensors, checked on load. Large matrices may be stored as int8 with a scale per row.

A tensor is stored as fp16 where that keeps it to rounding. One that holds values beyond fp16's 65,504, or that is
mostly below its smallest normal number, 6.1e-5, is stored wider: as bf16 where that is exact (weights that were bf16
before), else as fp32. Loading widens all of them.

int8 storage halves the download against bf16; a row's largest weight maps to 127, so the rounding error is at
most 1/254 of it. Matrices are widened again on load: nothing computes in int8.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mdm_core.config import located

SCALE = ".row_scale"  # suffix of the scales of an int8 matrix
FORMAT = {"format": "chisel", "format_version": "1"}
_QUANTISE_FROM = 4096  # elements; smaller tensors stay fp16


def save_weights(
    module: nn.Module, path: str | Path, *, int8: bool = False, metadata: dict[str, str] | None = None
):
    """Write the parameters of `module`, fp16 or (matrices, with `int8`) 8 bits a weight."""
    tensors: dict[str, Tensor] = {}
    for name, p in module.state_dict().items():
        p = p.detach().cpu().float()
        if not torch.isfinite(p).all():
            raise ValueError(f"{name} holds values that are not finite; these weights are not saved")
        if int8 and p.ndim == 2 and p.numel() >= _QUANTISE_FROM:
            scale = (p.abs().amax(1) / 127).clamp_min(1e-37)  # [rows], fp32; a row of zeros keeps some scale
            if not torch.isfinite(127 * scale).all():  # within a rounding of the largest number that there is
                raise ValueError(f"{name} holds values too large for 8 bits; save these weights without int8")
            tensors[name] = (p / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
            tensors[name + SCALE] = scale
        else:
            tensors[name] = _stored(p)
    save_file(tensors, str(located(path)), metadata={**FORMAT, **(metadata or {})})


def _stored(p: Tensor) -> Tensor:
    """fp32 weights in the narrowest type that keeps them."""
    half = p.half()
    # 2^-11 of each weight is rounding; an infinity, or many that vanish, is more
    if (half.double() - p.double()).norm() <= 2**-11 * p.double().norm():
        return half
    return p.bfloat16() if (p.bfloat16().float() == p).all() else p


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Fill `module` from `path`; ValueError names the file, and the key that does not fit.

    Only safetensors is read: no pickle, so a hostile file can do no more than be refused.
    """
    path = located(path)
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: a model folder holds config.json, two .safetensors files and text.json"
        )
    wanted = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    state: dict[str, Tensor] = {}
    try:
        with safe_open(str(path), framework="pt") as file:
            if (file.metadata() or {}).get("format") != FORMAT["format"]:
                raise ValueError("it was not saved by this program")
            found = set(file.keys())
            values = {k for k in found if not k.endswith(SCALE)}
            if missing := sorted(set(wanted) - values):
                raise ValueError(f"{missing[0]!r} is missing ({len(missing)} keys in all)")
            if extra := sorted(values - set(wanted)):
                raise ValueError(f"{extra[0]!r} does not belong to this model ({len(extra)} keys in all)")
            for name, shape in wanted.items():
                state[name] = _read(file, found, name, shape)
    except (SafetensorError, ValueError, OSError) as error:
        raise ValueError(f"the weights {path} cannot be used: {error}") from error
    module.load_state_dict(state)


def _read(file, found: set[str], name: str, shape: tuple[int, ...]) -> Tensor:
    value = file.get_tensor(name)
    if tuple(value.shape) != shape:
        raise ValueError(
            f"{name!r} has shape {list(value.shape)} where the configuration asks for {list(shape)}"
        )
    if value.dtype == torch.int8:
        if name + SCALE not in found:
            raise ValueError(f"{name!r} is 8-bit but its row scales are missing")
        scale = file.get_tensor(name + SCALE)
        if tuple(scale.shape) != shape[:1] or not scale.is_floating_point():
            raise ValueError(f"the row scales of {name!r} do not fit it")
        value = value.float() * scale.float()[:, None]
    elif not value.is_floating_point():
        raise ValueError(f"{name!r} has dtype {value.dtype}, expected floating point or int8")
    if not torch.isfinite(value).all():
        raise ValueError(f"{name!r} holds values that are not finite")
    return value.float()
