"""Tokens on a grid, before and behind a transformer: table, head, halving and doubling, micro-conditions."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenEmbed(nn.Module):
    """A table of tokens, a norm, and a 1x1 convolution to the width of what follows."""

    def __init__(self, vocab: int, inside: int, width: int, eps: float):
        super().__init__()
        self.embeddings = nn.Embedding(vocab, inside)
        self.layer_norm = nn.RMSNorm(inside, eps)
        self.conv = nn.Conv2d(inside, width, 1, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """[B, h, w] -> [B, h, w, C]"""
        return self.conv(self.layer_norm(self.embeddings(ids)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class TokenHead(nn.Module):
    """What makes hidden states; `conv2` makes logits of them, and is the head: linear, without a bias."""

    def __init__(self, width: int, inside: int, codes: int, eps: float):
        super().__init__()
        self.conv1 = nn.Conv2d(width, inside, 1, bias=False)
        self.layer_norm = nn.RMSNorm(inside, eps)
        self.conv2 = nn.Conv2d(inside, codes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, h, w, C] -> what `conv2` makes logits of, [B, h, w, D]"""
        return self.layer_norm(self.conv1(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class Scale(nn.Module):
    """Twice or half the cells a side: a norm, and 2x2 cells that become one or come from one."""

    def __init__(self, width: int, eps: float, kind: type[nn.Module]):
        super().__init__()
        self.norm = nn.RMSNorm(width, eps)
        self.conv = kind(width, width, 2, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ConditionEmbed(nn.Module):
    """The pooled prompt and the micro-conditions (Podell et al. 2023) -> one vector."""

    def __init__(self, inside: int, width: int):
        super().__init__()
        self.linear_1 = nn.Linear(inside, width, bias=False)
        self.linear_2 = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


def micro_waves(micro: Tensor, width: int) -> Tensor:
    """float32 [B, n] -> float32 [B, n * width]: each value as waves."""
    return sinusoids(micro.flatten(), width).view(len(micro), -1)


def sinusoids(values: Tensor, width: int) -> Tensor:
    """float32 [n] -> float32 [n, width]: cosines, then sines, of wavelengths from 2 pi to 20,000 pi."""
    angle = values.float()[:, None] * rates(width // 2, values.device)
    return torch.cat([angle.cos(), angle.sin()], 1)


@functools.cache
def rates(count: int, device: torch.device) -> Tensor:
    """float32 [count], radians a unit: from 1 down to 1/10,000.

    Exponentials in double precision: those of float32 differ by a last digit between processors, which for a value of
    1,024 is a thousand times as much of an angle.
    """
    powers = torch.arange(count, dtype=torch.float32, device="cpu") * (-math.log(10_000) / count)
    return powers.double().exp().float().to(device)
