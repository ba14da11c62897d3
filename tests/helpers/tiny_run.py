"""A training run so small that fifty of them fit into a test: V = 32, a 4x4 grid, two samples a batch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from tiny_model import build_tiny, tiny_config

from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.families.chisel.config import save_config
from mdm_core.families.weights import save_weights
from trainer.data.source import Batch
from trainer.engine.loop import Trainer
from trainer.recipes.recipe import Recipe

CPU = torch.device("cpu")
COUNT = 10  # pictures of an epoch


@dataclass(frozen=True)
class TinyData:
    """Ten pictures in a new order every epoch; three a batch, so that epochs end inside batches."""

    batch_size: int = 3
    workers: int = 0
    seed: int = 0

    def open(self, text, split="train", rank=0, world=1):
        return TinySource(self, text)


class TinySource:
    def __init__(self, config, text):
        self.config, self.text = config, text

    def batch(self, index):
        n, rows = self.config.batch_size, []
        for place in range(index * n, (index + 1) * n):
            epoch, i = divmod(place, COUNT)
            order = torch.randperm(
                COUNT, generator=torch.Generator().manual_seed(1000 * self.config.seed + epoch)
            )
            rows.append(int(order[i]))
        tokens = torch.stack([(torch.arange(16) * (i + 1)) % 32 for i in rows])
        return Batch(self.text.encode([f"{i} cats" for i in rows]), tokens=tokens)

    def captions(self, count):
        return iter([f"{i} cats on a red background" for i in range(min(count, COUNT))])

    def card(self):
        return {"objects": ["cat"]}


def tiny_recipe(guided: bool = False, **changes) -> Recipe:
    standard = dict(
        model=dataclasses.replace(tiny_config().model, guided=guided),
        data=TinyData(),
        corruption=CorruptionConfig(flip_uniform=0.5, flip_group=0.5),
        self_flip_steps=0.25,
        steps=12,
        precision="fp32",
        ema=0.9,
        lr=1e-2,
        log_every=5,
        validate_every=1000,
        save_every=4,
        export_every=0,
    )
    return Recipe(**{**standard, **changes})


def codec_folder(path: Path) -> Path:
    """A model folder with the image tokenizer and prompt vocabulary of the tiny pipeline."""
    config, codec, model, text = build_tiny()
    path.mkdir(parents=True, exist_ok=True)
    save_weights(codec, path / "image_tokenizer.safetensors")
    save_weights(model, path / "model.safetensors")
    text.save(path / "text.json")
    save_config(config, path / "config.json")
    return path


def tiny_run(folder: Path, out: Path, **changes) -> Trainer:
    torch.set_num_threads(1)
    return Trainer(tiny_recipe(**changes), folder, out, CPU)


def whole_state(trainer: Trainer) -> dict:
    """Everything that decides how a run goes on."""
    from trainer.engine.state import split

    tensors, stored = split(trainer.parts)
    numbers = {k: v for k, v in stored.items() if k != "seconds"}
    numbers["log"] = [{k: v for k, v in e.items() if k != "seconds"} for e in numbers["log"]]
    numbers["lr"] = [[g["lr"] for g in o.param_groups] for o in trainer.optimizers]
    return {"tensors": {k: v.clone() for k, v in tensors}, "numbers": numbers}


def assert_same(a: dict, b: dict) -> None:
    assert a["tensors"].keys() == b["tensors"].keys() and len(a["tensors"]) > 40
    for name, value in a["tensors"].items():
        assert torch.equal(value, b["tensors"][name]), name
    assert a["numbers"] == b["numbers"]
