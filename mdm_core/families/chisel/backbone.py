"""`MaskedDiffusionTransformer` as a `Backbone`: the forward pass in the way that suits the device."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mdm_core.device import fast_dtype, precision
from mdm_core.families.chisel.captured import CapturedSteps
from mdm_core.families.chisel.config import beta_of
from mdm_core.families.chisel.inference import InferenceModel, stamp
from mdm_core.families.chisel.layers import TransformerBlock
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.ops import choose_backend


class TransformerBackbone:
    """Runs both branches of guidance in one batch, one where the weights hold guidance; on a GPU in fused kernels and,
    if asked, captured graphs.

    On a GPU the head too has the type that its matrix units are fast in. On a CPU it keeps the model's: there a bf16
    product rounds the logits themselves, and the sampling step is not bound by it.
    """

    def __init__(self, model: MaskedDiffusionTransformer, fused: bool = True):
        """fused: False runs the model's own forward pass on a GPU too."""
        self.model = model
        self.device = model.head_weight.device
        # False makes guided weights guide as others do, in two passes, to compare
        self.one_pass = model.config.guided
        self.dtype = fast_dtype(self.device)
        on_gpu = choose_backend("auto", self.device) == "triton"
        self._fuses = fused and on_gpu and self.dtype == torch.bfloat16
        self._fast: tuple[InferenceModel, CapturedSteps] | None = None
        # what each was made of, and it
        self._head: tuple[tuple[tuple[int, int], ...] | tuple[int, int], Tensor] | None = None
        self._narrow: tuple[tuple[tuple[int, int], ...], MaskedDiffusionTransformer] | None = None

    @property
    def head_weight(self) -> Tensor:
        weight = self.model.head_weight
        if self.device.type != "cuda" or weight.dtype != torch.float32 or self.dtype == torch.float32:
            return weight
        made_of = weight.data_ptr(), 0 if weight.is_inference() else weight._version
        if self._head is None or self._head[0] != made_of:
            self._head = made_of, weight.detach().to(self.dtype)
        return self._head[1]

    @property
    def levels(self) -> tuple[int, ...] | None:
        """The lattice that tokens are embedded by; None where they have a table of their own."""
        return self.model.config.code_levels

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) in tokens."""
        return self.model.config.grid, self.model.config.grid

    def hidden(
        self, tokens: Tensor, condition: Tensor, guidance: float, progress: Tensor | None = None
    ) -> Tensor:
        """See `mdm_core.protocols.Backbone`; this model needs no clock, the number of masks tells it the time."""
        tokens, condition = tokens.to(self.device), condition.to(self.device)
        if self._fuses:
            strength = None
            if guidance != 0:
                strength = torch.full((), guidance, dtype=torch.float64, device=self.device)
            return self._parts()[0].hidden(tokens, condition, strength)
        with precision(self.device, self.model.head_weight.dtype):
            model = self._products()
            if guidance == 0:
                return model(tokens, condition).float()
            B = len(tokens)
            if self.one_pass:
                beta = torch.full((B,), beta_of(guidance), device=self.device)
                return model(tokens, condition, None, beta).float()
            drop = torch.arange(2 * B, device=self.device) >= B
            h = model(tokens.repeat(2, 1), condition.repeat(2, 1), drop).float()
        return (1 + guidance) * h[:B] - guidance * h[B:]

    @torch.inference_mode()
    def attention(
        self, tokens: Tensor, condition: Tensor, cell: int, guidance: float
    ) -> tuple[Tensor, Tensor]:
        """See `mdm_core.protocols.Backbone`: of the branch that reads the prompt, every layer's mean over its heads.

        In the body 2x2 cells share a position: what it gives and gets is shared out among them evenly. The layers
        after it see single cells and no words.
        """
        c = self.model.config
        T, r, side = c.text_length, c.resample, c.grid // c.resample
        y, x = divmod(cell, c.grid)
        words: list[Tensor] = []
        cells: list[Tensor] = []

        def watch(block: nn.Module, entering: Tensor) -> None:
            body = entering.shape[1] != c.length or len(words) < c.depth
            where = T + (y // r) * side + x // r if body else cell
            turn = (model.body_cos, model.body_sin) if body else (model.token_cos, model.token_sin)
            block = cast(TransformerBlock, block)
            shares = block.attention.shares(block.attention_norm(entering), *turn, where)[0].mean(0)
            if body:
                words.append(shares[:T])
                places = (shares[T:] / r**2).view(side, side)
                cells.append(places.repeat_interleave(r, 0).repeat_interleave(r, 1).reshape(-1))
            else:
                words.append(shares.new_zeros(T))
                cells.append(shares)

        tokens, condition = tokens.to(self.device), condition.to(self.device)
        beta = None
        if self.one_pass and guidance != 0:
            beta = torch.full((1,), beta_of(guidance), device=self.device)
        with precision(self.device, self.model.head_weight.dtype):
            model = self._products()
            model(tokens, condition, None, beta, watch)
        return torch.stack(words).float().cpu(), torch.stack(cells).float().cpu()

    def _products(self) -> MaskedDiffusionTransformer:
        """The model with the weights of its products in the type that autocast would make of them at every pass.

        The same numbers to the bit. On a CPU a third of a pass went into making them. The rest is shared.
        """
        model = self.model
        if (
            self.device.type != "cpu"
            or self.dtype == torch.float32
            or model.head_weight.dtype != torch.float32
        ):
            return model
        made_of = stamp(model)
        if self._narrow is None or self._narrow[0] != made_of:
            with torch.inference_mode(False), torch.no_grad():
                self._narrow = made_of, _with_products_in(model, self.dtype)
        return self._narrow[1]

    def captured_steps(self) -> CapturedSteps | None:
        """The whole step, sampling included, in one launch; None where the device does not serve that."""
        return self._parts()[1] if self._fuses else None

    def _parts(self) -> tuple[InferenceModel, CapturedSteps]:
        """Made when they are first needed, and anew after the weights have changed."""
        made = self._fast and (self._fast[0].stamp, self._fast[0].one_pass)
        if self._fast is None or made != (stamp(self.model), self.one_pass):
            fast = InferenceModel(self.model, self.dtype, self.one_pass)
            self._fast = fast, CapturedSteps(fast, self.head_weight)
        return self._fast


def _with_products_in(model: MaskedDiffusionTransformer, dtype: torch.dtype) -> MaskedDiffusionTransformer:
    """A frozen model with the weights of all linear layers but the head in `dtype`; all else is the given one's own."""
    linear = [name for name, part in model.named_modules() if isinstance(part, nn.Linear) and name != "head"]
    narrow = {f"{name}.{kind}" for name in linear for kind in ("weight", "bias")}
    weights = {k: p.detach().to(dtype) if k in narrow else p.detach() for k, p in model.state_dict().items()}
    with torch.device("meta"):
        made = MaskedDiffusionTransformer(model.config)
    made.load_state_dict(weights, assign=True)
    for name, part in model.named_modules():
        for key, buffer in part.named_buffers(recurse=False):
            setattr(made.get_submodule(name), key, buffer)
    return made.requires_grad_(False).train(model.training)
