"""What the pipeline knows of its parts, so that another family of checkpoints can be plugged in unseen.

A family brings three parts: an image codec, a prompt encoder and a backbone. The sampler, the trajectory and the
page know only these methods.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class ImageCodec(Protocol):
    """Pixels <-> token grids."""

    vocab_size: int  # V; V itself is the mask token

    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> ids int64 [B, h, w]"""
        ...

    def decode(self, ids: Tensor) -> Tensor:
        """ids [B, h, w] in 0..V-1 -> uint8 [B, H, W, 3]"""
        ...


@runtime_checkable
class PromptEncoder(Protocol):
    """Prompts -> whatever the backbone takes as its condition."""

    def encode(self, prompts: list[str]) -> Any:
        """Raises ValueError, one sentence for the user, when a prompt does not fit."""
        ...


@runtime_checkable
class Backbone(Protocol):
    """Tokens and a condition -> hidden states, and the head that turns them into logits."""

    @property
    def head_weight(self) -> Tensor:
        """[V, D]"""
        ...

    def hidden(self, tokens: Tensor, condition: Any, guidance: float) -> Tensor:
        """int64 [B, L] -> fp32 [B, L, D] with classifier-free guidance already folded in.

        The head is linear, so guiding the hidden states is guiding the logits:
        (1+g) h_c W^T - g h_u W^T = ((1+g) h_c - g h_u) W^T, at the price of one head product instead of two.
        """
        ...
