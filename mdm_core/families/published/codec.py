"""What image tokenizers with a learned codebook share: their parts, and what the pipeline may know of them."""

from __future__ import annotations

from torch import Tensor, nn


class _Quantiser(nn.Module):
    def __init__(self, codes: int, width: int):
        super().__init__()
        self.embedding = nn.Embedding(codes, width)


class CodebookTokenizer(nn.Module):
    """Encoder, codebook and decoder under the names that published files give them.

    Its norms see the whole picture, so it says no `context`: only whole grids are decoded.
    """

    def __init__(
        self,
        side: int,
        patch: int,
        encoder: nn.Module,
        decoder: nn.Module,
        codes: int,
        channels: int,
        width: int,
    ):
        """side: cells a side; patch: pixels of one; codes: V; channels: of encoder and decoder; width: of a code."""
        super().__init__()
        self._side, self._patch = side, patch
        self.encoder = encoder
        self.quant_conv = nn.Conv2d(channels, width, 1)
        self.quantize = _Quantiser(codes, width)
        self.post_quant_conv = nn.Conv2d(width, channels, 1)
        self.decoder = decoder

    @property
    def vocab_size(self) -> int:
        """V"""
        return self.quantize.embedding.num_embeddings

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens (h, w) of a picture."""
        return self._side, self._side

    @property
    def patch(self) -> int:
        """Pixels a side of what one token stands for."""
        return self._patch

    def codebook(self) -> Tensor:
        """float32 [V, d]"""
        return self.quantize.embedding.weight.detach().float()
