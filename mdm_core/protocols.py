"""What the pipeline knows of its parts, so that another family of checkpoints can be plugged in unseen.

A family brings three parts: an image codec, a prompt encoder and a backbone. The sampler, the trajectory, the
inspector and the page know only what stands here. In all of them a masked cell holds V; a family whose own mask token
has another id says so in `mask_id`, and is given that one.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class ImageCodec(Protocol):
    """Pixels <-> token grids.

    What a codec may have besides:
        levels: tuple of int, the lattice that its codes lie on, the first dimension varying fastest. The codec owns
            it: a backbone that names `levels` too must name the same.
        codebook(): float [V, d], the codes as vectors; groups of similar tokens are made from it.
        context: int, cells on each side that a cell is decoded with. A codec that has it decodes blocks of any
            h x w; one without is only given whole grids.
        preview(ids): as `decode`, sooner and a grey level off, for looking at single cells.
    """

    @property
    def vocab_size(self) -> int:
        """V"""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens of a picture: rows, columns; it need not be square."""
        ...

    @property
    def patch(self) -> int:
        """Pixels a side of what one token stands for: pictures have h * patch x w * patch pixels."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> ids int64 [B, h, w]"""
        ...

    def decode(self, ids: Tensor) -> Tensor:
        """ids [B, h, w] in 0..V-1 -> uint8 [B, H, W, 3]"""
        ...


@runtime_checkable
class PromptEncoder(Protocol):
    """Prompts -> the backbone's condition.

    What a prompt encoder may have besides:
        negative: str, what guidance leads away from when nobody says; `encode` then takes `negative`, a text for
            all prompts, as a second argument.
        count(prompt) and length: text tokens that a prompt has and may have; a page then says so as it is typed.
        words(prompt): list of (word, n), the words of a prompt and how many places of the condition each takes, in
            their order; for `explain.attention`.
        take(condition, rows), join(conditions): for conditions that `mdm_core.conditions` cannot pick and join.
    """

    def encode(self, prompts: list[str]) -> Any:
        """B prompts -> tensors [B, ...] in any structure (see `mdm_core.conditions`).

        Raises ValueError, one sentence for the user, when a prompt does not fit.
        """
        ...


@runtime_checkable
class Backbone(Protocol):
    """Tokens and a condition -> hidden states, and the head that turns them into logits.

    What a backbone may have besides:
        mask_id: int, the id of its mask token where that is not V.
        one_pass: bool, whether guidance is in the weights, so that `hidden` needs no unconditional pass for it; up to
            which g is said in `Facts.trained_guidance`.
        head_bias: [V]; the pipeline folds it into head and hidden states.
        levels: the lattice that it embeds tokens by, and grid: (h, w), the one it was built for; both are compared
            with the codec's.
        attention(tokens, condition, cell, guidance): of int64 [1, L] and one prompt, how that cell shares its attention
            out in each of n layers: float32 [n, T] to the T places of the condition and [n, L] to the cells.
        captured_steps(): a whole step in one launch, see `families.chisel.captured.CapturedSteps`.
    """

    @property
    def head_weight(self) -> Tensor:
        """[V, D], on the device that everything is computed on"""
        ...

    def hidden(self, tokens: Tensor, condition: Any, guidance: float, progress: Tensor) -> Tensor:
        """int64 [B, L] and B rows -> fp32 [B, L, D] with classifier-free guidance already folded in.

        progress: float32 [B], the share of cells that are not masked, for families that are told the time.

        The head is linear, so guiding the hidden states is guiding the logits:
        (1+g) h_c W^T - g h_u W^T = ((1+g) h_c - g h_u) W^T, at the price of one head product instead of two. A bias
        stays as it is, since its two factors add up to 1.
        """
        ...


def geometry(codec: Any) -> tuple[tuple[int, int], int]:
    """((h, w), patch) of the codec; ValueError where it does not say."""
    grid, patch = getattr(codec, "grid", None), getattr(codec, "patch", None)
    said = [*grid, patch] if isinstance(grid, tuple | list) else []
    numbers = [n for n in said if isinstance(n, int) and not isinstance(n, bool) and n >= 1]
    if len(said) != 3 or len(numbers) != 3:
        raise ValueError(
            "the image codec must say its grid, (h, w) in tokens, and its patch, in pixels a side: "
            f"{type(codec).__name__} has grid {grid!r} and patch {patch!r}"
        )
    h, w, patch = numbers
    return (h, w), patch


def check_parts(codec: Any, backbone: Any) -> None:
    """ValueError unless the backbone speaks of the codec's codes."""
    V, bias = codec.vocab_size, getattr(backbone, "head_bias", None)
    rows = backbone.head_weight.shape[0]
    if rows != V:
        raise ValueError(f"the image codec has {V} codes and the backbone's head {rows}")
    if bias is not None and tuple(bias.shape) != (V,):
        raise ValueError(f"the image codec has {V} codes and the head's bias has shape {list(bias.shape)}")
    mask = getattr(backbone, "mask_id", V)
    if isinstance(mask, bool) or not isinstance(mask, int) or mask < V:
        raise ValueError(f"mask_id must be a whole number of at least {V}, the number of codes, got {mask!r}")
    ours, theirs = getattr(codec, "levels", None), getattr(backbone, "levels", None)
    if ours is not None and theirs is not None and tuple(ours) != tuple(theirs):
        raise ValueError(
            f"image codec and backbone disagree about the lattice of the codes: levels {tuple(ours)}, and "
            f"code_levels {tuple(theirs)}"
        )
    grid = getattr(backbone, "grid", None)
    if grid is not None and tuple(grid) != tuple(codec.grid):
        raise ValueError(
            f"the image codec has a grid of {codec.grid[0]}x{codec.grid[1]} and the backbone one of "
            f"{grid[0]}x{grid[1]}"
        )
