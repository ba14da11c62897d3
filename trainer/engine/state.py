"""The whole state of a run as named tensors and JSON, and back: what makes a resumed run equal to an unbroken one.

Tensors are stored whole, whatever the number of processes: a run may go on with another number of devices.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from trainer.engine import checkpoint
from trainer.engine.parallel import full, part_of

if TYPE_CHECKING:
    from trainer.engine.loop import Trainer


def save(trainer: Trainer) -> None:
    """Write a checkpoint into the run folder; every process must call this.

    Raises CheckpointError when it cannot be written, or when a weight is not finite: a bad state never takes the
    place of a good one.
    """
    tensors = _tensors(trainer)
    state = _numbers(trainer)
    failure: list[str] = []
    if trainer.parallel.main:
        try:
            checkpoint.save(
                folder(trainer.out),
                trainer.step,
                _finite(tensors),
                state,
                score=trainer.score,
                keep_last=trainer.recipe.keep_last,
                keep_best=trainer.recipe.keep_best,
            )
        except checkpoint.CheckpointError as error:
            failure.append(str(error))
    for _ in tensors:  # gathering is a collective: every process goes through all of it, come what may
        pass
    failure = [f for each in trainer.parallel.gather(failure) for f in each]
    if failure:
        raise checkpoint.CheckpointError(failure[0])


def load(trainer: Trainer) -> bool:
    """Bring back the newest whole checkpoint of the run folder; False when there is none.

    Raises ValueError when the checkpoint belongs to another model.
    """
    found = [None]
    if trainer.parallel.main:  # one process reads and checks all the bytes
        path = checkpoint.newest(folder(trainer.out))
        torn = [d.name for d in sorted(folder(trainer.out).glob("step-*")) if path is None or d > path]
        if torn:
            trainer.reporter.say(f"passed over torn checkpoints: {', '.join(torn)}")
        found = [None if path is None else str(path)]
    path = trainer.parallel.gather(found[0])[0]
    if path is None:
        return False
    reader = checkpoint.Reader(Path(path))
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    with torch.no_grad():
        for (name, p), s in zip(trainer.model.named_parameters(), trainer.ema.shadow, strict=True):
            _fill(p, reader[f"model.{name}"], path, name)
            _fill(s, reader[f"ema.{name}"], path, name)
    for optimizer in trainer.optimizers:
        optimizer.state.clear()
        for group in optimizer.param_groups:
            for p in group["params"]:
                prefix = f"optimizer.{names[id(p)]}."
                for key in [k for k in reader if k.startswith(prefix)]:
                    optimizer.state[p][key.removeprefix(prefix)] = _like(reader[key], p, group)
    _restore_numbers(trainer, reader.state)
    return True


def folder(out: Path) -> Path:
    return out / "checkpoints"


# ---- parts ------------------------------------------------------------------------------------------------


def _tensors(trainer: Trainer) -> Iterator[tuple[str, Tensor]]:
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    for (name, p), s in zip(trainer.model.named_parameters(), trainer.ema.shadow, strict=True):
        yield f"model.{name}", full(p.detach())
        yield f"ema.{name}", full(s)
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                for key, value in optimizer.state[p].items():
                    yield f"optimizer.{names[id(p)]}.{key}", full(value)


def _finite(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors:
        if not torch.isfinite(tensor).all():
            raise checkpoint.CheckpointError(f"{name} holds values that are not finite: nothing was saved")
        yield name, tensor


def _fill(target: Tensor, whole: Tensor, path: str, name: str) -> None:
    if target.shape != whole.shape:
        raise ValueError(
            f"the checkpoint {path} holds {name} with shape {list(whole.shape)}, the recipe asks for "
            f"{list(target.shape)}: use another --out folder"
        )
    mine = part_of(whole, target)
    (target.to_local() if hasattr(target, "to_local") else target).copy_(mine)


def _like(value: Tensor, p: Tensor, group: dict[str, Any]) -> Tensor:
    """An optimiser's state tensor where that optimiser wants it."""
    if value.shape != p.shape:  # AdamW's step count
        return value.to(p.device) if group.get("fused") or group.get("capturable") else value
    if not hasattr(p, "to_local"):
        return value.to(p.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(p.device), p.device_mesh, p.placements)


def _numbers(trainer: Trainer) -> dict[str, Any]:
    """What is no tensor; a collective, because every process has random states and a place in its data."""
    mine = {"rng": rng_state(trainer.device)}
    if hasattr(trainer.source, "state_dict"):
        mine["stream"] = trainer.source.state_dict()
    return {
        "step": trainer.step,
        "samples": trainer.samples,
        "micro_batches": trainer.micro_batches,
        "position": trainer.position,
        "seconds": trainer.seconds,
        "log": trainer.log,
        "pending": trainer.pending,
        "skipped": trainer.skipped,
        "score": trainer.score,
        "ema_step": trainer.ema.step,
        "lr": [[group["lr"] for group in o.param_groups] for o in trainer.optimizers],
        "processes": trainer.parallel.gather(mine),
    }


def _restore_numbers(trainer: Trainer, state: dict[str, Any]) -> None:
    for name in ("step", "samples", "seconds", "log", "pending", "skipped", "score"):
        setattr(trainer, name, state[name])
    trainer.micro_batches, trainer.position = _place(state, trainer.recipe)
    trainer.ema.step = state["ema_step"]
    for optimizer, rates in zip(trainer.optimizers, state["lr"], strict=True):
        for group, lr in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
    processes = state["processes"]
    if len(processes) == trainer.parallel.world:
        mine = processes[trainer.parallel.rank]
        set_rng_state(mine["rng"], trainer.device)
        if "stream" in mine:
            trainer.source.load_state_dict(mine["stream"])
    elif "stream" in processes[0]:
        if not hasattr(trainer.source, "join"):
            raise ValueError(
                f"a streamed dataset was read by {len(processes)} processes: go on with as many, not with "
                f"{trainer.parallel.world}"
            )
        trainer.source.join([p["stream"] for p in processes])


def _place(state: dict[str, Any], recipe: Any) -> tuple[int, int]:
    """(micro-batches, samples) drawn so far by all processes; derived for checkpoints that do not say.

    Where an old checkpoint does not tell how many micro-batches its samples were, the number is taken that is no
    smaller for certain: seeds of masks and flips hang on it and must not come again.
    """
    if "micro_batches" in state:
        return int(state["micro_batches"]), int(state["position"])
    samples, size = int(state["samples"]), recipe.data.batch_size
    usual = state["step"] * len(state["processes"]) * recipe.accumulate * size
    return (samples // size if samples == usual else samples), samples


def rng_state(device: torch.device) -> dict[str, Any]:
    """The state of every random number generator of this process, as JSON values."""
    version, numbers, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, keys.tolist(), position, has_gauss, cached],
        "torch": bytes(torch.get_rng_state().tolist()).hex(),
    }
    if device.type == "cuda":
        state["cuda"] = bytes(torch.cuda.get_rng_state(device).tolist()).hex()
    return state


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """The inverse of `rng_state`."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), position, has_gauss, cached))
    torch.set_rng_state(torch.tensor(list(bytes.fromhex(state["torch"])), dtype=torch.uint8))
    if device.type == "cuda" and "cuda" in state:
        cuda = torch.tensor(list(bytes.fromhex(state["cuda"])), dtype=torch.uint8)
        torch.cuda.set_rng_state(cuda, device)
