"""Where the time of training steps goes: a few of them recorded by torch.profiler, in the run itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

WARM = 30  # steps before: they compile and tune, and drafts come every few steps
ROWS = 40  # of the table
NAMES = "trace.txt", "trace.json.gz"


class Trace:
    """Records `steps` steps of this process once WARM are over, and writes a table and a timeline of them.

    Files of `out`: trace.txt, what took longest, and trace.json.gz, every operation and kernel in its time, which
    https://ui.perfetto.dev and chrome://tracing show. The recording itself makes steps a little slower.
    """

    def __init__(self, out: Path, steps: int, device: torch.device, say: Callable[[str], None]) -> None:
        self.out, self.steps, self.device, self.say = out, steps, device, say
        self.seen = 0
        self.record: profile | None = None
        self.began = 0.0

    def step(self) -> None:
        """Call after each step."""
        self.seen += 1
        if self.seen == WARM:
            kinds = [ProfilerActivity.CPU]
            if self.device.type == "cuda":
                kinds.append(ProfilerActivity.CUDA)
                torch.cuda.synchronize(self.device)
            self.record = profile(activities=kinds)
            self.record.start()
            self.began = time.perf_counter()
        elif self.record is not None and self.seen == WARM + self.steps:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            seconds = time.perf_counter() - self.began
            self.record.stop()
            self.write(self.record, seconds)
            self.record = None

    def write(self, record: profile, seconds: float) -> None:
        """Both files, and one line for people."""
        by = "self_device_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        told = f"{self.steps} steps of {1e3 * seconds / self.steps:.1f} ms"
        if self.device.type == "cuda":
            kernels = [
                (e.time_range.start, e.time_range.end)
                for e in record.events() or ()
                if e.device_type == DeviceType.CUDA
                and not e.is_user_annotation  # the span of a named region, idle time and all
            ]
            told += f", {len(kernels) / self.steps:,.0f} kernels each"
            told += f", the GPU at work {covered(kernels) / 1e6 / seconds:.0%} of the time"
        table = record.key_averages().table(sort_by=by, row_limit=ROWS, max_name_column_width=80)
        (self.out / NAMES[0]).write_text(f"{told}\n{table}\n", encoding="utf-8")
        record.export_chrome_trace(str(self.out / NAMES[1]))
        self.say(f"{told}: see {self.out / NAMES[0]}")


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
