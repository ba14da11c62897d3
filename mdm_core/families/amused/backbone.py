"""The U-ViT as a `Backbone`."""

from __future__ import annotations

import torch
from torch import Tensor

from mdm_core.families.amused.prompts import Condition
from mdm_core.families.amused.uvit import UViT

_CORNER, _SCORE = (0, 0), 6  # of the micro-conditions: nothing was cut off, and people liked the picture


class UViTBackbone:
    """Both branches of guidance in one batch; the last 1x1 convolution, which has no bias, is the head.

    Published code writes guidance as u + s (c - u): s is 1 + guidance here.
    """

    def __init__(self, model: UViT, mask_id: int, patch: int):
        """mask_id: the id of a masked cell in the token table. patch: pixels a side of a cell."""
        self.model, self.mask_id = model, mask_id
        side = model.config.sample_size
        self.grid = (side, side)
        weight = model.mlm_layer.conv2.weight.detach().flatten(1)
        # on a CPU a bf16 product rounds the logits themselves, and the sampling step is not bound by it
        self._head = weight.float() if weight.device.type == "cpu" else weight
        size = side * patch
        self._micro = torch.tensor([size, size, *_CORNER, _SCORE], device=weight.device).float()

    @property
    def head_weight(self) -> Tensor:
        """[V, D]"""
        return self._head

    @torch.no_grad()
    def hidden(
        self, tokens: Tensor, condition: Condition, guidance: float, progress: Tensor | None = None
    ) -> Tensor:
        """See `mdm_core.protocols.Backbone`; this model is told no time, the masks tell it."""
        device = self._head.device
        B = len(tokens)
        ids = tokens.to(device).view(B, *self.grid)
        states, pooled = condition.states, condition.pooled
        if guidance != 0:
            ids = ids.repeat(2, 1, 1)
            states = torch.cat([states, condition.away_states])
            pooled = torch.cat([pooled, condition.away_pooled])
        micro = self._micro.to(pooled.dtype).expand(len(ids), 5)
        h = (
            self.model(ids, states.to(device), pooled.to(device), micro).float().flatten(1, 2)
        )  # [B or 2B, L, D]
        return h if guidance == 0 else (1 + guidance) * h[:B] - guidance * h[B:]
