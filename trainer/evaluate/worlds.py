"""Which world a model is scored in, and by which judge: what its card says, unless the command says so."""

from __future__ import annotations

from pathlib import Path

import torch

from mdm_core.paths import located, shipped
from mdm_core.pipeline import Pipeline
from trainer.evaluate.prompts import FOLDER, Prompt, make, read
from trainer.judge.detector import FOLDERS, Verifier
from trainer.scenes.atlas import Atlas
from trainer.scenes.source import SceneDataConfig
from trainer.scenes.spec import EMOJI_128, SPECS, SceneSpec, scene_spec


def world_of(pipe: Pipeline, asked: str | None = None) -> SceneSpec:
    """The world of a model: the one asked for, that of its card, or the first.

    ValueError where its pictures have another size, or its card names another world than the one asked for.
    """
    told = pipe.facts.card.get("world")
    if asked and told and asked != told:
        raise ValueError(f"the model draws {told}, as its card says, not {asked}")
    spec = scene_spec(asked or str(told or EMOJI_128.name))
    if pipe.image_size != (spec.image, spec.image):
        high, wide = pipe.image_size
        fitting = [f"--world {s.name}" for s in SPECS.values() if (s.image, s.image) == pipe.image_size]
        raise ValueError(
            f"the model draws pictures of {wide}x{high} pixels, and {spec.name} has {spec.image}: "
            + (f"try {' or '.join(fitting)}" if fitting else "there is no EmojiEval for such pictures")
        )
    return spec


def open_atlas(spec: SceneSpec, folder: Path | None) -> Atlas:
    """The sprites of a world: the shipped ones unless a folder is given. ValueError where that holds none."""
    return SceneDataConfig(spec=spec.name, atlas=None if folder is None else str(folder)).load_atlas()


def open_judge(spec: SceneSpec, folder: Path | None = None, device: torch.device | str = "cpu") -> Verifier:
    """The frozen judge of a world. ValueError where there is none, or it is of another world or not finished."""
    where = located(folder) if folder else shipped(FOLDERS[spec.name])
    if not folder and not (where / "card.json").exists():
        raise ValueError(
            f"no judge of {spec.name} is shipped: train one with python -m trainer judge --world {spec.name} "
            "and give its folder with --verifier"
        )
    judge = Verifier.load(where, device)
    if judge.spec is not spec:
        raise ValueError(f"{where} holds the judge of {judge.spec.name}, and the model draws {spec.name}")
    if not judge.card.get("frozen", True):
        raise ValueError(
            f"the judge in {where} is not finished: run its training again, it goes on from its last checkpoint"
        )
    return judge


def prompts_of(spec: SceneSpec, atlas: Atlas, file: Path | None = None) -> list[Prompt]:
    """EmojiEval's prompts of a world: of a file, the shipped ones, or made anew, which gives the same ones each time.

    ValueError where the file holds prompts of another world.
    """
    if file is None and spec is not EMOJI_128:
        return [Prompt.read(i, line) for i, line in enumerate(make(atlas, len(atlas), spec=spec))]
    prompts = read(file or FOLDER / "prompts.jsonl")
    if other := [p.spec.name for p in prompts if p.spec is not spec]:
        raise ValueError(f"{file} holds prompts of {other[0]}, and the model draws {spec.name}")
    return prompts
