"""Where one cell looks while a step is made: how its attention is shared out among the prompt's words and the cells.

An attention layer mixes, into every place, what stands at other places; its weights add up to 1. They say what a layer
read, not what it made of it: a place can be read and change nothing, and what an earlier layer has read may be what a
later one hands on (Jain & Wallace 2019, arXiv 1902.10186). So all layers are told, and none is called the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Attention:
    """How one cell's attention is shared out in each of n layers: `words`, `rest` and `cells` add up to 1."""

    names: tuple[str, ...]  # the prompt's m words
    words: np.ndarray  # float32 [n, m]
    rest: np.ndarray  # float32 [n], to places of the prompt that hold no word
    cells: np.ndarray  # float32 [n, L]

    @property
    def reads(self) -> np.ndarray:
        """bool [n]: the layers that see the prompt at all."""
        seen: np.ndarray = (self.words.sum(1) + self.rest) > 0
        return seen


def able(pipe: Any) -> bool:
    """Whether this family can tell it."""
    return callable(getattr(pipe.backbone, "attention", None)) and callable(
        getattr(pipe.prompts, "words", None)
    )


@torch.inference_mode()
def attention(
    pipe: Any, prompt: str, tokens: Any, cell: int, guidance: float = 0.0, negative: str | None = None
) -> Attention:
    """The attention of `cell` in one forward pass over `tokens`, int [h, w] (V: masked).

    It costs that pass, and holds a row for each layer and head: never all cells with all.

    Raises:
        ValueError where this family cannot tell, or there is no such cell.
    """
    if not able(pipe):
        raise ValueError("this family of models does not tell where it looks")
    ids = torch.from_numpy(pipe._tokens(np.asarray(tokens).astype(np.int64)).reshape(1, -1))
    if isinstance(cell, bool) or not isinstance(cell, int) or not 0 <= cell < ids.shape[1]:
        raise ValueError(f"cell must be 0..{ids.shape[1] - 1}, got {cell!r}")
    mask_id = pipe.forward.mask_id
    ids = torch.where(ids == pipe.vocab_size, mask_id, ids)
    places, cells = pipe.backbone.attention(ids, pipe.condition(prompt, negative), cell, guidance)
    told = pipe.prompts.words(prompt)
    ends = np.cumsum([0, *(n for _, n in told)])  # [m + 1]
    sums = places.numpy().cumsum(1, dtype=np.float64)  # [n, T]
    sums = np.concatenate([np.zeros((len(sums), 1)), sums], 1)  # [n, T + 1]
    words = np.diff(sums[:, ends], axis=1)  # [n, m]
    return Attention(
        names=tuple(name for name, _ in told),
        words=words.astype(np.float32),
        rest=(sums[:, -1] - sums[:, ends[-1]]).astype(np.float32),
        cells=cells.numpy(),
    )
