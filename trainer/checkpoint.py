"""Checkpoints of a training run: safetensors and JSON, written aside and renamed, so that none is ever torn."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


def save_checkpoint(trainer) -> None:
    """Write the whole state of `trainer` (a `Trainer`) to `out/checkpoint`."""
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    tensors |= {f"ema.{i}": s for i, s in enumerate(trainer.ema.shadow)}
    scalars: list[dict] = []
    for n, optimizer in enumerate(trainer.optimizers):
        numbers = {}
        for i, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{n}.{i}.{key}"] = value
                else:
                    numbers[f"{i}.{key}"] = value
        scalars.append(numbers)
    tensors["rng.cpu"] = torch.get_rng_state()
    if trainer.device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    meta = {
        "step": trainer.step, "samples": trainer.samples, "seconds": trainer.seconds, "log": trainer.log,
        "ema_step": trainer.ema.step, "scalars": scalars,
    }  # fmt: skip
    path = trainer.out / "checkpoint"
    temporary = trainer.out / ".checkpoint.tmp"
    tensors = {k: v.detach().contiguous().cpu() for k, v in tensors.items()}
    save_file(tensors, str(temporary), metadata={"chisel": json.dumps(meta)})
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_checkpoint(trainer) -> bool:
    """Restore what `save_checkpoint` wrote; False when the run folder holds none."""
    path: Path = trainer.out / "checkpoint"
    if not path.exists():
        return False
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        meta = json.loads(file.metadata()["chisel"])
    tensors = load_file(str(path))
    trainer.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    for i, s in enumerate(trainer.ema.shadow):
        s.copy_(tensors[f"ema.{i}"])
    for n, optimizer in enumerate(trainer.optimizers):
        state = optimizer.state_dict()
        for key, value in [
            *tensors.items(),
            *((f"optimizer.{n}.{k}", v) for k, v in meta["scalars"][n].items()),
        ]:
            kind, _, rest = key.partition(".")
            if kind == "optimizer" and rest.startswith(f"{n}."):
                _, i, name = rest.split(".")
                state["state"].setdefault(int(i), {})[name] = value
        optimizer.load_state_dict(state)
    torch.set_rng_state(tensors["rng.cpu"])
    if trainer.device.type == "cuda" and "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    trainer.step, trainer.samples, trainer.seconds = meta["step"], meta["samples"], meta["seconds"]
    trainer.ema.step, trainer.log = meta["ema_step"], meta["log"]
    return True
