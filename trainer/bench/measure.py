"""Time, peak memory and error of competing implementations, measured side by side in one process."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]


def times(contenders: dict[str, Run], device: torch.device, seconds: float = 6.0) -> dict[str, float]:
    """Milliseconds per call. Contenders take turns, so that a disturbance of the machine hits all alike.

    A GPU's figure is the median of its rounds, on the device's clock, with the launches queued ahead as they
    are inside a training step or a sampling run. On a CPU that others use too, the best round says most.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():  # compile, tune, fault pages in
        run()
    ahead = {name: launching(run) if device.type == "cuda" else 0.0 for name, run in contenders.items()}
    least = 3 if device.type == "cuda" else 2
    begin = time.perf_counter()
    for rounds in range(200):
        if rounds >= least and time.perf_counter() - begin > seconds * len(contenders):
            break
        for name, run in contenders.items():
            taken[name].append(_once(run, device, ahead[name]))
    pick = (lambda t: sorted(t)[len(t) // 2]) if device.type == "cuda" else min
    return {name: pick(t) for name, t in taken.items()}


def launching(run: Run) -> float:
    """Milliseconds the host takes to launch a call's work on a GPU: the least of three."""
    taken = []
    for _ in range(3):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        run()
        taken.append((time.perf_counter() - begin) * 1e3)
    torch.cuda.synchronize()
    return min(taken)


def _once(run: Run, device: torch.device, ahead: float) -> float:
    if device.type == "cuda":
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        torch.cuda._sleep(int((1.5 * min(ahead, 20.0) + 0.1) * 2e6))  # about 2e6 cycles a millisecond
        first.record()
        run()
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last)
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e3


def peak_bytes(run: Run, device: torch.device) -> int:
    """Most bytes alive at once during the call beyond those alive before it and those still alive after it.

    `run` must leave its outputs (gradients included) alive, and not free anything older than itself.
    """
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        kept = run()
        torch.cuda.synchronize()
        peak, after = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
        del kept
        return peak - max(before, after)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        kept = run()
    alive = peak = 0
    changes = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(changes, key=lambda e: e.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    del kept
    return peak - max(0, alive)


def relative_error(value: Tensor, exact: Tensor) -> float:
    """Largest deviation as a fraction of the largest exact magnitude."""
    exact = exact.double()
    return float((value.double() - exact).abs().max() / exact.abs().max().clamp(min=1e-300))
