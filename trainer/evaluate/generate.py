"""Pictures for prompts: batches on a GPU, one by one on the CPU, with what the sampler did on the way."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor
from tqdm import tqdm

from mdm_core.diffusion.trajectory import Trajectory
from mdm_core.pipeline import Pipeline
from trainer.evaluate.prompts import Prompt
from trainer.scenes.atlas import Atlas
from trainer.scenes.scene import Scene
from trainer.scenes.source import SceneDataConfig, picture
from trainer.scenes.spec import EMOJI_128, SceneSpec


@dataclass
class Pictures:
    """images uint8 [B, H, W, 3] on the CPU; tokens int64 [B, h, w]; one entry a picture in the lists."""

    images: Tensor
    tokens: np.ndarray
    passes: list[int]  # forward passes (of both branches of guidance)
    edits: list[int]  # tokens overwritten or sent back
    unedited: np.ndarray  # tokens, but the first value of every place that was edited
    seconds: float = 0.0


def generate(
    pipe: Pipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    batch: int | None = None,
    quiet: bool = False,
    **settings: Any,
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
        images,
        tokens,
        [len(r.records) - 1 for r in runs],
        [sum(len(s.edited) for s in r.records) for r in runs],
        np.stack([_first_values(r) for r in runs]),
        seconds,
    )


def generate_on(
    pipe: Pipeline,
    prompts: list[Prompt],
    path: Path | None,
    minutes: float | None,
    mark: str,
    batch: int | None = None,
    **settings: Any,
) -> tuple[list[Prompt], Pictures]:
    """`generate` for EmojiEval's prompts, a few of each tag at a time; what is done is kept at `path` (.safetensors).

    Pictures found at `path` are not made again, provided they were made with these settings and `mark` (which says
    by which weights). After `minutes` the rest is left out. Returns the prompts done, in the file's order, and their
    pictures.
    """
    mark = json.dumps([mark, settings], sort_keys=True)
    kept = _stored(path, mark) if path is not None and path.exists() else {}
    todo = [p for p in in_turns(prompts) if p.index not in kept]
    batch = batch or (256 if pipe.device.type == "cuda" else 12)
    began = time.perf_counter()
    for k in tqdm(range(0, len(todo), batch), desc="pictures", unit="batch"):
        if minutes is not None and time.perf_counter() - began > 60 * minutes:
            break
        part = todo[k : k + batch]
        made = generate(
            pipe, [p.prompt for p in part], [p.index for p in part], batch=batch, quiet=True, **settings
        )
        each = [made.seconds / len(part)] * len(part)
        rows = zip(made.tokens, made.passes, made.edits, made.unedited, each, strict=True)
        kept.update(zip([p.index for p in part], rows, strict=True))
        if path is not None:
            _store(path, kept, mark)
    done = [p for p in prompts if p.index in kept]
    tokens, passes, edits, unedited, seconds = (
        list(c) for c in zip(*(kept[p.index] for p in done), strict=True)
    )
    images = decode(pipe, np.stack(tokens))
    return done, Pictures(images, np.stack(tokens), passes, edits, np.stack(unedited), float(np.sum(seconds)))


COLUMNS = ("tokens", "passes", "edits", "unedited", "seconds")


def _store(path: Path, kept: dict[int, tuple], mark: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = dict(zip(COLUMNS, map(np.stack, zip(*kept.values(), strict=True)), strict=True))
    columns |= {name: columns[name].astype(np.int32) for name in ("tokens", "unedited")}
    part = path.with_suffix(".part")
    save_file({"index": np.array(list(kept)), **columns}, part, {"mark": mark})
    part.replace(path)


def _stored(path: Path, mark: str) -> dict[int, tuple]:
    """What `_store` wrote, by prompt index; nothing where the mark is another."""
    with safe_open(path, "numpy") as stored:
        if (stored.metadata() or {}).get("mark") != mark:
            return {}
        columns = [stored.get_tensor(name) for name in COLUMNS]
        return dict(zip(stored.get_tensor("index").tolist(), zip(*columns, strict=True), strict=True))


def in_turns(prompts: list[Prompt]) -> list[Prompt]:
    """One of each tag after the other, its splits in turn: any beginning is a fair sample of the whole."""
    lots: dict[str, dict[str, list[Prompt]]] = {}
    for p in prompts:
        lots.setdefault(p.tag, {}).setdefault(p.split, []).append(p)
    ranked = []
    for splits in lots.values():
        for turn, lot in enumerate(splits.values()):
            ranked += [(nth * len(splits) + turn, p) for nth, p in enumerate(lot)]
    return [p for _, p in sorted(ranked, key=lambda item: item[0])]


def _first_values(run: Trajectory) -> np.ndarray:
    """The final tokens, but with the first value wherever a value was overwritten later."""
    tokens = np.asarray(run.tokens).reshape(-1).astype(np.int64).copy()
    for step in reversed(run.records):
        for position, before, _ in step.edited:
            tokens[position] = before
    return tokens.reshape(run.grid)


@torch.no_grad()
def decode(pipe: Pipeline, tokens: np.ndarray, batch: int = 128) -> Tensor:
    """Finished tokens [B, h, w] -> uint8 [B, H, W, 3] on the CPU."""
    parts = torch.as_tensor(tokens, dtype=torch.int64).split(batch)
    return torch.cat([pipe.codec.decode(p.to(pipe.device)).cpu() for p in parts])


@torch.no_grad()
def encode(pipe: Pipeline, images: Tensor, batch: int = 128) -> np.ndarray:
    """uint8 [B, H, W, 3] -> tokens int64 [B, h, w]."""
    return torch.cat([pipe.codec.encode(p.to(pipe.device)).cpu() for p in images.split(batch)]).numpy()


class Artist:
    """Draws scenes of the given styles as the data of their world does: uint8 [B, H, H, 3] on the CPU."""

    def __init__(
        self,
        atlas: Atlas,
        n_objects: int,
        styles: Sequence[str],
        device: str | torch.device = "cpu",
        spec: SceneSpec = EMOJI_128,
    ):
        data = SceneDataConfig(n_objects, tuple(styles), spec=spec.name)
        self.scenes, self.bank = data.generator(atlas), data.bank(atlas, device)

    def draw(self, scenes: Sequence[Scene], batch: int = 64) -> Tensor:
        lots = [list(scenes[k : k + batch]) for k in range(0, len(scenes), batch)]
        return torch.cat([picture(self.scenes.to_batch(lot), self.bank).cpu() for lot in lots])
