"""Weights on disk: safetensors, checked on load. Large matrices may be stored as int8 with a scale per row.

A tensor is stored as fp16 where that keeps it to rounding. One that holds values beyond fp16's 65,504, or that is
mostly below its smallest normal number, 6.1e-5, is stored wider: as bf16 where that is exact (weights that were bf16
before), else as fp32. Loading widens all of them.

int8 storage halves the download against bf16; a row's largest weight maps to 127, so the rounding error is at
most 1/254 of it. Matrices are widened again on load: nothing computes in int8.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mdm_core.paths import located

SCALE = ".row_scale"  # suffix of the scales of an int8 matrix
FORMAT = {"format": "chisel", "format_version": "1"}
_QUANTISE_FROM = 4096  # elements; smaller tensors stay fp16


def save_weights(
    module: nn.Module, path: str | Path, *, int8: bool = False, metadata: dict[str, str] | None = None
) -> None:
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


def load_weights(
    module: nn.Module,
    path: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    seen: Callable[[str, Tensor], None] | None = None,
    new: tuple[str, ...] = (),
    ours: bool = True,
    unneeded: Collection[str] = (),
) -> None:
    """Fill `module` from `path`; ValueError names the file, and the key that does not fit.

    A module on the meta device is given the tensors themselves, of `dtype` and on `device`, one after the other: no
    second copy of a large model is ever made. Any other module keeps its own tensors, and their values change.

    new: beginnings of names that a file of before may lack; those tensors keep their values.
    seen: told the name and values of every tensor before they are narrowed to `dtype`.
    ours, unneeded: as in `stored_weights`.

    Only safetensors is read: no pickle, so a hostile file can do no more than be refused.
    """
    wanted = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    empty = any(p.is_meta for p in module.parameters())
    state: dict[str, Tensor] = {}
    if new and located(path).is_file():
        there = names(path)
        kept = {k: v for k, v in module.state_dict().items() if k.startswith(new) and k not in there}
        state |= kept
        wanted = {k: shape for k, shape in wanted.items() if k not in kept}
    for name, value in stored_weights(path, wanted, ours=ours, unneeded=unneeded):
        if seen is not None:
            seen(name, value)
        state[name] = value.to(dtype=dtype, device=device)
        if dtype != torch.float32 and not _finite(state[name]):
            raise ValueError(f"the weights {path} cannot be used: {name!r} does not fit into {dtype}")
    module.load_state_dict(state, assign=empty)


def stored_weights(
    path: str | Path,
    wanted: dict[str, tuple[int, ...]] | None = None,
    *,
    ours: bool = True,
    unneeded: Collection[str] = (),
) -> Iterator[tuple[str, Tensor]]:
    """(name, fp32 values) of every tensor of a file; ValueError where it is not of ours, or not as `wanted`.

    ours: False takes files of other programs. unneeded: names that a file may hold besides, which are passed over.
    """
    path = located(path)
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: a model folder holds config.json, two .safetensors files and text.json"
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            if ours and (file.metadata() or {}).get("format") != FORMAT["format"]:
                raise ValueError("it was not saved by this program")
            found = set(file.keys()) - set(unneeded)
            values = {k for k in found if not k.endswith(SCALE)}
            if wanted is not None:
                if missing := sorted(set(wanted) - values):
                    raise ValueError(f"{missing[0]!r} is missing ({len(missing)} keys in all)")
                if extra := sorted(values - set(wanted)):
                    raise ValueError(f"{extra[0]!r} does not belong to this model ({len(extra)} keys in all)")
            for name in wanted or sorted(values):
                yield name, _read(file, found, name, None if wanted is None else wanted[name])
    except (SafetensorError, ValueError, OSError) as error:
        raise ValueError(f"the weights {path} cannot be used: {error}") from error


def names(path: str | Path) -> set[str]:
    """The names of the tensors in a file; none where it is no safetensors file."""
    try:
        with safe_open(str(located(path)), framework="pt") as file:
            return set(file.keys())
    except (SafetensorError, OSError):
        return set()


def _finite(values: Tensor) -> bool:
    """As torch.isfinite(values).all(), in a fifth of its time on a CPU: NaN and infinity reach the extremes."""
    return values.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(values))).all())


def _read(file: safe_open, found: set[str], name: str, shape: tuple[int, ...] | None) -> Tensor:
    value = file.get_tensor(name)
    if shape is not None and tuple(value.shape) != shape:
        raise ValueError(
            f"{name!r} has shape {list(value.shape)} where the configuration asks for {list(shape)}"
        )
    if value.dtype == torch.int8:
        if name + SCALE not in found:
            raise ValueError(f"{name!r} is 8-bit but its row scales are missing")
        scale = file.get_tensor(name + SCALE)
        if tuple(scale.shape) != tuple(value.shape[:1]) or not scale.is_floating_point():
            raise ValueError(f"the row scales of {name!r} do not fit it")
        value = value.float() * scale.float()[:, None]
    elif not value.is_floating_point():
        raise ValueError(f"{name!r} has dtype {value.dtype}, expected floating point or int8")
    value = value.float()
    if not _finite(value):
        raise ValueError(f"{name!r} holds values that are not finite")
    return value
