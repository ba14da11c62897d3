"""Where the time goes on a GPU: ceilings measured in the same run, kernels alone, tables by kernel.

    python -m trainer bench profile --out OUT

Everything is printed and kept in OUT/profile_cuda.txt. A kernel's figure comes with the bandwidth it reaches,
to be read against the copy's; a product's with its rate. Variants of a kernel say how its default was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mdm_core.groups import Groups
from mdm_core.ops import SampleStep, linear_grouped_cross_entropy, product_triton, sample_step
from mdm_core.ops.gce import objective_triton as gce_triton
from mdm_core.ops.gce import stream_triton as gce_stream_triton
from mdm_core.ops.sample import sample_triton
from trainer.bench.gce import make_groups, matmul_floor, problem
from trainer.bench.measure import launching, times

GCE_SHAPES = [(16384, 2048, 65536), (8192, 1024, 16384)]
SAMPLE_SHAPES = [(1024, 1024, 16384), (4096, 2048, 65536)]
TILES = [(128, 256, 64, 8, 3), (128, 256, 64, 8, 4), (128, 128, 64, 8, 3)]
GPU = torch.device("cuda")


def milliseconds(run: Callable, seconds: float) -> float:
    return times({"run": run}, GPU, seconds)["run"]


def tried(run: Callable, seconds: float) -> str:
    """Milliseconds, or why there are none: a variant may not fit the device."""
    try:
        return f"{milliseconds(run, seconds):.4f} ms"
    except Exception as failure:  # noqa: BLE001
        return f"{type(failure).__name__}: {str(failure)[:90]}"


def kernels(name: str, run: Callable) -> str:
    """The profiler's table of device time per kernel, one call."""
    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as record:
        run()
        torch.cuda.synchronize()
    events = [e for e in record.key_averages() if e.self_device_time_total > 0 and "::" not in e.key[:8]]
    events.sort(key=lambda e: -e.self_device_time_total)
    head = f"{name}: launching takes the host {launching(run):.2f} ms; device microseconds, calls, kernel"
    return "\n".join(
        [head] + [f"{e.self_device_time_total:11.1f} {e.count:4d}  {e.key[:90]}" for e in events[:10]]
    )


def ceilings(seconds: float) -> Iterator[str]:
    """Copy bandwidth and the bf16 product's rate, the two numbers everything else is read against."""
    a = torch.randn(1 << 29, device=GPU)
    b = torch.empty_like(a)
    copy = milliseconds(lambda: b.copy_(a), seconds)
    x, y = (torch.randn(8192, 8192, device=GPU).bfloat16() for _ in range(2))
    product = milliseconds(lambda: x @ y, seconds)
    yield f"copy {4.295 / copy:.2f} TB/s, 8192^3 bf16 product {1.0995e3 / product:.0f} TFLOP/s"


def sample_shape(shape: tuple[int, int, int], seconds: float) -> Iterator[str]:
    """The sampling step: variants of its kernel, and where the time goes."""
    n, d, v = shape
    hidden, weight = torch.randn(n, d, device=GPU) * d**-0.5, torch.randn(v, d, device=GPU).bfloat16()
    half, current = hidden.bfloat16(), torch.full((n,), v, device=GPU)

    def ours() -> SampleStep:
        return sample_step(hidden, weight, current, seed=1, step=3)

    floor = milliseconds(lambda: half @ weight.t(), seconds)
    yield f"== sampling N, D, V = {shape}: one product {floor:.4f} ms ({2e-9 * n * d * v / floor:.0f} TFLOP/s)"
    for product_triton.BULK in (False, True):
        for tile in TILES:
            chosen, sample_triton.TILE_HALF = sample_triton.TILE_HALF, tile
            yield f"tile {tile}, bulk copies {product_triton.BULK}: {tried(ours, seconds)}"
            sample_triton.TILE_HALF = chosen
    yield kernels("sample_step", ours)


def gce_shape(shape: tuple[int, int, int], seconds: float) -> Iterator[str]:
    """Grouped cross-entropy: floors, variants of the row kernel and of the streaming kernel, tables."""
    n, d, v = shape
    hidden, weight, target = problem(shape, GPU, torch.bfloat16)
    groups, _ = make_groups(v, GPU)
    yield f"== GCE N, D, V = {shape}, bf16"
    for mib in (256, 512, 1024):
        rows = min(n, (mib << 20) // (2 * v))
        floor = milliseconds(lambda rows=rows: matmul_floor(hidden, weight, rows), seconds)
        yield f"three products in chunks of {rows} rows {floor:.3f} ms ({6e-9 * n * d * v / floor:.0f} TFLOP/s)"

    rows = min(n, (512 << 20) // (2 * v))
    tile = torch.randn(rows, v, device=GPU).bfloat16()
    table = gce_triton.view(list(groups.patch_table()), [8], v, GPU)
    scale = torch.full((rows,), 1 / n, device=GPU)
    for columns in (4096, 8192, 16384):
        chosen, gce_triton.TWO_SWEEPS = gce_triton.TWO_SWEEPS, columns
        took = tried(lambda: gce_triton.rows_(tile, table, target[:rows], scale, [1.0, 0.2], 0.0), seconds)
        yield f"row kernel, {rows} rows, in pieces of {columns} columns where a row does not fit: {took}"
        gce_triton.TWO_SWEEPS = chosen

    h, w = hidden.detach(), weight.detach()

    def alone() -> Tensor:
        return linear_grouped_cross_entropy(h, w, target, groups)

    yield f"one product: {tried(lambda: [part @ w.t() for part in h.split(rows)], seconds)}"
    for product_triton.BULK in (False, True):
        for variant in TILES[::2]:
            kept, gce_stream_triton.TILE_HALF = gce_stream_triton.TILE_HALF, variant
            yield f"loss alone, tile {variant}, bulk copies {product_triton.BULK}: {tried(alone, seconds)}"
            gce_stream_triton.TILE_HALF = kept
    yield kernels("loss alone", alone)

    def both(of: Groups | None) -> tuple[Tensor, ...]:
        return torch.autograd.grad(linear_grouped_cross_entropy(hidden, weight, target, of), (hidden, weight))

    for name, of in (("grouped", groups), ("plain", None)):
        yield kernels(name, partial(both, of))


def main(out: Path, seconds: float = 0.05) -> None:
    """Print the profile as it is made, and keep it. seconds: for each figure; 0 only warms compilers up."""
    out.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    steps = [partial(ceilings, seconds)]
    steps += [partial(sample_shape, s, seconds) for s in SAMPLE_SHAPES]
    steps += [partial(gce_shape, s, seconds) for s in GCE_SHAPES]
    for step in steps:
        try:
            for line in step():
                print(line, flush=True)
                lines.append(line)
        except Exception as failure:  # noqa: BLE001  the rest is still worth having
            lines.append(f"failed: {type(failure).__name__}: {str(failure)[:300]}")
            print(lines[-1], flush=True)
        (out / "profile_cuda.txt").write_text("\n".join(lines) + "\n")
        torch.cuda.empty_cache()
