"""The whole state of a run as named tensors and JSON, and back: what makes a resumed run equal to an unbroken one.

A run is a dict of parts, each of which owns its state: nothing here knows who trains what. A part's tensors are stored
as PART.NAME, its JSON values side by side with those of the others. A run may go on with another number of devices:
each process takes the rows that it holds of every tensor, whoever wrote them.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trainer.engine import checkpoint
from trainer.engine.checkpoint import Rows
from trainer.engine.optim import EMA
from trainer.engine.parallel import Parallel, local, rows_of, sharded


class Stateful(Protocol):
    """A part of a run: tensors and JSON values by name, which it alone reads and writes."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Stored) -> None: ...


Parts = Mapping[str, Stateful]
PATIENCE = 60.0  # seconds for the parts of other processes where a run ends by an error


class Saver:
    """Writes checkpoints of a run while it goes on, one at a time; every process has one, and calls alike.

    Each process copies what it holds and writes that in a thread of its own, so that nobody gathers anything: of a run
    in shards its rows, otherwise the main process everything. The main process makes a checkpoint of the parts.
    """

    def __init__(self, out: Path, parts: Parts, parallel: Parallel):
        self.folder, self.parts, self.parallel = folder(out), parts, parallel
        self.writers = parallel.world if parallel.shard else 1
        self._thread = threading.Thread()  # that of the last save
        self._under_way = False
        self._failure: str | None = None  # of this process's thread
        self._given_up = threading.Event()  # a part of another process will never come

    def save(self, step: int, *, score: float | None = None, keep_last: int = 2, keep_best: int = 1) -> None:
        """Begin to write a checkpoint, when the one before is there.

        Raises CheckpointError when that one could not be written, when this one cannot begin, or when a weight is not
        finite: a bad state never takes the place of a good one.
        """
        self.wait()
        tensors, numbers = split(self.parts)
        mine, text = list(self._copied(tensors)), json.dumps(numbers)
        failure = next((f"{n} holds values that are not finite" for n, _, good in mine if not good), None)
        if failure:
            failure += ": nothing was saved"
        elif self.parallel.main:
            try:
                checkpoint.begin(self.folder, step)
            except checkpoint.CheckpointError as error:
                failure = str(error)
        _raise_first(self.parallel.gather(failure))
        named = [(name, value) for name, value, _ in mine]
        kept = {"score": score, "keep_last": keep_last, "keep_best": keep_best}
        self._under_way = True
        self._thread = threading.Thread(target=self._write, args=(step, named, text, kept), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the checkpoint under way is there; CheckpointError in every process when it could not be written."""
        if not self._under_way:
            return
        if not self.parallel.main:
            self._thread.join()
        if any(self.parallel.gather(self._failure)):
            self._given_up.set()
        self._thread.join()
        failures, self._failure, self._under_way = self.parallel.gather(self._failure), None, False
        self._given_up.clear()
        _raise_first(failures)

    def join(self) -> None:
        """Until this process has written its part, before the run ends by an error; others are not waited for long."""
        if self._under_way:
            self._thread.join(None if self.writers == 1 else PATIENCE)

    def _copied(self, tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor | Rows, Tensor]]:
        """(name, copy of what this process writes of it, whether that is finite)."""
        for name, tensor in tensors:
            rows = rows_of(tensor)
            if rows is None and not self.parallel.main:
                continue
            held, first = rows or (tensor, 0)
            if rows is not None and not len(held):
                continue
            copy = held.detach().to("cpu", copy=True)
            yield name, Rows(copy, first, len(tensor)) if rows else copy, torch.isfinite(held).all()

    def _write(self, step: int, tensors: list, text: str, kept: dict[str, Any]) -> None:
        """In a thread: the part of this process, and in the main one the checkpoint."""
        p = self.parallel
        try:
            if p.rank < self.writers:
                checkpoint.write(self.folder, step, tensors, p.rank, self.writers)
            if p.main:
                checkpoint.finish(self.folder, step, text, self.writers, self._given_up.is_set, **kept)
        except Exception as error:  # whatever it is, it is raised where the run asks next
            self._failure = str(error) or type(error).__name__


def save(out: Path, step: int, parts: Parts, parallel: Parallel, **kept: Any) -> None:
    """Write a checkpoint into the run folder and wait for it; see `Saver.save`."""
    saver = Saver(out, parts, parallel)
    saver.save(step, **kept)
    saver.wait()


def load(
    out: Path,
    parts: Parts,
    parallel: Parallel,
    say: Callable[[str], None],
    opened: Callable[[Path], checkpoint.Reader] = checkpoint.Reader,
) -> bool:
    """Bring back the newest whole checkpoint of the run folder, as `opened` gives it; False when there is none.

    The processes share the reading of all bytes that proves it whole, and each takes what it holds of every tensor,
    whatever the number of processes was that wrote them. Raises ValueError when the checkpoint belongs to another
    model.
    """
    here, torn = folder(out), []
    for name in parallel.gather(sorted((d.name for d in here.glob("step-*")), reverse=True))[0]:
        if all(parallel.gather(checkpoint.is_whole(here / name, parallel.rank, parallel.world))):
            break
        torn.append(name)
    else:
        name = None
    if torn:
        say(f"passed over torn checkpoints: {', '.join(sorted(torn))}")
    if name is None:
        return False
    reader = opened(here / name)
    for part, stateful in parts.items():
        stateful.load_state_dict(Stored(reader, part))
    return True


def split(parts: Parts) -> tuple[list[tuple[str, Tensor]], dict[str, Any]]:
    """(tensors by name, in shards as they are; JSON values) of all parts; a collective."""
    states = {name: part.state_dict() for name, part in parts.items()}
    found = [(f"{name}.{k}", k, v) for name, state in states.items() for k, v in state.items()]
    numbers = {k: v for _, k, v in found if not isinstance(v, Tensor)}
    return [(name, v) for name, _, v in found if isinstance(v, Tensor)], numbers


def _raise_first(failures: list[str | None]) -> None:
    for failure in failures:
        if failure:
            raise checkpoint.CheckpointError(failure)


class Stored(Mapping):
    """What a checkpoint holds of one part; tensors are read when asked for."""

    def __init__(self, reader: checkpoint.Reader, part: str):
        self.reader, self.prefix = reader, part + "."

    def __getitem__(self, name: str) -> Any:
        if self.prefix + name not in self.reader and name in self.reader.state:
            return self.reader.state[name]
        return self.reader[self.prefix + name]

    def held(self, name: str, like: Tensor) -> Tensor:
        """What this process holds of a tensor that is spread as `like` is."""
        rows = rows_of(like)
        if rows is None:
            return self[name]
        mine, first = rows
        return self.reader.rows(self.prefix + name, first, first + len(mine))

    def shape(self, name: str) -> list[int]:
        """Of the whole tensor."""
        return self.reader.shape(self.prefix + name)

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
    """The parameters of a model and the buffers that are saved with it, by their names."""

    def __init__(self, model: nn.Module):
        self.model, kept = model, model.state_dict().keys()
        self.buffers = [name for name, _ in model.named_buffers() if name in kept]

    def state_dict(self) -> dict[str, Tensor]:
        buffers = dict(self.model.named_buffers()) if self.buffers else {}
        parameters = {name: p.detach() for name, p in self.model.named_parameters()}
        return {**parameters, **{name: buffers[name] for name in self.buffers}}

    @torch.no_grad()
    def load_state_dict(self, state: Stored) -> None:
        for name, value in self.state_dict().items():
            _fill(value, state, name)


class Averages:
    """The averaged weights of a model, by the names of its parameters."""

    def __init__(self, ema: EMA, model: nn.Module):
        self.ema, self.names = ema, [name for name, _ in model.named_parameters()]

    def state_dict(self) -> dict[str, Any]:
        return {**dict(zip(self.names, self.ema.shadow, strict=True)), "ema_step": self.ema.step}

    @torch.no_grad()
    def load_state_dict(self, state: Stored) -> None:
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

    def load_state_dict(self, state: Stored) -> None:
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
                        optimizer.state[p][key] = _remembered(state, f"{parameter}.{key}", p, group)


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


def _fill(target: Tensor, state: Stored, name: str) -> None:
    if list(target.shape) != state.shape(name):
        raise ValueError(
            f"the checkpoint {state.reader.path} holds {name} with shape {state.shape(name)}, the recipe asks for "
            f"{list(target.shape)}: use another --out folder"
        )
    local(target).copy_(state.held(name, target))


def _remembered(state: Stored, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
    """An optimiser's state tensor where that optimiser wants it."""
    if state.shape(name) != list(p.shape):  # AdamW's step count
        value = state[name]
        return value.to(p.device) if group.get("fused") or group.get("capturable") else value
    value = state.held(name, p).to(p.device)
    if not sharded(p):
        return value
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        value, p.device_mesh, p.placements, run_check=False, shape=p.shape, stride=p.stride()
    )


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
    words = np.random.get_state(legacy=True)
    assert isinstance(words, tuple)
    kind, keys, position, has_gauss, cached = words
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
