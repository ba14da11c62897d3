"""Optimiser and learning-rate schedule: Muon for the body's matrices, AdamW for the rest."""

from __future__ import annotations

import math

import torch
from torch import nn

from trainer.engine.muon import Muon
from trainer.engine.parallel import full, local, sharded


def parameter_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(matrices of the transformer blocks, everything else: embeddings, head, norms, biases)."""
    body: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in model.named_parameters():
        inside = name.startswith(("blocks.", "token_blocks.")) and p.ndim == 2
        (body if inside else rest).append(p)
    return body, rest


def build_optimizers(
    model: nn.Module, *, lr: float, matrix_lr: float, weight_decay: float = 0.0, fused: bool = False
) -> list[torch.optim.Optimizer]:
    """Muon at `matrix_lr` for block matrices and AdamW at `lr` for the rest; matrix_lr = 0: AdamW for all."""
    body, rest = parameter_groups(model)
    if matrix_lr == 0:
        body, rest = [], body + rest
    adam = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay, fused=fused)
    return [Muon(body, lr=matrix_lr, weight_decay=weight_decay), adam] if body else [adam]


@torch.no_grad()
def clip_gradients(parameters: list[nn.Parameter], most: float) -> torch.Tensor:
    """Scale all gradients so that their norm together is at most `most`; returns the norm before, [].

    As torch.nn.utils.clip_grad_norm_, which sends every shard of a sharded model through DTensor's dispatcher.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads or not sharded(grads[0]):
        return nn.utils.clip_grad_norm_(parameters, most)
    mesh, grads = grads[0].device_mesh, [g for g in map(local, grads) if g.numel()]
    square = torch.zeros((), device=mesh.device_type)
    if grads:
        square = torch.stack(torch._foreach_norm(grads)).square().sum()
    torch.distributed.all_reduce(square, group=mesh.get_group())
    norm = square.sqrt()
    if grads:
        torch._foreach_mul_(grads, (most / (norm + 1e-6)).clamp(max=1.0))
    return norm


def trapezoid(progress: float, warmup: float = 0.02, decay: float = 0.3) -> float:
    """Learning-rate factor at `progress` in [0, 1]: linear up, flat, linear down to zero ("WSD")."""
    if progress < warmup:
        return progress / warmup
    if progress > 1 - decay:
        return max(0.0, (1 - progress) / decay)
    return 1.0


def cosine(progress: float, warmup: float = 0.02) -> float:
    """Learning-rate factor at `progress` in [0, 1]: linear up, then half a cosine down to zero."""
    if progress < warmup:
        return progress / warmup
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup)))


class EMA:
    """Exponential moving average of a model's parameters, fp32, on their device (each process its own shard)."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.step = 0
        self.shadow = [p.detach().clone().float() for p in model.parameters()]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Average in the current weights; the decay warms up so that the start is forgotten soon."""
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        weights = [local(p).float() for p in model.parameters()]
        torch._foreach_lerp_([local(s) for s in self.shadow], weights, 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Fill a model that is not sharded (a collective where this average is)."""
        for p, s in zip(model.parameters(), self.shadow, strict=True):
            p.copy_(full(s))
