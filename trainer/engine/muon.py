"""Muon: momentum whose matrix updates are made orthogonal, on one device or shared among several."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mdm_core.ops.backend import triton_installed
from trainer.engine.parallel import local, sharded

LOT = 1 << 27  # elements that one process orthogonalises at once
NEWTON_SCHULZ_STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix updates are made orthogonal by a Newton-Schulz iteration (Jordan et al. 2024).

    Computes what torch.optim.Muon computes, but matrices of one shape go through the iteration as one batch: on
    a GPU the many small products are bound by their launches, and here there are as many as distinct shapes.
    Every parameter must be a matrix. Tall matrices are turned first, so that the Gram matrix is the small one.

    Several processes share the work: each makes some of the matrices orthogonal and gives the others what it made.
    Of matrices in shards (FSDP2) it first receives the rows that it lacks; of matrices that every process holds
    whole (DDP) it needs nothing, and they are shared where all processes are on one machine. The exchanges are in
    bf16 and run beside the iterations.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.iterations: dict[tuple[int, int, int], Iteration] = {}
        if any(p.ndim != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon trains matrices only; give other parameters to AdamW")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # none is ever called
        """One update from the parameters' .grad; parameters without one are left alone."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p.grad)
            among = Among.of(params[0])
            lots = []
            for rows, columns, members in same_shape(params, LOT * among.count):
                lots.append(Lot(self, group, [params[i] for i in members], rows, columns, among))
                if among.count == 1:  # nothing to wait for: one lot at a time is in memory
                    lots.pop().alone()
            for stage in (Lot.send, Lot.iterate, Lot.finish):
                for lot in lots:
                    stage(lot)


@dataclass
class Among:
    """The processes that share the matrices of an optimiser, and what each has got to do so far."""

    count: int = 1
    rank: int = 0
    process_group: dist.ProcessGroup | None = None
    sharded: bool = False
    load: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, parameter: Tensor) -> Among:
        if sharded(parameter):
            mesh, (placement,) = parameter.device_mesh, parameter.placements
            assert placement.is_shard(0)  # fully_shard's default
            process_group = mesh.get_group()
            count, rank = mesh.size(), mesh.get_local_rank()
            return cls(count, rank, process_group, True, [0] * count)
        world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if world > 1 and os.environ.get("LOCAL_WORLD_SIZE") == str(world):
            return cls(world, dist.get_rank(), dist.group.WORLD, False, [0] * world)
        return cls()

    def divide(self, matrices: int, size: int) -> list[int]:
        """How many of a lot each process takes: as many as the others, the rest where least has been taken yet."""
        counts = [matrices // self.count] * self.count
        for i in sorted(range(self.count), key=lambda i: (self.load[i], i))[: matrices % self.count]:
            counts[i] += 1
            self.load[i] += size
        return counts


class Lot:
    """Matrices of one shape on their way through a step."""

    def __init__(
        self,
        optimizer: Muon,
        group: dict[str, Any],
        params: list[nn.Parameter],
        rows: int,
        columns: int,
        among: Among,
    ) -> None:
        self.group, self.rows, self.columns, self.among = group, rows, columns, among
        self.iterations = optimizer.iterations
        self.weights = [local(p) for p in params]
        self.grads = [local(p.grad) for p in params if p.grad is not None]
        self.buffers = [local(optimizer.state[p]["momentum_buffer"]) for p in params]
        kernels = self.weights[0].is_cuda and triton_installed()
        self.kernels = kernels and _triton().serve(self.weights + self.grads + self.buffers)
        # where rows travel they stay rows; else tall matrices are turned as they are read
        self.turned = self.kernels and not among.sharded and rows > columns

    def alone(self) -> None:
        """The whole step in this process."""
        if not self.kernels:
            self.apply(orthogonalise(self.updates()))
            return
        iteration = self.iteration(len(self.weights))
        self.apply(iteration(self.updates(iteration.given)))

    def iteration(self, count: int) -> Iteration:
        """The record of as many matrices of this shape."""
        return self.iterations.setdefault((self.rows, self.columns, count), Iteration())

    def updates(self, out: Tensor | None = None) -> Tensor:
        """Momentum's updates [n, rows of this process, columns], or turned; bf16 where the kernels make them."""
        if self.kernels:
            shape = self.grads[0].shape[::-1] if self.turned else self.grads[0].shape
            if out is None:
                out = self.grads[0].new_empty(len(self.grads), *shape, dtype=torch.bfloat16)
            _triton().momentum_(self.grads, self.buffers, self.group["momentum"], out, self.turned)
            return out
        momentum = self.group["momentum"]
        torch._foreach_lerp_(self.buffers, self.grads, 1 - momentum)
        return torch.stack(torch._foreach_lerp(self.grads, self.buffers, momentum))  # Nesterov

    def apply(self, steps: Tensor) -> None:
        """Change the weights by steps [n, rows of this process, columns], or turned."""
        alpha = -self.group["lr"] * max(1.0, self.rows / self.columns) ** 0.5
        shrink = 1 - self.group["lr"] * self.group["weight_decay"]
        if self.kernels:
            _triton().apply_(self.weights, steps, alpha, shrink, self.turned)
            return
        if self.group["weight_decay"]:
            torch._foreach_mul_(self.weights, shrink)
        torch._foreach_add_(self.weights, list(steps.to(self.weights[0].dtype).unbind()), alpha=alpha)

    # ---- among several processes -----------------------------------------------------------------------

    def send(self) -> None:
        """Give every process the rows that it lacks of the matrices that are its to do."""
        among, updates = self.among, self.updates().bfloat16()
        self.counts = among.divide(len(updates), self.rows * self.columns * min(self.rows, self.columns))
        mine = self.counts[among.rank]
        if not among.sharded:
            first = sum(self.counts[: among.rank])
            self.mine, self.shape, self.waiting = updates[first : first + mine], updates.shape, None
            return
        size = -(-self.rows // among.count)  # of fully_shard's parts: the last ones may be shorter, or empty
        self.parts = [max(0, min(self.rows - i * size, size)) for i in range(among.count)]
        self.shape = updates.shape
        each = updates.shape[1] * self.columns
        self.whole = updates.new_empty(mine * self.rows * self.columns)
        self.waiting = _exchange(
            self.whole,
            updates.flatten(),
            [mine * part * self.columns for part in self.parts],
            [count * each for count in self.counts],
            among,
        )

    def iterate(self) -> None:
        """Make this process's matrices orthogonal and send them off."""
        among, mine = self.among, self.counts[self.among.rank]
        if not among.sharded:
            done = self.mine
            if mine:
                done = self.iteration(mine)(done) if self.kernels else orthogonalise(done)
            most = max(self.counts)
            padded = done.new_zeros(most, *done.shape[1:])
            padded[:mine] = done
            self.result = done.new_empty(among.count * most, *done.shape[1:])
            bits = self.result.view(torch.uint8), padded.view(torch.uint8)  # see _exchange
            work = dist.all_gather_into_tensor(*bits, group=among.process_group, async_op=True)
            self.waiting = _under_way(work)
            self.kept = padded  # until it has been sent
            return
        assert self.waiting is not None
        self.waiting.wait()
        pieces = self.whole.split([mine * part * self.columns for part in self.parts])
        pieces = [p.view(mine, part, self.columns) for p, part in zip(pieces, self.parts, strict=True)]
        if mine:
            done = orthogonalise(torch.cat(pieces, 1))
            pieces = done.split(self.parts, 1)
        self.kept = torch.cat([p.flatten() for p in pieces])
        self.result = self.kept.new_empty(self.shape)
        each = self.shape[1] * self.columns
        self.waiting = _exchange(
            self.result.view(-1),
            self.kept,
            [count * each for count in self.counts],
            [mine * part * self.columns for part in self.parts],
            among,
        )

    def finish(self) -> None:
        """Take what the others made, and change the weights."""
        assert self.waiting is not None
        self.waiting.wait()
        steps = self.result
        if not self.among.sharded:
            most = max(self.counts)
            steps = torch.cat([steps[i * most : i * most + n] for i, n in enumerate(self.counts)])
        self.apply(steps)
        self.result = self.kept = self.whole = steps.new_empty(0)  # the memory is for the next lots


class Iteration:
    """`orthogonalise` of lots of one shape on a GPU, recorded at the second call and played back from then on.

    Its many small launches would take the processor longer than the GPU takes to work them off. The record has an
    input and an output in fixed places; `given` is that input, for those who can write it there themselves.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.given: Tensor | None = None
        self.result: Tensor | None = None

    def __call__(self, updates: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 1:  # kernels are compiled
            return orthogonalise(updates)
        if self.graph is None or self.given is None or self.result is None:
            self.given = updates
            torch.cuda.synchronize(updates.device)
            graph = torch.cuda.CUDAGraph()
            # a thread of NCCL's may ask the device for something meanwhile
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.result = orthogonalise(self.given)
            self.graph = graph
        elif updates is not self.given:
            self.given.copy_(updates)
        self.graph.replay()
        return self.result


def _exchange(out: Tensor, send: Tensor, received: list[int], sent: list[int], among: Among) -> dist.Work:
    """all_to_all of flat bf16 tensors; returns what to wait for."""
    # not every backend knows bf16, and bytes are bytes
    sizes = [2 * n for n in received], [2 * n for n in sent]
    out, send = out.view(torch.uint8), send.view(torch.uint8)
    return _under_way(dist.all_to_all_single(out, send, *sizes, group=among.process_group, async_op=True))


def _under_way(work: dist.Work | None) -> dist.Work:
    """An exchange that was begun with async_op, in a group that this process belongs to."""
    assert work is not None
    return work


def same_shape(params: Sequence[Tensor], most: int = LOT) -> Iterator[tuple[int, int, list[int]]]:
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
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    if x.is_cuda and triton_installed() and x.shape[1] >= _triton().SMALLEST:
        x = _triton().orthogonalise(x.contiguous(), COEFFICIENTS, steps)
        return x.mT.contiguous() if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)  # no singular value above 1
    for _ in range(steps):
        gram = x @ x.mT  # [n, r, r]
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT.contiguous() if tall else x


def _triton() -> ModuleType:
    from trainer.engine import muon_triton

    return muon_triton
