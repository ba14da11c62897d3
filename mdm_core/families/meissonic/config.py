"""What the .json files of a Meissonic folder say of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

_ONE_WAY: OneWay = {"guidance_embeds": (False, False)}


@dataclass(frozen=True)
class MMDiTConfig:
    """The masked transformer: blocks with weights of their own for prompt and picture, then blocks that they share."""

    num_layers: int = 19
    num_single_layers: int = 38
    attention_head_dim: int = 128
    num_attention_heads: int = 24
    joint_attention_dim: int = 4096  # of the prompt's states
    pooled_projection_dim: int = 768  # of the pooled prompt
    axes_dims_rope: tuple[int, ...] = (16, 56, 56)  # of a head, turned by: nothing, the row, the column
    vocab_size: int = 8256
    codebook_size: int = 8192  # V
    downsample: bool = False  # the body sees a grid of half the cells a side; the other way is `upsample`
    upsample: bool = False
    sample_size: int = 0  # cells a side; published files do not say, see `side`

    @property
    def width(self) -> int:
        return self.num_attention_heads * self.attention_head_dim

    @property
    def side(self) -> int:
        """Cells a side: of 1,024 pixels where the grid is halved, else of 512."""
        return self.sample_size or (64 if self.downsample else 32)

    def __post_init__(self) -> None:
        check_sizes(self, few={"num_layers", "num_single_layers", "sample_size"}, most={"sample_size": 4096})
        if self.downsample is not self.upsample or not isinstance(self.upsample, bool):
            raise ValueError("downsample and upsample must both be true, or both false")
        if self.side % (2 if self.downsample else 1):
            raise ValueError(f"sample_size {self.sample_size} must be even where the grid is halved")
        axes = self.axes_dims_rope
        if (
            not isinstance(axes, tuple)
            or len(axes) != 3
            or any(type(n) is not int or n < 2 or n % 2 for n in axes)
        ):
            raise ValueError(f"axes_dims_rope must be three even numbers, got {axes!r}")
        if sum(axes) != self.attention_head_dim:
            raise ValueError("axes_dims_rope must add up to attention_head_dim")
        if self.codebook_size >= self.vocab_size:
            raise ValueError("vocab_size must be larger than codebook_size: the mask is a token too")


@dataclass(frozen=True)
class MeissonicConfig:
    """The parts together; ValueError where they do not fit each other."""

    transformer: MMDiTConfig
    vqvae: VQConfig
    text: ClipConfig
    scheduler: SchedulerConfig

    def __post_init__(self) -> None:
        t, c = self.transformer, self.text
        check_vocabulary(t.codebook_size, t.vocab_size, self.vqvae, self.scheduler)
        if (t.joint_attention_dim, t.pooled_projection_dim) != (c.hidden_size, c.projection_dim):
            raise ValueError(
                f"the transformer reads prompts of width {t.joint_attention_dim} and {t.pooled_projection_dim}, "
                f"and the text encoder writes {c.hidden_size} and {c.projection_dim}"
            )
        if t.pooled_projection_dim != t.width:
            raise ValueError(f"pooled_projection_dim {t.pooled_projection_dim} must be the width, {t.width}")


def load_config(folder: Path) -> MeissonicConfig:
    """Read the configurations of a folder; ValueError names the file and what is wrong with it."""
    transformer = read_part(folder / "transformer" / "config.json", MMDiTConfig, _ONE_WAY)
    try:
        return MeissonicConfig(transformer, *shared_parts(folder))
    except ValueError as error:
        if str(folder) in str(error):
            raise
        raise ValueError(f"the model folder {folder} cannot be used: {error}") from None
