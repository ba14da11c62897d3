"""The families of models that can be opened. Each is a package of its own with a module `folder`:

    open_folder(path, device, dtype) -> Parts     the parts of a model folder
    facts(path) -> Facts                          what config.json tells, without weights
    save(path, ...)                               writes a folder; only for families that are trained here

`"family"` in config.json says which one a folder belongs to; folders of before that key are ours.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch

from mdm_core.facts import Facts
from mdm_core.families.parts import Parts
from mdm_core.paths import located

OURS = "chisel"
FAMILIES = {OURS: "mdm_core.families.chisel.folder"}  # loaded when a folder asks for it


def open_folder(path: str | Path, device: torch.device, dtype: torch.dtype = torch.float32) -> Parts:
    """The parts of a model folder; ValueError, one sentence, says what is missing or does not fit."""
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
    """The family that a folder's config.json names; ours where it names none or cannot be read, to say why."""
    try:
        data = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return OURS
    family = data.get("family", OURS) if isinstance(data, dict) else OURS
    if not isinstance(family, str) or family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ValueError(
            f"{path / 'config.json'} names the family {family!r}, which is unknown here; known are {known}"
        )
    return family


def _folder(path: str | Path) -> Path:
    path = located(path)
    if not path.is_dir():
        raise ValueError(
            f"{path} is no model folder: it should hold config.json, two .safetensors files and text.json"
        )
    return path
