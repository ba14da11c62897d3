"""A transformer over a grid of tokens, read with CLIP's prompts, as a `Backbone`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mdm_core.families.published.prompts import Condition

_CORNER, _SCORE = (0, 0), 6  # of the micro-conditions: nothing was cut off, and people liked the picture

# ids [B, h, w], states [B, T, E], pooled [B, P], micro [B, 5], progress [B] -> [B, h, w, D]
Run = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class GridBackbone:
    """Both branches of guidance in one batch; the last 1x1 convolution, which has no bias, is the head.

    Published code writes guidance as u + s (c - u): s is 1 + guidance here.
    """

    def __init__(self, model: nn.Module, head: nn.Conv2d, run: Run, *, mask_id: int, side: int, patch: int):
        """Args:
        model: whose weights are these; told by their fingerprint.
        head: a part of it, D -> V.
        run: its forward pass up to the head.
        mask_id: the id of a masked cell in its table.
        side, patch: cells a side, and pixels a side of a cell.
        """
        self.model, self.run, self.mask_id, self.grid = model, run, mask_id, (side, side)
        weight = head.weight.detach().flatten(1)
        # on a CPU a bf16 product rounds the logits themselves, and the sampling step is not bound by it
        self._head = weight.float() if weight.device.type == "cpu" else weight
        size = side * patch
        self._micro = torch.tensor([size, size, *_CORNER, _SCORE], device=weight.device).float()

    @property
    def head_weight(self) -> Tensor:
        """[V, D]"""
        return self._head

    @torch.no_grad()
    def hidden(self, tokens: Tensor, condition: Condition, guidance: float, progress: Tensor) -> Tensor:
        """See `mdm_core.protocols.Backbone`."""
        device, B = self._head.device, len(tokens)
        ids, progress = tokens.to(device).view(B, *self.grid), progress.to(device)
        states, pooled = condition.states, condition.pooled
        if guidance != 0:
            ids, progress = ids.repeat(2, 1, 1), progress.repeat(2)
            states = torch.cat([states, condition.away_states])
            pooled = torch.cat([pooled, condition.away_pooled])
        micro = self._micro.to(pooled.dtype).expand(len(ids), 5)
        h = self.run(ids, states.to(device), pooled.to(device), micro, progress).float().flatten(1, 2)
        return h if guidance == 0 else (1 + guidance) * h[:B] - guidance * h[B:]  # [B, L, D]
