"""The training loop: batches in, weights out."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from mdm_core.diffusion.regions import boxes
from mdm_core.families.chisel.config import PipelineConfig, load_config
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer, count_parameters
from mdm_core.paths import located
from mdm_core.pipeline import Pipeline
from trainer.codec import open_codec
from trainer.data.folder import without_place
from trainer.data.source import Batch, Placed, batches
from trainer.engine import checkpoint, state
from trainer.engine.optim import EMA, build_optimizers, clip_gradients, cosine, trapezoid
from trainer.engine.parallel import Parallel, full
from trainer.engine.reporter import Reporter
from trainer.engine.step import (
    Drawn,
    Objective,
    blocks_of,
    make_groups,
    prepare_blocks,
    start_from,
    stream_seed,
)
from trainer.recipes.recipe import Recipe

COUNTERS = ("step", "samples", "seconds", "log", "pending", "skipped", "score")
MOST_SKIPS = 20  # steps in a row without a finite gradient, after which on_nan="skip" gives up


class DivergedError(RuntimeError):
    """The loss or its gradient is not finite, and the run stops; the message says what to do."""


class Trainer:
    """Holds the parts of one run; `run` trains, `export` writes a model folder."""

    def __init__(
        self,
        recipe: Recipe,
        codec_dir: Path,
        out: Path,
        device: torch.device | None = None,
        init: Path | None = None,
    ):
        codec_dir, init, self.out = located(codec_dir), located(init) if init else None, located(out)
        self.recipe = recipe = self._fitted(recipe, codec_dir)
        tracker = ("tensorboard", self.out) if recipe.tensorboard else None
        self.parallel = Parallel(device, recipe.parallel == "fsdp", tracker)
        self.device = self.parallel.device
        if self.parallel.main:
            checkpoint.check_writable(self.out)
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(recipe.seed)
        torch.set_float32_matmul_precision("high")
        self.codec = open_codec(codec_dir, self.device)  # which the recipe fits, see `_fitted`
        own_words = getattr(recipe.data, "learns_prompts", False) and not init
        self.text = self._text(None if own_words else (init or codec_dir) / "text.json")
        self.source = recipe.data.open(self.text, "train", self.parallel.rank, self.parallel.world)
        if hasattr(self.source, "check_codec"):
            self.source.check_codec(codec_dir)
        self.groups = make_groups(recipe, self.codec.levels, self.codec.codebook())
        self.model = MaskedDiffusionTransformer(recipe.model)
        if init:
            start_from(self.model, init)
        self.model.to(self.device)
        prepare_blocks(self.model, recipe, self.parallel.shard)
        if self.groups is not None:
            self.groups = self.groups.to(self.device)
        self.net = self.parallel.wrap(
            Objective(self.model, self.groups, recipe), blocks_of(self.model), recipe.precision == "bf16"
        )
        self.optimizers = build_optimizers(
            self.model,
            lr=recipe.lr,
            matrix_lr=recipe.matrix_lr,
            weight_decay=recipe.weight_decay,
            fused=self.device.type == "cuda",
        )
        self.base_lr = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.ema = EMA(self.model, recipe.ema)
        self.step, self.samples, self.seconds = 0, 0, 0.0
        # the place in the data, of all devices together: it does not depend on how many there are
        self.micro_batches, self.position = 0, 0  # drawn so far, and their samples
        self.skipped = 0  # steps in a row without a finite gradient
        self.score: float | None = None  # bits per masked token in the last validation
        self.pending: list[float] = []  # losses since the last line of the log
        self.log: list[dict] = []
        self.stream: Iterator[Batch] = iter(())
        self.drawn: Drawn | None = None  # the next micro-batch, where it was drawn ahead
        # a stream's position must be that of the last step, so only batches that have an index come early
        self.draws_ahead = self.device.type == "cuda" and hasattr(self.source, "batch")
        self.stop = False  # set by a signal: save and leave
        self.reporter = Reporter(self)
        # what a checkpoint asks; random states last, so that nothing draws after they are back
        self.parts: dict[str, state.Stateful] = {
            "model": state.Weights(self.model),
            "ema": state.Averages(self.ema, self.model),
            "optimizer": state.Optimizers(self.optimizers, self.model),
            "run": self,
            "processes": state.Processes(self.parallel, self.source),
        }

    @staticmethod
    def _fitted(recipe: Recipe, folder: Path) -> Recipe:
        """The recipe over the codes of the image tokenizer in `folder`."""
        codec = load_config(folder / "config.json").tokenizer
        try:
            return recipe.for_codec(codec)
        except ValueError as error:
            raise ValueError(
                f"the recipe's model does not fit the image tokenizer in {folder}: {error}; choose another --codec or "
                "leave model.vocab_size, model.code_levels and model.grid as they are"
            ) from error

    def _text(self, shared: Path | None) -> TextTokenizer:
        """The run's prompt vocabulary: its own, else that of --init or --codec, else learnt from the captions."""
        path, m = self.out / "text.json", self.recipe.model
        if self.parallel.main and not path.exists():
            aside = path.with_suffix(".tmp")
            if shared and shared.exists():
                shutil.copyfile(shared, aside)
            else:
                captions = self.recipe.data.open(None).captions(100_000)
                TextTokenizer.train(captions, m.text_vocab_size, m.text_length).save(aside)
            os.replace(aside, path)
        self.parallel.wait()
        text = TextTokenizer.load(path, m.text_length)
        if text.vocab_size > m.text_vocab_size:
            raise ValueError(
                f"{path} has {text.vocab_size} text ids, more than model.text_vocab_size={m.text_vocab_size}"
            )
        return text

    # ---- one step ----------------------------------------------------------------------------------

    @torch.no_grad()
    def tokens(self, batch: Batch) -> Tensor:
        """x0 int64 [B, L] of a batch, on the training device."""
        if batch.tokens is not None:
            return batch.tokens.to(self.device, non_blocking=True).flatten(1).long()
        images = batch.images
        if images is None:
            images = self.source.render(batch.scenes, self.device)
        return self.codec.encode(images.to(self.device, non_blocking=True)).flatten(1)

    def things(self, batch: Batch) -> Tensor | None:
        """bool [B, S, L]: the cells of each thing of a batch of scenes; None where no region is to be masked."""
        if not self.recipe.corruption.region or batch.scenes is None or not hasattr(self.source, "boxes"):
            return None
        corners = torch.from_numpy(self.source.boxes(batch.scenes)).to(self.device)  # [B, S, 4]
        B, S, _ = corners.shape
        return boxes(corners.view(B * S, 1, 4), self.codec.grid, self.codec.patch).view(B, S, -1)

    def draw(self) -> Drawn:
        """The next micro-batch, on the training device."""
        batch = next(self.stream)
        self.reporter.skipped(batch.skipped)
        return Drawn(self.tokens(batch), batch.text.to(self.device, non_blocking=True), self.things(batch))

    def gradient(self) -> tuple[float, float]:
        """Fill the gradients from the next batches; (loss, norm of the gradient before clipping)."""
        r, p = self.recipe, self.parallel
        # a low-discrepancy choice of the steps that use drafts, the same after a resume
        draft = math.floor((self.step + 1) * r.self_flip_steps) > math.floor(self.step * r.self_flip_steps)
        for o in self.optimizers:
            o.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for a in range(r.accumulate):
            index = self.micro_batches + p.rank
            x0, text, things = self.drawn or self.draw()
            self.drawn = None
            with p.accumulating(self.net, last=a == r.accumulate - 1):
                loss = self.net(x0, text, stream_seed(r.seed, index), draft, things) / r.accumulate
                loss.backward()
            total += loss.detach()
            self.samples += len(x0) * p.world
            self.micro_batches += p.world
            self.position += r.data.batch_size * p.world
        norm = clip_gradients(list(self.model.parameters()), r.clip or math.inf)
        result = torch.stack([p.mean(total), norm.float()]).to("cpu", non_blocking=True)
        if self.draws_ahead:  # the GPU has the next batch to work on while this process waits for the numbers
            event = torch.cuda.Event() if self.device.type == "cuda" else None
            if event is not None:
                event.record()
            self.drawn = self.draw()
            if event is not None:
                event.synchronize()
        loss, norm = result.tolist()
        return loss, norm

    def update(self) -> None:
        """Change the weights by the gradients that are there."""
        for o in self.optimizers:
            o.step()
        self.ema.update(self.model)

    def set_learning_rate(self, progress: float) -> float:
        """Set every group's rate for `progress` in [0, 1]; returns the factor."""
        r = self.recipe
        factor = (
            cosine(progress, r.warmup) if r.schedule == "cosine" else trapezoid(progress, r.warmup, r.decay)
        )
        for o, base in zip(self.optimizers, self.base_lr, strict=True):
            for group, lr in zip(o.param_groups, base, strict=True):
                group["lr"] = lr * factor
        return factor

    # ---- the run -------------------------------------------------------------------------------------

    def progress(self) -> float:
        r = self.recipe
        return self.seconds / (60 * r.minutes) if r.minutes else self.step / r.steps

    def resume(self) -> bool:
        """Go on from the newest whole checkpoint, if there is one."""
        return state.load(self.out, self.parts, self.parallel, self.reporter.say)

    def run(self, stop_after: float = math.inf) -> None:
        """Train until the schedule ends, or for `stop_after` seconds of this process, and save.

        Raises DivergedError when the loss is not finite (see `on_nan`) and CheckpointError when a checkpoint
        cannot be written; the checkpoints written before are intact then.
        """
        r, p = self.recipe, self.parallel
        source = self.source
        if hasattr(source, "batch"):
            source = Placed(source, self.micro_batches, self.position, r.data.batch_size)
        first = self.micro_batches + p.rank
        self.stream, self.drawn = batches(source, first, p.world, r.data.workers), None
        began, already, saved = time.time(), self.seconds, self.step
        exported = kept = began
        self.reporter.start()
        while True:
            now = time.time()
            progress, leave, keep, due = p.agree(
                [
                    self.progress(),
                    float(self.stop or now - began >= stop_after),
                    float(r.save_minutes > 0 and now - kept > 60 * r.save_minutes),
                    float(r.export_every > 0 and now - exported > r.export_every),
                ]
            )
            if keep and saved != self.step:
                self.save()
                saved, kept = self.step, time.time()
            if due and self.step:
                self.export(self.out / "model")
                exported = time.time()
            if progress >= 1 or leave:
                break
            self.set_learning_rate(progress)
            loss, norm = self.gradient()
            self.step += 1
            if math.isfinite(loss) and math.isfinite(norm):
                self.update()
                self.pending.append(loss)
                self.skipped = 0
            else:
                self._not_finite(loss, norm)
            self.seconds = already + time.time() - began
            self._tell(loss)
            if self.step % r.save_every == 0:
                self.save()
                saved, kept = self.step, time.time()
        self.reporter.stop()
        if saved != self.step:
            self.save()

    def _tell(self, loss: float) -> None:
        """After each step: log, validate and draw when it is time."""
        r, reporter = self.recipe, self.reporter
        reporter.moved(loss)
        validates = self.step % r.validate_every == 0
        if validates or self.step % r.log_every == 0:
            reporter.share()
            entry = {"step": self.step, "samples": self.samples, "seconds": round(self.seconds, 1)}
            if self.pending:
                entry["loss"] = round(sum(self.pending) / len(self.pending), 4)
                self.pending = []
            if validates:
                found = reporter.validate()
                entry.update(found)
                self.score = found.get("masked_bits", self.score)
            if reporter.skipped_files:
                entry["skipped_files"] = reporter.skipped_files
            self.log.append(entry)
            reporter.record(entry, [o.param_groups[0]["lr"] for o in self.optimizers])
        if r.sheet_every and self.step % r.sheet_every == 0:
            reporter.sheet()

    def _not_finite(self, loss: float, norm: float) -> None:
        """Say so; stop the run, or leave the weights as they were before this step."""
        self.skipped += 1
        what = f"the loss is {loss} and the norm of its gradient {norm} at step {self.step}"
        if self.recipe.on_nan == "stop" or self.skipped >= MOST_SKIPS:
            before = checkpoint.newest(state.folder(self.out)) if self.parallel.main else None
            kept = f"; the last checkpoint is {before}" if before else ""
            raise DivergedError(f"{what}: lower lr or matrix_lr and resume{kept}")
        self.reporter.say(f"{what}: this step is skipped")

    def state_dict(self) -> dict[str, Any]:
        """The loop's own: counters, losses not yet told of, the log."""
        return {name: getattr(self, name) for name in (*COUNTERS, "micro_batches", "position")}

    def load_state_dict(self, stored: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`; checkpoints of before, which do not tell the place, too."""
        for name in COUNTERS:
            setattr(self, name, stored[name])
        self.micro_batches, self.position = state.place(stored, self.recipe)

    def save(self) -> None:
        """Write a checkpoint, and the log for people."""
        self.reporter.share()
        r = self.recipe
        state.save(
            self.out,
            self.step,
            self.parts,
            self.parallel,
            score=self.score,
            keep_last=r.keep_last,
            keep_best=r.keep_best,
        )
        if self.parallel.main:
            aside = self.out / ".log.json.tmp"
            aside.write_text(json.dumps(self.log))
            os.replace(aside, self.out / "log.json")

    # ---- results -------------------------------------------------------------------------------------

    def averaged(self, device: torch.device) -> MaskedDiffusionTransformer | None:
        """A model with the averaged weights, in the main process; a collective, and None in the others."""
        if not self.parallel.main:  # a whole model in every process would be many times as much memory
            for part in self.ema.shadow:
                full(part)
            return None
        model = MaskedDiffusionTransformer(self.recipe.model).to(device)
        self.ema.copy_to(model)
        return model.eval()

    def config(self) -> PipelineConfig:
        """What config.json of the model folder says."""
        card = {
            **self.source.card(),
            "samples": self.samples,
            "steps": self.step,
            "minutes": round(self.seconds / 60, 1),
            "parameters": count_parameters(self.model),
            "recipe": json.loads(json.dumps(dataclasses.asdict(self.recipe), default=str)),
        }
        data = card["recipe"]["data"]
        # models are given away: where the pictures lay on this machine is nobody's business
        if "path" in data:
            data["path"] = without_place(data["path"])
        return PipelineConfig(tokenizer=self.codec.config, model=self.recipe.model, card=card)

    def export(self, path: Path, int8: bool = True) -> None:
        """Write the averaged weights as a model folder; at every moment the files of a folder there are whole.

        Raises CheckpointError when it cannot be written; a model folder that was there stays as it was.
        """
        model = self.averaged(torch.device("cpu"))
        if model is not None:
            aside = path.with_name(f".{path.name}.tmp")
            try:
                Pipeline.save(aside, self.codec, model, self.text, self.config(), int8=int8)
                path.mkdir(exist_ok=True)
                # the card comes last
                for file in sorted(aside.iterdir(), key=lambda f: f.name == "config.json"):
                    os.replace(file, path / file.name)
                aside.rmdir()
            except (OSError, SafetensorError) as error:
                shutil.rmtree(aside, ignore_errors=True)
                raise checkpoint.CheckpointError(
                    f"the model folder {path} could not be written: {error}"
                ) from error
        self.parallel.wait()
