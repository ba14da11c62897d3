"""A whole sampling step of a batch, forward pass and all, as a CUDA graph: one launch instead of some two hundred.

A graph does the same work on the same memory at every replay. So what changes from step to step (tokens, prompts,
seeds, the step's number, guidance, temperature) is copied into one buffer first, and what was decided is copied out of
another. Graphs are captured when a batch of their size first comes, and kept: batches are filled up to a power of two
and cut at `BATCH` images, so that there are at most seven with guidance and seven without.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from mdm_core.families.chisel.inference import InferenceModel
from mdm_core.ops import SampleStep

BATCH = 64  # images a graph takes at most
LOG = logging.getLogger(__name__)


class CapturedSteps:
    """The sampler's step on a CUDA device by graphs; see `__call__`."""

    def __init__(self, model: InferenceModel, head: Tensor):
        """head: [V, D], in the type its products run in."""
        self.model, self.head = model, head
        self.graphs: dict[tuple[int, bool], _Graph] = {}
        self.pool = torch.cuda.graph_pool_handle()  # one at a time runs, so they can share their memory
        self.lock = threading.Lock()
        self.broken = False

    @torch.inference_mode()
    def __call__(
        self,
        tokens: Tensor,
        text: Tensor,
        seeds: Sequence[int],
        step: int,
        guidance: float,
        temperature: float,
    ) -> SampleStep | None:
        """The fields of `SampleStep` on the CPU, each [B, L]; None where graphs do not work on this device.

        tokens, text: int64 [B, L] and [B, T], on the CPU. seeds: one an image.
        """
        parts = []
        with self.lock, torch.cuda.device(self.head.device):
            for first in range(0, len(tokens), BATCH):
                part = slice(first, first + BATCH)
                graph = self._graph(len(tokens[part]), guidance != 0)
                if graph is None:
                    return None
                parts.append(graph.run(tokens[part], text[part], seeds[part], step, guidance, temperature))
        columns = torch.cat(parts, 1) if len(parts) > 1 else parts[0]  # int32 [7, B, L]
        return SampleStep(
            *(
                column.view(torch.float32) if kind is torch.float32 else column.long()
                for column, kind in zip(columns, KINDS, strict=True)
            )
        )

    def _graph(self, count: int, guided: bool) -> _Graph | None:
        size = 1 << (count - 1).bit_length()
        if (size, guided) not in self.graphs and not self.broken:
            try:
                self.graphs[size, guided] = _Graph(self.model, self.head, size, guided, self.pool)
            except RuntimeError as error:  # what CUDA, its libraries and the compilers raise
                self.broken = True
                LOG.warning("No CUDA graphs here, sampling goes on without them: %s", error)
        return None if self.broken else self.graphs[size, guided]


KINDS = [torch.int64, torch.float32, torch.int64, *[torch.float32] * 4]  # of SampleStep's fields


class _Graph:
    """The captured step of `size` images."""

    def __init__(
        self, model: InferenceModel, head: Tensor, size: int, guided: bool, pool: torch.cuda._POOL_HANDLE
    ):
        c, device = model.config, head.device
        self.model, self.head, self.size, self.guided, self.length = model, head, size, guided, c.length
        self.counts = [size * c.length, size * c.text_length, size, 3]
        self.host = torch.zeros(sum(self.counts), dtype=torch.int64, pin_memory=True)
        self.input = torch.zeros_like(self.host, device=device)
        self.cells = torch.arange(c.length, device=device).repeat(size)  # [size L]
        self.host[-1:].view(torch.float64).fill_(1.0)  # a temperature
        self.input.copy_(self.host)
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # compilers and libraries make their choices before the capture
            self._work()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
            self.output = self._work()
        self.result = torch.empty(self.output.shape, dtype=torch.int32, pin_memory=True)

    def _work(self) -> Tensor:
        """int32 [7, size L]: SampleStep's fields, whole numbers and the bits of the others."""
        from mdm_core.ops.sample import sample_triton

        tokens, text, seed, numbers = self.input.split(self.counts)
        guidance, temperature = numbers[1:].view(torch.float64)
        hidden = self.model.hidden(
            tokens.view(self.size, -1), text.view(self.size, -1), guidance if self.guided else None
        )
        out = sample_triton.sample_rows(
            hidden.flatten(0, 1),
            self.head,
            tokens,
            temperature,
            seed[:, None].expand(-1, self.length).contiguous().view(-1),
            numbers[0],
            self.cells,
        )
        return torch.stack([x.view(torch.int32) if x.is_floating_point() else x.int() for x in out])

    def run(
        self,
        tokens: Tensor,
        text: Tensor,
        seeds: Sequence[int],
        step: int,
        guidance: float,
        temperature: float,
    ) -> Tensor:
        """int32 [7, B, L] on the CPU, for B images of at most `size`; the places left over do what they did last."""
        B = len(tokens)
        into = self.host.split(self.counts)
        for place, values in zip(into, (tokens, text, torch.tensor(seeds)), strict=False):
            place[: values.numel()].copy_(values.reshape(-1))
        into[3][0] = step
        into[3][1:].view(torch.float64).copy_(torch.tensor([guidance, temperature], dtype=torch.float64))
        self.input.copy_(self.host, non_blocking=True)
        self.graph.replay()
        self.result.copy_(self.output, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return self.result.view(7, self.size, self.length)[:, :B].clone()
