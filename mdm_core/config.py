"""Frozen configuration of every part. One JSON file beside the weights holds all of it."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ImageTokenizerConfig:
    """Finite scalar quantiser over 8x8 pixel patches; the vocabulary is the product of `levels`."""

    image_size: int = 128  # pixels a side
    patch: int = 8  # pixels a side of the patch that one token stands for
    levels: tuple[int, ...] = (8, 8, 8, 8, 4)
    encoder_width: int = 512
    decoder_width: int = 224
    decoder_depth: int = 6
    decoder_pixels: int = 24  # channels at full resolution, after the pixel shuffle

    @property
    def grid(self) -> int:
        """Tokens a side."""
        return self.image_size // self.patch

    @property
    def vocab_size(self) -> int:
        return math.prod(self.levels)

    def __post_init__(self):
        if self.image_size % self.patch:
            raise ValueError(f"image_size {self.image_size} must be a multiple of patch {self.patch}")
        if not self.levels or min(self.levels) < 2:
            raise ValueError(f"levels must all be 2 or more, got {self.levels}")


@dataclass(frozen=True)
class ModelConfig:
    """The bidirectional text-image transformer."""

    vocab_size: int = 16384  # image tokens; the mask token has id vocab_size
    code_levels: tuple[int, ...] | None = (8, 8, 8, 8, 4)  # embed tokens by lattice place; None: a free table
    grid: int = 16  # image tokens a side
    text_vocab_size: int = 2048
    text_length: int = 40  # text positions, padded
    width: int = 384  # of the transformer body, which sees (grid/2)^2 image positions
    depth: int = 10
    heads: int = 6
    kv_heads: int = 6
    ffn: int = 1024
    token_width: int = 256  # of the per-token layers and of the head
    token_depth: int = 2  # per-token blocks after the up-sampling
    token_heads: int = 4
    token_ffn: int = 512
    resample: int = 2  # tokens a side merged into one body position; 1 switches resampling off
    rope_base: float = 100.0

    @property
    def length(self) -> int:
        """Image tokens L."""
        return self.grid * self.grid

    @property
    def mask_id(self) -> int:
        return self.vocab_size

    def __post_init__(self):
        if self.code_levels is not None and math.prod(self.code_levels) != self.vocab_size:
            raise ValueError(
                f"code_levels {self.code_levels} do not multiply to vocab_size {self.vocab_size}"
            )
        if self.grid % self.resample:
            raise ValueError(f"grid {self.grid} must be a multiple of resample {self.resample}")
        if self.width % self.heads or self.token_width % self.token_heads:
            raise ValueError("width must be a multiple of heads, and token_width of token_heads")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        if (self.width // self.heads) % 4 or (self.token_width // self.token_heads) % 4:
            raise ValueError("the width of one head must be a multiple of 4 for 2-D rotary positions")


@dataclass(frozen=True)
class SampleConfig:
    """Defaults of the sampler; every field can be set per call, and a model's config.json has its own.

    Guidance, temperature and order noise were chosen with an early model, by the distance of 20 single-object
    pictures to the nearest true rendering (RMSE in grey levels at 32x32): 13.0 at 3 / 1.0 / 4, 8.1 at these
    defaults. 1.5 / 0.7 / 1 had 7.8; the defaults keep a little more variety.
    """

    steps: int = 12
    guidance: float = 1.5  # g of (1+g) cond - g uncond; 0 is no guidance
    temperature: float = 0.8
    order: str = "confidence"
    schedule: str = "cosine"
    gumbel: float = 1.0  # start of the annealed noise on the commit order
    mask_threshold: float = 0.9  # order="threshold": commit all masked tokens surer than this
    top_k: int | None = None
    top_p: float | None = None
    edit: str = "overwrite"  # "overwrite" (T2T), "remask" (T2M) or "off"
    edit_threshold: float = 0.6
    edit_margin: float = 0.0
    edit_budget: float = 0.05  # share of the visible tokens that one step may edit
    edit_cap: int = 3  # edits one token may see in a run
    edit_cooldown: int = 1  # steps a token rests after it was set or edited
    edit_window: tuple[float, float] = (0.0, 1.0)  # active while progress is within
    polish: int = 2  # edit-only passes at the end, at most


@dataclass(frozen=True)
class PipelineConfig:
    """What `config.json` beside the weights holds."""

    tokenizer: ImageTokenizerConfig = field(default_factory=ImageTokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    card: dict[str, Any] = field(default_factory=dict)  # objects, styles, budget: shown, never computed with


_PARTS = {"tokenizer": ImageTokenizerConfig, "model": ModelConfig, "sample": SampleConfig}


def _part(cls, name: str, values: dict[str, Any]):
    if not isinstance(values, dict):
        raise ValueError(f"config section {name!r} must be an object")
    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"config section {name!r} has unknown keys {unknown}; this version knows {sorted(known)}"
        )
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def save_config(config: PipelineConfig, path: str | Path) -> None:
    """Write `config` as JSON."""
    data = {"format_version": FORMAT_VERSION, **dataclasses.asdict(config)}
    Path(path).write_text(json.dumps(data, indent=1) + "\n")


def load_config(path: str | Path) -> PipelineConfig:
    """Read a configuration; ValueError names the file and what is wrong with it."""
    path = Path(path)
    try:
        data = json.loads(path.read_text())
        if not isinstance(data, dict):
            raise ValueError("it holds no JSON object")
        version = data.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(f"its format version is {version!r}, this program reads {FORMAT_VERSION}")
        parts = {name: _part(cls, name, data.get(name, {})) for name, cls in _PARTS.items()}
        config = PipelineConfig(**parts, card=data.get("card", {}))
        if (
            config.tokenizer.vocab_size != config.model.vocab_size
            or config.tokenizer.grid != config.model.grid
        ):
            raise ValueError("image tokenizer and model disagree about vocabulary or grid")
        return config
    except FileNotFoundError:
        raise ValueError(
            f"{path} is missing: a model folder holds config.json, two .safetensors files and text.json"
        ) from None
    except (ValueError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
