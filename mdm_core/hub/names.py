"""A model's name, owner/name, as a folder in the hub's cache. Nothing here goes online."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?"
_NAME = re.compile(rf"{_PART}/{_PART}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# said of models that are not there: what comes over the line, in fp16 where that is published, and the weights' licence
KNOWN = {
    "amused/amused-256": ("1.8 GB", "OpenRAIL++"),
    "amused/amused-512": ("1.8 GB", "OpenRAIL++"),
    "MeissonFlow/Meissonic": ("3.3 GB", "Apache-2.0"),
    "Collov-Labs/Monetico": ("", "Apache-2.0"),
    "nvidia/NL-Diffusion-Image": (
        "25.7 GB",
        "NVIDIA's licence: research and development only, not commercial",
    ),
}
# published as pickles, which a command of ours turns into a model folder; by their names in lower case
PICKLED = {
    "llvictorll/halton-maskgit": "its files are pickles: load one of them and LlamaGen's vq_ds16_c2i.pt by hand, and "
    "python -m mdm_core.families.halton makes a model folder of them",
}
# of the machine that they run on, where not any will do
NEEDS = {"nvidia/NL-Diffusion-Image": "a GPU of 24 GB"}


def is_name(text: str) -> bool:
    """Whether a text can be a model's name on the hub: owner/name, with nothing that climbs out of a folder."""
    return bool(_NAME.fullmatch(text)) and ".." not in text and "--" not in text


def is_commit(text: str) -> bool:
    """Whether a text is a full commit: what a revision must be, so that a name means one set of weights."""
    return bool(_COMMIT.fullmatch(text))


def find(name: str) -> Path | None:
    """The folder of the model of that name in the cache, None where there is none.

    Of several revisions it is the one that was fetched last.
    """
    snapshots = home() / f"models--{name.replace('/', '--')}" / "snapshots"
    there = [path for path in snapshots.glob("*") if is_commit(path.name) and path.is_dir()]
    return max(there, key=lambda path: path.stat().st_mtime, default=None)


def home() -> Path:
    """The hub's cache, where its own programs look for it too."""
    own = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if own:
        return Path(own).expanduser()
    around = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or Path(around) / "huggingface").expanduser() / "hub"


def absent(name: str) -> str:
    """One sentence about a model that is not in the cache: how it gets there, and what that costs."""
    if name.lower() in PICKLED:
        return f"{name} is no model folder: {PICKLED[name.lower()]}"
    size, licence = KNOWN.get(name, ("", ""))
    needs = NEEDS.get(name)
    said = ", ".join(filter(None, (size, needs and f"for {needs}", licence)))
    about = f" ({said})" if said else ""
    return (
        f"{name} is no model folder and not on this machine: if it is a model of the hub, "
        f"python -m mdm_core.fetch {name} brings it{about}"
    )
