"""Benchmark the fused operators against their peers, side by side in one run.

    python -m trainer.bench gce    [--device cpu|cuda] [--out assets/benchmarks]
    python -m trainer.bench sample [--device cpu|cuda] [--out assets/benchmarks]
    python -m trainer.bench table  [--out assets/benchmarks]     the records there, as Markdown

Writes a JSON record with device, versions and commit, and a plot. --quick takes fewer rounds and only the
first shapes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from mdm_core.ops import describe_backend
from trainer.bench import gce, record, sample


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["gce", "sample", "table"])
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"]
    )
    parser.add_argument("--out", type=Path, default=Path("assets/benchmarks"))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.what == "table":
        found = sorted(arguments.out.glob("gce_*.json")) + sorted(arguments.out.glob("sample_*.json"))
        print("\n\n".join(record.markdown(path) for path in found))
        return
    device = torch.device(arguments.device)
    print(describe_backend(device), flush=True)
    rows: list[dict] = []
    for part in (gce_rows if arguments.what == "gce" else sample_rows)(device, arguments.quick):
        print(record.table(part), flush=True)
        rows += part
        path = record.save(arguments.out, arguments.what, device, rows)  # what is measured is kept
    print("wrote", path)


def gce_rows(device: torch.device, quick: bool) -> Iterator[list[dict]]:
    """The rows of each shape, with groups and without."""
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    shapes = gce.GPU_SHAPES if on_gpu else gce.CPU_SHAPES
    seconds = (0.3 if quick else 1.0) if on_gpu else (1.0 if quick else 4.0)
    for shape in shapes[:3] if quick else shapes:
        for grouped in (True, False):
            part = gce.bench_shape(shape, device, dtype, grouped, seconds, with_errors=not quick)
            if grouped:
                part.append(gce.bench_streaming(shape, device, dtype))
                if on_gpu:
                    part += gce.sweep_tiles(shape, device, dtype, [64, 128, 256, 512, 1024])
            yield part


def sample_rows(device: torch.device, quick: bool) -> Iterator[list[dict]]:
    """The rows of each shape."""
    shapes = sample.GPU_SHAPES if device.type == "cuda" else sample.CPU_SHAPES
    for shape in shapes:
        part = sample.bench_shape(shape, device, 0.5 if quick else 3.0)
        if device.type == "cuda":
            part += sample.sweep_tiles(shape, device)
        yield part


if __name__ == "__main__":
    main()
