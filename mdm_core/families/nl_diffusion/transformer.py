"""The transformer of NL-Diffusion-Image: Ministral 3's blocks (grouped queries, SwiGLU, RMS norms, YaRN's positions)
over prompt and picture as one sequence in which everything sees everything.

Four cells of the picture share a place of the sequence: their tokens are embedded, halved to 32x32 slots, and what
comes out at the slots is doubled to 64x64 cells again. The head over the codes is linear, without a bias.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.families.nl_diffusion.config import BodyConfig, NLConfig
from mdm_core.families.published.tokens import Scale

_SCALE_EPS = 1e-6  # of the norms before halving and doubling
Turn = tuple[Tensor, Tensor]  # cosines and sines [T, d]


def rates(c: BodyConfig) -> Tensor:
    """float64 [d/2]: radians a place, slowed down by `factor` where a wave hardly turns within the trained length.

    Waves of more than beta_fast turns keep their pace, those of less than beta_slow are slowed down fully, and
    between them it is a ramp (Peng et al. 2023, section 3.2).
    """
    rope, d = c.rope_parameters, c.head_dim
    theta, factor = rope["rope_theta"], rope["factor"]
    pace = theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)

    def wave(turns: float) -> float:
        """The wave, counted in fractions, that turns so often within the trained length."""
        return d * math.log(c.trained_length / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(wave(rope["beta_fast"])), 0)
    high = min(math.ceil(wave(rope["beta_slow"])), d - 1)
    ramp = (torch.arange(d // 2, dtype=torch.float64) - low) / max(high - low, 1e-3)
    slowed = ramp.clamp(0, 1)
    return pace * (1 - slowed) + pace / factor * slowed


def turned(x: Tensor, turn: Turn) -> Tensor:
    """x [B, heads, T, d] turned by the angles of its places: a wave's two values stand half of d apart."""
    first, second = x.float().chunk(2, -1)
    cos, sin = turn
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x.dtype)


class _Attention(nn.Module):
    """Every place sees every other; several heads of queries share keys and values."""

    def __init__(self, c: BodyConfig):
        super().__init__()
        D, self.dim = c.hidden_size, c.head_dim
        wide, narrow = c.num_attention_heads * self.dim, c.num_key_value_heads * self.dim
        self.q_proj = nn.Linear(D, wide, bias=False)
        self.k_proj = nn.Linear(D, narrow, bias=False)
        self.v_proj = nn.Linear(D, narrow, bias=False)
        self.o_proj = nn.Linear(wide, D, bias=False)
        self.share = c.num_attention_heads // c.num_key_value_heads

    def forward(self, x: Tensor, turn: Turn) -> Tensor:
        """[B, T, D]"""
        q, k, v = (
            p(x).unflatten(-1, (-1, self.dim)).transpose(1, 2)
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = turned(q, turn), turned(k, turn)
        k, v = k.repeat_interleave(self.share, 1), v.repeat_interleave(self.share, 1)
        seen = F.scaled_dot_product_attention(q, k, v)  # [B, heads, T, d]
        return self.o_proj(seen.transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, c: BodyConfig):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class _Layer(nn.Module):
    def __init__(self, c: BodyConfig):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.self_attn = _Attention(c)
        self.post_attention_layernorm = nn.RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.mlp = _FeedForward(c)

    def forward(self, x: Tensor, turn: Turn) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn)
        return x + self.mlp(self.post_attention_layernorm(x))


class NLTransformer(nn.Module):
    """Prompt ids and image tokens -> hidden states of the cells; `gen_predictor` is the head."""

    def __init__(self, config: NLConfig):
        super().__init__()
        c = self.config = config.body
        D = c.hidden_size
        self.embed_tokens = nn.Embedding(c.vocab_size, D)
        self.layers = nn.ModuleList(_Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = nn.RMSNorm(D, c.rms_norm_eps)
        self.gen_embedding = nn.Embedding(config.image_rows, D)
        self.downsample_gen = nn.ModuleDict({"downsample": Scale(D, _SCALE_EPS, nn.Conv2d)})
        self.upsample_gen = nn.ModuleDict({"upsample": Scale(D, _SCALE_EPS, nn.ConvTranspose2d)})
        self.gen_predictor = nn.Linear(D, config.tokenizer.codebook_size, bias=False)
        self._turn: Turn | None = None  # of the longest sequence so far

    def forward(self, ids: Tensor, tokens: Tensor, first: int) -> Tensor:
        """ids int64 [B, T], tokens int64 [B, h, w] -> [B, h, w, D], before the head.

        first: the place of the first of h * w / 4 slots, which follow each other; what ids they have is all one.
        """
        x = self.embed_tokens(ids)
        picture = self.downsample_gen["downsample"](self.gen_embedding(tokens))  # [B, h/2, w/2, D]
        h, w = picture.shape[1:3]
        last = first + h * w
        x = torch.cat([x[:, :first], picture.flatten(1, 2), x[:, last:]], 1)  # [B, T, D]
        turn = self._turns(x.shape[1], x.device)
        for layer in self.layers:
            x = layer(x, turn)
        return self.upsample_gen["upsample"](self.norm(x)[:, first:last].unflatten(1, (h, w)))

    def _turns(self, length: int, device: torch.device) -> Turn:
        """Angles of the first `length` places, as cosines and sines [T, d/2]."""
        if self._turn is None or len(self._turn[0]) < length or self._turn[0].device != device:
            angle = torch.arange(length, dtype=torch.float64)[:, None] * rates(self.config)
            self._turn = angle.cos().float().to(device), angle.sin().float().to(device)
        return self._turn[0][:length], self._turn[1][:length]
