"""What the pipeline knows of its parts, so that another family of checkpoints can be plugged in unseen.

A family brings three parts: an image codec, a prompt encoder and a backbone. The sampler, the trajectory and the
page know only what stands here. In all of it the mask token has the id V; a family whose own mask token has another
id translates it in `Backbone.hidden`.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class ImageCodec(Protocol):
    """Pixels <-> token grids.

    Three more attributes say how pictures lie on the grid. A codec should have them; where it has none, they come
    from the `PipelineConfig` that the pipeline is given:
        grid: (h, w), tokens of a picture; it need not be square.
        patch: int, pixels a side of what one token stands for: pictures have h * patch x w * patch pixels.
        levels: tuple of int, the lattice that codes lie on (only where they do), compared with the backbone's.
    """

    @property
    def vocab_size(self) -> int:
        """V; V itself is the mask token"""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> ids int64 [B, h, w]"""
        ...

    def decode(self, ids: Tensor) -> Tensor:
        """ids [B, h, w] in 0..V-1 -> uint8 [B, H, W, 3]"""
        ...


@runtime_checkable
class PromptEncoder(Protocol):
    """Prompts -> the backbone's condition."""

    def encode(self, prompts: list[str]) -> Tensor:
        """B prompts -> one tensor [B, ...], whatever its other dimensions: rows are picked and joined by prompt.

        A family with several tensors a prompt packs them into one. Raises ValueError, one sentence for the user,
        when a prompt does not fit.
        """
        ...


@runtime_checkable
class Backbone(Protocol):
    """Tokens and a condition -> hidden states, and the head that turns them into logits."""

    @property
    def head_weight(self) -> Tensor:
        """[V, D], on the device that everything is computed on"""
        ...

    def hidden(self, tokens: Tensor, condition: Tensor, guidance: float) -> Tensor:
        """int64 [B, L] (V: masked) and [B, ...] -> fp32 [B, L, D] with classifier-free guidance already folded in.

        The head is linear, so guiding the hidden states is guiding the logits:
        (1+g) h_c W^T - g h_u W^T = ((1+g) h_c - g h_u) W^T, at the price of one head product instead of two.
        """
        ...


def geometry(codec: Any, config: Any = None) -> tuple[tuple[int, int], int]:
    """((h, w), patch) of the codec, else of a `PipelineConfig`; ValueError where neither says it."""
    known = getattr(config, "tokenizer", None)
    grid: Any = getattr(codec, "grid", getattr(known, "grid", None))
    patch: Any = getattr(codec, "patch", getattr(known, "patch", None))
    h, w = grid if isinstance(grid, tuple | list) else (grid, grid)
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in (h, w, patch)):
        raise ValueError(
            "the image codec must say its grid, (h, w) in tokens, and its patch, in pixels a side: "
            f"{type(codec).__name__} has grid {grid!r} and patch {patch!r}, and no configuration was given"
        )
    return (int(h), int(w)), int(patch)


def check_parts(codec: Any, backbone: Any) -> None:
    """ValueError unless the backbone speaks of the codec's codes."""
    rows = backbone.head_weight.shape[0]
    if rows != codec.vocab_size:
        raise ValueError(f"the image codec has {codec.vocab_size} codes and the backbone's head {rows}")
    model = getattr(getattr(backbone, "model", None), "config", None)  # of `TransformerBackbone`
    ours, theirs = getattr(codec, "levels", None), getattr(model, "code_levels", None)
    if ours is not None and theirs is not None and tuple(ours) != tuple(theirs):
        raise ValueError(
            f"image codec and backbone disagree about the lattice of the codes: levels {tuple(ours)}, and "
            f"code_levels {tuple(theirs)}"
        )
    grid, side = getattr(codec, "grid", None), getattr(model, "grid", None)
    if grid is not None and side is not None and tuple(grid) != (side, side):
        raise ValueError(
            f"the image codec has a grid of {grid[0]}x{grid[1]} and the backbone one of {side}x{side}"
        )
