"""What everyone may know of an opened model, whatever its family: name, geometry, defaults, licence, fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from mdm_core.settings import SampleConfig

_FP16 = torch.finfo(torch.float16).max


class _WhenAsked:
    """A field that is given as a text, or as a function that is called when the text is first asked for."""

    def __get__(self, facts: Any, kind: type | None = None) -> str:
        if facts is None:
            return ""  # the default of the field
        value = facts.__dict__["_fingerprint"]
        if callable(value):
            facts.__dict__["_fingerprint"] = value = value()
        return value

    def __set__(self, facts: Any, value: str | Callable[[], str]) -> None:
        facts.__dict__["_fingerprint"] = value


@dataclass(frozen=True)
class Facts:
    """All that pipeline and page know of an opened model; `Pipeline.facts` holds it.

    ValueError where a default is no setting of the sampler, or out of its range.
    """

    name: str  # as people call these weights
    family: str  # key of `mdm_core.families.FAMILIES`, or what another program's parts call themselves
    grid: tuple[int, int]  # tokens of a picture: rows, columns
    patch: int  # pixels a side of the cell that one token stands for
    vocab_size: int  # V
    mask_id: int  # of a masked cell, in runs, links and files: V
    # of all of the sampler's settings; those that are not given are the sampler's own
    defaults: Mapping[str, Any] = field(hash=False)
    revises: bool = False  # trained to doubt visible tokens, so that editing and healing mean something
    # a token stands for its own patch alone: moved elsewhere it is the same patch
    local_tokens: bool = False
    # guidance is in the weights up to this g, and a step is one pass; None: guidance takes a second pass
    trained_guidance: float | None = None
    examples: tuple[str, ...] = ()  # prompts that these weights draw well
    licence: str = ""  # of the weights; empty where their files do not say
    # 16 hex digits, see `Fingerprint`; may be given as a function, which is called when somebody first asks
    fingerprint: _WhenAsked = _WhenAsked()
    # the model card as data: shown, no more
    card: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        known = {f.name for f in dataclasses.fields(SampleConfig)}
        if unknown := sorted(set(self.defaults) - known):
            raise ValueError(f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}")
        for name, values in (("defaults", asdict(SampleConfig(**self.defaults))), ("card", dict(self.card))):
            object.__setattr__(self, name, MappingProxyType(values))

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of a picture in pixels."""
        return self.grid[0] * self.patch, self.grid[1] * self.patch


class Fingerprint:
    """A short name for weights: the same numbers have the same, in whatever file, folder or precision they lie.

    SHA-256 over names, shapes and values. Floating-point values are taken in fp16, which is how most are stored, so
    that weights in memory and their saved copy agree; a tensor that reaches beyond fp16 is taken in fp32. Weights
    that were rounded otherwise (to 8 bits, to bf16) are other weights. 25 M parameters cost some 90 ms of one core,
    so `Facts` asks when somebody wants to know.
    """

    @classmethod
    def of(cls, codec: Any, backbone: Any) -> str:
        """That of parts in memory: of the codec's and the model's state dicts, or else of codebook and head."""
        told = cls(getattr(codec, "levels", None) or ())
        model = getattr(backbone, "model", backbone)
        for name, part in (("codec", codec), ("model", model)):
            if isinstance(part, nn.Module):
                told.add_all(name, part.state_dict())
        if not isinstance(codec, nn.Module) and callable(getattr(codec, "codebook", None)):
            told.add("codec.codebook", codec.codebook())
        if not isinstance(model, nn.Module):
            for name in ("head_weight", "head_bias"):
                values = getattr(backbone, name, None)
                if values is not None:
                    told.add(f"model.{name}", values)
        return str(told)

    def __init__(self, lattice: Iterable[int] = ()):
        """lattice: levels of the lattice that the codes lie on, none where they lie on none."""
        self.lattice = tuple(lattice)
        self._parts: dict[str, bytes] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Take one tensor in; the order does not matter."""
        values = values.detach()
        if values.is_floating_point():
            low, high = values.aminmax() if values.numel() else (0.0, 0.0)
            values = values.half() if float(low) >= -_FP16 and float(high) <= _FP16 else values.float()
        digest = hashlib.sha256(f"{name} {list(values.shape)} {values.dtype}".encode())
        digest.update(values.cpu().contiguous().numpy().data)
        self._parts[name] = digest.digest()

    def add_all(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """Take a part's state dict in."""
        for name, values in tensors.items():
            self.add(f"{part}.{name}", values)

    def __str__(self) -> str:
        whole = hashlib.sha256(repr(self.lattice).encode())
        for name in sorted(self._parts):
            whole.update(self._parts[name])
        return whole.hexdigest()[:16]
