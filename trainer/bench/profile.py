"""Where the time goes on a GPU: floors measured in the same run, kernels alone, tables by kernel.

    python -m trainer.bench profile --out OUT

Everything is printed and kept in OUT/profile_cuda.txt. A floor is what the library's matrix products take
alone; a kernel's figure comes with the share of the copy bandwidth or of the products' rate it reaches.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from mdm_core.ops import gce_triton, linear_grouped_cross_entropy, sample_step, sample_triton
from trainer.bench.gce import make_groups, matmul_floor, problem
from trainer.bench.measure import times

GCE_SHAPES = [(8192, 1024, 16384), (16384, 2048, 65536)]
SAMPLE_SHAPES = [(1024, 1024, 16384), (4096, 2048, 65536)]
GPU = torch.device("cuda")


def milliseconds(run, seconds: float = 0.1) -> float:
    return times({"run": run}, GPU, seconds)["run"]


def graphed(run):
    """The same work as one CUDA graph: the device's time without the launches'."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def kernels(name: str, run) -> str:
    """The profiler's table of device time per kernel, two calls."""
    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as record:
        run()
        run()
        torch.cuda.synchronize()
    events = [e for e in record.key_averages() if e.self_device_time_total > 0]
    events.sort(key=lambda e: -e.self_device_time_total)
    lines = [f"{name}: device microseconds per call, calls, kernel"]
    lines += [f"  {e.self_device_time_total / 2:10.1f} {e.count / 2:6.1f}  {e.key[:90]}" for e in events[:12]]
    return "\n".join(lines)


def ceilings() -> list[str]:
    """Copy bandwidth and the bf16 product's rate, the two numbers everything else is read against."""
    a = torch.randn(1 << 30, device=GPU)
    b = torch.empty_like(a)
    copy = milliseconds(lambda: b.copy_(a))
    x, y = (torch.randn(8192, 8192, device=GPU).bfloat16() for _ in range(2))
    product = milliseconds(lambda: x @ y)
    return [f"copy {8.59 / copy:.2f} TB/s, 8192^3 bf16 product {1.0995e3 / product:.0f} TFLOP/s"]


def gce_shape(shape: tuple[int, int, int]) -> list[str]:
    n, d, v = shape
    lines = [f"== GCE N, D, V = {shape}, bf16"]
    hidden, weight, target = problem(shape, GPU, torch.bfloat16)
    groups, _ = make_groups(v, GPU)
    for mib in (256, 512, 1024):
        rows = max(1, (mib << 20) // (2 * v))
        floor = milliseconds(lambda rows=rows: matmul_floor(hidden, weight, rows))
        lines.append(
            f"three products in chunks of {mib} MiB {floor:.3f} ms ({6e-9 * n * d * v / floor:.0f} TFLOP/s)"
        )
    h, w = hidden.detach(), weight.detach()
    rows = min(n, (512 << 20) // (2 * v))
    part, tile = h[:rows], torch.randn(rows, v, device=GPU).bfloat16()
    wide, half = torch.zeros(v, d, device=GPU), torch.zeros(v, d, device=GPU, dtype=torch.bfloat16)
    pieces = {
        f"z = h w^t, {rows} rows": lambda: torch.mm(part, w.t(), out=tile),
        "dh = t w": lambda: tile @ w,
        "dw = t^t h, bf16": lambda: torch.mm(tile.t(), part, out=half),
        "dw += t^t h, fp32": lambda: torch.addmm(wide, tile.t(), part, out_dtype=torch.float32, out=wide),
        "dw = t^t h, fp32, beta 0": lambda: torch.addmm(
            wide, tile.t(), part, out_dtype=torch.float32, beta=0, out=wide
        ),
        "dw to bf16": lambda: wide.to(torch.bfloat16),
    }
    for name, run in pieces.items():
        lines.append(f"{name}: {milliseconds(run):.3f} ms")
    plain = gce_triton.view([], [], v, GPU)
    table = gce_triton.view(list(groups.patch_table()), [8], v, GPU)
    scale = torch.full((rows,), 1 / n, device=GPU)
    chosen = gce_triton._warps
    for warps in (4, 8, 16, 32):
        gce_triton._warps = lambda columns, warps=warps: warps
        for name, groups_, coefficients in (("plain", plain, [1.0]), ("grouped", table, [1.0, 0.2])):
            ms = milliseconds(
                lambda g=groups_, c=coefficients: gce_triton.rows_(tile, g, target[:rows], scale, c, 0.0)
            )
            lines.append(
                f"row kernel, {name}, {rows} rows, {warps} warps: {ms:.3f} ms, {4e-9 * rows * v / ms:.2f} TB/s"
            )
    gce_triton._warps = chosen

    def both(groups):
        return lambda: torch.autograd.grad(
            linear_grouped_cross_entropy(hidden, weight, target, groups), (hidden, weight)
        )

    def alone():
        return linear_grouped_cross_entropy(h, w, target, groups)

    for name, run in (("grouped", both(groups)), ("plain", both(None)), ("loss alone", alone)):
        lines.append(f"{name}: {milliseconds(run, 0.3):.3f} ms")
        lines.append(kernels(name, run))
    lines.append(f"one product: {milliseconds(lambda: [p @ w.t() for p in h.split(rows)]):.3f} ms")
    return lines


def sample_shape(shape: tuple[int, int, int]) -> list[str]:
    n, d, v = shape
    lines = [f"== sampling N, D, V = {shape}, bf16"]
    hidden = torch.randn(n, d, device=GPU) * d**-0.5
    weight = torch.randn(v, d, device=GPU).bfloat16()
    half, current = hidden.bfloat16(), torch.full((n,), v, device=GPU)
    floor = milliseconds(graphed(lambda: half @ weight.t()))
    lines.append(f"one product {floor:.4f} ms ({2e-9 * n * d * v / floor:.0f} TFLOP/s)")

    def ours():
        return sample_step(hidden, weight, current, seed=1, step=3)

    chosen = sample_triton.TILE_HALF
    for tile in [
        (128, 128, 64, 4, 3), (128, 128, 64, 4, 4), (128, 128, 64, 8, 3), (128, 128, 64, 8, 4),
        (128, 256, 64, 8, 3), (128, 256, 64, 8, 4), (64, 256, 64, 4, 4), (256, 128, 64, 8, 3),
    ]:  # fmt: skip
        sample_triton.TILE_HALF = tile
        try:
            eager, replayed = milliseconds(ours), milliseconds(graphed(ours))
            lines.append(
                f"tile {tile}: {eager:.4f} ms launched, {replayed:.4f} ms replayed ({replayed / floor:.2f} x floor)"
            )
        except Exception as failure:  # noqa: BLE001  a tile may not fit the device
            lines.append(f"tile {tile}: {type(failure).__name__}: {str(failure)[:100]}")
    sample_triton.TILE_HALF = chosen
    lines.append(kernels("sample_step", ours))
    return lines


def main(out: Path) -> None:
    """Print the profile as it is made, and keep it."""
    out.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    steps = [ceilings, *(lambda s=s: sample_shape(s) for s in SAMPLE_SHAPES)]
    steps += [lambda s=s: gce_shape(s) for s in GCE_SHAPES]
    for step in steps:
        try:
            part = step()
        except Exception as failure:  # noqa: BLE001  the rest is still worth having
            part = [f"failed: {type(failure).__name__}: {str(failure)[:300]}"]
        print("\n".join(part), flush=True)
        lines += part
        (out / "profile_cuda.txt").write_text("\n".join(lines) + "\n")
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main(Path("assets/benchmarks"))
