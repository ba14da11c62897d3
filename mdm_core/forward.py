"""The forward pass as sampler and inspector ask for it: any backbone, with what it has of its own folded away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mdm_core import conditions
from mdm_core.diffusion.sampler import Predict
from mdm_core.ops import SampleStep, sample_step
from mdm_core.ops.backend import fold_bias
from mdm_core.protocols import Backbone, PromptEncoder
from mdm_core.settings import SampleConfig


class Forward:
    """Hidden states and a head without bias, over tokens in which V is masked. L cells, B pictures."""

    def __init__(self, backbone: Backbone, prompts: PromptEncoder, vocab_size: int):
        self.backbone, self.prompts, self.vocab_size = backbone, prompts, vocab_size
        self.mask_id: int = getattr(backbone, "mask_id", vocab_size)
        self._folded: tuple[tuple[tuple[int, int], ...], Tensor] | None = (
            None  # what it was made of, and the head
        )

    @property
    def device(self) -> torch.device:
        return self.backbone.head_weight.device

    @property
    def head(self) -> Tensor:
        """[V, D], or [V, D + 1 and zeros] where the backbone's head has a bias: made once for the same numbers."""
        weight, bias = self.backbone.head_weight, getattr(self.backbone, "head_bias", None)
        if bias is None:
            return weight
        made_of = tuple((x.data_ptr(), 0 if x.is_inference() else x._version) for x in (weight, bias))
        if self._folded is None or self._folded[0] != made_of:
            self._folded = made_of, fold_bias(weight[:0], weight.detach(), bias.detach())[1]
        return self._folded[1]

    def hidden(self, tokens: Tensor, condition: Any, guidance: float) -> Tensor:
        """int64 [B, L] and the condition of B prompts -> [B, L, D], as wide as `head`."""
        masked = tokens == self.vocab_size
        progress = 1 - masked.float().mean(1)  # [B]
        if self.mask_id != self.vocab_size:
            tokens = torch.where(masked, self.mask_id, tokens)
        hidden = self.backbone.hidden(tokens, condition, guidance, progress)
        wide = self.head.shape[1] - hidden.shape[-1]
        if wide:  # the head's bias times one, and zeros
            one = torch.zeros(*hidden.shape[:-1], wide, dtype=hidden.dtype, device=hidden.device)
            one[..., 0] = 1
            hidden = torch.cat([hidden, one], -1)
        return hidden

    def take(self, condition: Any, rows: Sequence[int]) -> Any:
        """The condition of some of the prompts."""
        return getattr(self.prompts, "take", conditions.take)(condition, rows)

    def join(self, parts: Sequence[Any]) -> Any:
        """Several conditions as one."""
        return getattr(self.prompts, "join", conditions.join)(parts)

    def predictor(self, condition: Any, config: SampleConfig) -> Predict:
        """The sampler's `Predict`: backbone, folded guidance, fused sampling step.

        On the CPU images go one by one, so that every matrix product has one shape and a picture comes out the
        same to the last bit whatever batch it rides in.
        """
        device = self.device
        whole = device.type != "cpu"
        captured = None
        if config.top_k is None and config.top_p is None:
            captured = getattr(self.backbone, "captured_steps", lambda: None)()

        @torch.inference_mode()
        def predict(tokens: Tensor, seeds: Sequence[int], step: int) -> SampleStep:
            rows = list(getattr(seeds, "rows", range(len(seeds))))
            if captured is not None:
                some = self.take(condition, rows)
                done = captured(tokens, some, seeds, step, config.guidance, config.temperature)
                if done is not None:
                    return done
            parts = [range(len(seeds))] if whole else [[b] for b in range(len(seeds))]
            out = []
            for part in parts:
                part = list(part)
                some = self.take(condition, [rows[b] for b in part])
                hidden = self.hidden(tokens[part], some, config.guidance)
                out.append(self.decide(hidden, tokens[part], [seeds[b] for b in part], step, config))
            return SampleStep(*(torch.cat(column) for column in zip(*out, strict=True)))

        return predict

    @torch.inference_mode()
    def decide(
        self, hidden: Tensor, tokens: Tensor, seeds: Sequence[int], step: int, config: SampleConfig
    ) -> SampleStep:
        """What a forward pass says of every cell at this step, [B, L] each: `hidden` [B, L, D] over `tokens` [B, L].

        No pass is made: another temperature of the same hidden states costs the head's product alone, and the
        vocabulary is walked in tiles.
        """
        B, cells = tokens.shape
        here = tokens.flatten()  # [B L]
        drawn = sample_step(
            hidden.flatten(0, 1),
            self.head,
            here.to(self.device),
            temperature=config.temperature,
            seed=torch.tensor(list(seeds)).repeat_interleave(cells),  # one a row
            step=step,
            row_ids=torch.arange(cells).repeat(B),
            top_k=config.top_k,
            top_p=config.top_p,
            # only masked cells are committed, and only they need a drawn token
            draw=None if self.device.type != "cpu" else here == self.vocab_size,
        )
        return SampleStep(*(column.view(B, cells) for column in drawn))
