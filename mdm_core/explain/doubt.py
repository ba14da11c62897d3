"""Which tokens of a finished picture do not fit: asked of a model that was never trained to doubt a visible token.

What such a model says of a token that it sees means nothing, for training never asked. What it says of a masked cell
does. So every token is judged by a pass that does not see it: half of the cells are masked as on a chessboard, then
the other half, and each cell is looked at while it is masked and its neighbours are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mdm_core.explain.outlook import outlook
from mdm_core.images.regions import as_cells
from mdm_core.settings import HEAL


def judged(
    pipe: Any, prompt: str, tokens: Any, guidance: float, negative: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(probability of each token float32 [h, w], the likeliest token there int64 [h, w]), each cell unseen.

    Args:
        tokens: int [h, w], none of them masked.
        guidance: as for sampling.
    Raises:
        ValueError where tokens are masked or do not fit the grid, or the prompt is none.
    """
    held = pipe._tokens(np.asarray(tokens).reshape(pipe.grid))
    if (held == pipe.vocab_size).any():
        raise ValueError("only finished tokens can be judged, and some are masked: repaint those first")
    rows, columns = np.indices(pipe.grid)
    p, likeliest = np.ones(pipe.grid, np.float32), held.copy()
    for half in (0, 1):
        unseen = (rows + columns) % 2 == half
        if not unseen.any():  # a grid of one cell
            continue
        seen = outlook(pipe, prompt, np.where(unseen, pipe.vocab_size, held), guidance, negative)
        own = seen.mass(torch.from_numpy(held.reshape(-1, 1))).numpy().reshape(pipe.grid)
        p[unseen], likeliest[unseen] = own[unseen], seen.likeliest.numpy().reshape(pipe.grid)[unseen]
    return p, likeliest


def unsure(
    pipe: Any,
    prompt: str,
    tokens: Any,
    guidance: float,
    *,
    share: float = HEAL["edit_budget"],
    locked: Any = None,
    negative: str | None = None,
) -> np.ndarray:
    """The cells to make anew, bool [h, w]: where another token is likelier, those with the least likely tokens.

    share: of the free cells, at most (and one at least); the default is what healing may edit in one pass.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share}")
    free = ~as_cells(locked, pipe.grid, pipe.image_size, "locked")
    p, likeliest = judged(pipe, prompt, tokens, guidance, negative)
    held = np.asarray(tokens).reshape(pipe.grid)
    found = np.flatnonzero(free & (likeliest != held))
    most = max(1, int(share * free.sum()))
    out = np.zeros(free.size, bool)
    out[found[np.argsort(p.reshape(-1)[found], kind="stable")[:most]]] = True
    return out.reshape(pipe.grid)
