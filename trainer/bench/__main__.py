"""Benchmark the fused operators against their peers, side by side in one run.

    python -m trainer bench gce    [--device cpu|cuda] [--out assets/benchmarks]
    python -m trainer bench sample [--device cpu|cuda] [--out assets/benchmarks]
    python -m trainer bench profile [--out assets/benchmarks]    where a GPU's time goes, kernel by kernel
    python -m trainer bench table  [--out assets/benchmarks]     the records there, as Markdown
                           table --readme README.md         renews the README's summary of them

Writes a JSON record with device, versions and commit, and a plot. --quick takes fewer rounds and only the
first shapes. --shape N,D,V (again for more) measures only these, and keeps the record's other shapes if they
come from the same device and versions; each row names its commit. Whole training steps, several devices and whole
pictures are commands of their own, which `python -m trainer` lists.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mdm_core.device import default
from mdm_core.ops import describe_backend
from trainer import record
from trainer.bench import gce, sample
from trainer.command import ask, run_command
from trainer.settings.bench import Operators


def main() -> None:
    arguments = ask(Operators, __doc__)
    if arguments.what == "table" and arguments.readme:
        text = arguments.readme.read_text()
        arguments.readme.write_text(record.replace_block(text, record.summary(arguments.out)))
        return
    if arguments.what == "table":
        found = sorted(arguments.out.glob("gce_*.json")) + sorted(arguments.out.glob("sample_*.json"))
        if not found:
            raise ValueError(
                f"{arguments.out} holds no records: run this in a clone of Chisel, or name their folder with --out."
            )
        print("\n\n".join(record.markdown(path) for path in found))
        return
    if arguments.what == "profile" and not torch.cuda.is_available():
        raise ValueError("the profile reads a GPU's kernels, and this machine has no CUDA device.")
    if arguments.what == "profile":
        from trainer.bench import kernel_profile  # Triton and a GPU

        return kernel_profile.main(arguments.out, 0.05 if arguments.seconds is None else arguments.seconds)
    shapes = list(arguments.shape) if arguments.shape else None
    device = torch.device(arguments.device or default())
    print(describe_backend(device), flush=True)
    environment = record.environment(device, arguments.commit, arguments.note)
    rows = record.others(arguments.out, arguments.what, device, environment, shapes)
    measure = gce_rows if arguments.what == "gce" else sample_rows
    for part in measure(device, arguments.quick, shapes, arguments.seconds):
        print(record.table(part), flush=True)
        rows += [row | {"commit": environment["commit"]} for row in part]
        path = record.save(arguments.out, arguments.what, device, rows, environment)  # kept as it comes
    print("wrote", path)


def gce_rows(
    device: torch.device, quick: bool, shapes: list | None, seconds: float | None
) -> Iterator[list[dict]]:
    """The rows of each shape, with groups and without."""
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    shapes = shapes or (gce.GPU_SHAPES if on_gpu else gce.CPU_SHAPES)[: 3 if quick else None]
    if seconds is None:
        seconds = (0.3 if quick else 1.0) if on_gpu else (1.0 if quick else 4.0)
    for shape in shapes:
        for grouped in (True, False):
            part = gce.bench_shape(shape, device, dtype, grouped, seconds, with_errors=not quick)
            if grouped:
                part.append(gce.bench_streaming(shape, device, dtype, seconds))
                if on_gpu:
                    part += gce.sweep_tiles(shape, device, dtype, [256, 512, 1024, 2048], seconds / 2)
            yield part


def sample_rows(
    device: torch.device, quick: bool, shapes: list | None, seconds: float | None
) -> Iterator[list[dict]]:
    """The rows of each shape."""
    if seconds is None:
        seconds = 0.5 if quick else 3.0
    for shape in shapes or (sample.GPU_SHAPES if device.type == "cuda" else sample.CPU_SHAPES):
        part = sample.bench_shape(shape, device, seconds)
        if device.type == "cuda":
            part += sample.sweep_tiles(shape, device, seconds / 2)
        yield part


if __name__ == "__main__":
    run_command(main)
