"""Optimiser and learning-rate schedule: Muon for the body's matrices, AdamW for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainer.parallel import full, local

LOT = 1 << 27  # elements that one process orthogonalises at once
NEWTON_SCHULZ_STEPS = 5


def parameter_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(matrices of the transformer blocks, everything else: embeddings, head, norms, biases)."""
    body, rest = [], []
    for name, p in model.named_parameters():
        inside = name.startswith(("blocks.", "token_blocks.")) and p.ndim == 2
        (body if inside else rest).append(p)
    return body, rest


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix updates are made orthogonal by a Newton-Schulz iteration (Jordan et al. 2024).

    Computes what torch.optim.Muon computes, but matrices of one shape go through the iteration as one batch: on
    a GPU the many small products are bound by their launches, and here there are as many as distinct shapes.
    Every parameter must be a matrix. Tall matrices are transposed first, so that the Gram matrix is the small one.
    Of sharded matrices (FSDP2) the processes share the work: each gets some of them whole, iterates, and gives
    the rows back (`orthogonal_shards`).
    """

    def __init__(self, params, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        if any(p.ndim != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon trains matrices only; give other parameters to AdamW")

    @torch.no_grad()
    def step(self, closure=None):
        """One update from the parameters' .grad; parameters without one are left alone."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p.grad)
            momentum, weights = group["momentum"], [local(p) for p in params]
            grads = [local(p.grad) for p in params]
            buffers = [local(self.state[p]["momentum_buffer"]) for p in params]
            torch._foreach_lerp_(buffers, grads, 1 - momentum)
            updates = torch._foreach_lerp(grads, buffers, momentum)  # Nesterov
            if group["weight_decay"]:
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            sharded = hasattr(params[0], "to_local")
            most = LOT * (params[0].device_mesh.size() if sharded else 1)
            for rows, columns, members in same_shape(params, most):
                stack = torch.stack([updates[i] for i in members])  # [n, rows (of this process), columns]
                steps = orthogonal_shards(stack, params[members[0]]) if sharded else orthogonalise(stack)
                alpha = -group["lr"] * max(1.0, rows / columns) ** 0.5
                steps = steps.to(weights[0].dtype).unbind()
                torch._foreach_add_([weights[i] for i in members], steps, alpha=alpha)


def orthogonal_shards(stack: Tensor, like: Tensor) -> Tensor:
    """`orthogonalise` of matrices that the processes hold in shards, each of them made by one process.

    Two exchanges in bf16: from a part of every matrix to whole matrices, and back.

    Args:
        stack: [n, rows of this process, columns].
        like: one of the sharded parameters [rows, columns].
    Returns:
        bf16 [n, rows of this process, columns].
    """
    from torch.distributed.tensor import DTensor, Shard

    mesh, (placement,) = like.device_mesh, like.placements
    parts, whole = [Shard(placement.dim + 1)], [Shard(0)]
    shape = torch.Size((len(stack), *like.shape))
    stride = (shape[1] * shape[2], shape[2], 1)

    def exchange(local: Tensor, here: list, there: list) -> Tensor:
        spread = DTensor.from_local(
            local.contiguous(), mesh, here, run_check=False, shape=shape, stride=stride
        )
        return spread.redistribute(placements=there).to_local()

    mine = exchange(stack.bfloat16(), parts, whole)  # [about n / processes, rows, columns]
    return exchange(orthogonalise(mine) if len(mine) else mine, whole, parts)


def same_shape(params: list[Tensor], most: int = LOT) -> Iterator[tuple[int, int, list[int]]]:
    """(rows, columns, places in `params`) for lots of equal shape, of at most `most` elements in all."""
    lots: dict[tuple[int, int], list[int]] = {}
    for i, p in enumerate(params):
        lots.setdefault((p.shape[0], p.shape[1]), []).append(i)
    for (rows, columns), members in lots.items():
        size = max(1, most // (rows * columns))
        for first in range(0, len(members), size):
            yield rows, columns, members[first : first + size]


def orthogonalise(matrices: Tensor, steps: int = NEWTON_SCHULZ_STEPS) -> Tensor:
    """U V^T, roughly, of every matrix U S V^T in a stack [n, r, c]; bf16 [n, r, c].

    The quintic iteration X <- aX + (bA + cA^2) X with A = X X^T, and Jordan's coefficients, which leave singular
    values between about 0.7 and 1.2 but get there in five steps.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)  # no singular value above 1
    for _ in range(steps):
        gram = x @ x.mT  # [n, r, r]
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT.contiguous() if tall else x


def build_optimizers(
    model: nn.Module, *, lr: float, matrix_lr: float, weight_decay: float = 0.0, fused: bool = False
) -> list[torch.optim.Optimizer]:
    """Muon at `matrix_lr` for block matrices and AdamW at `lr` for the rest; matrix_lr = 0: AdamW for all."""
    body, rest = parameter_groups(model)
    if matrix_lr == 0:
        body, rest = [], body + rest
    adam = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay, fused=fused)
    return [Muon(body, lr=matrix_lr, weight_decay=weight_decay), adam] if body else [adam]


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
        weights = [local(p.detach()).float() for p in model.parameters()]
        torch._foreach_lerp_([local(s) for s in self.shadow], weights, 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Fill a model that is not sharded (a collective where this average is)."""
        for p, s in zip(model.parameters(), self.shadow, strict=True):
            p.copy_(full(s))
