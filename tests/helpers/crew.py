"""Processes that start in a blink: forked from a server that has PyTorch, accelerate and our trainer loaded already."""

from __future__ import annotations

import functools
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

LONGEST = 600  # seconds that processes may take for which a test gives no time
PRELOADED = ["accelerate", "tiny_run", "tiny_tokenizer", "torch._dynamo"]


@functools.cache
def context():
    """The server. Python below 3.12.8 gives it no sys.path; what it cannot import each process would import anew."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    first = found.Process(target=int)  # starts the server
    first.start()
    first.join()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
    return found


class Crew:
    """`world` processes that call `work(*arguments)` as peers on this machine's CPU, as torchrun would start them."""

    def __init__(self, world: int, work: Callable[..., Any], *arguments: Any):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.pipes: list[Connection] = []
        self.processes = []
        for rank in range(world):
            mine, theirs = context().Pipe(duplex=False)
            told = (rank, world, port, theirs, work, arguments)
            process = context().Process(target=_member, args=told, daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(mine)
            self.processes.append(process)

    def results(self) -> list[Any]:
        """What each of them returned; AssertionError where one ended by an error, which stands in the output."""
        found = self.wait()
        assert found is not None, [p.exitcode for p in self.processes]
        return found

    def wait(self, seconds: float | None = None) -> list[Any] | None:
        """`results` where all end well; None, and all are killed, where one does not, or not within so many seconds.

        What they return is read as it comes: who returns more than a pipe holds cannot end before.
        """
        end = time.monotonic() + (LONGEST if seconds is None else seconds)
        found: dict[Connection, Any] = {}
        while len(found) < len(self.pipes):
            ready = wait([p for p in self.pipes if p not in found], max(0.0, end - time.monotonic()))
            try:
                found.update({pipe: pipe.recv() for pipe in self.pipes if pipe in ready})
            except EOFError:  # ended without an answer
                ready = []
            if not ready:
                self.kill()
                assert seconds is not None or time.monotonic() < end, f"nobody ended in {LONGEST} seconds"
                return None
        self.join()
        return None if any(p.exitcode for p in self.processes) else [found[pipe] for pipe in self.pipes]

    def kill(self) -> None:
        """SIGKILL to all, and wait until they are gone."""
        for process in self.processes:
            process.kill()
        self.join()

    def join(self) -> None:
        for process in self.processes:
            process.join()


def _member(
    rank: int, world: int, port: int, pipe: Connection, work: Callable[..., Any], told: tuple
) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        ACCELERATE_USE_CPU="true",
        GLOO_SOCKET_IFNAME="lo",
    )
    found = work(*told)
    pipe.send(found)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # who leaves first would break the connections of the others
    sys.stdout.flush()
    os._exit(0)  # as Parallel.close does, and why
