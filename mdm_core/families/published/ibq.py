"""A convolutional tokenizer of the taming line (Esser et al. 2021): an attention block behind each residual one where
cells are few, and codes told by the largest product with the codebook (IBQ, Shi et al. 2024).

Files of that line name their parts alike. A codebook of unit vectors makes the largest product the nearest code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.checks import whole_number
from mdm_core.families.published.codec import CodebookTokenizer
from mdm_core.families.published.config import LARGEST, OneWay, check_sizes

IBQ_ONE_WAY: OneWay = {"in_channels": (3, 3), "out_ch": (3, 3), "double_z": (False, False)}
_EPS, _GROUPS = 1e-6, 32


@dataclass(frozen=True)
class IBQConfig:
    """Each level but the last halves the picture."""

    ch: int = 256  # width of the first level
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)  # that of each level, in units of `ch`
    num_res_blocks: int = 4
    attn_resolutions: tuple[int, ...] = (16,)  # pixels a side of the levels with attention,
    resolution: int = 256  # in a picture of this size
    z_channels: int = 256
    embed_dim: int = 256  # d
    codebook_size: int = 131072  # V

    def __post_init__(self) -> None:
        check_sizes(self, few=set(), most={"num_res_blocks": 1000, "resolution": 2**16})
        for name in ("ch_mult", "attn_resolutions"):
            numbers = getattr(self, name)
            if not isinstance(numbers, tuple) or not (name == "attn_resolutions") <= len(numbers) + 1 <= 11:
                raise ValueError(f"{name} must be at most 10 numbers, got {numbers!r}")
            for number in numbers:
                whole_number(f"a number of {name}", number, 1, LARGEST)
        if not self.ch_mult:
            raise ValueError("ch_mult must name a level")
        if self.ch % _GROUPS:
            raise ValueError(f"ch must be a multiple of {_GROUPS}, the groups of the norms, got {self.ch}")

    @property
    def patch(self) -> int:
        """Pixels a side of what one token stands for."""
        return 2 ** (len(self.ch_mult) - 1)

    def levels(self) -> list[tuple[int, int, bool]]:
        """(width that comes in, width, whether with attention) of each, the largest picture first."""
        widths = [self.ch * m for m in self.ch_mult]
        seen = [self.resolution // 2**i in self.attn_resolutions for i in range(len(widths))]
        return list(zip([self.ch, *widths[:-1]], widths, seen, strict=True))


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(_GROUPS, width, _EPS)


class _Residual(nn.Module):
    """Twice norm, SiLU and a 3x3 convolution, beside the picture itself."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.norm1 = _norm(inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm2 = _norm(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        if inside != outside:
            self.nin_shortcut = nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class _Attention(nn.Module):
    """One head over all cells, beside the picture itself."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = _norm(width)
        self.q = nn.Conv2d(width, width, 1)
        self.k = nn.Conv2d(width, width, 1)
        self.v = nn.Conv2d(width, width, 1)
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (
            p(h).flatten(2).transpose(1, 2)[:, None] for p in (self.q, self.k, self.v)
        )  # [B, 1, hw, C]
        seen = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2)
        return x + self.proj_out(seen.reshape(x.shape))


class _Half(nn.Module):
    """Half of the pixels a side; the frame grows on the right and below alone."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class _Double(nn.Module):
    """Twice the pixels a side."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class _Level(nn.Module):
    """Blocks at one resolution, and the way to the next (`downsample` or `upsample`, as files name it)."""

    def __init__(self, inside: int, width: int, blocks: int, attends: bool, onward: str):
        super().__init__()
        self.block = nn.ModuleList(_Residual(inside if i == 0 else width, width) for i in range(blocks))
        self.attn = nn.ModuleList(_Attention(width) for _ in range(blocks if attends else 0))
        self.onward = onward
        if onward:
            setattr(self, onward, (_Half if onward == "downsample" else _Double)(width))

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        return getattr(self, self.onward)(x) if self.onward else x


class _Middle(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.block_1 = _Residual(width, width)
        self.attn_1 = _Attention(width)
        self.block_2 = _Residual(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class _Encoder(nn.Module):
    def __init__(self, c: IBQConfig):
        super().__init__()
        levels = c.levels()
        last, width = len(levels) - 1, levels[-1][1]
        self.conv_in = nn.Conv2d(3, c.ch, 3, padding=1)
        self.down = nn.ModuleList(
            _Level(inside, wide, c.num_res_blocks, attends, "downsample" if i < last else "")
            for i, (inside, wide, attends) in enumerate(levels)
        )
        self.mid = _Middle(width)
        self.norm_out = _norm(width)
        self.conv_out = nn.Conv2d(width, c.z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class _Decoder(nn.Module):
    def __init__(self, c: IBQConfig):
        super().__init__()
        levels = c.levels()
        widths = [wide for _, wide, _ in levels]
        self.conv_in = nn.Conv2d(c.z_channels, widths[-1], 3, padding=1)
        self.mid = _Middle(widths[-1])
        # one block more than the encoder's; what comes in is the level below's
        self.up = nn.ModuleList(
            _Level(inside, wide, c.num_res_blocks + 1, attends, "upsample" if i else "")
            for i, (inside, (_, wide, attends)) in enumerate(
                zip([*widths[1:], widths[-1]], levels, strict=True)
            )
        )
        self.norm_out = _norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class IBQ(CodebookTokenizer):
    """`encode` pixels to ids, `decode` ids to pixels.

    Encoder and codebook are best held in fp32 whatever the rest is in: among many codes the largest product is
    seldom far from the second, and rounding changes tokens. The decoder stands any type.
    Norms and attention see the whole picture, so it says no `context`: only whole grids are decoded.
    """

    def __init__(self, config: IBQConfig, side: int):
        """side: cells a side."""
        encoder, decoder = _Encoder(config), _Decoder(config)
        codes, channels, width = config.codebook_size, config.z_channels, config.embed_dim
        super().__init__(side, config.patch, encoder, decoder, codes, channels, width)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> ids int64 [B, h, w]: the code of the largest product with each cell."""
        pixels = images.permute(0, 3, 1, 2).to(self.quant_conv.weight.dtype) / 127.5 - 1
        z = self.quant_conv(self.encoder(pixels)).permute(0, 2, 3, 1)  # [B, h, w, d]
        # a few cells at a time: 4,096 cells by 131,072 codes are 2 GiB
        rows, book = z.float().flatten(0, 2).split(512), self.codebook().t()
        return torch.cat([(row @ book).argmax(1) for row in rows]).view(z.shape[:3])

    @torch.no_grad()
    def decode(self, ids: Tensor) -> Tensor:
        """ids [B, h, w] -> uint8 [B, H, W, 3]"""
        z = self.quantize.embedding(ids).to(self.post_quant_conv.weight.dtype).permute(0, 3, 1, 2)
        pixels = self.decoder(self.post_quant_conv(z)).float().clamp(-1, 1)
        return ((pixels + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
