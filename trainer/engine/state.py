"""The whole state of a run as named tensors and JSON, and back: what makes a resumed run equal to an unbroken one.

A run is a dict of parts, each of which owns its state: nothing here knows who trains what. A part's tensors are stored
as PART.NAME, its JSON values side by side with those of the others. Tensors are stored whole, whatever the number of
processes: a run may go on with another number of devices.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trainer.engine import checkpoint
from trainer.engine.optim import EMA
from trainer.engine.parallel import Parallel, full, part_of


class Stateful(Protocol):
    """A part of a run: tensors and JSON values by name, which it alone reads and writes."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


Parts = Mapping[str, Stateful]


def save(
    out: Path,
    step: int,
    parts: Parts,
    parallel: Parallel,
    *,
    score: float | None = None,
    keep_last: int = 2,
    keep_best: int = 1,
) -> None:
    """Write a checkpoint into the run folder; every process must call this.

    Raises CheckpointError when it cannot be written, or when a weight is not finite: a bad state never takes the
    place of a good one.
    """
    tensors, numbers = split(parts)
    failure: list[str] = []
    if parallel.main:
        try:
            checkpoint.save(
                folder(out),
                step,
                _finite(tensors),
                numbers,
                score=score,
                keep_last=keep_last,
                keep_best=keep_best,
            )
        except checkpoint.CheckpointError as error:
            failure.append(str(error))
    # gathering is a collective: every process goes through all of it, come what may
    for _ in tensors:
        pass
    failure = [f for each in parallel.gather(failure) for f in each]
    if failure:
        raise checkpoint.CheckpointError(failure[0])


def load(
    out: Path,
    parts: Parts,
    parallel: Parallel,
    say: Callable[[str], None],
    opened: Callable[[Path], checkpoint.Reader] = checkpoint.Reader,
) -> bool:
    """Bring back the newest whole checkpoint of the run folder, as `opened` gives it; False when there is none.

    Raises ValueError when the checkpoint belongs to another model.
    """
    found = [None]
    if parallel.main:  # one process reads and checks all the bytes
        path = checkpoint.newest(folder(out))
        torn = [d.name for d in sorted(folder(out).glob("step-*")) if path is None or d > path]
        if torn:
            say(f"passed over torn checkpoints: {', '.join(torn)}")
        found = [None if path is None else str(path)]
    path = parallel.gather(found[0])[0]
    if path is None:
        return False
    reader = opened(Path(path))
    for name, part in parts.items():
        part.load_state_dict(Stored(reader, name))
    return True


def split(parts: Parts) -> tuple[Iterator[tuple[str, Tensor]], dict[str, Any]]:
    """(whole tensors by name, one after the other; JSON values) of all parts; collectives, both of them."""
    states = {name: part.state_dict() for name, part in parts.items()}
    numbers = {k: v for state in states.values() for k, v in state.items() if not isinstance(v, Tensor)}
    tensors = (
        (f"{name}.{k}", full(v))
        for name, state in states.items()
        for k, v in state.items()
        if isinstance(v, Tensor)
    )
    return tensors, numbers


class Stored(Mapping):
    """What a checkpoint holds of one part; tensors are read when asked for."""

    def __init__(self, reader: checkpoint.Reader, part: str):
        self.reader, self.prefix = reader, part + "."

    def __getitem__(self, name: str) -> Any:
        if self.prefix + name not in self.reader and name in self.reader.state:
            return self.reader.state[name]
        return self.reader[self.prefix + name]

    def __contains__(self, name: object) -> bool:
        return self.prefix + str(name) in self.reader or name in self.reader.state

    def __iter__(self) -> Iterator[str]:
        yield from (k.removeprefix(self.prefix) for k in self.reader if k.startswith(self.prefix))
        yield from self.reader.state

    def __len__(self) -> int:
        return sum(1 for _ in self)


def folder(out: Path) -> Path:
    return out / "checkpoints"


# ---- parts ------------------------------------------------------------------------------------------------


class Weights:
    """The parameters of a model, by their names."""

    def __init__(self, model: nn.Module):
        self.model = model

    def state_dict(self) -> dict[str, Any]:
        return {name: p.detach() for name, p in self.model.named_parameters()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, p in self.model.named_parameters():
            _fill(p, state, name)


class Averages:
    """The averaged weights of a model, by the names of its parameters."""

    def __init__(self, ema: EMA, model: nn.Module):
        self.ema, self.names = ema, [name for name, _ in model.named_parameters()]

    def state_dict(self) -> dict[str, Any]:
        return {**dict(zip(self.names, self.ema.shadow, strict=True)), "ema_step": self.ema.step}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, shadow in zip(self.names, self.ema.shadow, strict=True):
            _fill(shadow, state, name)
        self.ema.step = state["ema_step"]


class Optimizers:
    """What optimisers remember of each parameter, as PARAMETER.KEY, and the rate of each of their groups."""

    def __init__(self, optimizers: list[torch.optim.Optimizer], model: nn.Module):
        self.optimizers, self.names = optimizers, {id(p): name for name, p in model.named_parameters()}

    def state_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    found |= {f"{self.names[id(p)]}.{k}": v for k, v in optimizer.state[p].items()}
        return {**found, "lr": [[group["lr"] for group in o.param_groups] for o in self.optimizers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        kept: dict[str, list[str]] = {}  # a parameter's name -> what is remembered of it
        for name in state:
            parameter, _, key = name.rpartition(".")
            kept.setdefault(parameter, []).append(key)
        for optimizer, rates in zip(self.optimizers, state["lr"], strict=True):
            optimizer.state.clear()
            for group, lr in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = lr
                for p in group["params"]:
                    parameter = self.names[id(p)]
                    for key in kept.get(parameter, ()):
                        optimizer.state[p][key] = _like(state[f"{parameter}.{key}"], p, group)


class Processes:
    """What every process has of its own: random states, and its place in a streamed dataset."""

    def __init__(self, parallel: Parallel, source: Any):
        self.parallel, self.source = parallel, source

    def state_dict(self) -> dict[str, Any]:
        """A collective."""
        mine = {"rng": rng_state(self.parallel.device)}
        if hasattr(self.source, "state_dict"):
            mine["stream"] = self.source.state_dict()
        return {"processes": self.parallel.gather(mine)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        processes = state["processes"]
        if not processes:  # checkpoints of the image tokenizer of before did not tell
            return
        if len(processes) == self.parallel.world:
            mine = processes[self.parallel.rank]
            set_rng_state(mine["rng"], self.parallel.device)
            if "stream" in mine:
                self.source.load_state_dict(mine["stream"])
        elif "stream" in processes[0]:
            if not hasattr(self.source, "join"):
                raise ValueError(
                    f"a streamed dataset was read by {len(processes)} processes: go on with as many, not with "
                    f"{self.parallel.world}"
                )
            self.source.join([p["stream"] for p in processes])


def _finite(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors:
        if not torch.isfinite(tensor).all():
            raise checkpoint.CheckpointError(f"{name} holds values that are not finite: nothing was saved")
        yield name, tensor


def _fill(target: Tensor, state: Mapping[str, Any], name: str) -> None:
    whole = state[name]
    where = f" {state.reader.path}" if isinstance(state, Stored) else ""
    if target.shape != whole.shape:
        raise ValueError(
            f"the checkpoint{where} holds {name} with shape {list(whole.shape)}, the recipe asks for "
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


def place(state: Mapping[str, Any], accumulate: int, size: int) -> tuple[int, int]:
    """(micro-batches, samples) drawn so far by all processes; derived for checkpoints that do not say.

    Where an old checkpoint does not tell how many micro-batches its samples were, the number is taken that is no
    smaller for certain: seeds of masks and flips hang on it and must not come again.
    """
    if "micro_batches" in state:
        return int(state["micro_batches"]), int(state["position"])
    samples = int(state["samples"])
    usual = state["step"] * len(state["processes"]) * accumulate * size
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
