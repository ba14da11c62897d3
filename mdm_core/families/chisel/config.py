"""What `config.json` of a model folder of ours holds: image tokenizer, model, sampling defaults, card.

The image tokenizer owns the lattice of the codes; `ModelConfig.for_codec` takes it over.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mdm_core.checks import check_fields, real_number, whole_number
from mdm_core.paths import located
from mdm_core.settings import MOST_CODES, SampleConfig

if TYPE_CHECKING:
    from mdm_core.facts import Facts

FAMILY = "chisel"
MOST_GUIDANCE = 5.0  # g up to which `ModelConfig.guided` weights are trained; more is taken as this
FORMAT_VERSION = 1
_LARGEST = MOST_CODES  # of any size: no number that overflows


def _levels(name: str, levels: Any) -> tuple[int, ...]:
    levels = levels.tolist() if hasattr(levels, "tolist") else levels
    if not isinstance(levels, tuple | list) or not 1 <= len(levels) <= 16:
        raise ValueError(f"{name} must be 1 to 16 whole numbers, got {levels!r}")
    out = tuple(whole_number(f"each of {name}", n, 2, 65536) for n in levels)
    if math.prod(out) > _LARGEST:
        raise ValueError(f"{name} must multiply to at most {_LARGEST} codes, got {out}")
    return out


@dataclass(frozen=True)
class ImageTokenizerConfig:
    """Finite scalar quantiser over pixel patches, whose vocabulary is the product of `levels`; or a learned codebook.

    With `codebook` > 0 there is no lattice: `levels` is ().
    """

    image_size: int = 128  # pixels a side
    patch: int = 8  # pixels a side of the patch that one token stands for
    levels: tuple[int, ...] = (8, 8, 8, 8, 4)
    encoder_width: int = 512
    decoder_width: int = 224
    decoder_depth: int = 6
    decoder_pixels: int = 24  # channels at full resolution, after the pixel shuffle
    codebook: int = 0  # learned codes; 0: those of the lattice
    code_width: int = 16  # numbers of a learned code

    @property
    def grid(self) -> int:
        """Tokens a side."""
        return self.image_size // self.patch

    @property
    def vocab_size(self) -> int:
        return self.codebook or math.prod(self.levels)

    def __post_init__(self) -> None:
        widths = ("encoder_width", "decoder_width", "decoder_pixels")
        sizes = {"image_size": (1, 65536), "patch": (1, 1024), "decoder_depth": (0, 1000)}
        learned = {"codebook": (0, _LARGEST), "code_width": (1, 4096)}
        check_fields(self, whole_number, {**sizes, **learned, **dict.fromkeys(widths, (1, _LARGEST))})
        if self.codebook == 1:
            raise ValueError("codebook must be 0, for the lattice of levels, or 2 and more codes, got 1")
        object.__setattr__(self, "levels", () if self.codebook else _levels("levels", self.levels))
        if self.image_size % self.patch:
            raise ValueError(f"image_size {self.image_size} must be a multiple of patch {self.patch}")


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
    # takes beta = 1 / (1 + g) as an input: guidance is in the weights, and costs no second pass
    guided: bool = False

    @property
    def length(self) -> int:
        """Image tokens L."""
        return self.grid * self.grid

    @property
    def mask_id(self) -> int:
        return self.vocab_size

    def for_codec(self, codec: ImageTokenizerConfig) -> ModelConfig:
        """This model over the codes of `codec`: vocabulary, grid and lattice follow it where they were left alone.

        ValueError where one was set to something else. code_levels = None (a free table) stays.
        """
        model = self
        if self.vocab_size == ModelConfig.vocab_size and self.code_levels == ModelConfig.code_levels:
            model = dataclasses.replace(model, vocab_size=codec.vocab_size, code_levels=codec.levels or None)
        if self.vocab_size == ModelConfig.vocab_size and self.code_levels is None:
            model = dataclasses.replace(model, vocab_size=codec.vocab_size)
        if self.grid == ModelConfig.grid:
            model = dataclasses.replace(model, grid=codec.grid)
        check_pair(codec, model)
        return model

    def __post_init__(self) -> None:
        sizes = (
            "text_vocab_size",
            "text_length",
            "width",
            "heads",
            "kv_heads",
            "ffn",
            "token_width",
            "token_heads",
            "token_ffn",
        )
        few = {"grid": (1, 4096), "resample": (1, 4096), "depth": (0, 10_000), "token_depth": (0, 10_000)}
        check_fields(
            self, whole_number, {"vocab_size": (2, _LARGEST), **few, **dict.fromkeys(sizes, (1, _LARGEST))}
        )
        check_fields(self, real_number, {"rope_base": (1, 1e12)})
        if not isinstance(self.guided, bool):
            raise ValueError(f"guided must be True or False, got {self.guided!r}")
        if self.code_levels is not None:
            object.__setattr__(self, "code_levels", _levels("code_levels", self.code_levels))
            if math.prod(self.code_levels) != self.vocab_size:
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


def beta_of(guidance: float) -> float:
    """beta = 1 / (1 + g) as guided weights are given it."""
    return 1 / (1 + min(guidance, MOST_GUIDANCE))


@dataclass(frozen=True)
class PipelineConfig:
    """What `config.json` beside the weights holds."""

    tokenizer: ImageTokenizerConfig = field(default_factory=ImageTokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    card: dict[str, Any] = field(default_factory=dict)  # objects, styles, budget: shown, never computed with

    def facts(self, fingerprint: str | Callable[[], str]) -> Facts:
        """What everyone may know of the model; ValueError where the card tells of itself in another form.

        A card of before, which has no name, examples or licence, gets the family's name and prompts of its objects.
        """
        objects = self.card.get("objects")
        known = [o for o in objects if isinstance(o, str) and o] if isinstance(objects, list | tuple) else []
        told = {
            "name": "Chisel",
            "licence": "",
            "examples": [f"{'an' if o[0] in 'aeiou' else 'a'} {o}" for o in known[:6]],
            "revises": _edits(self.card.get("recipe")),
            **self.card,
        }
        for name, kind in (("name", str), ("licence", str), ("revises", bool), ("examples", list | tuple)):
            if not isinstance(told[name], kind):
                raise ValueError(f"{name} of the card must be {_KINDS[name]}, got {told[name]!r}")
        if not all(isinstance(text, str) and text.strip() for text in told["examples"]):
            raise ValueError(f"examples of the card must be prompts, got {told['examples']!r}")
        grid = self.tokenizer.grid, self.tokenizer.grid
        # they can hash tensors, so they import PyTorch, which a config does without
        from mdm_core.facts import Facts

        return Facts(
            name=told["name"],
            family=FAMILY,
            grid=grid,
            patch=self.tokenizer.patch,
            vocab_size=self.tokenizer.vocab_size,
            mask_id=self.tokenizer.vocab_size,
            defaults=dataclasses.asdict(self.sample),
            revises=told["revises"],
            local_tokens=True,
            examples=tuple(told["examples"]),
            licence=told["licence"],
            trained_guidance=MOST_GUIDANCE if self.model.guided else None,
            fingerprint=fingerprint,
            card=self.card,
        )


_KINDS = {"name": "a text", "licence": "a text", "revises": "true or false", "examples": "a list of prompts"}


def _edits(recipe: Any) -> bool:
    """Whether a recipe trained the model to doubt visible tokens; ours do, and say so where they do not."""
    objective = recipe.get("objective") if isinstance(recipe, dict) else None
    return not isinstance(objective, dict) or objective.get("edit_weight", 1) != 0


def check_pair(tokenizer: ImageTokenizerConfig, model: ModelConfig) -> None:
    """ValueError unless the model speaks of the image tokenizer's codes: as many, on the same grid and lattice."""
    ours, theirs = (tokenizer.vocab_size, tokenizer.grid), (model.vocab_size, model.grid)
    if ours != theirs:
        raise ValueError(
            f"image tokenizer and model disagree about vocabulary or grid: {ours[0]} codes on a grid of {ours[1]}, "
            f"and {theirs[0]} on {theirs[1]}"
        )
    if model.code_levels is not None and tokenizer.codebook:
        raise ValueError(
            f"the image tokenizer's codes are learned and lie on no lattice, and the model embeds them by code_levels "
            f"{model.code_levels}: it must be null"
        )
    if model.code_levels not in (None, tokenizer.levels):
        raise ValueError(
            f"image tokenizer and model disagree about the lattice of the codes: levels {tokenizer.levels}, and "
            f"code_levels {model.code_levels}; both must be the same"
        )


P = TypeVar("P", ImageTokenizerConfig, ModelConfig, SampleConfig)  # a section of the file


def _part(cls: type[P], name: str, values: Any) -> P:
    if not isinstance(values, dict):
        raise ValueError(f"config section {name!r} must be an object")
    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"config section {name!r} has unknown keys {unknown}; this version knows {sorted(known)}"
        )
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return cls(**given)


def save_config(config: PipelineConfig, path: str | Path) -> None:
    """Write `config` as JSON; ValueError where its image tokenizer and model do not belong together."""
    check_pair(config.tokenizer, config.model)
    data = {"format_version": FORMAT_VERSION, "family": FAMILY, **dataclasses.asdict(config)}
    located(path).write_text(json.dumps(data, indent=1) + "\n")


def load_config(path: str | Path) -> PipelineConfig:
    """Read a configuration; ValueError names the file and what is wrong with it."""
    path = located(path)
    try:
        data = json.loads(path.read_text())
        if not isinstance(data, dict):
            raise ValueError("it holds no JSON object")
        if data.get("family", FAMILY) != FAMILY:
            raise ValueError(f"it describes a model of the family {data['family']!r}, not of {FAMILY!r}")
        version = data.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(f"its format version is {version!r}, this program reads {FORMAT_VERSION}")
        tokenizer = _part(ImageTokenizerConfig, "tokenizer", data.get("tokenizer", {}))
        model = _part(ModelConfig, "model", data.get("model", {}))
        sampling = _part(SampleConfig, "sample", data.get("sample", {}))
        card = data.get("card", {})
        if not isinstance(card, dict):
            raise ValueError("config section 'card' must be an object")
        config = PipelineConfig(tokenizer=tokenizer, model=model, sample=sampling, card=card)
        config.facts("")
        check_pair(config.tokenizer, config.model)
        return config
    except FileNotFoundError:
        raise ValueError(
            f"{path} is missing: a model folder holds config.json, two .safetensors files and text.json"
        ) from None
    except (ValueError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
