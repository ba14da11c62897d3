"""What config.json of a converted Halton-MaskGIT says of its parts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdm_core.checks import check_fields, real_number
from mdm_core.families.published.config import check_sizes
from mdm_core.families.published.ibq import IBQConfig
from mdm_core.hub.files import read_json

FAMILY, VERSION = "halton", 1


@dataclass(frozen=True)
class MaskGITConfig:
    """The transformer over a square grid of tokens, told a class."""

    input_size: int = 16  # cells a side
    hidden_dim: int = 384  # D
    depth: int = 6
    heads: int = 6
    ffn: int = 1024  # inner width of the feed-forward layers
    register: int = 1  # tokens that stand for nothing
    classes: int = 1000  # one more means: no class is told
    codebook_size: int = 16384  # V
    guidance: float = 1.0  # what its authors drew with

    def __post_init__(self) -> None:
        check_sizes(
            self, few={"register", "depth"}, most={"input_size": 1024, "depth": 1000, "register": 4096}
        )
        check_fields(self, real_number, {"guidance": (0, 50)})
        if self.heads > self.hidden_dim:
            raise ValueError(f"heads must be at most hidden_dim {self.hidden_dim}, got {self.heads}")


@dataclass(frozen=True)
class HaltonConfig:
    """The parts together; ValueError where they do not fit each other."""

    model: MaskGITConfig = field(default_factory=MaskGITConfig)
    tokenizer: IBQConfig = field(default_factory=IBQConfig)

    def __post_init__(self) -> None:
        ours, theirs = self.model.codebook_size, self.tokenizer.codebook_size
        if ours != theirs:
            raise ValueError(f"the transformer speaks {ours} codes and the tokenizer {theirs}")

    def told(self) -> dict[str, Any]:
        """As config.json holds it."""
        return {"family": FAMILY, "format_version": VERSION, **dataclasses.asdict(self)}


def load_config(folder: Path) -> HaltonConfig:
    """Read the configuration of a folder; ValueError names the file and what is wrong with it."""
    path = folder / "config.json"
    data = read_json(path)
    try:
        if data.get("format_version") != VERSION:
            raise ValueError(f"format_version must be {VERSION}, got {data.get('format_version')!r}")
        return HaltonConfig(MaskGITConfig(**_part(data, "model")), IBQConfig(**_part(data, "tokenizer")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def _part(data: dict[str, Any], name: str) -> dict[str, Any]:
    """A part's settings of a file's; ValueError where it has none."""
    part = data.get(name)
    if not isinstance(part, dict):
        raise ValueError(f"it must hold a {name}")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in part.items()}
