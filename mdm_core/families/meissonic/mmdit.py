"""The transformer of Meissonic: MMDiT blocks (Esser et al. 2024) in which prompt and picture meet in attention alone,
then blocks that run over both as one sequence; rotary positions of row and column, queries and keys normalised.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.families.meissonic.config import MMDiTConfig
from mdm_core.families.published.tokens import (
    ConditionEmbed,
    Scale,
    TokenEmbed,
    TokenHead,
    micro_waves,
    sinusoids,
)

_EPS = 1e-6
_WAVES = 256  # values of each micro-condition, and of the time
Turn = tuple[Tensor, Tensor]  # cosines and sines [T, d]


def turns(side: int, axes: tuple[int, ...], prompt: int, base: float = 10_000.0) -> Turn:
    """Angles of rotary positions: none for the prompt's `prompt` states, then row and column of side x side cells."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    place = torch.stack([torch.zeros_like(row), row, column], -1).view(-1, 3).double()  # [L, 3]
    place = torch.cat([place.new_zeros(prompt, 3), place])
    angles = [
        place[:, i : i + 1] * base ** (-torch.arange(0, n, 2, dtype=torch.float64) / n)
        for i, n in enumerate(axes)
    ]
    angle = torch.cat(angles, 1).repeat_interleave(2, 1)  # [T, d]
    return angle.cos().float(), angle.sin().float()


def turned(x: Tensor, turn: Turn) -> Tensor:
    """Neighbouring pairs of x [B, heads, T, d] turned by their angles."""
    y = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
    return (x.float() * turn[0] + y.float() * turn[1]).to(x.dtype)


class _Attention(nn.Module):
    """Of one sequence, or of a picture and a prompt (`added`) with projections of their own."""

    def __init__(self, width: int, heads: int, *, added: bool, out: bool):
        super().__init__()
        self.heads, dim = heads, width // heads
        self.norm_q = nn.RMSNorm(dim, _EPS)
        self.norm_k = nn.RMSNorm(dim, _EPS)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        if added:
            self.add_k_proj = nn.Linear(width, width)
            self.add_v_proj = nn.Linear(width, width)
            self.add_q_proj = nn.Linear(width, width)
            self.to_add_out = nn.Linear(width, width)
            self.norm_added_q = nn.RMSNorm(dim, _EPS)
            self.norm_added_k = nn.RMSNorm(dim, _EPS)
        if out:
            self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, T, d]

    def forward(self, x: Tensor, turn: Turn, prompt: Tensor | None = None) -> Tensor:
        """x [B, L, C], prompt [B, S, C] -> [B, S + L, C], the prompt first, before their ways out."""
        q, k = self.norm_q(self._split(self.to_q(x))), self.norm_k(self._split(self.to_k(x)))
        v = self._split(self.to_v(x))
        if prompt is not None:
            q = torch.cat([self.norm_added_q(self._split(self.add_q_proj(prompt))), q], 2)
            k = torch.cat([self.norm_added_k(self._split(self.add_k_proj(prompt))), k], 2)
            v = torch.cat([self._split(self.add_v_proj(prompt)), v], 2)
        out = F.scaled_dot_product_attention(turned(q, turn), turned(k, turn), v)
        return out.transpose(1, 2).flatten(2)


class _Adaptive(nn.Module):
    """A norm without weights of its own, and n vectors of the condition: [B, C] -> n x [B, 1, C]."""

    def __init__(self, width: int, count: int):
        super().__init__()
        self.count = count
        self.linear = nn.Linear(width, count * width)

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x scaled and shifted by the first two, and what is left."""
        shift, scale, *rest = self.linear(F.silu(time))[:, None].chunk(self.count, -1)
        return plain(x) * (1 + scale) + shift, tuple(rest)


def plain(x: Tensor) -> Tensor:
    """A layer norm without weights."""
    return F.layer_norm(x, x.shape[-1:], eps=_EPS)


class _Up(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class _FeedForward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        # files number the place of a dropout between the two
        self.net = nn.ModuleList([_Up(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


class _Pair(nn.Module):
    """Prompt and picture, each with its own layers, in one attention."""

    def __init__(self, c: MMDiTConfig):
        super().__init__()
        self.norm1 = _Adaptive(c.width, 6)
        self.norm1_context = _Adaptive(c.width, 6)
        self.attn = _Attention(c.width, c.num_attention_heads, added=True, out=True)
        self.ff = _FeedForward(c.width)
        self.ff_context = _FeedForward(c.width)

    def forward(self, x: Tensor, prompt: Tensor, time: Tensor, turn: Turn) -> tuple[Tensor, Tensor]:
        h, mine = self.norm1(x, time)
        g, its = self.norm1_context(prompt, time)
        seen = self.attn(h, turn, g)
        to_prompt, to_x = seen.split([prompt.shape[1], x.shape[1]], 1)
        x = _fed(x, self.attn.to_out[0](to_x), self.ff, mine)
        return x, _fed(prompt, self.attn.to_add_out(to_prompt), self.ff_context, its)


def _fed(x: Tensor, seen: Tensor, ff: nn.Module, parts: tuple[Tensor, ...]) -> Tensor:
    """What attention gave, and the feed-forward layer, each through its gate."""
    gate, shift, scale, gate_ff = parts
    x = x + gate * seen
    return x + gate_ff * ff(plain(x) * (1 + scale) + shift)


class _Single(nn.Module):
    """Attention and feed-forward side by side, over prompt and picture as one sequence."""

    def __init__(self, c: MMDiTConfig):
        super().__init__()
        self.norm = _Adaptive(c.width, 3)
        self.proj_mlp = nn.Linear(c.width, 4 * c.width)
        self.proj_out = nn.Linear(5 * c.width, c.width)
        self.attn = _Attention(c.width, c.num_attention_heads, added=False, out=False)

    def forward(self, x: Tensor, time: Tensor, turn: Turn) -> Tensor:
        h, (gate,) = self.norm(x, time)
        both = torch.cat([self.attn(h, turn), F.gelu(self.proj_mlp(h), approximate="tanh")], -1)
        return x + gate * self.proj_out(both)


class _Two(nn.Module):
    """Two layers with a SiLU between them."""

    def __init__(self, inside: int, width: int):
        super().__init__()
        self.linear_1 = nn.Linear(inside, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class _Time(nn.Module):
    def __init__(self, pooled: int, width: int):
        super().__init__()
        self.timestep_embedder = _Two(_WAVES, width)
        self.text_embedder = _Two(pooled, width)

    def forward(self, time: Tensor, pooled: Tensor) -> Tensor:
        waves = sinusoids(time, _WAVES).to(pooled.dtype)
        return self.timestep_embedder(waves) + self.text_embedder(pooled)


class _Grid(nn.Module):
    """Half or twice the cells a side, or as many."""

    def __init__(self, width: int, *, down: bool = False, up: bool = False):
        super().__init__()
        self.downsample = Scale(width, _EPS, nn.Conv2d) if down else None
        self.upsample = Scale(width, _EPS, nn.ConvTranspose2d) if up else None

    def forward(self, x: Tensor) -> Tensor:
        for change in (self.downsample, self.upsample):
            x = x if change is None else change(x)
        return x


class MMDiT(nn.Module):
    """Tokens, a prompt and the time -> hidden states; `mlm_layer.conv2` is the head, and has no bias."""

    def __init__(self, config: MMDiTConfig):
        super().__init__()
        self.config = c = config
        width = c.width
        self.time_text_embed = _Time(c.pooled_projection_dim, width)
        self.context_embedder = nn.Linear(c.joint_attention_dim, width)
        self.transformer_blocks = nn.ModuleList(_Pair(c) for _ in range(c.num_layers))
        self.single_transformer_blocks = nn.ModuleList(_Single(c) for _ in range(c.num_single_layers))
        self.embed = TokenEmbed(c.vocab_size, width, width, _EPS)
        self.mlm_layer = TokenHead(width, width, c.codebook_size, _EPS)
        self.cond_embed = ConditionEmbed(5 * _WAVES + c.pooled_projection_dim, width)
        self.encoder_proj_layer_norm = nn.RMSNorm(width, _EPS)
        self.project_to_hidden_norm = nn.RMSNorm(width, _EPS)
        self.project_to_hidden = nn.Linear(width, width, bias=False)
        self.project_from_hidden_norm = nn.RMSNorm(width, _EPS)
        self.project_from_hidden = nn.Linear(width, width, bias=False)
        self.down_block = _Grid(width, down=c.downsample)
        self.up_block = _Grid(width, up=c.upsample)

    def forward(self, ids: Tensor, states: Tensor, pooled: Tensor, micro: Tensor, time: Tensor) -> Tensor:
        """ids int64 [B, h, w], states [B, S, E], pooled [B, P], micro float32 [B, 5], time [B] -> [B, h, w, D].

        time: number of the steps that come after this one.
        """
        pooled = self.cond_embed(torch.cat([pooled, micro_waves(micro, _WAVES).to(pooled.dtype)], 1))
        prompt = self.encoder_proj_layer_norm(self.context_embedder(states))
        grid = self.down_block(self.embed(ids))  # [B, h', w', C]
        x = self.project_to_hidden(self.project_to_hidden_norm(grid.flatten(1, 2)))
        # published code counts in thousandths, in the type of the weights
        time = self.time_text_embed(time.to(x.dtype) * 1000, pooled)
        S = prompt.shape[1]
        cos, sin = turns(grid.shape[1], self.config.axes_dims_rope, S)
        turn = cos.to(x.device), sin.to(x.device)
        for pair in self.transformer_blocks:
            x, prompt = pair(x, prompt, time, turn)
        both = torch.cat([prompt, x], 1)
        for single in self.single_transformer_blocks:
            both = single(both, time, turn)
        x = self.project_from_hidden(self.project_from_hidden_norm(both[:, S:]))
        return self.mlm_layer(self.up_block(x.view(grid.shape)))
