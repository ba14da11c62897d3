"""Weights in several safetensors files with an index that says which tensor lies where, as large models come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from mdm_core.families.weights import names, stored_weights
from mdm_core.hub.files import read_json

M = TypeVar("M", bound=nn.Module)
INDEX = "model.safetensors.index.json"


class Shards:
    """The tensors of a folder by their names; no more of a file is read than is asked for."""

    def __init__(self, folder: Path, unneeded: Collection[str] = ()):
        """unneeded: beginnings of names that a model may have besides. ValueError names what is missing or wrong."""
        self.index = folder / INDEX
        told = read_json(self.index).get("weight_map")
        if not isinstance(told, dict) or not told:
            raise ValueError(f"{self.index} cannot be used: it has no weight_map")
        for file in told.values():
            # a name alone: an index must not lead out of its folder
            if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
                raise ValueError(
                    f"{self.index} cannot be used: {file!r} is no safetensors file of this folder"
                )
        self.files = {k: folder / f for k, f in told.items() if not k.startswith(tuple(unneeded))}

    def check(self, wanted: Collection[str]) -> None:
        """ValueError unless these are the names that are needed, all of them and no others."""
        if missing := sorted(set(wanted) - set(self.files)):
            raise ValueError(
                f"the weights {self.index} cannot be used: {missing[0]!r} is missing ({len(missing)} keys in all)"
            )
        if extra := sorted(set(self.files) - set(wanted)):
            raise ValueError(
                f"the weights {self.index} cannot be used: {extra[0]!r} does not belong to this model "
                f"({len(extra)} keys in all)"
            )
        for file in sorted(set(self.files.values())):
            if not file.is_file():
                raise ValueError(f"{file} is missing from the model folder")

    def read(self, wanted: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, Tensor]]:
        """(name, fp32 values) of these tensors, file by file; ValueError where one is not as `wanted`."""
        for file in sorted({self.files[k] for k in wanted}):
            here = {k: shape for k, shape in wanted.items() if self.files[k] == file}
            yield from stored_weights(file, here, ours=False, unneeded=names(file) - set(here))

    def fill(self, module: M, prefix: str, device: torch.device, dtype: Callable[[str], torch.dtype]) -> M:
        """Give a module on the meta device the tensors themselves, one after the other.

        prefix: stands before the module's own names in the files. dtype: what a tensor of a name is held in.
        """
        wanted = {prefix + k: tuple(v.shape) for k, v in module.state_dict().items()}
        state: dict[str, Tensor] = {}
        for name, value in self.read(wanted):
            own = name.removeprefix(prefix)
            state[own] = value.to(dtype=dtype(own), device=device)
            if not bool(torch.isfinite(state[own]).all()):
                raise ValueError(
                    f"the weights {self.files[name]} cannot be used: {name!r} does not fit into {dtype(own)}"
                )
        module.load_state_dict(state, assign=True)
        return module.eval().requires_grad_(False)
