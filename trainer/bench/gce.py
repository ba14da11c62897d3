"""Grouped cross-entropy, forward and backward: time, peak extra memory and error beside every peer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy
from trainer.bench.gce_peers import Loss, gce_peers
from trainer.bench.measure import Run, peak_bytes, relative_error, times

CPU_SHAPES = [(1024, 768, 16384), (2048, 384, 65536), (4096, 320, 16384)]
GPU_SHAPES = [
    (131072, 256, 16384),
    (8192, 1024, 16384),
    (16384, 2048, 65536),
    (8192, 2048, 131072),
    (8192, 2560, 262144),
]
GROUP = 8
Shape = tuple[int, int, int]  # N, D, V


def problem(
    shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Random hidden states and a head whose logits have a standard deviation of about 2."""
    n, d, v = shape
    g = torch.Generator(device).manual_seed(0)
    hidden = torch.randn(n, d, device=device, generator=g).mul_(2 * d**-0.5)
    weight = torch.randn(v, d, device=device, generator=g)
    target = torch.randint(0, v, (n,), device=device, generator=g)
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), target


def make_groups(vocab_size: int, device: torch.device) -> tuple[Groups, Tensor]:
    """Contiguous groups of eight, as an object and as member lists [V, 8]."""
    label = torch.arange(vocab_size, device=device) // GROUP
    members = label[:, None] * GROUP + torch.arange(GROUP, device=device)
    return Groups.from_ids(label), members


def errors(
    loss: Loss, shape: Shape, device: torch.device, dtype: torch.dtype, members: Tensor | None
) -> dict[str, float]:
    """Relative error of loss and gradients against fp64, on the first rows of the shape."""
    n, d, v = min(shape[0], 256), shape[1], min(shape[2], 16384)
    hidden, weight, target = problem((n, d, v), device, dtype)
    value = loss(hidden, weight, target)
    found = torch.autograd.grad(value, (hidden, weight))
    h, w = (x.detach().double().requires_grad_() for x in (hidden, weight))
    logits = h @ w.t()
    lse = logits.logsumexp(1)
    exact = lse - logits.gather(1, target[:, None])[:, 0]
    if members is not None:
        exact = exact + 0.2 * (lse - logits.gather(1, members[:v][target]).logsumexp(1))
    right = torch.autograd.grad(exact.mean(), (h, w))
    return {
        "loss": relative_error(value.detach(), exact.mean().detach()),
        "hidden": relative_error(found[0], right[0]),
        "weight": relative_error(found[1], right[1]),
    }


def matmul_floor(hidden: Tensor, weight: Tensor, rows: int) -> None:
    """The three matrix products alone, on chunks of rows."""
    with torch.no_grad():
        for part in hidden.split(rows):
            logits = part @ weight.t()
            logits @ weight
            logits.t() @ part


def bench_shape(
    shape: Shape,
    device: torch.device,
    dtype: torch.dtype,
    grouped: bool,
    seconds: float,
    with_errors: bool = True,
    report: Callable[[str], object] = print,
) -> list[dict]:
    """One row per contender: milliseconds, ratio to ours, extra MiB, errors."""
    torch.compiler.reset()  # after some recompilations a compiled peer would quietly run as eager code
    hidden, weight, target = problem(shape, device, dtype)
    groups, members = make_groups(shape[2], device) if grouped else (None, None)
    peers = gce_peers(groups, members, device, report)

    def run(loss: Loss) -> Run:
        return lambda: torch.autograd.grad(loss(hidden, weight, target), (hidden, weight))

    contenders: dict[str, Run] = {}
    rows: list[dict[str, Any]] = []
    # whoever fails on this shape (out of memory, unsupported) says so and is out
    for name, loss in peers.items():
        try:
            extra = peak_bytes(run(loss), device)
            few, own = make_groups(min(shape[2], 16384), device) if grouped else (None, None)
            check = gce_peers(few, own, device, lambda *_: None)[name]
            same = with_errors and name != "ours, no groups"  # that one answers another question
            error = errors(check, shape, device, dtype, own) if same else None
            contenders[name] = run(loss)
            rows.append({"name": name, "extra_mib": extra / 2**20, "error": error})
        except Exception as failure:
            report(f"left out: {name} at {shape}: {type(failure).__name__}: {str(failure)[:160]}")
            if name == "ours":
                raise
        if device.type == "cuda":
            torch.cuda.empty_cache()
    floor = max(1, min(shape[0], (1 << 30) // (shape[2] * dtype.itemsize)))
    contenders["three products"] = lambda: matmul_floor(hidden, weight, floor)
    taken = times(contenders, device, seconds)
    rows.append({"name": "three products", "extra_mib": None, "error": None})
    for row in rows:
        row |= {
            "shape": list(shape),
            "grouped": grouped,
            "ms": taken[row["name"]],
            "ratio": taken[row["name"]] / taken["ours"],
        }
    return rows


def bench_streaming(shape: Shape, device: torch.device, dtype: torch.dtype, seconds: float) -> dict:
    """The loss alone, without gradient: milliseconds and extra MiB."""
    hidden, weight, target = (x.detach() for x in problem(shape, device, dtype))
    groups, _ = make_groups(shape[2], device)

    def run() -> Tensor:
        return linear_grouped_cross_entropy(hidden, weight, target, groups)

    extra = peak_bytes(run, device)
    taken = times({"ours": run, "one product": lambda: one_product(hidden, weight)}, device, seconds)
    return {
        "name": "ours, loss alone",
        "shape": list(shape),
        "grouped": True,
        "ms": taken["ours"],
        "ratio": taken["ours"] / taken["one product"],
        "extra_mib": extra / 2**20,
        "error": None,
    }


def one_product(hidden: Tensor, weight: Tensor) -> None:
    """The head's product alone, on chunks of at most 1 GiB of logits."""
    for part in hidden.split(max(1, (1 << 30) // (weight.shape[0] * hidden.element_size()))):
        part @ weight.t()


def sweep_tiles(
    shape: Shape, device: torch.device, dtype: torch.dtype, sizes_mib: list[int], seconds: float
) -> list[dict]:
    """Ours at several tile sizes: how the default was chosen."""
    hidden, weight, target = problem(shape, device, dtype)
    groups, _ = make_groups(shape[2], device)

    def run(mib: int) -> Run:
        loss = partial(linear_grouped_cross_entropy, hidden, weight, target, groups, tile_bytes=mib << 20)
        return lambda: torch.autograd.grad(loss(), (hidden, weight))

    taken = times({str(mib): run(mib) for mib in sizes_mib}, device, seconds)
    return [{"name": f"tile {mib} MiB", "shape": list(shape), "ms": ms} for mib, ms in taken.items()]
