"""The sampling step: time, peak extra memory and error beside what a sampler would write in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mdm_core.ops import SampleStep, sample_step
from trainer.bench.measure import Run, peak_bytes, relative_error, times

CPU_SHAPES = [(256, 256, 16384), (1024, 384, 16384), (256, 384, 65536)]
GPU_SHAPES = [(256, 1024, 16384), (1024, 1024, 16384), (4096, 2048, 65536), (1024, 2048, 131072)]
GUIDANCE = 3.0


def folded(conditional: Tensor, unconditional: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    """Guidance folded before the head, then softmax, multinomial and the decision data on [N, V] tensors."""
    hidden = (1 + GUIDANCE) * conditional - GUIDANCE * unconditional  # [N, D]
    return _decide((hidden.to(weight.dtype) @ weight.t()).float())


def batched(conditional: Tensor, unconditional: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    """What most samplers do: the head on both halves of a doubled batch, guidance on the logits."""
    both = torch.cat([conditional, unconditional]).to(weight.dtype)  # [2 N, D]
    logits = (both @ weight.t()).float()  # [2 N, V]
    return _decide((1 + GUIDANCE) * logits[: len(conditional)] - GUIDANCE * logits[len(conditional) :])


def _decide(logits: Tensor) -> tuple[Tensor, ...]:
    p = logits.softmax(1)  # [N, V]
    token = torch.multinomial(p, 1)  # [N, 1]
    best = p.topk(2, dim=1)
    return token, p.gather(1, token), best.values, best.indices


def errors(drawn: tuple[Tensor, ...], hidden: Tensor, weight: Tensor) -> dict[str, float]:
    """Relative error of p(token) and of the two largest probabilities against fp64, on the first 256 rows."""
    token, confidence, best = (field[:256] for field in drawn[:3])
    p = (hidden[:256].double() @ weight.double().t()).softmax(1)  # [256, V]
    return {
        "confidence": relative_error(confidence, p.gather(1, token)),
        "best": relative_error(best, p.topk(2, dim=1).values),
    }


def bench_shape(shape: tuple[int, int, int], device: torch.device, seconds: float) -> list[dict]:
    """One row per contender: milliseconds, ratio to ours, extra MiB, errors."""
    torch.compiler.reset()  # after some recompilations a compiled peer would quietly run as eager code
    n, d, v = shape
    g = torch.Generator(device).manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    conditional, unconditional = (torch.randn(n, d, device=device, generator=g) * d**-0.5 for _ in range(2))
    weight = torch.randn(v, d, device=device, generator=g).to(dtype)
    current = torch.randint(0, v + 1, (n,), device=device, generator=g)

    guided = (1 + GUIDANCE) * conditional - GUIDANCE * unconditional  # [N, D]

    def ours() -> SampleStep:
        hidden = (1 + GUIDANCE) * conditional - GUIDANCE * unconditional  # [N, D]
        return sample_step(hidden, weight, current, seed=1, step=3)

    def error_of(name: str) -> dict[str, float] | None:
        if name == "one product":
            return None
        result = contenders[name]()
        if isinstance(result, SampleStep):
            pair = torch.stack([result.best_p, result.second_p], 1)  # [N, 2]
            result = result.token[:, None], result.confidence[:, None], pair
        assert isinstance(result, tuple)
        return errors(result, guided, weight)

    contenders: dict[str, Run] = {
        "ours": ours,
        "ours, guidance folded before": lambda: sample_step(guided, weight, current, seed=1, step=3),
        "eager, guidance folded": lambda: folded(conditional, unconditional, weight),
        "eager, batched guidance": lambda: batched(conditional, unconditional, weight),
    }
    if device.type == "cuda":
        for name, plain in (("compiled, guidance folded", folded), ("compiled, batched guidance", batched)):
            compiled = torch.compile(plain, dynamic=False)
            contenders[name] = partial(compiled, conditional, unconditional, weight)
    half = conditional.to(dtype)
    contenders["one product"] = lambda: half @ weight.t()
    with torch.no_grad():
        extra = {name: peak_bytes(run, device) for name, run in contenders.items()}
        taken = times(contenders, device, seconds)
        error = {name: error_of(name) for name in contenders}
    return [
        {
            "name": name,
            "shape": list(shape),
            "ms": taken[name],
            "ratio": taken[name] / taken["ours"],
            "extra_mib": extra[name] / 2**20,
            "error": error[name],
        }
        for name in contenders
    ]


def sweep_tiles(
    shape: tuple[int, int, int], device: torch.device, seconds: float, report: Callable[[str], object] = print
) -> list[dict]:
    """Ours on the GPU at several tile shapes: how the default was chosen."""
    from mdm_core.ops.sample import sample_triton

    n, d, v = shape
    hidden, weight = torch.randn(n, d, device=device) * d**-0.5, torch.randn(v, d, device=device).bfloat16()
    current, chosen = torch.full((n,), v, device=device), sample_triton.TILE_HALF
    rows = []
    for tile in [(128, 256, 64, 8, 3), (128, 256, 64, 8, 4), (128, 128, 64, 8, 3)]:
        sample_triton.TILE_HALF = tile
        try:
            ms = times(
                {"ours": lambda: sample_step(hidden, weight, current, seed=1, step=3)}, device, seconds
            )["ours"]
            rows.append({"name": "tile " + "x".join(map(str, tile)), "shape": list(shape), "ms": ms})
        except Exception as failure:  # noqa: BLE001  a tile may not fit the device
            report(f"left out: tile {tile}: {type(failure).__name__}: {str(failure)[:120]}")
    sample_triton.TILE_HALF = chosen
    return rows
