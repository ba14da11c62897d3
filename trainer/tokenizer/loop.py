"""The training loop of the image tokenizer: exact resume, whole checkpoints, figures and sheets of unseen pictures."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig, PipelineConfig, save_config
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer, to_float
from mdm_core.families.weights import load_weights, save_weights
from mdm_core.paths import located
from trainer import checks
from trainer.data.source import batches
from trainer.engine import checkpoint
from trainer.engine.optim import EMA, trapezoid
from trainer.tokenizer.data import TokenizerData
from trainer.tokenizer.fidelity import fidelity, round_trip, save_sheet

SHOWN = 16  # unseen pictures of each kind on a sheet


@dataclass(frozen=True)
class TokenizerSettings:
    """How a tokenizer is trained; see `python -m trainer tokenizer --help`."""

    init: Path | None = None
    freeze_encoder: bool = False
    blend: float = 1.0
    minutes: float = 20.0
    steps: int = 0
    lr: float = 2e-3
    augment: float = 0.125
    seed: int = 0
    compile: bool = False
    log_every: int = 100
    save_every: int = 500
    measure_on: int = 512

    def __post_init__(self):
        if self.init is not None and not isinstance(self.init, str | os.PathLike):
            raise ValueError(f"init must be a file of weights or None, got {checks.told(self.init)}")
        if (
            not checks.is_number(self.blend)
            or not 0 < self.blend <= 1
            or (self.blend < 1 and self.init is None)
        ):
            raise ValueError(
                "blend must lie above 0 and up to 1, and goes from the weights of --init, "
                f"got {checks.told(self.blend)}"
            )
        checks.wholes(self, ("steps",))
        checks.wholes(self, ("log_every", "save_every", "measure_on"), 1)
        checks.numbers(self, ("minutes",), above=not self.steps)
        checks.numbers(self, ("lr",))
        checks.shares(self, ("augment",))
        checks.seeds(self, "seed")
        checks.flags(self, "freeze_encoder", "compile")


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error, plus the absolute error of pixel differences, which keeps outlines crisp."""
    loss = F.mse_loss(output, target)
    for dim in (2, 3):
        loss = loss + 0.02 * F.l1_loss(output.diff(dim=dim), target.diff(dim=dim))
    return loss


def mixed_loss(output: Tensor, target: Tensor, photos: int) -> Tensor:
    """The loss of a batch whose last `photos` pictures are photographs.

    Photographs are several times harder, so that a common mean would train for them alone; the sum of the two
    logarithms asks for the same number of decibels from either.
    """
    if photos in (0, len(output)):
        return reconstruction_loss(output, target)
    n, share = len(output) - photos, photos / len(output)
    parts = [(output[:n], target[:n], 1 - share), (output[n:], target[n:], share)]
    return sum(weight * reconstruction_loss(a, b).log() for a, b, weight in parts)


class TokenizerTrainer:
    """Holds the parts of one run; `run` trains, saves and exports."""

    def __init__(
        self,
        config: ImageTokenizerConfig,
        data: TokenizerData,
        settings: TokenizerSettings,
        out: Path,
        device: torch.device,
    ):
        self.config, self.data, self.settings, self.out, self.device = (
            config,
            data,
            settings,
            located(out),
            device,
        )
        checkpoint.check_writable(self.out)
        torch.manual_seed(settings.seed)
        torch.set_float32_matmul_precision("high")
        self.codec = ImageTokenizer(config)
        if settings.init:
            load_weights(self.codec, located(settings.init))
        self.codec.to(device)
        self.start = {k: v.clone() for k, v in self.codec.state_dict().items()} if settings.init else None
        if settings.freeze_encoder:
            self.codec.encoder.requires_grad_(False)
        self.learning = [p for p in self.codec.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.learning, lr=settings.lr, betas=(0.9, 0.99), weight_decay=0.0)
        self.ema = EMA(self.codec, 0.999)
        compiled = torch.compile if settings.compile else (lambda f: f)
        self.decode, self.encode = compiled(self.codec.pixels), compiled(self.codec.features)
        self.step, self.seen, self.seconds = 0, 0, 0.0
        self.pictures = 0  # drawn from one's own so far
        self.log: list[dict[str, Any]] = []
        self.skipped: set[str] = set()
        self.unseen = data.measure_on(settings.measure_on)
        self.stop = False  # set by a signal: save and leave

    # ---- one step ----------------------------------------------------------------------------------

    def reconstruct(self, images: Tensor) -> Tensor:
        """float images [B, 3, H, W] in [-1, 1] -> their reconstruction, with the gradients that are wanted."""
        codec = self.codec
        if self.settings.freeze_encoder:
            with torch.no_grad():  # fp32, so that the codes are those that `encode` gives
                codes = codec.fsq.value(codec.fsq.index(codec.features(images)))
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.decode(
                codes if self.settings.freeze_encoder else codec.fsq(self.encode(images))
            ).float()

    def progress(self) -> float:
        s = self.settings
        return self.step / s.steps if s.steps else self.seconds / (60 * s.minutes)

    def train_step(self, batch) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * trapezoid(self.progress(), 0.02, 0.4)
        images = to_float(self.data.pixels(batch, self.step, self.settings.augment))
        loss = mixed_loss(self.reconstruct(images), images, self.data.own)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learning, 1.0)
        self.optimizer.step()
        self.ema.update(self.codec)
        self.step, self.seen = self.step + 1, self.seen + len(images)
        self.pictures += self.data.own
        return loss.detach()

    # ---- the run -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train until the schedule ends or `stop` is set, save and export.

        RuntimeError when the loss is not finite (nothing is saved then), CheckpointError when a checkpoint cannot be
        written; what was saved before is intact.
        """
        s = self.settings
        self.data.go_on(self.step, self.pictures)
        stream = batches(self.data.source, self.step, 1, self.data.workers)
        began, already, first, saved = time.time(), self.seconds, self.step, self.step
        while self.progress() < 1 and not self.stop:
            batch = next(stream)
            self.skipped.update(batch.skipped)
            loss = self.train_step(batch)
            if self.step == first + 3 and s.compile:
                began = time.time()  # compilation is not training time
            self.seconds = already + time.time() - began
            if self.step % s.log_every == 0:
                self._say(loss.item())
            if self.step % s.save_every == 0:
                self.save()
                saved = self.step
        if saved != self.step:
            self.save()
        self.export()
        if self.skipped:
            (self.out / "skipped.txt").write_text("".join(f"{line}\n" for line in sorted(self.skipped)))
            print(
                f"{len(self.skipped)} files could not be used: {self.out / 'skipped.txt'} names them",
                flush=True,
            )

    def _say(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise RuntimeError(
                f"the loss is {loss} at step {self.step}: lower --lr and run the command again"
            )
        rate = self.seen / max(1e-9, self.seconds)
        entry = {
            "step": self.step,
            "images": self.seen,
            "seconds": round(self.seconds, 1),
            "loss": round(loss, 5),
        }
        self.log.append(entry)
        print({**entry, "images/s": round(rate)}, flush=True)

    # ---- state ---------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs and that is a tensor, by name."""
        found = {f"model.{k}": v for k, v in self.codec.state_dict().items()}
        found |= {f"ema.{i}": s for i, s in enumerate(self.ema.shadow)}
        for i, values in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in values.items()}
        return found

    def save(self) -> None:
        """Write a checkpoint; RuntimeError instead of one that holds numbers that are not finite."""
        tensors = self.tensors()
        if bad := [k for k, v in tensors.items() if not torch.isfinite(v).all()]:
            raise RuntimeError(
                f"{bad[0]} is not finite at step {self.step}: lower --lr and run the command again"
            )
        state = {
            "seen": self.seen,
            "pictures": self.pictures,
            "seconds": self.seconds,
            "log": self.log,
            "ema_step": self.ema.step,
            "levels": list(self.config.levels),
            "image_size": self.config.image_size,
            "patch": self.config.patch,
            "layers": self._layers(),
        }
        checkpoint.save(self.out / "checkpoints", self.step, tensors.items(), state)

    def _layers(self) -> list[int]:
        c = self.config
        return [c.encoder_width, c.decoder_width, c.decoder_depth, c.decoder_pixels]

    def resume(self) -> bool:
        """Go on from the newest whole checkpoint, if there is one; ValueError when it is of another tokenizer."""
        path = checkpoint.newest(self.out / "checkpoints")
        if path is None:
            return False
        reader = checkpoint.Reader(path)
        state = reader.state
        c, shape = self.config, (state.get("levels"), state.get("image_size"), state.get("patch", 8))
        layers = state.get("layers", self._layers())
        if (*shape, layers) != (list(c.levels), c.image_size, c.patch, self._layers()):
            raise ValueError(f"{path} belongs to a tokenizer of another shape: choose another --out")
        self.codec.load_state_dict({k: reader[f"model.{k}"] for k in self.codec.state_dict()})
        for i, shadow in enumerate(self.ema.shadow):
            shadow.copy_(reader[f"ema.{i}"])
        restored: dict[int, dict[str, Tensor]] = {}
        for name in reader:
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                i, key = rest.split(".")
                restored.setdefault(int(i), {})[key] = reader[name]
        whole = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**whole, "state": restored})
        self.step = int(path.name.rpartition("-")[2])
        self.seen, self.seconds, self.log = state["seen"], state["seconds"], state["log"]
        # checkpoints that do not say: the share of pictures was that of this command
        whole = round(self.seen * self.data.own / self.data.size_of_batch)
        self.pictures = int(state.get("pictures", whole))
        self.ema.step = state["ema_step"]
        return True

    # ---- results -------------------------------------------------------------------------------------

    @torch.no_grad()
    def averaged(self) -> ImageTokenizer:
        """The tokenizer with averaged weights, `blend` of the way from the weights it began with."""
        codec = ImageTokenizer(self.config).to(self.device).eval()
        self.ema.copy_to(codec)
        if self.settings.blend < 1:
            mixed = {
                k: torch.lerp(self.start[k], v, self.settings.blend) for k, v in codec.state_dict().items()
            }
            codec.load_state_dict(mixed)
        return codec

    def figures(self, codec: ImageTokenizer) -> dict[str, Any]:
        """PSNR, SSIM and use of the codebook on unseen pictures of each kind; draws their sheets."""
        found = {}
        for kind, images in self.unseen.items():
            images = images.to(self.device)
            output, ids = round_trip(codec, images)
            rows = [images[:SHOWN], output[:SHOWN]]
            found[kind] = fidelity(codec, images)
            if self.start is not None:
                before = ImageTokenizer(self.config).to(self.device).eval()
                before.load_state_dict(self.start)
                shown, tokens = round_trip(before, images)
                found[kind]["tokens_kept"] = round(float((ids == tokens).float().mean()), 6)
                rows.insert(1, shown[:SHOWN])
            save_sheet(self.out / f"unseen-{kind}.png", rows)
        return found

    def export(self) -> None:
        """Write weights, config, figures and sheets; each file is replaced whole."""
        codec = self.averaged()
        weights = self.out / "image_tokenizer.safetensors"
        aside = weights.with_suffix(".tmp")
        save_weights(codec, aside)
        os.replace(aside, weights)
        model = ModelConfig().for_codec(self.config)
        save_config(PipelineConfig(tokenizer=self.config, model=model), self.out / "config.json")
        record = {
            "levels": list(self.config.levels),
            "vocab_size": self.config.vocab_size,
            "images_seen": self.seen,
            "steps": self.step,
            "minutes": round(self.seconds / 60, 2),
            "blend": self.settings.blend,
            "unseen": self.figures(codec),
            "log": self.log,
        }
        (self.out / "tokenizer.json").write_text(json.dumps(record, indent=1))
        print({k: v for k, v in record.items() if k != "log"}, flush=True)
