"""What the .json files of an aMUSEd folder say of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdm_core.checks import check_fields, real_number
from mdm_core.families.published.config import (
    ClipConfig,
    OneWay,
    SchedulerConfig,
    VQConfig,
    check_sizes,
    check_vocabulary,
    read_part,
    shared_parts,
)

_ONE_WAY: OneWay = {"use_bias": (False, False), "ln_elementwise_affine": (True, True)}


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
        check_sizes(self, few={"num_res_blocks", "num_hidden_layers"}, most={"sample_size": 4096})
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
class AmusedConfig:
    """The parts together; ValueError where they do not fit each other."""

    transformer: UViTConfig
    vqvae: VQConfig
    text: ClipConfig
    scheduler: SchedulerConfig

    def __post_init__(self) -> None:
        t, v, c = self.transformer, self.vqvae, self.text
        check_vocabulary(t.codebook_size, t.vocab_size, v, self.scheduler)
        if (t.encoder_hidden_size, t.cond_embed_dim) != (c.hidden_size, c.projection_dim):
            raise ValueError(
                f"the transformer reads prompts of width {t.encoder_hidden_size} and {t.cond_embed_dim}, "
                f"and the text encoder writes {c.hidden_size} and {c.projection_dim}"
            )


def load_config(folder: Path) -> AmusedConfig:
    """Read the configurations of a folder; ValueError names the file and what is wrong with it."""
    transformer = read_part(folder / "transformer" / "config.json", UViTConfig, _ONE_WAY)
    try:
        return AmusedConfig(transformer, *shared_parts(folder))
    except ValueError as error:
        if str(folder) in str(error):
            raise
        raise ValueError(f"the model folder {folder} cannot be used: {error}") from None
