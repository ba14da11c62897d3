"""The families of models that can be opened. Each is a package of its own with a module `folder`:

    open_folder(path, device, dtype) -> Parts     the parts of a model folder
    facts(path) -> Facts                          what its configuration tells, without weights
    save(path, ...)                               writes a folder; only for families that are trained here

`"family"` in config.json says which one a folder belongs to; folders of before that key are ours. A folder in the
layout of diffusers has model_index.json or transformer/config.json instead, one in the layout of language models a
"model_type", and says there what it holds. A model may be given by its name on the hub as well, where
`python -m mdm_core.fetch` has brought it.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdm_core.hub import names
from mdm_core.hub.files import read_json
from mdm_core.paths import located

if TYPE_CHECKING:
    import torch

    from mdm_core.facts import Facts
    from mdm_core.families.parts import Parts

OURS = "chisel"
INDEX, TRANSFORMER = "model_index.json", "transformer/config.json"
FAMILIES = {  # loaded when a folder asks for it
    OURS: "mdm_core.families.chisel.folder",
    "amused": "mdm_core.families.amused.folder",
    "halton": "mdm_core.families.halton.folder",
    "meissonic": "mdm_core.families.meissonic.folder",
    "nl_diffusion": "mdm_core.families.nl_diffusion.folder",
}
# what the files of other programs call the pipelines or, without one, the transformers that hold a family's parts
CLASSES = {
    "AmusedPipeline": "amused",
    "AmusedInpaintPipeline": "amused",
    "AmusedImg2ImgPipeline": "amused",
    "UVit2DModel": "amused",
    "Pipeline": "meissonic",
    "Transformer2DModel": "meissonic",
}
OPEN = "aMUSEd, Meissonic, Monetico and NL-Diffusion-Image"  # for people
# what config.json of a language model calls its architecture
MODEL_TYPES = {"nemotron_labs_diffusion_image": "nl_diffusion"}


def open_folder(path: str | Path, device: torch.device, dtype: torch.dtype | None = None) -> Parts:
    """The parts of a model folder; ValueError, one sentence, says what is missing or does not fit.

    dtype: what the weights are held in; None leaves it to the family.
    """
    path = _folder(path)
    return module(family_of(path)).open_folder(path, device, dtype)


def facts(path: str | Path) -> Facts:
    """What everyone may know of a model folder, before its weights are read; ValueError as above."""
    path = _folder(path)
    return module(family_of(path)).facts(path)


def module(family: str) -> Any:
    """The module that opens folders of a family."""
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}; known are {', '.join(sorted(FAMILIES))}")
    return importlib.import_module(FAMILIES[family])


def family_of(path: Path) -> str:
    """The family that a folder's files name; ours where they name none or cannot be read, to say why."""
    for file in (INDEX, TRANSFORMER):
        if (path / file).is_file():
            kind = read_json(path / file).get("_class_name")
            if not isinstance(kind, str) or kind not in CLASSES:
                raise ValueError(
                    f"{path / file} describes a {kind!r}, which does not open here; what opens are {OPEN}"
                )
            return CLASSES[kind]
    try:
        data = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return OURS
    data = data if isinstance(data, dict) else {}
    if "model_type" in data and "family" not in data:
        kind = data["model_type"]
        if not isinstance(kind, str) or kind not in MODEL_TYPES:
            raise ValueError(
                f"{path / 'config.json'} describes a {kind!r}, which does not open here; what opens are {OPEN}"
            )
        return MODEL_TYPES[kind]
    family = data.get("family", OURS)
    if not isinstance(family, str) or family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ValueError(
            f"{path / 'config.json'} names the family {family!r}, which is unknown here; known are {known}"
        )
    return family


def _folder(path: str | Path) -> Path:
    """A model folder by its path, or by its name on the hub."""
    name, path = str(path), located(path)
    if not path.is_dir() and names.is_name(name):
        found = names.find(name)
        if found is None:
            raise ValueError(names.absent(name))
        return found
    if not path.is_dir():
        raise ValueError(
            f"{path} is no model folder: it should hold config.json, two .safetensors files and text.json"
        )
    return path
