"""What the .json files of an NL-Diffusion-Image folder say of its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdm_core.checks import check_fields, real_number, whole_number
from mdm_core.families.published.config import LARGEST, OneWay, check_sizes, read_part
from mdm_core.families.published.ibq import IBQ_ONE_WAY, IBQConfig

SPARE = 256  # rows of the table of image tokens behind the codes; the mask is the second of them
_ONE_WAY: OneWay = {
    "hidden_act": ("silu", "silu"),
    "attention_bias": (False, False),
    "mlp_bias": (False, False),
    "sliding_window": (None, None),
    "dlm_paradigm": ("bidirectional", None),
    "downsample": (True, False),
}
_ROPE = {
    "rope_theta": (2.0, 1e12),
    "factor": (1.0, 1e6),
    "beta_fast": (1e-3, 1e6),
    "beta_slow": (1e-3, 1e6),
}


@dataclass(frozen=True)
class BodyConfig:
    """The transformer over prompt and picture (Ministral 3's), and the tables of image tokens around it."""

    vocab_size: int = 132101  # of the prompt's tokens
    hidden_size: int = 4096  # D
    d_model_gen: int = 4096  # width of image tokens: D
    num_hidden_layers: int = 34
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int = 128
    intermediate_size: int = 14336
    rms_norm_eps: float = 1e-5
    mask_token_id: int = 100  # what stands in the place of a prompt that is not told
    tokenizer_model_max_length: int = 4096  # of prompt and slots together
    sample_size: int = 64  # cells a side; the published file leaves it to the program
    # rotary positions stretched as in YaRN (Peng et al. 2023)
    rope_parameters: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_sizes(self, few={"num_hidden_layers", "mask_token_id"}, most={"sample_size": 4096})
        check_fields(self, real_number, {"rms_norm_eps": (0, 1)})
        if self.d_model_gen != self.hidden_size:
            raise ValueError("d_model_gen must be hidden_size: image tokens stand among the prompt's")
        if self.num_attention_heads % self.num_key_value_heads or self.head_dim % 2:
            raise ValueError("num_key_value_heads must divide num_attention_heads, and head_dim be even")
        if self.sample_size % 2:
            raise ValueError(f"sample_size {self.sample_size} must be even: a slot holds two cells a side")
        if self.mask_token_id >= self.vocab_size:
            raise ValueError(f"mask_token_id {self.mask_token_id} must be below vocab_size {self.vocab_size}")
        rope = self.rope_parameters
        if not isinstance(rope, dict) or rope.get("rope_type") != "yarn":
            raise ValueError("rope_parameters must be those of rope_type 'yarn'")
        for name, bounds in _ROPE.items():
            real_number(name, rope.get(name), *bounds)
        whole_number("original_max_position_embeddings", self.trained_length, 1, LARGEST)
        if rope.get("mscale", 1.0) != rope.get("mscale_all_dim", 1.0):
            raise ValueError("mscale and mscale_all_dim must be equal: they then cancel out")
        # longer sequences scale their queries, which the published length never asks for
        if self.tokenizer_model_max_length > self.trained_length:
            raise ValueError("tokenizer_model_max_length must be within original_max_position_embeddings")
        if self.slots >= self.tokenizer_model_max_length:
            raise ValueError("tokenizer_model_max_length leaves no room for a prompt")

    @property
    def trained_length(self) -> Any:
        """Positions before they were stretched."""
        return self.rope_parameters.get("original_max_position_embeddings")

    @property
    def slots(self) -> int:
        """Places of the sequence that hold the picture: one for 2x2 cells."""
        return (self.sample_size // 2) ** 2


@dataclass(frozen=True)
class NLConfig:
    """The parts together."""

    body: BodyConfig
    tokenizer: IBQConfig

    @property
    def mask_id(self) -> int:
        """The id of a masked cell in the table of image tokens."""
        return self.tokenizer.codebook_size + 1

    @property
    def image_rows(self) -> int:
        """Rows of the table of image tokens."""
        return self.tokenizer.codebook_size + SPARE


def load_config(folder: Path) -> NLConfig:
    """Read the configurations of a folder; ValueError names the file and what is wrong with it."""
    body = read_part(folder / "config.json", BodyConfig, _ONE_WAY)
    return NLConfig(body, read_part(folder / "emu3_vqvae" / "config.json", IBQConfig, IBQ_ONE_WAY))
