"""One run of one arm: the engine's run over a ground, with the figures of a study along the way."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.diffusion.loss import ObjectiveConfig
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.config import ModelConfig
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.groups import Groups, Neighbours
from mdm_core.pipeline import Pipeline
from trainer.engine.loop import Trainer
from trainer.evidence.credit.arms import ArmObjective, Credit, soft_share
from trainer.evidence.credit.figures import picture_figures, token_figures
from trainer.evidence.credit.ground import Ground, GroundData
from trainer.evidence.credit.sides import sides
from trainer.judge.detector import Verifier
from trainer.recipes.recipe import Recipe
from trainer.settings.credit import Arm, RunSettings
from trainer.settings.evidence import SIZES

# of the model; "base" is that of the shipped weights
BODIES = {"small": SIZES["gpu"], "cpu": SIZES["cpu"], "base": ModelConfig()}
NEAR = (8, 64)  # sizes of the groups that bits are also measured to
TEXT_IDS = 4096


def recipe_of(settings: RunSettings, ground: Ground, arm: Arm, seed: int) -> Recipe:
    """An arm as a recipe of the engine; its groups come from the ground."""
    s, own = settings, max(arm.own, settings.self_flips if arm.flip else 0.0)
    return Recipe(
        model=dataclasses.replace(BODIES[s.size], text_vocab_size=TEXT_IDS),
        data=GroundData(str(ground.folder), s.batch, seed=seed),
        corruption=CorruptionConfig(flip=arm.flip),
        objective=ObjectiveConfig(ce_weight=arm.ce, group_weight=arm.weight, edit_weight=arm.edit),
        groups="none",
        self_flip_steps=own,
        steps=s.steps,
        lr=s.lr,
        matrix_lr=s.matrix_lr,
        warmup=min(0.05, 200 / s.steps),
        decay=s.decay,
        ema=s.ema,
        seed=seed,
        log_every=max(1, s.steps // 100),
        save_every=10**9,
        save_minutes=2.0,
        keep_last=1,
        keep_best=0,
        export_every=0.0,
    )


class ArmTrainer(Trainer):
    """Trains one arm; its row is rewritten at every check, so that nothing is lost where it is cut."""

    untimed = 3

    def __init__(
        self,
        ground: Ground,
        name: str,
        arm: Arm,
        seed: int,
        settings: RunSettings,
        out: Path,
        device: torch.device | None = None,
        leaves: Callable[[], bool] = lambda: False,
    ):
        """out: folder of checkpoints and row.json. leaves: asked after each step; True saves and ends the run."""
        self.ground, self.name, self.arm, self.conditions = ground, name, arm, settings
        self.leaves, self.ended = leaves, False
        self.last: dict[str, Any] = {}
        self.checking = 0.0  # seconds that the checks of this process took
        super().__init__(recipe_of(settings, ground, arm, seed), ground.folder, out, device)
        self.near = {
            size: ground.groups(size, self.device) for size in NEAR if size < ground.codec.vocab_size
        }

    # ---- what differs between arms -------------------------------------------------------------------

    def neighbourhoods(self) -> Groups | None:
        """The groups of the arm's grouped term."""
        levels = [self.ground.groups(size, self.device) for size in self.arm.groups]
        if self.arm.neighbours:
            levels.append(self.ground.nearest(self.arm.neighbours, self.device))
        # where groups were made anew random numbers were drawn, and the model that comes next begins alike in all arms
        torch.manual_seed(self.recipe.seed)
        return sum(levels[1:], start=levels[0]) if levels else None

    def objective(self, model: MaskedDiffusionTransformer) -> ArmObjective:
        near = share = None
        if self.arm.soft:
            level = self.ground.nearest(self.arm.soft, self.device).levels[0]
            assert isinstance(level, Neighbours)
            near = level.neighbours.long()
            share = soft_share(self.codec.codebook().to(self.device), near, self.arm.warmth)
        credit = Credit(self.groups, near, share)
        self.arm_objective = ArmObjective(model, self.recipe, self.arm, credit, self.conditions.rows)
        return self.arm_objective

    def loss(self, batch: Any, index: int) -> torch.Tensor:
        self.arm_objective.progress = self.progress()
        return super().loss(batch, index)

    # ---- figures along the way -----------------------------------------------------------------------

    def warmed(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()

    @cached_property
    def judge(self) -> Verifier:
        return self.ground.judge(self.device)

    def validates(self) -> bool:
        s = self.conditions
        return self.step == s.steps or self.step * s.checks % s.steps < s.checks

    def draws(self) -> bool:
        """Whether this check draws pictures."""
        s = self.conditions
        check = self.step * s.checks // s.steps
        return bool(self.ground.prompts) and (self.step == s.steps or check % s.pictures_every == 0)

    def validate(self) -> dict[str, Any]:
        """Figures of the averaged weights; the time that they take does not count."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        began = time.time()
        state = torch.random.get_rng_state()
        model = self.averaged(self.device)
        assert model is not None
        tensors, pipe = self.ground.tensors, self._pipeline(model)
        found = token_figures(model, tensors["unseen_x0"], tensors["unseen_text"], self.near)
        if self.draws():
            found |= picture_figures(pipe, self.ground.prompts, self.judge, tensors["features"])
        if self.step == self.conditions.steps:
            self.last = self._at_the_end(pipe)
        torch.random.set_rng_state(state)
        self.score = found["masked_bits"]
        self.checking += time.time() - began
        self.aside += time.time() - began
        return found

    def _at_the_end(self, pipe: Pipeline) -> dict[str, Any]:
        """What is measured of the finished weights alone."""
        self.ended = True
        found: dict[str, Any] = {}
        if self.conditions.editing and self.ground.prompts:
            found["sides"] = sides(pipe, self.ground.prompts, self.judge)
        if self.conditions.keep_models:
            self.export(self.out / "model")
        return found

    def _pipeline(self, model: MaskedDiffusionTransformer) -> Pipeline:
        return Pipeline(self.codec, self.text, TransformerBackbone(model), self.config())

    def after(self) -> None:
        super().after()
        self.stop = self.stop or self.leaves()
        if self.log and self.log[-1]["step"] == self.step and "masked_bits" in self.log[-1]:
            self.write()

    def write(self) -> None:
        """The row of this run as far as it is; replaced whole."""
        write_json(self.out / "row.json", self.row())

    def row(self) -> dict[str, Any]:
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.device.type == "cuda" else None
        return {
            "arm": self.name,
            **dataclasses.asdict(self.arm),
            "seed": self.recipe.seed,
            "step": self.step,
            "steps": self.conditions.steps,
            "samples": self.samples,
            "done": self.ended,
            "seconds_per_step": round(self.seconds / max(1, self.step), 5),
            "seconds_of_checks": round(self.checking, 2),
            "peak_mib": peak and round(peak),
            "curve": [e for e in self.log if "masked_bits" in e],
            "loss": [[e["step"], e["loss"]] for e in self.log if "loss" in e],
            **self.last,
        }


def write_json(path: Path, value: Any) -> None:
    """JSON to a file that is whole at every moment."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(value) + "\n", encoding="utf-8")
    os.replace(aside, path)
