"""One process or many: what the loop asks of the devices it runs on.

One process needs nothing but PyTorch. Started by `accelerate launch`, each process holds one device, and the
module is wrapped for data parallelism, either whole on every device (DDP) or in shards (FSDP2, `fully_shard`).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn

from mdm_core.device import usable

if TYPE_CHECKING:  # none of it is needed by one process
    from torch.distributed.tensor import DTensor


class Parallel:
    """This process among its peers.

    Args:
        device: wanted in a single process; under `accelerate launch` each process gets its own.
        shard: split parameters, gradients and optimiser states over the processes (FSDP2).
        log_with: tracker of accelerate, e.g. "tensorboard", and the folder it writes to.
    """

    def __init__(
        self, device: torch.device | None = None, shard: bool = False, tracker: tuple[str, Any] | None = None
    ):
        self.accelerator: Any = None
        launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
        if launched or tracker:
            on_cpu = device is not None and device.type == "cpu"
            self.accelerator = _accelerator(on_cpu or not torch.cuda.is_available(), tracker)
        if launched:
            a = self.accelerator
            self.rank, self.world, self.device = a.process_index, a.num_processes, a.device
            shard = shard or a.distributed_type.value == "FSDP"
        else:
            self.rank, self.world = 0, 1
            self.device = usable(device)
        self.shard = shard and launched
        # numbers of the host go from host to host: through a GPU they would wait for all that it still has to do
        self.hosts = torch.distributed.new_group(backend="gloo") if launched else None

    @property
    def main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def wrap(self, module: nn.Module, blocks: Sequence[nn.Module] = (), bf16: bool = False) -> nn.Module:
        """The module as the loop calls it. `blocks` are the units of sharding."""
        if self.world == 1:
            return module
        if not self.shard:
            devices = [self.device] if self.device.type == "cuda" else None
            return nn.parallel.DistributedDataParallel(module, devices, gradient_as_bucket_view=True)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        mesh = init_device_mesh(self.device.type, (self.world,))
        # weights are gathered in bf16 and gradients summed in fp32; on the CPU everything stays fp32
        low = bf16 and self.device.type == "cuda"
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if low else MixedPrecisionPolicy()
        for block in blocks:
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(module, mesh=mesh, mp_policy=policy)
        return module

    def accumulating(self, module: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Context of one micro-batch's backward pass: only the last one exchanges gradients."""
        if self.world == 1:
            return contextlib.nullcontext()
        if self.shard:
            from torch.distributed.fsdp import FSDPModule

            assert isinstance(module, FSDPModule)
            module.set_requires_gradient_sync(last)
            return contextlib.nullcontext()
        assert isinstance(module, nn.parallel.DistributedDataParallel)
        return contextlib.nullcontext() if last else module.no_sync()

    def agree(self, values: list[float]) -> list[float]:
        """The largest of each number over the processes, in every process.

        Clocks differ, all must stop at the same step, and a signal may reach any one of them.
        """
        if self.world == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX, self.hosts)
        return shared.tolist()

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes."""
        if self.world > 1:
            torch.distributed.all_reduce(value)
            value = value / self.world
        return value

    def gather(self, value: Any) -> list[Any]:
        """Each process's (small, picklable) value, in every process."""
        if self.world == 1:
            return [value]
        out: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(out, value)
        return out

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            torch.distributed.barrier()

    def close(self) -> None:
        """Leave the others, when nothing is left to do together.

        This ends the process, so it comes last: Gloo's threads may still hold tensors, and taking the interpreter down
        around them crashes now and then (PyTorch pull request 179291).
        """
        if self.world > 1:
            torch.distributed.destroy_process_group()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def open_device(name: str | None) -> torch.device | None:
    """The device of a command line, None for the default; ValueError when this machine does not have it."""
    return None if name is None else usable(name)


def sharded(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether each process holds a part of it."""
    return hasattr(tensor, "to_local")


def full(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor (a collective: every process must ask); others as they are."""
    return tensor.full_tensor() if sharded(tensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor, sharing its memory; others as they are."""
    return tensor.to_local() if sharded(tensor) else tensor


def rows_of(tensor: Tensor) -> tuple[Tensor, int] | None:
    """(the rows that this process holds of a sharded tensor, the number of the first one); None for a whole one."""
    if not sharded(tensor):
        return None
    from torch.distributed.tensor import Shard

    mesh = tensor.device_mesh
    if tuple(tensor.placements) != (Shard(0),):
        raise ValueError(
            f"tensors are spread by rows over one dimension of devices, not as {tensor.placements}"
        )
    each = -(-len(tensor) // mesh.size())
    return tensor.to_local(), min(each * mesh.get_local_rank(), len(tensor))


def _accelerator(cpu: bool, tracker: tuple[str, Any] | None) -> Any:
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError as error:
        raise ValueError("several processes and trackers need accelerate: pip install accelerate") from error
    extra = {"log_with": tracker[0], "project_dir": str(tracker[1])} if tracker else {}
    # processes wait for one that validates, draws or exports
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=1))
    return Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[patience], **extra)
