"""What the .json files of an aMUSEd folder say of its parts; the layout is that of diffusers.

A file names many things. Those that change what the model is stand here as fields; those that this program has only
one way of are asked for as they must be; the rest are switches of training and of other programs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mdm_core.checks import check_fields, real_number, whole_number
from mdm_core.hub.files import read_json

T = TypeVar("T")
_LARGEST = 2**24  # of any size: far beyond what a machine holds, and no number that overflows


@dataclass(frozen=True)
class UViTConfig:
    """The masked transformer: tokens on a square grid, embedded by convolutions before and after its body."""

    hidden_size: int = 1024  # width of the body
    cond_embed_dim: int = 768  # of the pooled prompt
    micro_cond_encode_dim: int = 256  # of each of five micro-conditions
    micro_cond_embed_dim: int = 1280  # of all of them
    encoder_hidden_size: int = 768  # of the prompt's states
    vocab_size: int = 8256  # rows of the token table, the mask among them
    codebook_size: int = 8192  # V
    in_channels: int = 768  # of the token table and of the head
    block_out_channels: int = 768  # of the convolutional blocks
    num_res_blocks: int = 3
    downsample: bool = False  # the body sees a grid of half the cells a side; the other way is `upsample`
    upsample: bool = False
    block_num_heads: int = 12
    num_hidden_layers: int = 22
    num_attention_heads: int = 16
    intermediate_size: int = 2816
    layer_norm_eps: float = 1e-6
    sample_size: int = 64  # cells a side

    def __post_init__(self) -> None:
        _check_sizes(self, few={"num_res_blocks", "num_hidden_layers"}, most={"sample_size": 4096})
        check_fields(self, real_number, {"layer_norm_eps": (0, 1)})
        if self.downsample is not self.upsample or not isinstance(self.upsample, bool):
            raise ValueError("downsample and upsample must both be true, or both false")
        if self.sample_size % (2 if self.downsample else 1):
            raise ValueError(f"sample_size {self.sample_size} must be even where the grid is halved")
        if self.hidden_size % self.num_attention_heads or self.block_out_channels % self.block_num_heads:
            raise ValueError("a width must be a multiple of its number of attention heads")
        if self.micro_cond_embed_dim != 5 * self.micro_cond_encode_dim or self.micro_cond_encode_dim % 2:
            raise ValueError("micro_cond_embed_dim must be five times micro_cond_encode_dim, an even number")
        if self.codebook_size >= self.vocab_size:
            raise ValueError("vocab_size must be larger than codebook_size: the mask is a token too")


@dataclass(frozen=True)
class VQConfig:
    """The VQ-GAN; each level but the last halves the picture."""

    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    latent_channels: int = 3
    num_vq_embeddings: int = 256  # V
    vq_embed_dim: int | None = None  # of a code; as many as latent_channels where it is not said
    norm_num_groups: int = 32

    @property
    def patch(self) -> int:
        """Pixels a side of what one token stands for."""
        return 2 ** (len(self.block_out_channels) - 1)

    @property
    def code_dim(self) -> int:
        return self.latent_channels if self.vq_embed_dim is None else self.vq_embed_dim

    def __post_init__(self) -> None:
        widths = self.block_out_channels
        if not isinstance(widths, tuple) or not 1 <= len(widths) <= 10:
            raise ValueError(f"block_out_channels must be 1 to 10 widths, got {widths!r}")
        _check_sizes(self, few=set(), most={})
        for width in widths:
            if whole_number("a width of block_out_channels", width, 1, _LARGEST) % self.norm_num_groups:
                raise ValueError(
                    f"the width {width} must be a multiple of norm_num_groups {self.norm_num_groups}"
                )
        if self.vq_embed_dim is not None:
            whole_number("vq_embed_dim", self.vq_embed_dim, 1, _LARGEST)


@dataclass(frozen=True)
class ClipConfig:
    """The text half of CLIP (Radford et al. 2021)."""

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    eos_token_id: int = 49407  # 2 in early files, which meant: the largest id of the prompt

    def __post_init__(self) -> None:
        _check_sizes(self, few={"num_hidden_layers", "eos_token_id"}, most={"max_position_embeddings": 65536})
        check_fields(self, real_number, {"layer_norm_eps": (0, 1)})
        if self.hidden_act not in ("quick_gelu", "gelu"):
            raise ValueError(f"hidden_act must be quick_gelu or gelu, got {self.hidden_act!r}")
        if self.num_hidden_layers < 1 or self.hidden_size % self.num_attention_heads:
            raise ValueError("the text encoder needs a layer, and a width that its heads divide")


@dataclass(frozen=True)
class SchedulerConfig:
    """Of the sampler, what belongs to the weights: the mask's id, and the order in which it was trained."""

    mask_token_id: int = -1
    masking_schedule: str = "cosine"

    def __post_init__(self) -> None:
        check_fields(self, whole_number, {"mask_token_id": (0, _LARGEST)})
        if self.masking_schedule not in ("cosine", "linear"):
            raise ValueError(f"masking_schedule must be cosine or linear, got {self.masking_schedule!r}")


@dataclass(frozen=True)
class AmusedConfig:
    """The parts together; ValueError where they do not fit each other."""

    transformer: UViTConfig
    vqvae: VQConfig
    text: ClipConfig
    scheduler: SchedulerConfig

    def __post_init__(self) -> None:
        t, v, c = self.transformer, self.vqvae, self.text
        if t.codebook_size != v.num_vq_embeddings:
            raise ValueError(
                f"the transformer speaks {t.codebook_size} codes and the VQ-GAN {v.num_vq_embeddings}"
            )
        if not t.codebook_size <= self.scheduler.mask_token_id < t.vocab_size:
            raise ValueError(
                f"mask_token_id must lie in {t.codebook_size}..{t.vocab_size - 1}, behind the codes, "
                f"got {self.scheduler.mask_token_id}"
            )
        if (t.encoder_hidden_size, t.cond_embed_dim) != (c.hidden_size, c.projection_dim):
            raise ValueError(
                f"the transformer reads prompts of width {t.encoder_hidden_size} and {t.cond_embed_dim}, "
                f"and the text encoder writes {c.hidden_size} and {c.projection_dim}"
            )


# what must stand in the files as it stands here; a file that does not say is taken to say what comes last
_ONE_WAY: dict[str, dict[str, tuple[Any, Any]]] = {
    "transformer": {"use_bias": (False, False), "ln_elementwise_affine": (True, True)},
    "vqvae": {
        "in_channels": (3, 3),
        "out_channels": (3, 3),
        "act_fn": ("silu", "silu"),
        "norm_type": ("group", "group"),
        "mid_block_add_attention": (False, True),
        "lookup_from_codebook": (True, False),
    },
    "text_encoder": {},
    "scheduler": {},
}
_KINDS: dict[str, Any] = {
    "transformer": UViTConfig,
    "vqvae": VQConfig,
    "text_encoder": ClipConfig,
    "scheduler": SchedulerConfig,
}


def load_config(folder: Path) -> AmusedConfig:
    """Read the configurations of a folder; ValueError names the file and what is wrong with it."""
    parts = [_part(folder, name) for name in _KINDS]
    try:
        return AmusedConfig(*parts)
    except ValueError as error:
        raise ValueError(f"the model folder {folder} cannot be used: {error}") from None


def _part(folder: Path, name: str) -> Any:
    path = folder / name / ("scheduler_config.json" if name == "scheduler" else "config.json")
    data, kind = read_json(path), _KINDS[name]
    try:
        for key, (wanted, unsaid) in _ONE_WAY[name].items():
            if data.get(key, unsaid) != wanted:
                raise ValueError(f"{key} must be {wanted!r}, got {data.get(key, unsaid)!r}")
        known = {f.name for f in dataclasses.fields(kind)}
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def _check_sizes(config: Any, few: set[str], most: dict[str, int]) -> None:
    """Whole-number fields of a configuration: sizes from 1, numbers of layers (`few`) from 0."""
    for f in dataclasses.fields(config):
        if f.type == "int":
            top = 1000 if f.name.startswith(("num_hidden", "num_res", "layers")) else _LARGEST
            bounds = (0 if f.name in few else 1, most.get(f.name, top))
            check_fields(config, whole_number, {f.name: bounds})
