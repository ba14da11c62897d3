"""The run that trains a model: tokens of pictures in, a model folder out."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from mdm_core.diffusion.regions import boxes
from mdm_core.families.chisel.config import PipelineConfig, load_config
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer, count_parameters
from mdm_core.groups import Groups
from mdm_core.paths import located
from mdm_core.pipeline import Pipeline
from trainer.codec import open_codec
from trainer.data.folder import without_place
from trainer.data.source import Batch, Drawing, Source, Stream
from trainer.engine import checkpoint
from trainer.engine.optim import build_optimizers
from trainer.engine.parallel import Parallel, full
from trainer.engine.reporter import ModelReporter
from trainer.engine.run import Run
from trainer.engine.step import (
    Drawn,
    Objective,
    blocks_of,
    make_groups,
    prepare_blocks,
    start_from,
    stream_seed,
)
from trainer.files import replacing
from trainer.recipes.recipe import Recipe
from trainer.timeline import Trace
from trainer.transfer import onto


class Trainer(Run[Drawn]):
    """Holds the parts of one run; `run` trains, `export` writes a model folder."""

    remedy = "lower lr or matrix_lr"
    model: MaskedDiffusionTransformer
    reporter: ModelReporter
    source: Source | Stream

    def __init__(
        self,
        recipe: Recipe,
        codec_dir: Path,
        out: Path,
        device: torch.device | None = None,
        init: Path | None = None,
    ):
        codec_dir, init, out = located(codec_dir), located(init) if init else None, located(out)
        self.recipe = recipe = self._fitted(recipe, codec_dir)
        tracker = ("tensorboard", out) if recipe.tensorboard else None
        super().__init__(recipe, out, Parallel(device, recipe.parallel == "fsdp", tracker))
        self.codec = open_codec(codec_dir, self.device)  # which the recipe fits, see `_fitted`
        own_words = getattr(recipe.data, "learns_prompts", False) and not init
        self.text = self._text(None if own_words else (init or codec_dir) / "text.json")
        source = recipe.data.open(self.text, "train", self.parallel.rank, self.parallel.world)
        if hasattr(source, "check_codec"):
            source.check_codec(codec_dir)
        self.groups = self.neighbourhoods()
        model = MaskedDiffusionTransformer(recipe.model)
        if init:
            start_from(model, init)
        model.to(self.device)
        prepare_blocks(model, recipe, self.parallel.shard)
        if self.groups is not None:
            self.groups = self.groups.to(self.device)
        net = self.parallel.wrap(self.objective(model), blocks_of(model), recipe.precision == "bf16")
        optimizers = build_optimizers(
            model,
            lr=recipe.lr,
            matrix_lr=recipe.matrix_lr,
            weight_decay=recipe.weight_decay,
            fused=self.device.type == "cuda",
        )
        self.export_every = recipe.export_every
        self.reporter = ModelReporter(self)
        self.trace = None
        if recipe.trace_steps and self.parallel.main:
            self.trace = Trace(out, recipe.trace_steps, self.device, self.reporter.say)
        self.assemble(model, net, optimizers, source, recipe.data.batch_size, recipe.data.workers)

    def neighbourhoods(self) -> Groups | None:
        """The codebook groups of the grouped term, and of flips to neighbours."""
        return make_groups(self.recipe, self.codec.levels, self.codec.codebook())

    def objective(self, model: MaskedDiffusionTransformer) -> Objective:
        """The model with what it is trained by."""
        return Objective(model, self.groups, self.recipe)

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
            with replacing(path) as aside:
                if shared and shared.exists():
                    shutil.copyfile(shared, aside)
                else:
                    captions = self.recipe.data.open(None).captions(100_000)
                    TextTokenizer.train(captions, m.text_vocab_size, m.text_length).save(aside)
        self.parallel.wait()
        text = TextTokenizer.load(path, m.text_length)
        if text.vocab_size > m.text_vocab_size:
            raise ValueError(
                f"{path} has {text.vocab_size} text ids, more than model.text_vocab_size={m.text_vocab_size}"
            )
        return text

    # ---- one step ------------------------------------------------------------------------------------

    @torch.no_grad()
    def tokens(self, batch: Batch) -> Tensor:
        """x0 int64 [B, L] of a batch, on the training device."""
        if batch.tokens is not None:
            return onto(batch.tokens, self.device).flatten(1).long()
        images = batch.images
        if images is None:
            assert isinstance(self.source, Drawing)  # whose batches hold scenes
            images = self.source.render(batch.scenes, self.device)
        return self.codec.encode(onto(images, self.device)).flatten(1)

    def things(self, batch: Batch) -> Tensor | None:
        """bool [B, S, L]: the cells of each thing of a batch of scenes; None where no region is to be masked."""
        if not self.recipe.corruption.region or batch.scenes is None or not hasattr(self.source, "boxes"):
            return None
        corners = onto(self.source.boxes(batch.scenes), self.device)  # [B, S, 4]
        B, S, _ = corners.shape
        return boxes(corners.view(B * S, 1, 4), self.codec.grid, self.codec.patch).view(B, S, -1)

    def draw(self) -> Drawn:
        """The next micro-batch, on the training device."""
        batch = next(self.stream)
        self.reporter.skipped(batch.skipped)
        return Drawn(self.tokens(batch), onto(batch.text, self.device), self.things(batch))

    def loss(self, batch: Drawn, index: int) -> Tensor:
        """Scalar loss of micro-batch `index`: everything random about it follows from that number."""
        return self.net(
            batch.x0, batch.text, stream_seed(self.recipe.seed, index), self._drafts(), batch.things
        )

    def _drafts(self) -> bool:
        """Whether this step uses drafts: a low-discrepancy choice of steps, the same after a resume."""
        share = self.recipe.self_flip_steps
        return math.floor((self.step + 1) * share) > math.floor(self.step * share)

    def progress(self) -> float:
        r = self.recipe
        return self.seconds / (60 * r.minutes) if r.minutes else self.step / r.steps

    def validates(self) -> bool:
        return self.step % self.recipe.validate_every == 0

    def validate(self) -> dict[str, float]:
        """Bits per token on unseen pictures, see `ModelReporter.validate`; those of masked ones are the score."""
        found = self.reporter.validate()
        self.score = found.get("masked_bits", self.score)
        return found

    def after(self) -> None:
        if self.trace is not None:
            self.trace.step()
        if self.recipe.sheet_every and self.step % self.recipe.sheet_every == 0:
            self.reporter.sheet()

    def publish(self) -> None:
        self.export(self.out / "model")

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
