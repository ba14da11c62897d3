"""Pixels <-> a grid of tokens: a patch-local encoder, finite scalar quantisation, a decoder that looks around.

The encoder sees one 8x8 patch and nothing else, so a token means the same wherever it stands and whatever
surrounds it; that is what lets a small model learn objects once. The decoder sees neighbours and smooths seams.

Quantiser: FSQ (Mentzer et al. 2023), even levels without offset: value = (index + 1/2) / (levels/2) - 1.
Token id = sum_i index_i * prod(levels[:i]): the first dimension varies fastest, as in `Groups.lattice`.
Or a learned codebook, see `codebook.py`. Both turn features into `ids` and ids into `codes`, and `learn` gives codes
with gradients.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.device import precision
from mdm_core.families.chisel.codebook import IndexCodebook
from mdm_core.families.chisel.config import ImageTokenizerConfig


class FSQ(nn.Module):
    """Rounds d bounded numbers to a lattice of `levels`; gradients pass straight through."""

    scale: Tensor  # float32 [d]
    basis: Tensor  # int64 [d]

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        self.levels = tuple(levels)
        self.reset_buffers()

    def reset_buffers(self) -> None:
        """Compute what no file holds, on the default device."""
        basis = torch.cumprod(torch.tensor((1, *self.levels[:-1])), 0)
        self.register_buffer("scale", torch.tensor(self.levels, dtype=torch.float32), persistent=False)
        self.register_buffer("basis", basis, persistent=False)

    @property
    def dim(self) -> int:
        return len(self.levels)

    def index(self, z: Tensor) -> Tensor:
        """Unbounded z [..., d] -> lattice indices int64 [..., d]."""
        return (torch.sigmoid(z.float()) * self.scale).floor().clamp_max(self.scale - 1).long()

    def forward(self, z: Tensor) -> Tensor:
        """z [..., d] -> quantised values in (-1, 1) [..., d], with the straight-through gradient."""
        soft = torch.sigmoid(z.float()) * 2 - 1
        return soft + (self.value(self.index(z)) - soft).detach()

    def value(self, index: Tensor) -> Tensor:
        """Lattice indices [..., d] -> values in (-1, 1) [..., d]."""
        return (index.float() + 0.5) * (2 / self.scale) - 1

    def to_ids(self, index: Tensor) -> Tensor:
        """Lattice indices [..., d] -> ids int64 [...]."""
        return (index * self.basis).sum(-1)

    def to_index(self, ids: Tensor) -> Tensor:
        """ids [...] -> lattice indices int64 [..., d]."""
        return ids.long().unsqueeze(-1) // self.basis % self.scale.long()

    def ids(self, z: Tensor) -> Tensor:
        """Features [..., d] -> ids int64 [...]."""
        return self.to_ids(self.index(z))

    def codes(self, ids: Tensor) -> Tensor:
        """ids [...] -> codes float32 [..., d]."""
        return self.value(self.to_index(ids))

    def learn(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Features [..., d] -> codes [..., d] with gradients; and nothing that is to be small besides."""
        return self(z), z.new_zeros(())

    def codebook(self) -> Tensor:
        """All codes as vectors, float32 [V, d]: the space in which groups are defined."""
        v = int(self.scale.prod().item())
        return self.value(self.to_index(torch.arange(v, device=self.scale.device)))


class Block(nn.Module):
    """ConvNeXt block (Liu et al. 2022): depthwise 3x3, norm, two linear layers, residual. [B, h, w, C] throughout."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.depthwise(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # [B, h, w, C]
        return x + self.down(F.gelu(self.up(self.norm(h))))


class ImageTokenizer(nn.Module):
    """`encode` pixels to token ids, `decode` token ids to pixels."""

    def __init__(self, config: ImageTokenizerConfig = ImageTokenizerConfig()):
        super().__init__()
        self.config = c = config
        self.quantiser: FSQ | IndexCodebook
        if c.codebook:
            self.quantiser = IndexCodebook(c.codebook, c.code_width)
        else:
            self.quantiser = FSQ(c.levels)
        inputs = 3 * c.patch * c.patch
        self.encoder = nn.Sequential(
            nn.Linear(inputs, c.encoder_width),
            nn.GELU(),
            nn.Linear(c.encoder_width, c.encoder_width),
            nn.GELU(),
            nn.Linear(c.encoder_width, self.quantiser.dim),
        )
        self.embed = nn.Linear(self.quantiser.dim, c.decoder_width)
        self.blocks = nn.Sequential(*(Block(c.decoder_width) for _ in range(c.decoder_depth)))
        self.norm = nn.LayerNorm(c.decoder_width)
        self.to_pixels = nn.Linear(c.decoder_width, c.decoder_pixels * c.patch * c.patch)
        self.refine = nn.Sequential(
            nn.GELU(),
            nn.Conv2d(c.decoder_pixels, c.decoder_pixels, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(c.decoder_pixels, 3, 3, padding=1),
        )

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def levels(self) -> tuple[int, ...] | None:
        """Of the lattice that the codes lie on; None where they are learned."""
        return self.config.levels or None

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens (h, w) of a picture."""
        return self.config.grid, self.config.grid

    @property
    def patch(self) -> int:
        """Pixels a side of what one token stands for."""
        return self.config.patch

    @property
    def context(self) -> int:
        """Cells on each side that a cell is decoded with: one or two grey levels off the whole picture's."""
        return 3

    def codebook(self) -> Tensor:
        """float32 [V, d]: the codes as points of their lattice, or of the sphere where they are learned."""
        return self.quantiser.codebook()

    def patches(self, images: Tensor) -> Tensor:
        """Images in [-1, 1], [B, 3, H, W] -> patch vectors [B, h, w, 3*p*p]."""
        return F.pixel_unshuffle(images, self.config.patch).permute(0, 2, 3, 1)

    def features(self, images: Tensor) -> Tensor:
        """Images in [-1, 1], [B, 3, H, W] -> unquantised features [B, h, w, d]."""
        return self.encoder(self.patches(images).to(self.embed.weight.dtype))

    def pixels(self, codes: Tensor) -> Tensor:
        """Quantised codes [B, h, w, d] -> images, about [-1, 1], [B, 3, H, W]."""
        x = self.embed(codes)  # [B, h, w, C]
        x = self.to_pixels(self.norm(self.blocks(x)))  # [B, h, w, c*p*p]
        x = F.pixel_shuffle(x.permute(0, 3, 1, 2), self.config.patch)  # [B, c, H, W]
        return self.refine(x)  # [B, 3, H, W]

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruction with gradients through the quantiser; images and result [B, 3, H, W] in [-1, 1]."""
        return self.pixels(self.quantiser.learn(self.features(images))[0])

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """uint8 images [B, H, W, 3] -> token ids int64 [B, h, w]."""
        size = self.config.image_size
        if images.ndim != 4 or images.shape[1:] != (size, size, 3) or images.dtype != torch.uint8:
            raise ValueError(
                f"encode takes uint8 images [B, {size}, {size}, 3], got {images.dtype} {list(images.shape)}"
            )
        x = to_float(images)
        return self.quantiser.ids(self.features(x))

    @torch.no_grad()
    def decode(self, ids: Tensor) -> Tensor:
        """Token ids [B, h, w] in 0..V-1 -> uint8 images [B, H, W, 3]."""
        if ids.ndim != 3:
            raise ValueError(f"decode takes ids [B, h, w], got {list(ids.shape)}")
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= self.vocab_size):
            raise ValueError(f"token ids must lie in 0..{self.vocab_size - 1}")
        codes = self.quantiser.codes(ids).to(self.embed.weight.dtype)
        return to_uint8(self.pixels(codes).float())

    def preview(self, ids: Tensor) -> Tensor:
        """As `decode`, in half the time on a CPU that multiplies bf16, and a quarter of a grey level off."""
        with precision(ids.device, self.embed.weight.dtype):
            return self.decode(ids)


def to_float(images: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> float [B, 3, H, W] in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float [B, 3, H, W] in [-1, 1] -> uint8 [B, H, W, 3]."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each uint8 image pair [B, H, W, 3] -> [B]."""
    mse = (a.float() - b.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(255.0**2 / mse.clamp_min(1e-2))
