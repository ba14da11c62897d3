"""What the .json files of a published folder say of the parts that families share; the layout is that of diffusers.

A file names many things. Those that change what the model is stand here as fields; those that this program has only
one way of are asked for as they must be; the rest are switches of training and of other programs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from mdm_core.checks import check_fields, real_number, whole_number
from mdm_core.hub.files import read_json

T = TypeVar("T")
LARGEST = 2**24  # of any size: far beyond what a machine holds, and no number that overflows


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
        check_sizes(self, few=set(), most={})
        for width in widths:
            if whole_number("a width of block_out_channels", width, 1, LARGEST) % self.norm_num_groups:
                raise ValueError(
                    f"the width {width} must be a multiple of norm_num_groups {self.norm_num_groups}"
                )
        if self.vq_embed_dim is not None:
            whole_number("vq_embed_dim", self.vq_embed_dim, 1, LARGEST)


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
        check_sizes(self, few={"num_hidden_layers", "eos_token_id"}, most={"max_position_embeddings": 65536})
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
        check_fields(self, whole_number, {"mask_token_id": (0, LARGEST)})
        if self.masking_schedule not in ("cosine", "linear"):
            raise ValueError(f"masking_schedule must be cosine or linear, got {self.masking_schedule!r}")


# what must stand in a file as it stands here; a file that does not say is taken to say what comes last
OneWay = dict[str, tuple[Any, Any]]
VQ_ONE_WAY: OneWay = {
    "in_channels": (3, 3),
    "out_channels": (3, 3),
    "act_fn": ("silu", "silu"),
    "norm_type": ("group", "group"),
    "mid_block_add_attention": (False, True),
    "lookup_from_codebook": (True, False),
}


def read_part(path: Path, kind: type[T], one_way: OneWay | None = None, **more: Any) -> T:
    """A part's configuration of a file; ValueError names the file and what is wrong with it.

    one_way: what the file must say. more: fields where the file has no say.
    """
    data = read_json(path)
    try:
        for key, (wanted, unsaid) in (one_way or {}).items():
            if data.get(key, unsaid) != wanted:
                raise ValueError(f"{key} must be {wanted!r}, got {data.get(key, unsaid)!r}")
        known = {f.name for f in dataclasses.fields(cast(Any, kind))}
        told = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known}
        return kind(**{**told, **more})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def shared_parts(folder: Path) -> tuple[VQConfig, ClipConfig, SchedulerConfig]:
    """The configurations of the parts that families share."""
    return (
        read_part(folder / "vqvae" / "config.json", VQConfig, VQ_ONE_WAY),
        read_part(folder / "text_encoder" / "config.json", ClipConfig),
        read_part(folder / "scheduler" / "scheduler_config.json", SchedulerConfig),
    )


def check_vocabulary(
    codebook_size: int, vocab_size: int, vqvae: VQConfig, scheduler: SchedulerConfig
) -> None:
    """ValueError unless a transformer speaks of the VQ-GAN's codes, and its mask lies behind them."""
    if codebook_size != vqvae.num_vq_embeddings:
        raise ValueError(
            f"the transformer speaks {codebook_size} codes and the VQ-GAN {vqvae.num_vq_embeddings}"
        )
    if not codebook_size <= scheduler.mask_token_id < vocab_size:
        raise ValueError(
            f"mask_token_id must lie in {codebook_size}..{vocab_size - 1}, behind the codes, "
            f"got {scheduler.mask_token_id}"
        )


def check_sizes(config: Any, few: set[str], most: dict[str, int]) -> None:
    """Whole-number fields of a configuration: sizes from 1, numbers of layers (`few`) from 0."""
    for f in dataclasses.fields(config):
        if f.type == "int":
            top = 1000 if f.name.startswith(("num_hidden", "num_res", "layers")) else LARGEST
            bounds = (0 if f.name in few else 1, most.get(f.name, top))
            check_fields(config, whole_number, {f.name: bounds})
