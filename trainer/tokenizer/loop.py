"""The run that trains the image tokenizer, with figures and sheets of unseen pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.device import precision
from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig, PipelineConfig, save_config
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer, to_float
from mdm_core.families.weights import load_weights, save_weights
from mdm_core.paths import located
from trainer.engine import checkpoint
from trainer.engine.parallel import Parallel
from trainer.engine.run import Run
from trainer.files import replacing
from trainer.settings.tokenizer import TokenizerSettings
from trainer.tokenizer.data import TokenizerData
from trainer.tokenizer.fidelity import fidelity, round_trip, save_sheet

BESIDES = 0.01  # weight of what a learned codebook asks for beside the pixels
SHOWN = 16  # unseen pictures of each kind on a sheet


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
    drawn, own = reconstruction_loss(output[:n], target[:n]), reconstruction_loss(output[n:], target[n:])
    return (1 - share) * drawn.log() + share * own.log()


class Reconstruction(nn.Module):
    """The tokenizer with its loss in one module, so that DDP sees everything that touches a weight."""

    def __init__(self, codec: ImageTokenizer, settings: TokenizerSettings):
        super().__init__()
        self.codec, self.frozen = codec, settings.freeze_encoder
        compiled = torch.compile if settings.compile else (lambda f: f)
        self.decode, self.encode = compiled(codec.pixels), compiled(codec.features)

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """float images [B, 3, H, W] in [-1, 1] -> their reconstruction, with the gradients that are wanted, and what
        the quantiser asks for besides, []."""
        quantiser, besides = self.codec.quantiser, images.new_zeros(())
        if self.frozen:
            with torch.no_grad():  # fp32, so that the codes are those that `encode` gives
                codes = quantiser.codes(quantiser.ids(self.codec.features(images)))
        with precision(images.device):
            if not self.frozen:
                codes, besides = quantiser.learn(self.encode(images))
            return self.decode(codes).float(), besides

    def forward(self, images: Tensor, photos: int) -> Tensor:
        """Scalar loss of images [B, 3, H, W], the last `photos` of which are photographs."""
        output, besides = self.reconstruct(images)
        return mixed_loss(output, images, photos) + BESIDES * besides


class TokenizerTrainer(Run[tuple[Tensor]]):
    """Holds the parts of one run; `run` trains, saves and exports."""

    counted = "images"
    remedy = "lower --lr"
    settings: TokenizerSettings

    def __init__(
        self,
        config: ImageTokenizerConfig,
        data: TokenizerData,
        settings: TokenizerSettings,
        out: Path,
        parallel: Parallel,
    ):
        super().__init__(settings, located(out), parallel)
        self.config, self.data = config, data
        self.untimed = 3 if settings.compile else 0
        codec = ImageTokenizer(config)
        if settings.init:
            load_weights(codec, located(settings.init))
        self.codec = codec.to(self.device)
        self.start = {k: v.clone() for k, v in codec.state_dict().items()} if settings.init else None
        if settings.freeze_encoder:
            codec.encoder.requires_grad_(False)
            codec.quantiser.requires_grad_(False)
        learning = [p for p in codec.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            learning, lr=settings.lr, betas=(0.9, 0.99), weight_decay=settings.weight_decay
        )
        net = parallel.wrap(Reconstruction(codec, settings))
        # the place in the data is that of one's own pictures: scenes are drawn by the number of their batch
        self.assemble(codec, net, [optimizer], data.source, data.own, data.workers)
        self.unseen = data.measure_on(settings.measure_on) if parallel.main else {}

    def draw(self) -> tuple[Tensor]:
        """(images [B, 3, H, W] in [-1, 1]) of the next micro-batch."""
        batch = next(self.stream)
        self.reporter.skipped(batch.skipped)
        index = self.micro_batches + self.parallel.rank
        return (to_float(self.data.pixels(batch, index, self.settings.augment)),)

    def loss(self, batch: tuple[Tensor], index: int) -> Tensor:
        return self.net(*batch, self.data.own)

    def run(self, stop_after: float = math.inf) -> None:
        """Train as `Run.run` says, and export."""
        self.data.go_on(self.micro_batches, self.position)
        super().run(stop_after)
        if self.parallel.main:
            self.export()
        self.parallel.wait()

    # ---- state ---------------------------------------------------------------------------------------

    def shape(self) -> dict[str, Any]:
        """What a checkpoint of this run must agree with."""
        c = self.config
        layers = [c.encoder_width, c.decoder_width, c.decoder_depth, c.decoder_pixels]
        return {
            "levels": list(c.levels),
            "image_size": c.image_size,
            "patch": c.patch,
            "layers": layers,
            "codebook": [c.codebook, c.code_width] if c.codebook else [],
        }

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **self.shape()}

    def opened(self, path: Path) -> checkpoint.Reader:
        """A checkpoint of this tokenizer, also one of before; ValueError when it is of another."""
        reader = checkpoint.Reader(path)
        state, shape = reader.state, self.shape()
        if {**shape, "patch": 8, "codebook": [], **state} != {**state, **shape}:
            raise ValueError(f"{path} belongs to a tokenizer of another shape: choose another --out")
        if "seen" in state:  # written before there was one loop
            self._renamed(reader, int(path.name.rpartition("-")[2]))
        return reader

    def _renamed(self, reader: checkpoint.Reader, step: int) -> None:
        """Give the values of an old checkpoint the names that they have now."""
        state, data = reader.state, self.data
        every = [name for name, _ in self.codec.named_parameters()]
        learnt = [name for name, p in self.codec.named_parameters() if p.requires_grad]
        for name in list(reader):
            kind, _, rest = name.partition(".")
            number, _, key = rest.partition(".")
            if kind == "ema":
                reader.rename(name, f"ema.{every[int(number)]}")
            elif kind == "optimizer":
                reader.rename(name, f"optimizer.{learnt[int(number)]}.{key}")
        # checkpoints that do not say: the share of pictures was that of this command
        pictures = state.get("pictures", round(state["seen"] * data.own / data.size_of_batch))
        reader.state = {
            **{name: state[name] for name in ("seconds", "log", "ema_step")},
            "step": step,
            "samples": state["seen"],
            "pending": [],
            "skipped": 0,
            "score": None,
            "micro_batches": step,
            "position": int(pictures),
            "lr": [[self.settings.lr]],
            "processes": [],
        }

    # ---- results -------------------------------------------------------------------------------------

    @torch.no_grad()
    def averaged(self) -> ImageTokenizer:
        """The tokenizer with averaged weights, `blend` of the way from the weights it began with."""
        codec = ImageTokenizer(self.config).to(self.device).eval()
        self.ema.copy_to(codec)
        if self.settings.blend < 1 and self.start is not None:
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
        with replacing(self.out / "image_tokenizer.safetensors") as weights:
            save_weights(codec, weights)
        model = ModelConfig().for_codec(self.config)
        save_config(PipelineConfig(tokenizer=self.config, model=model), self.out / "config.json")
        record = {
            "levels": list(self.config.levels),
            "vocab_size": self.config.vocab_size,
            "images_seen": self.samples,
            "steps": self.step,
            "minutes": round(self.seconds / 60, 2),
            "blend": self.settings.blend,
            "unseen": self.figures(codec),
            "log": self.log,
        }
        with replacing(self.out / "tokenizer.json") as told:
            told.write_text(json.dumps(record, indent=1))
        print({k: v for k, v in record.items() if k != "log"}, flush=True)
