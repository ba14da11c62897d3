"""The judge's training loop: whole checkpoints, exact resume, weights that can be used while it runs."""

from __future__ import annotations

import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mdm_core.paths import located
from trainer import checks
from trainer.engine import checkpoint
from trainer.judge.detector import WIDTHS, Detector, save_quantised, sha256
from trainer.judge.free_lessons import FreeSceneMaker
from trainer.judge.lessons import IGNORE, SEED, SIZES, Bank, Drawn, Lesson, SceneMaker, lesson
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.free_render import FreeBank
from trainer.scenes.drawing.render import SpriteBank
from trainer.scenes.spec import EMOJI_128, SceneSpec

SHARES = {"flat": 2, "cartoon": 2, "simple": 2, "glossy": 2, "bright": 2, "classic": 1, "playful": 1}
# seconds of --minutes kept for thresholds, accuracy and files, by world
FINISH = {"emoji_128": 12.0, "world_256": 45.0}
WARMUP = 100  # steps
FIRST = 3  # steps that compile and tune: the schedule's clock starts after them


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


@dataclass(frozen=True)
class JudgeSettings:
    """How a judge is trained; see `python -m trainer judge --help`."""

    minutes: float = 2.3
    steps: int = 0
    batch: int = 512
    lr: float = 2e-3
    seed: int = 0
    compile: bool = False
    log_every: int = 100
    save_every: int = 500

    def __post_init__(self):
        checks.wholes(self, ("steps",))
        checks.wholes(self, ("batch", "log_every", "save_every"), 1)
        checks.numbers(self, ("minutes",), above=not self.steps)
        checks.numbers(self, ("lr",))
        checks.seeds(self, "seed")
        checks.flags(self, "compile")


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


class JudgeTrainer:
    """Holds the parts of one run; `run` trains, saves and exports. `began`: when the command was started."""

    def __init__(
        self,
        data: JudgeData,
        settings: JudgeSettings,
        out: Path,
        device: torch.device,
        record: dict[str, Any],
        began: float | None = None,
    ):
        self.data, self.settings, self.out, self.device = data, settings, located(out), device
        self.record = record  # what the card says about the machine
        self.began = time.time() if began is None else began
        checkpoint.check_writable(self.out)
        torch.manual_seed(settings.seed)
        self.widths = WIDTHS[data.spec.name]
        self.model = Detector(data.n_objects, self.widths).to(device).to(memory_format=torch.channels_last)
        self.step_model = torch.compile(self.model) if settings.compile else self.model
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        rest = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": 0.03}, {"params": rest, "weight_decay": 0.0}],
            lr=settings.lr,
            betas=(0.9, 0.98),
            fused=device.type == "cuda",
        )
        self.generator = torch.Generator(device).manual_seed(SEED + settings.seed)
        self.maker = data.maker(settings.seed)
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
        whole = 60 * settings.minutes
        self.budget = whole - (FINISH[data.spec.name] if device.type == "cuda" else 0.1 * whole)
        self.step, self.seen = 0, 0
        self.already = 0.0  # seconds that earlier parts of the run took
        self.base: float | None = None  # seconds after which the schedule's clock started
        self.log: list[dict[str, Any]] = []
        self.stop = False  # set by a signal: save and leave

    # ---- one step ------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """Of the whole run so far, the start included."""
        return self.already + time.time() - self.began

    def progress(self) -> float:
        if self.settings.steps:
            return self.step / self.settings.steps
        if self.base is None:
            return 0.0
        return (self.seconds() - self.base) / max(1.0, self.budget - self.base)

    def train_step(self, drawn: Drawn, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        rate = min(1.0, (self.step + 1) / WARMUP) * (0.5 + 0.5 * math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * rate
        truth = lesson(drawn, self.data.bank, self.data.n_objects, self.generator)
        x = (truth.images / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            maps, _ = self.step_model(x)
        loss, parts = detection_loss(self.model, maps, truth)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.step, self.seen = self.step + 1, self.seen + len(drawn.ground)
        return loss, parts

    # ---- the run ---------------------------------------------------------------------------------------

    def run(self) -> bool:
        """Train until the schedule ends (True) or `stop` is set (False); either way everything is saved.

        RuntimeError when the loss is not finite, CheckpointError when a checkpoint cannot be written; what was saved
        before is intact.
        """
        saved = self.step if self.step else -1
        self.model.train()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self._draw)
            while not self.stop:
                if self.base is None and self.step >= FIRST:
                    self.base = self.seconds()
                progress = self.progress()
                if progress >= 1:
                    break
                drawn, _ = waiting.result()
                waiting = pool.submit(self._draw)
                loss, parts = self.train_step(drawn, progress)
                if self.step % self.settings.log_every == 0:
                    self._say(loss.item(), parts)
                if self.step % self.settings.save_every == 0:
                    self.save(waiting.result()[1])
                    saved = self.step
            if saved != self.step:
                self.save(waiting.result()[1])
        return not self.stop

    def _draw(self) -> tuple[Drawn, dict]:
        """The next scenes, and the state of the numbers that they were drawn from."""
        state = self.maker.rng.bit_generator.state
        return self.maker.draw(self.settings.batch), state

    def _say(self, loss: float, parts: dict[str, Tensor]) -> None:
        if not math.isfinite(loss):
            raise RuntimeError(
                f"the loss is {loss} at step {self.step}: lower --lr and run the command again"
            )
        entry = {"step": self.step, "images": self.seen, "seconds": round(self.seconds(), 1)}
        entry |= {k: round(float(v), 4) for k, v in parts.items()}
        self.log.append(entry)
        print(entry, flush=True)

    # ---- state -----------------------------------------------------------------------------------------

    def save(self, numbers: dict) -> None:
        """Write a checkpoint, and the weights as they are. `numbers`: where the next scenes are drawn from."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for i, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in values.items()}
        if bad := [k for k, v in tensors.items() if not torch.isfinite(v).all()]:
            raise RuntimeError(
                f"{bad[0]} is not finite at step {self.step}: lower --lr and run the command again"
            )
        tensors["generator"] = self.generator.get_state()
        state = {
            "seen": self.seen,
            "seconds": self.seconds(),
            "base": self.base,
            "log": self.log,
            "numbers": numbers,
            **self._shape(),
        }
        checkpoint.save(self.out / "checkpoints", self.step, tensors.items(), state)
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

    def resume(self) -> bool:
        """Go on from the newest whole checkpoint, if there is one; ValueError when it is of another judge."""
        path = checkpoint.newest(self.out / "checkpoints")
        if path is None:
            return False
        reader = checkpoint.Reader(path)
        state = reader.state
        if other := [k for k, v in self._shape().items() if state.get(k) != v]:
            raise ValueError(
                f"{path} belongs to a judge of other {' and '.join(other)}: choose another --out"
            )
        self.model.load_state_dict({k: reader[f"model.{k}"] for k in self.model.state_dict()})
        restored: dict[int, dict[str, Tensor]] = {}
        for name in reader:
            if name.startswith("optimizer."):
                _, i, key = name.split(".")
                restored.setdefault(int(i), {})[key] = reader[name]
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": restored})
        self.generator.set_state(reader["generator"])
        self.maker.rng.bit_generator.state = state["numbers"]
        self.step = int(path.name.rpartition("-")[2])
        self.seen, self.already, self.base = state["seen"], state["seconds"], state["base"]
        self.log = state["log"]
        return True

    # ---- results ---------------------------------------------------------------------------------------

    def export(self, measured: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write verifier.safetensors and card.json, each replaced whole; `measured`: what the finished one is worth.

        Between the two a reader finds weights that are not the card's, and says so.
        """
        weights, card_file = self.out / "verifier.safetensors", self.out / "card.json"
        aside = weights.with_suffix(".part")
        save_quantised(self.model, aside)
        os.replace(aside, weights)
        card = {
            "sha256": sha256(weights),
            "bytes": weights.stat().st_size,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "images_seen": self.seen,
            "steps": self.step,
            "renderer_seed": SEED + self.settings.seed,
            "frozen": measured is not None,
            "place_above": 0.4,
            "name_above": 0.5,
            "environment": self.record,
            **self._shape(),
            **(measured or {}),
            "seconds": round(self.seconds(), 1),
            "log": self.log[:: max(1, len(self.log) // 50)],
        }
        aside = card_file.with_suffix(".part")
        aside.write_text(json.dumps(card, indent=1) + "\n")
        os.replace(aside, card_file)
        return card
