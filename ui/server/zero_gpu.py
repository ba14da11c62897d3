"""Hugging Face Spaces with ZeroGPU: the GPU is lent for one call at a time, in a process of its own.

There `spaces` must be imported before torch, weights go to "cuda" while the program starts, and only functions
under `spaces.GPU` may touch it. Carving is such a function: plain arrays go in, step records come out. Decoding and
encoding take 12 ms on the CPU and stay there, so that scrubbing and saving never wait for a GPU.
"""

from collections.abc import Iterator
from typing import Any

SECONDS = 60  # the longest that one picture may hold the GPU


def wrap(cpu: Any, gpu: Any, spaces: Any) -> Any:
    """A pipeline that carves with `gpu` inside `spaces.GPU` and does all else with `cpu`."""

    def carve(prompt: str, given: dict[str, Any]) -> Iterator[Any]:
        yield from gpu.stream(prompt, **given)

    return Lent(cpu, spaces.GPU(duration=SECONDS)(carve))


class Lent:
    """The CPU pipeline in everything but `stream`."""

    def __init__(self, cpu: Any, carve: Any) -> None:
        self._cpu, self._carve = cpu, carve

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cpu, name)

    def stream(self, prompt: str, **given: Any) -> Iterator[Any]:
        """`Pipeline.stream`; what is out of range is refused here, before a GPU is asked for."""
        self._cpu.stream(prompt, **given).close()
        return self._carve(prompt, given)
