"""Pictures for prompts: batches on a GPU, one by one on the CPU, with what the sampler did on the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mdm_core.pipeline import Pipeline
from mdm_core.trajectory import Trajectory
from trainer.atlas import Atlas
from trainer.render import SpriteBank, render
from trainer.scenes import Scene, SceneGenerator


@dataclass
class Pictures:
    """images uint8 [B, 128, 128, 3] on the CPU; tokens int64 [B, h, w]; one entry a picture in the lists."""

    images: Tensor
    tokens: np.ndarray
    passes: list[int] = field(default_factory=list)  # forward passes (of both branches of guidance)
    edits: list[int] = field(default_factory=list)  # tokens overwritten or sent back
    unedited: np.ndarray | None = None  # tokens, but the first value of every place that was edited
    seconds: float = 0.0


def generate(
    pipe: Pipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    batch: int | None = None,
    quiet=False,
    **settings,
) -> Pictures:
    """One picture for each prompt and noise seed; `settings` as in `Pipeline.generate`."""
    batch = batch or (256 if pipe.device.type == "cuda" else 16)
    runs: list[Trajectory] = []
    began = time.perf_counter()
    for k in tqdm(range(0, len(prompts), batch), desc="pictures", unit="batch", disable=quiet):
        runs += pipe.generate_batch(prompts[k : k + batch], seeds[k : k + batch], **settings)
    tokens = np.stack([np.asarray(r.tokens) for r in runs]).astype(np.int64)
    images = decode(pipe, tokens)
    seconds = time.perf_counter() - began
    return Pictures(
        images, tokens, [len(r.records) - 1 for r in runs],
        [sum(len(s.edited) for s in r.records) for r in runs],
        np.stack([_first_values(r) for r in runs]), seconds,
    )  # fmt: skip


def _first_values(run: Trajectory) -> np.ndarray:
    """The final tokens, but with the first value wherever a value was overwritten later."""
    tokens = np.asarray(run.tokens).reshape(-1).astype(np.int64).copy()
    for step in reversed(run.records):
        for position, before, _ in step.edited:
            tokens[position] = before
    return tokens.reshape(run.grid)


@torch.no_grad()
def decode(pipe: Pipeline, tokens: np.ndarray, batch: int = 128) -> Tensor:
    """Finished tokens [B, h, w] -> uint8 [B, 128, 128, 3] on the CPU."""
    parts = torch.as_tensor(tokens, dtype=torch.int64).split(batch)
    return torch.cat([pipe.codec.decode(p.to(pipe.device)).cpu() for p in parts])


@torch.no_grad()
def encode(pipe: Pipeline, images: Tensor, batch: int = 128) -> np.ndarray:
    """uint8 [B, 128, 128, 3] -> tokens int64 [B, h, w]."""
    return torch.cat([pipe.codec.encode(p.to(pipe.device)).cpu() for p in images.split(batch)]).numpy()


class Artist:
    """Draws scenes of the given styles as the data does: uint8 [B, 128, 128, 3] on the CPU."""

    def __init__(
        self, atlas: Atlas, n_objects: int, styles: Sequence[str], device: str | torch.device = "cpu"
    ):
        self.scenes = SceneGenerator(atlas, n_objects=n_objects, styles=list(styles))
        self.bank = SpriteBank(atlas, n_objects, list(styles), device=device)

    def draw(self, scenes: Sequence[Scene], batch: int = 64) -> Tensor:
        lots = [list(scenes[k : k + batch]) for k in range(0, len(scenes), batch)]
        return torch.cat([render(self.scenes.to_batch(lot), self.bank).cpu() for lot in lots])
