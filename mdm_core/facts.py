"""What everyone may know of an opened model, whatever its family: name, geometry, defaults, licence, fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

_FP16 = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Facts:
    """All that pipeline and page know of an opened model; `Pipeline.facts` holds it."""

    name: str  # as people call these weights
    family: str  # key of `mdm_core.families.FAMILIES`, or what another program's parts call themselves
    grid: tuple[int, int]  # tokens of a picture: rows, columns
    patch: int  # pixels a side of the cell that one token stands for
    vocab_size: int  # V
    mask_id: int  # of a masked cell, in runs, links and files: V
    defaults: Mapping[str, Any] = field(hash=False)  # of the sampler's settings
    revises: bool = False  # trained to doubt visible tokens, so that editing and healing mean something
    examples: tuple[str, ...] = ()  # prompts that these weights draw well
    licence: str = ""  # of the weights; empty where their files do not say
    fingerprint: str = ""  # 16 hex digits, see `Fingerprint`
    card: Mapping[str, Any] = field(
        default_factory=dict, hash=False
    )  # the model card as data: shown, no more

    def __post_init__(self):
        for name in ("defaults", "card"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of a picture in pixels."""
        return self.grid[0] * self.patch, self.grid[1] * self.patch


class Fingerprint:
    """A short name for weights: the same numbers have the same, in whatever file, folder or precision they lie.

    SHA-256 over names, shapes and values. Floating-point values are taken in fp16, which is how most are stored, so
    that weights in memory and their saved copy agree; a tensor that reaches beyond fp16 is taken in fp32. Weights
    that were rounded otherwise (to 8 bits, to bf16) are other weights. 25 M parameters cost about 60 ms of one core.
    """

    def __init__(self, lattice: Iterable[int] = ()):
        """lattice: levels of the lattice that the codes lie on, none where they lie on none."""
        self._lattice = tuple(lattice)
        self._parts: dict[str, bytes] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Take one tensor in; the order does not matter."""
        values = values.detach()
        if values.is_floating_point():
            low, high = values.aminmax() if values.numel() else (0.0, 0.0)
            values = values.half() if -_FP16 <= float(low) and float(high) <= _FP16 else values.float()
        digest = hashlib.sha256(f"{name} {list(values.shape)} {values.dtype}".encode())
        digest.update(values.cpu().contiguous().numpy())
        self._parts[name] = digest.digest()

    def add_all(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """Take a part's state dict in."""
        for name, values in tensors.items():
            self.add(f"{part}.{name}", values)

    def __str__(self) -> str:
        whole = hashlib.sha256(repr(self._lattice).encode())
        for name in sorted(self._parts):
            whole.update(self._parts[name])
        return whole.hexdigest()[:16]
