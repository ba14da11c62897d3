"""The U-ViT of aMUSEd: convolutions and attention on the grid of tokens, a transformer between them, a linear head.

It has no positions: what tells cells apart is what stands around them and the frame's border, which the convolutions
see. Prompts come in twice, as states that attention reads and as one vector that scales and shifts, together with
the micro-conditions (Podell et al. 2023).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.families.amused.config import UViTConfig
from mdm_core.families.published.tokens import ConditionEmbed, Scale, TokenEmbed, TokenHead, micro_waves

_BLOCK_EPS = 1e-6  # of the norms of the attention blocks, whatever the configuration says of the others


class _Attention(nn.Module):
    """Queries of one sequence over keys and values of another."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width, bias=False)])

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """x [B, T, C], seen [B, S, C] -> [B, T, C]"""
        q, k, v = (
            p(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for p, y in ((self.to_q, x), (self.to_k, seen), (self.to_v, seen))
        )
        return self.to_out[0](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Response(nn.Module):
    """Global response normalisation (Woo et al. 2023): a channel by its share of what the whole grid answers."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, width))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, h, w, C]"""
        strength = x.norm(dim=(1, 2), keepdim=True)  # [B, 1, 1, C]
        share = strength / (strength.mean(-1, keepdim=True) + 1e-6)
        return self.gamma * (x * share) + self.beta + x


class _ConvBlock(nn.Module):
    """ConvNeXt V2 block, scaled and shifted by the prompt at its end. [B, h, w, C] throughout."""

    def __init__(self, c: UViTConfig):
        super().__init__()
        width = c.block_out_channels
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm = nn.RMSNorm(width, c.layer_norm_eps)
        self.channelwise_linear_1 = nn.Linear(width, 4 * width, bias=False)
        self.channelwise_norm = _Response(4 * width)
        self.channelwise_linear_2 = nn.Linear(4 * width, width, bias=False)
        self.cond_embeds_mapper = nn.Linear(c.hidden_size, 2 * width, bias=False)

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        h = self.depthwise(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        h = self.channelwise_norm(F.gelu(self.channelwise_linear_1(self.norm(h))))
        x = x + self.channelwise_linear_2(h)
        scale, shift = self.cond_embeds_mapper(F.silu(prompt))[:, None, None].chunk(2, -1)
        return x * (1 + scale) + shift


class _ReadBlock(nn.Module):
    """The prompt's states read twice over, without a feed-forward layer."""

    def __init__(self, c: UViTConfig):
        super().__init__()
        width = c.block_out_channels
        self.kv_mapper = nn.Linear(c.hidden_size, width, bias=False) if c.hidden_size != width else None
        self.norm1 = nn.RMSNorm(width, _BLOCK_EPS)
        self.attn1 = _Attention(width, c.block_num_heads)
        self.norm2 = nn.RMSNorm(width, _BLOCK_EPS)
        self.attn2 = _Attention(width, c.block_num_heads)

    def forward(self, x: Tensor, states: Tensor) -> Tensor:
        """x [B, L, C]"""
        if self.kv_mapper is not None:
            states = self.kv_mapper(F.silu(states))
        x = x + self.attn1(self.norm1(x), states)
        return x + self.attn2(self.norm2(x), states)


class _GridBlock(nn.Module):
    """What stands before the body and behind it: pairs of a convolutional and a reading block. [B, h, w, C]."""

    def __init__(self, c: UViTConfig, *, down: bool = False, up: bool = False):
        super().__init__()
        self.downsample = Scale(c.block_out_channels, c.layer_norm_eps, nn.Conv2d) if down else None
        self.res_blocks = nn.ModuleList(_ConvBlock(c) for _ in range(c.num_res_blocks))
        self.attention_blocks = nn.ModuleList(_ReadBlock(c) for _ in range(c.num_res_blocks))
        self.upsample = Scale(c.block_out_channels, c.layer_norm_eps, nn.ConvTranspose2d) if up else None

    def forward(self, x: Tensor, prompt: Tensor, states: Tensor) -> Tensor:
        if self.downsample is not None:
            x = self.downsample(x)
        for mix, read in zip(self.res_blocks, self.attention_blocks, strict=True):
            x = mix(x, prompt)
            x = read(x.flatten(1, 2), states).view(x.shape)
        return x if self.upsample is None else self.upsample(x)


class _Adaptive(nn.Module):
    """A norm whose scale and shift the prompt adds to."""

    def __init__(self, norm: nn.Module, width: int):
        super().__init__()
        self.linear = nn.Linear(width, 2 * width, bias=False)
        self.norm = norm

    def forward(self, x: Tensor, prompt: Tensor) -> Tensor:
        scale, shift = self.linear(F.silu(prompt))[:, None].chunk(2, -1)
        return self.norm(x) * (1 + scale) + shift


class _Gated(nn.Module):
    """GEGLU (Shazeer 2020)."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, -1)
        return x * F.gelu(gate)


class _FeedForward(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        # files number the places of a dropout between the two
        self.net = nn.ModuleList([_Gated(width, inner), nn.Identity(), nn.Linear(inner, width, bias=False)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


class _Layer(nn.Module):
    """Self-attention, the prompt, feed-forward."""

    def __init__(self, c: UViTConfig):
        super().__init__()
        width, heads, eps = c.hidden_size, c.num_attention_heads, c.layer_norm_eps
        self.norm1 = _Adaptive(nn.RMSNorm(width, eps), width)
        self.attn1 = _Attention(width, heads)
        self.norm2 = _Adaptive(nn.RMSNorm(width, eps), width)
        self.attn2 = _Attention(width, heads)
        self.norm3 = _Adaptive(nn.LayerNorm(width, eps, bias=False), width)  # the one that takes the mean off
        self.ff = _FeedForward(width, c.intermediate_size)

    def forward(self, x: Tensor, prompt: Tensor, states: Tensor) -> Tensor:
        h = self.norm1(x, prompt)
        x = x + self.attn1(h, h)
        x = x + self.attn2(self.norm2(x, prompt), states)
        return x + self.ff(self.norm3(x, prompt))


class UViT(nn.Module):
    """Tokens and a prompt -> hidden states; `mlm_layer.conv2` is the head, and has no bias."""

    def __init__(self, config: UViTConfig):
        super().__init__()
        self.config = c = config
        width, narrow, eps = c.hidden_size, c.block_out_channels, c.layer_norm_eps
        self.encoder_proj = nn.Linear(c.encoder_hidden_size, width, bias=False)
        self.encoder_proj_layer_norm = nn.RMSNorm(width, eps)
        self.embed = TokenEmbed(c.vocab_size, c.in_channels, narrow, eps)
        self.cond_embed = ConditionEmbed(c.micro_cond_embed_dim + c.cond_embed_dim, width)
        self.down_block = _GridBlock(c, down=c.downsample)
        self.project_to_hidden_norm = nn.RMSNorm(narrow, eps)
        self.project_to_hidden = nn.Linear(narrow, width, bias=False)
        self.transformer_layers = nn.ModuleList(_Layer(c) for _ in range(c.num_hidden_layers))
        self.project_from_hidden_norm = nn.RMSNorm(width, eps)
        self.project_from_hidden = nn.Linear(width, narrow, bias=False)
        self.up_block = _GridBlock(c, up=c.upsample)
        self.mlm_layer = TokenHead(narrow, c.in_channels, c.codebook_size, eps)

    def forward(self, ids: Tensor, states: Tensor, pooled: Tensor, micro: Tensor) -> Tensor:
        """ids int64 [B, h, w], states [B, T, E], pooled [B, P], micro float32 [B, 5] -> [B, h, w, D].

        micro: width and height of the picture in pixels, its crop's corner, its aesthetic score.
        """
        states = self.encoder_proj_layer_norm(self.encoder_proj(states))
        waves = micro_waves(micro, self.config.micro_cond_encode_dim)
        prompt = self.cond_embed(torch.cat([pooled, waves.to(pooled.dtype)], 1))  # [B, D]
        x = self.down_block(self.embed(ids), prompt, states)  # [B, h', w', C]
        y = self.project_to_hidden(self.project_to_hidden_norm(x.flatten(1, 2)))
        for layer in self.transformer_layers:
            y = layer(y, prompt, states)
        y = self.project_from_hidden(self.project_from_hidden_norm(y))
        return self.mlm_layer(self.up_block(y.view(x.shape), prompt, states))
