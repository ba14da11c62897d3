"""The transformer of NL-Diffusion-Image as a `Backbone`."""

from __future__ import annotations

import torch
from torch import Tensor

from mdm_core.families.nl_diffusion.config import NLConfig
from mdm_core.families.nl_diffusion.prompts import Prompt
from mdm_core.families.nl_diffusion.transformer import NLTransformer


class NLBackbone:
    """Both branches of guidance in one batch; without a prompt, all up to the question's end is masked."""

    def __init__(self, model: NLTransformer, config: NLConfig):
        side = config.body.sample_size
        self.model, self.mask_id, self.grid = model, config.mask_id, (side, side)
        self._untold = config.body.mask_token_id
        weight = model.gen_predictor.weight.detach()
        # on a CPU a bf16 product rounds the logits themselves, and the sampling step is not bound by it
        self._head = weight.float() if weight.device.type == "cpu" else weight

    @property
    def head_weight(self) -> Tensor:
        """[V, D]"""
        return self._head

    @torch.no_grad()
    def hidden(self, tokens: Tensor, condition: list[Prompt], guidance: float, progress: Tensor) -> Tensor:
        """See `mdm_core.protocols.Backbone`. Prompts of one length are computed together."""
        device = self._head.device
        ids = tokens.to(device)
        out = torch.empty(*tokens.shape, self._head.shape[1], device=device)
        for length in sorted({len(prompt.ids) for prompt in condition}):
            rows = [b for b, prompt in enumerate(condition) if len(prompt.ids) == length]
            out[rows] = self._hidden(ids[rows], [condition[b] for b in rows], guidance)
        return out

    def _hidden(self, tokens: Tensor, prompts: list[Prompt], guidance: float) -> Tensor:
        """[B, L] and B prompts of one length -> [B, L, D]; their slots then stand in the same places."""
        B, device = len(tokens), tokens.device
        ids, first = torch.stack([prompt.ids for prompt in prompts]).to(device), prompts[0].first
        picture = tokens.view(B, *self.grid)
        if guidance == 0:
            return self.model(ids, picture, first).float().flatten(1, 2)
        untold = ids.clone()
        for row, prompt in zip(untold, prompts, strict=True):
            row[: prompt.told] = self._untold
        h = self.model(torch.cat([ids, untold]), picture.repeat(2, 1, 1), first).float().flatten(1, 2)
        return (1 + guidance) * h[:B] - guidance * h[B:]
