"""The VQ-GAN (Esser et al. 2021) of aMUSEd as an `ImageCodec`: pixels in [0, 1], a code for each patch of them."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.families.published.codec import CodebookTokenizer
from mdm_core.families.published.config import VQConfig

_EPS = 1e-6


class _Residual(nn.Module):
    """Twice norm, SiLU and a 3x3 convolution, beside the picture itself."""

    def __init__(self, inside: int, outside: int, groups: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inside, _EPS)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outside, _EPS)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inside, outside, 1) if inside != outside else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


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
    """Blocks at one resolution, and the way to the next (`downsamplers` or `upsamplers`, as files name it)."""

    def __init__(
        self, inside: int, outside: int, layers: int, groups: int, onward: str, scale: type[nn.Module]
    ):
        super().__init__()
        widths = [inside] + [outside] * layers
        self.resnets = nn.ModuleList(_Residual(a, b, groups) for a, b in itertools.pairwise(widths))
        self.onward = onward
        if onward:
            setattr(self, onward, nn.ModuleList([scale(outside)]))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resnets:
            x = block(x)
        return getattr(self, self.onward)[0](x) if self.onward else x


class _Middle(nn.Module):
    def __init__(self, width: int, groups: int):
        super().__init__()
        self.resnets = nn.ModuleList(_Residual(width, width, groups) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resnets:
            x = block(x)
        return x


class _Encoder(nn.Module):
    def __init__(self, c: VQConfig):
        super().__init__()
        widths, groups = c.block_out_channels, c.norm_num_groups
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            _Level(a, b, c.layers_per_block, groups, "downsamplers" if i < len(widths) - 1 else "", _Half)
            for i, (a, b) in enumerate(zip((widths[0], *widths), widths, strict=False))
        )
        self.mid_block = _Middle(widths[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], _EPS)
        self.conv_out = nn.Conv2d(widths[-1], c.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class _Decoder(nn.Module):
    def __init__(self, c: VQConfig):
        super().__init__()
        widths, groups = c.block_out_channels[::-1], c.norm_num_groups
        self.conv_in = nn.Conv2d(c.latent_channels, widths[0], 3, padding=1)
        # one layer more than the encoder's
        self.up_blocks = nn.ModuleList(
            _Level(a, b, c.layers_per_block + 1, groups, "upsamplers" if i < len(widths) - 1 else "", _Double)
            for i, (a, b) in enumerate(zip((widths[0], *widths), widths, strict=False))
        )
        self.mid_block = _Middle(widths[0], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], _EPS)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class VQGAN(CodebookTokenizer):
    """`encode` pixels to ids, `decode` ids to pixels, in the type of its weights.

    Its norms see the whole picture, so it says no `context`: only whole grids are decoded.
    """

    def __init__(self, config: VQConfig, grid: int):
        """grid: cells a side."""
        encoder, decoder = _Encoder(config), _Decoder(config)
        codes, channels, width = config.num_vq_embeddings, config.latent_channels, config.code_dim
        super().__init__(grid, config.patch, encoder, decoder, codes, channels, width)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> ids int64 [B, h, w]: the nearest code of each cell."""
        pixels = images.permute(0, 3, 1, 2).to(self.quant_conv.weight.dtype) / 255
        z = self.quant_conv(self.encoder(pixels)).permute(0, 2, 3, 1)  # [B, h, w, d]
        # distances in fp32 whatever the weights: neighbours in the codebook differ by little
        return torch.cdist(z.float().flatten(0, 2), self.codebook()).argmin(1).view(z.shape[:3])

    @torch.no_grad()
    def decode(self, ids: Tensor) -> Tensor:
        """ids [B, h, w] -> uint8 [B, H, W, 3]"""
        z = self.quantize.embedding(ids).permute(0, 3, 1, 2)
        pixels = self.decoder(self.post_quant_conv(z)).float().clamp(0, 1)
        return (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
