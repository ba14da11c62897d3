"""Train the model from scenes.

    python -m trainer.train emoji_cpu --codec assets/model --out runs/emoji
    python -m trainer.train emoji_gpu --codec assets/model --out runs/emoji minutes=20 data.batch_size=1024

`--out` holds the state to resume from, the log, and at the end `model/`, a folder that `app.py --model` opens.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import shutil
import time
from pathlib import Path

import torch
from torch import Tensor

from mdm_core.config import PipelineConfig, load_config
from mdm_core.corruption import corrupt
from mdm_core.groups import Groups
from mdm_core.image_tokenizer import ImageTokenizer
from mdm_core.loss import bits_per_token, objective
from mdm_core.model import MaskedDiffusionTransformer, count_parameters
from mdm_core.ops import describe_backend
from mdm_core.pipeline import Pipeline
from mdm_core.text import TextTokenizer
from mdm_core.weights import load_weights
from trainer.atlas import Atlas
from trainer.card import words as card_words
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.data import SceneDataConfig, captions, scene_batches
from trainer.optim import EMA, build_optimizers, trapezoid
from trainer.recipe import Recipe, load_recipe
from trainer.render import SpriteBank, render


class Trainer:
    """Holds the parts of one run; `run` trains, `export` writes a model folder."""

    def __init__(
        self, recipe: Recipe, codec_dir: Path, out: Path, device: torch.device, init: Path | None = None
    ):
        self.recipe, self.out, self.device = recipe, out, device
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        torch.set_float32_matmul_precision("high")
        self.atlas = Atlas.load()
        self.codec_config = load_config(codec_dir / "config.json").tokenizer
        self.codec = ImageTokenizer(self.codec_config)
        load_weights(self.codec, codec_dir / "image_tokenizer.safetensors")
        self.codec.eval().to(device)
        self.text = self._text((init or codec_dir) / "text.json")
        self.bank = SpriteBank(
            self.atlas, n_objects=recipe.data.n_objects, styles=recipe.data.styles, device=device
        )
        self.model = MaskedDiffusionTransformer(recipe.model)
        if init:
            load_weights(self.model, init / "model.safetensors")
        self.model.to(device)
        if recipe.compile:
            self.model.compile_blocks()
        self.optimizers = build_optimizers(
            self.model, lr=recipe.lr, matrix_lr=recipe.matrix_lr, weight_decay=recipe.weight_decay,
            fused=device.type == "cuda",
        )  # fmt: skip
        self.base_lr = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.ema = EMA(self.model, recipe.ema)
        self.groups = Groups.lattice(self.codec_config.levels, recipe.group_factor).to(device)
        self.step, self.samples, self.seconds = 0, 0, 0.0
        self.log: list[dict] = []

    def _text(self, shared: Path) -> TextTokenizer:
        """The run's prompt vocabulary: its own, else the codec folder's, else learnt from the whole atlas.

        Learnt from all objects, whatever part of them the recipe draws, it still fits when the run is extended.
        """
        path, m = self.out / "text.json", self.recipe.model
        if not path.exists() and shared.exists():
            shutil.copyfile(shared, path)
        if not path.exists():
            everything = captions(self.atlas, SceneDataConfig(seed=self.recipe.seed), 100_000)
            TextTokenizer.train(everything, m.text_vocab_size, m.text_length).save(path)
        return TextTokenizer.load(path, m.text_length)

    # ---- one step ----------------------------------------------------------------------------------

    @torch.no_grad()
    def tokens(self, scenes) -> Tensor:
        """Scenes -> x0 int64 [B, L]."""
        return self.codec.encode(render(scenes, self.bank)).flatten(1)

    def drafter(self, text: Tensor):
        """The model's own guesses, for flips that look like its mistakes."""

        def draft(zt: Tensor, where: Tensor) -> Tensor:
            weight, drawn = self.model.head_weight, []
            with torch.no_grad(), self.autocast(), torch.compiler.set_stance("force_eager"):
                rows = self.model(zt, text)[where]  # [n, D]
                for part in rows.split(4096):
                    z = (part @ weight.T).float()  # [4096, V]
                    # argmax(z - log E) with E ~ Exp(1) is a draw from softmax(z): Gumbel noise is -log E
                    drawn.append((z - torch.empty_like(z).exponential_().log_()).argmax(1))
            return torch.cat(drawn) if drawn else where.new_zeros(0, dtype=torch.int64)

        return draft

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16)

    def train_step(self, scenes, text: Tensor) -> Tensor:
        r = self.recipe
        text = text.to(self.device, non_blocking=True)
        x0 = self.tokens(scenes)
        corruption, draft = r.corruption, None
        # a low-discrepancy choice of the steps that use drafts, the same after a resume
        if math.floor((self.step + 1) * r.self_flip_steps) > math.floor(self.step * r.self_flip_steps):
            corruption = dataclasses.replace(corruption, flip_uniform=0.0, flip_group=0.0, flip_self=1.0)
            draft = self.drafter(text)
        corrupted = corrupt(x0, r.model.mask_id, corruption, groups=self.groups, draft=draft)
        drop = torch.rand(len(x0), device=self.device) < r.prompt_dropout
        with self.autocast():
            hidden = self.model(corrupted.zt, text, drop)
            loss = objective(
                hidden, self.model.head_weight, x0, corrupted, self.groups, r.objective, r.backend
            )
        for o in self.optimizers:
            o.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), r.clip)
        for o in self.optimizers:
            o.step()
        self.ema.update(self.model)
        return loss.detach()

    # ---- the run -------------------------------------------------------------------------------------

    def progress(self) -> float:
        r = self.recipe
        return self.seconds / (60 * r.minutes) if r.minutes else self.step / r.steps

    def run(self, stop_after: float = math.inf) -> None:
        """Train until the schedule ends, or for `stop_after` seconds of this process."""
        r = self.recipe
        stream = scene_batches(
            self.atlas, dataclasses.replace(r.data, seed=r.data.seed + self.step), self.text
        )
        began, already, losses = time.time(), self.seconds, []
        first_samples, exported = self.samples, time.time()
        while self.progress() < 1 and time.time() - began < stop_after:
            factor = trapezoid(self.progress(), r.warmup, r.decay)
            for o, base in zip(self.optimizers, self.base_lr, strict=True):
                for group, lr in zip(o.param_groups, base, strict=True):
                    group["lr"] = lr * factor
            scenes, text = next(stream)
            losses.append(self.train_step(scenes, text))
            self.step += 1
            self.samples += len(text)
            self.seconds = already + time.time() - began
            if self.step % r.log_every == 0:
                loss = torch.stack(losses).mean().item()
                losses = []
                if not math.isfinite(loss):
                    raise RuntimeError(
                        f"the loss is {loss} at step {self.step}: lower lr or matrix_lr and resume"
                    )
                rate = (self.samples - first_samples) / (time.time() - began)
                entry = {
                    "step": self.step,
                    "samples": self.samples,
                    "seconds": round(self.seconds, 1),
                    "loss": round(loss, 4),
                }
                if self.step % r.validate_every == 0:
                    entry.update(self.validate())
                self.log.append(entry)
                print({**entry, "samples/s": round(rate)}, flush=True)
            if self.step % r.save_every == 0:
                save_checkpoint(self)
            if r.export_every and time.time() - exported > r.export_every:
                self.export(self.out / "model")
                exported = time.time()
        save_checkpoint(self)

    @torch.no_grad()
    def validate(self, batches: int = 4) -> dict[str, float]:
        """Plain-CE bits a token of the averaged weights on unseen scenes: masked, and flipped visible positions."""
        r = self.recipe
        data = SceneDataConfig(r.data.n_objects, r.data.styles, batch_size=64, seed=10_007)
        stream = scene_batches(self.atlas, data, self.text)
        model = MaskedDiffusionTransformer(r.model).to(self.device)
        self.ema.copy_to(model)
        state = torch.random.get_rng_state()
        totals = {"masked_bits": 0.0, "flipped_bits": 0.0}
        generator = torch.Generator(self.device).manual_seed(1)
        for _ in range(batches):
            scenes, text = next(stream)
            x0 = self.tokens(scenes)
            plain = dataclasses.replace(r.corruption, flip_self=0.0, flip_uniform=1.0, complementary=False)
            c = corrupt(x0, r.model.mask_id, plain, groups=self.groups, generator=generator)
            with self.autocast():
                hidden = model(c.zt, text.to(self.device))
            totals["masked_bits"] += bits_per_token(hidden, model.head_weight, x0, c.masked) / batches
            totals["flipped_bits"] += bits_per_token(hidden, model.head_weight, x0, c.flipped) / batches
        torch.random.set_rng_state(state)
        return {k: round(v, 4) for k, v in totals.items()}

    def export(self, path: Path, int8: bool = True) -> None:
        """Write the averaged weights as a model folder; at every moment the files of a folder there are whole."""
        r = self.recipe
        model = MaskedDiffusionTransformer(r.model)
        self.ema.copy_to(model)
        objects = [o.name for o in self.atlas.objects[: self.bank.n_objects]]
        card = {
            "objects": objects, "styles": self.bank.styles,
            "words": card_words(self.atlas, objects, self.bank.styles), "samples": self.samples, "steps": self.step,
            "minutes": round(self.seconds / 60, 1), "parameters": count_parameters(model),
            "recipe": json.loads(json.dumps(dataclasses.asdict(r))),
        }  # fmt: skip
        config = PipelineConfig(tokenizer=self.codec_config, model=r.model, card=card)
        aside = path.with_name(f".{path.name}.tmp")
        Pipeline.save(aside, self.codec, model, self.text, config, int8=int8)
        path.mkdir(exist_ok=True)
        for file in sorted(aside.iterdir(), key=lambda f: f.name == "config.json"):  # the card comes last
            os.replace(file, path / file.name)
        aside.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="name of a file in trainer/recipes")
    parser.add_argument("overrides", nargs="*", help="field=value, e.g. minutes=20 data.batch_size=256")
    parser.add_argument(
        "--codec", type=Path, default=Path("assets/model"), help="model folder with the image tokenizer"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/emoji"), help="run folder; resumes if it holds a checkpoint"
    )
    parser.add_argument("--init", type=Path, default=None, help="start from the weights of this model folder")
    parser.add_argument("--stop-after", type=float, default=math.inf, help="seconds; the run can be resumed")
    parser.add_argument("--device", default=None)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: all)")
    args = parser.parse_intermixed_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    trainer = Trainer(load_recipe(args.recipe, args.overrides), args.codec, args.out, device, args.init)
    print(describe_backend(device), f"| {count_parameters(trainer.model) / 1e6:.1f} M parameters", flush=True)
    if load_checkpoint(trainer):
        print(f"resumed at step {trainer.step}", flush=True)
    trainer.run(args.stop_after)
    trainer.export(args.out / "model")
    (args.out / "log.json").write_text(json.dumps(trainer.log))
    print(f"wrote {args.out / 'model'}", flush=True)


if __name__ == "__main__":
    main()
