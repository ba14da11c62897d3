"""The run that trains the judge, with weights that can be used while it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.device import precision
from mdm_core.paths import located
from trainer.data.source import Batch
from trainer.engine import checkpoint
from trainer.engine.optim import cosine
from trainer.engine.parallel import Parallel
from trainer.engine.run import Run
from trainer.engine.step import stream_seed
from trainer.files import replacing
from trainer.judge.detector import WIDTHS, Detector, save_quantised, sha256
from trainer.judge.free_lessons import FreeSceneMaker
from trainer.judge.lessons import IGNORE, SEED, SIZES, Bank, Lesson, SceneMaker, lesson
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.bank import FreeBank
from trainer.scenes.drawing.render import SpriteBank
from trainer.scenes.spec import EMOJI_128, SceneSpec
from trainer.settings.judge import JudgeSettings

SHARES = {"flat": 2, "cartoon": 2, "simple": 2, "glossy": 2, "bright": 2, "classic": 1, "playful": 1}
# seconds of --minutes kept for thresholds, accuracy and files, by world
FINISH = {"emoji_128": 12.0, "world_256": 45.0}
WARMUP = 100  # steps


def style_shares(atlas: Atlas, spec: SceneSpec) -> dict[str, float]:
    """How often each style is drawn in lessons."""
    if spec is EMOJI_128:
        return dict(SHARES)
    weights = dict(spec.style_weights)
    return {style: weights.get(style, 1.0) for style in spec.styles_in(atlas.styles)}


@dataclass(frozen=True)
class JudgeData:
    """Where lessons come from: the world, its sprites on the device, and how often each style is drawn."""

    atlas: Atlas
    spec: SceneSpec
    n_objects: int
    shares: dict[str, float]
    bank: Bank
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, atlas: Atlas, spec: SceneSpec, n_objects: int | None, device: torch.device) -> JudgeData:
        """The first `n_objects` of an atlas (None: all). ValueError where there are fewer."""
        n = n_objects or len(atlas)
        if n > len(atlas):
            raise ValueError(f"--objects is {n}, and the atlas has {len(atlas)} objects")
        shares = style_shares(atlas, spec)
        styles = list(shares)
        if spec is EMOJI_128:
            bank: Bank = SpriteBank(atlas, n, styles, sizes=SIZES, device=device)
        else:
            bank = FreeBank(atlas, spec, n, styles, device)
        return cls(atlas, spec, n, shares, bank, [o.name for o in atlas.objects[:n]])

    def maker(self, seed: int) -> SceneMaker:
        """Endless lessons of a seed."""
        wanted = (self.atlas, self.n_objects, list(self.shares), list(self.shares.values()), seed)
        return SceneMaker(*wanted) if self.spec is EMOJI_128 else FreeSceneMaker(*wanted, self.spec)


def detection_loss(model: Detector, maps: Tensor, truth: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
    """Focal loss on the heat map; cross-entropy of names and colours and L1 of boxes at the centres' 3x3 cells."""
    heat, name, colour, box = (m.float() for m in model.parts(maps))
    across, size = maps.shape[-1], model.cell
    cell = (truth.box[..., :2] / size).floor().clamp(0, across - 1)  # [B, S, 2] (x, y)
    axis = torch.arange(across, device=maps.device, dtype=torch.float32)
    dx = axis - cell[..., :1]  # [B, S, 16]
    dy = axis - cell[..., 1:]
    bump = torch.exp(-(dy[..., :, None] ** 2 + dx[..., None, :] ** 2) / (2 * 0.7**2))  # [B, S, 16, 16]
    target = (bump * truth.used[..., None, None]).amax(1)  # [B, 16, 16]
    close = (dy[..., :, None].abs() <= 2) & (dx[..., None, :].abs() <= 2)
    counted = ~(close & truth.doubtful[..., None, None]).any(1)  # [B, 16, 16]
    z = heat[:, 0]
    p = z.sigmoid()
    hit = -F.logsigmoid(z) * (1 - p) ** 2 * (target == 1)
    miss = -F.logsigmoid(-z) * p**2 * (1 - target) ** 4 * (target < 1)
    where = ((hit + miss) * counted).sum() / truth.used.sum().clamp_min(1)

    rows, slots = truth.used.nonzero(as_tuple=True)  # [n]
    step = torch.tensor([-1.0, 0.0, 1.0], device=maps.device)
    near = torch.stack(torch.meshgrid(step, step, indexing="xy"), -1).view(9, 2)
    at = cell[rows, slots][:, None] + near  # [n, 9, 2]
    inside = ((at >= 0) & (at < across)).all(-1)  # [n, 9]
    at = at.clamp(0, across - 1).long()
    index = rows[:, None], slice(None), at[..., 1], at[..., 0]

    def read(m: Tensor) -> Tensor:
        return m.permute(0, 2, 3, 1)[index[0].expand_as(at[..., 0]), index[2], index[3]][inside]  # [k, C]

    def label(values: Tensor) -> Tensor:
        return values[rows, slots][:, None].expand_as(inside)[inside]  # [k]

    named, hues = label(truth.name), label(truth.colour)
    what = F.cross_entropy(read(name), named, ignore_index=IGNORE, label_smoothing=0.02)
    hue = F.cross_entropy(read(colour), hues, ignore_index=IGNORE, reduction="sum")
    hue = hue / (hues != IGNORE).sum().clamp_min(1)
    centre = truth.box[rows, slots][:, None, :2] / size - (at + 0.5)  # [n, 9, 2]
    # sides are read in shares of half a picture
    side = (truth.box[rows, slots][:, None, 2:] / (across * size // 2)).log().expand_as(centre)
    shape = F.l1_loss(read(box), torch.cat([centre, side], -1)[inside])
    parts = {"where": where, "what": what, "hue": hue, "shape": shape}
    return where + what + 0.5 * hue + 0.5 * shape, {k: v.detach() for k, v in parts.items()}


class Lessons:
    """Scenes for lessons by the number of their batch. Runs in worker processes."""

    numbered = True

    def __init__(self, maker: SceneMaker, batch: int, seed: int):
        self.maker, self.size, self.seed = maker, batch, seed

    def batch(self, index: int) -> Batch:
        self.maker.rng = np.random.default_rng(stream_seed(SEED + self.seed, index))
        return Batch(torch.zeros(self.size, 0, dtype=torch.int64), scenes=self.maker.draw(self.size))


class Judged(nn.Module):
    """The detector with its loss in one module, so that DDP sees everything that touches a weight."""

    def __init__(self, model: Detector, compiled: bool):
        super().__init__()
        self.model = model
        self.maps = torch.compile(model) if compiled else model
        self.told: dict[str, Tensor] = {}  # the parts of the last loss

    def forward(self, x: Tensor, truth: Lesson) -> Tensor:
        with precision(x.device):
            maps, _ = self.maps(x)
        loss, self.told = detection_loss(self.model, maps, truth)
        return loss


class JudgeTrainer(Run[tuple[Tensor, Lesson]]):
    """Holds the parts of one run; `run` trains, saves and exports. `began`: when the command was started."""

    counted = "images"
    remedy = "lower --lr"
    untimed = 3
    settings: JudgeSettings
    model: Detector

    def __init__(
        self,
        data: JudgeData,
        settings: JudgeSettings,
        out: Path,
        parallel: Parallel,
        record: dict[str, Any],
        began: float | None = None,
    ):
        super().__init__(settings, located(out), parallel)
        self.data, self.record = data, record  # what the card says about the machine
        self.began = time.time() if began is None else began
        self.already = 0.0  # seconds that earlier processes of the run took
        self.before: float | None = None  # seconds after which the schedule's clock started
        whole = 60 * settings.minutes
        self.budget = whole - (FINISH[data.spec.name] if self.device.type == "cuda" else 0.1 * whole)
        torch.backends.cudnn.benchmark = True
        self.widths = WIDTHS[data.spec.name]
        model = Detector(data.n_objects, self.widths).to(self.device)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        decay = [p for p in model.parameters() if p.ndim > 1]
        rest = [p for p in model.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=settings.lr,
            betas=(0.9, 0.98),
            fused=self.device.type == "cuda",
        )
        self.judged = Judged(model, settings.compile)
        lessons = Lessons(data.maker(settings.seed), settings.batch, settings.seed)
        net = parallel.wrap(self.judged)
        self.assemble(model, net, [optimizer], lessons, settings.batch, settings.workers)

    # ---- one step ------------------------------------------------------------------------------------

    def draw(self) -> tuple[Tensor, Lesson]:
        """(pictures [B, 3, H, H] in [-1, 1], what is on them); everything random follows from the batch's number."""
        drawn = next(self.stream).scenes
        index = self.micro_batches + self.parallel.rank
        generator = torch.Generator(self.device).manual_seed(stream_seed(SEED + self.settings.seed, index))
        truth = lesson(drawn, self.data.bank, self.data.n_objects, generator)
        return (truth.images / 127.5 - 1).contiguous(memory_format=torch.channels_last), truth

    def progress(self) -> float:
        if self.settings.steps:
            return super().progress()
        return 0.0 if self.before is None else self.seconds / max(1.0, self.budget - self.before)

    def learning_rate(self, progress: float) -> float:
        return min(1.0, (self.step + 1) / WARMUP) * cosine(progress, 0.0)

    def warmed(self) -> None:
        if self.before is None:
            self.before = self.spent()

    def spent(self) -> float:
        """Seconds of the whole run so far, the start included."""
        return self.already + time.time() - self.began

    def told(self) -> dict[str, float]:
        """The parts of the last loss."""
        return {k: round(float(v), 4) for k, v in self.judged.told.items()}

    # ---- state -----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "before": self.before, "spent": self.spent(), **self._shape()}

    def load_state_dict(self, stored: Mapping[str, Any]) -> None:
        super().load_state_dict(stored)
        self.before, self.already = stored["before"], stored["spent"]

    def save(self) -> None:
        """Begin to write a checkpoint, and write the weights as they are."""
        super().save()
        if self.parallel.main:
            self.export()

    def _shape(self) -> dict[str, Any]:
        s = self.settings
        names, shares = self.data.names, self.data.shares
        return {
            "world": self.data.spec.name,
            "widths": list(self.widths),
            "objects": names,
            "styles": shares,
            "batch": s.batch,
            "seed": s.seed,
        }

    def opened(self, path: Path) -> checkpoint.Reader:
        """A checkpoint of this judge; ValueError when it is of another."""
        reader = checkpoint.Reader(path)
        if other := [k for k, v in self._shape().items() if reader.state.get(k) != v]:
            raise ValueError(
                f"{path} belongs to a judge of other {' and '.join(other)}: choose another --out"
            )
        return reader

    # ---- results ---------------------------------------------------------------------------------------

    def export(self, measured: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write verifier.safetensors and card.json, each replaced whole; `measured`: what the finished one is worth.

        Between the two a reader finds weights that are not the card's, and says so.
        """
        weights, card_file = self.out / "verifier.safetensors", self.out / "card.json"
        with replacing(weights) as aside:
            save_quantised(self.model, aside)
        card = {
            "sha256": sha256(weights),
            "bytes": weights.stat().st_size,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "images_seen": self.samples,
            "steps": self.step,
            "renderer_seed": SEED + self.settings.seed,
            "frozen": measured is not None,
            "place_above": 0.4,
            "name_above": 0.5,
            "environment": self.record,
            **self._shape(),
            **(measured or {}),
            "seconds": round(self.spent(), 1),
            "log": self.log[:: max(1, len(self.log) // 50)],
        }
        with replacing(card_file) as aside:
            aside.write_text(json.dumps(card, indent=1) + "\n")
        return card
