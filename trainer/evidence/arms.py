"""The runs that table A compares: one small model, trained under one objective and measured.

`python -m trainer evidence ablate` is the command. The data are drawn and tokenised once and shared by all runs as
files.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mdm_core.device import precision, usable
from mdm_core.diffusion.corruption import Corrupted, CorruptionConfig, corrupt
from mdm_core.diffusion.loss import ObjectiveConfig, bits_per_token, objective
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.config import PipelineConfig
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.groups import Groups
from mdm_core.pipeline import Pipeline
from trainer.codec import open_codec
from trainer.data.source import Batch
from trainer.engine.optim import build_optimizers
from trainer.engine.parallel import Parallel
from trainer.engine.run import Run, leave_on_signals
from trainer.evaluate.controls import frechet, verdicts
from trainer.evaluate.generate import Artist, generate
from trainer.evaluate.prompts import Prompt, make
from trainer.evaluate.scoring import summary
from trainer.judge.detector import Verifier
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.render import SpriteBank, render
from trainer.scenes.source import SceneDataConfig, scene_batches
from trainer.settings.evidence import ARMS as ARMS
from trainer.settings.evidence import SIZES, Ablate, Arm, ArmSettings

DATA_SEED, UNSEEN_SEED = 31, 10_031
TENSORS, PROMPTS = "data.safetensors", "prompts.json"  # what all runs share, in the output folder


BITS = ("masked_bits", "flipped_bits", "cell_bits")
CHECKS = 4  # measurements on unseen scenes along a run, evenly spaced, the last at its end


def cells(levels: tuple[int, ...], size: int) -> Groups:
    """Lattice cells of `size` codes, halved dimension by dimension so that they stay as cubic as they can be.

    ValueError where the lattice is too small for such cells.
    """
    factor, k = [1] * len(levels), 0
    for _ in range(size.bit_length() - 1):
        if all(2 * f > n for f, n in zip(factor, levels, strict=True)):
            raise ValueError(f"a lattice of levels {tuple(levels)} has no cells of {size} codes")
        while factor[k % len(levels)] * 2 > levels[k % len(levels)]:
            k += 1
        factor[k % len(levels)] *= 2
        k += 1
    return Groups.lattice(levels, tuple(factor))


class Bench:
    """What all runs share: data, codec, prompts, judge."""

    def __init__(self, args: Ablate):
        self.args = args
        self.device = usable(args.device)
        torch.set_float32_matmul_precision("high")
        self.codec = open_codec(args.codec, self.device, levels=args.levels or None)
        self.codec_config = config = self.codec.config
        self.model_config = SIZES[args.size].for_codec(config)
        self.text = TextTokenizer.load(args.text, self.model_config.text_length)
        self.flips = Groups.lattice(config.levels, 2).to(self.device)  # the same in every arm

    # ---- data, once ------------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self) -> None:
        """Draw, render and tokenise training and unseen scenes; pictures of the prompts' true scenes as features."""
        a, atlas = self.args, Atlas.load()
        bank = SpriteBank(atlas, a.objects, a.styles, device=self.device)

        def lot(seed: int, n: int) -> tuple[Tensor, Tensor]:
            data = SceneDataConfig(
                a.objects, tuple(a.styles), batch_size=min(256, n), workers=a.workers, seed=seed
            )
            stream = scene_batches(atlas, data, self.text)
            x0: list[Tensor] = []
            text: list[Tensor] = []
            while sum(len(part) for part in x0) < n:
                scenes, ids = next(stream)
                assert ids is not None  # there is a vocabulary
                x0.append(self.codec.encode(self.grainy(render(scenes, bank))).flatten(1).int().cpu())
                text.append(ids.short())
            return torch.cat(x0)[:n], torch.cat(text)[:n]

        x0, text = lot(DATA_SEED, a.scenes)
        unseen = lot(UNSEEN_SEED, min(a.unseen, a.scenes))
        lines = make(atlas, a.objects, tuple(a.styles), a.per_tag)
        prompts = [Prompt.read(i, line) for i, line in enumerate(lines)]
        judge = Verifier.load(a.verifier, self.device)
        real = Artist(atlas, a.objects, a.styles, self.device).draw([p.scene for p in prompts])
        scores = {"real renders": summary(prompts, verdicts(prompts, judge.detect(real)))}
        tensors = {"x0": x0, "text": text, "unseen_x0": unseen[0], "unseen_text": unseen[1]}
        save_file({**tensors, "features": judge.features(real).cpu().contiguous()}, a.out / TENSORS)
        (a.out / PROMPTS).write_text(json.dumps({"lines": lines, "controls": scores}))

    def load(self) -> dict:
        """What `prepare` wrote: its tensors by name, `lines` (prompts) and `controls` (scores of true scenes)."""
        return load_file(self.args.out / TENSORS) | json.loads((self.args.out / PROMPTS).read_text())

    def grainy(self, images: Tensor) -> Tensor:
        """With the noise of a camera: the fine part of a code then tells little, as in photographs."""
        if not self.args.grain:
            return images
        noise = torch.randn(images.shape, device=images.device) * self.args.grain
        return (images + noise).round().clamp(0, 255).to(torch.uint8)

    # ---- one run -----------------------------------------------------------------------------------------

    def train(
        self,
        arm: Arm,
        seed: int,
        steps: int,
        data: dict,
        stop: int | None = None,
        gate: Callable[[], None] = lambda: None,
        folder: Path | None = None,
    ) -> tuple[MaskedDiffusionTransformer, float, list[dict]]:
        """The averaged model, seconds a step of this process without the first three, and bits along the way.

        stop: end after so many steps of the schedule, without measuring. gate: called after the first three steps.
        folder: of checkpoints, from which the run goes on where it was cut. KeyboardInterrupt when a signal ended it.
        """
        settings = ArmSettings(seed=seed, steps=steps, save_every=10**9 if folder else 0)
        run = ArmRun(self, arm, settings, data, folder or self.args.out, stop, gate)
        if folder:
            run.resume()
            leave_on_signals(run)
        first, already = run.step, run.seconds
        run.run()
        wait(self.device)
        if run.step < (stop or steps):
            raise KeyboardInterrupt
        took = (run.seconds - already) / max(1, run.step - first - run.untimed)
        run.ema.copy_to(run.model)
        return run.model.eval(), took, [{"steps": e["step"], **{k: e[k] for k in BITS}} for e in run.log]

    @torch.no_grad()
    def bits(self, model: MaskedDiffusionTransformer, data: dict) -> dict[str, float]:
        """Plain CE in bits a token on unseen scenes: masked, flipped, and masked ones to within a cell of 8 codes."""
        x0, text = (data[name].to(self.device).long() for name in ("unseen_x0", "unseen_text"))
        plain = CorruptionConfig(flip_uniform=1.0)
        generator = torch.Generator(self.device).manual_seed(1)
        near = cells(self.codec_config.levels, 8).to(self.device)
        parts: dict[str, list[float]] = {name: [] for name in BITS}
        for part, words in zip(x0.split(64), text.split(64), strict=True):
            c = corrupt(part, self.model_config.mask_id, plain, generator=generator)
            with precision(self.device):
                hidden = model(c.zt, words)
            parts["masked_bits"].append(bits_per_token(hidden, model.head_weight, part, c.masked))
            parts["flipped_bits"].append(bits_per_token(hidden, model.head_weight, part, c.flipped))
            parts["cell_bits"].append(bits_per_token(hidden, model.head_weight, part, c.masked, near))
        return {k: round(float(np.mean(v)), 4) for k, v in parts.items()}

    @torch.no_grad()
    def measure(self, model: MaskedDiffusionTransformer, data: dict) -> dict:
        """EmojiEval; the Fréchet distance."""
        prompts = [Prompt.read(i, line) for i, line in enumerate(data["lines"])]
        config = PipelineConfig(tokenizer=self.codec_config, model=self.model_config)
        pipe = Pipeline(self.codec, self.text, TransformerBackbone(model), config)
        made = generate(pipe, [p.prompt for p in prompts], [p.index for p in prompts], quiet=True)
        judge = Verifier.load(self.args.verifier, self.device)
        features = judge.features(made.images).numpy()
        return {
            "score": summary(prompts, verdicts(prompts, judge.detect(made.images))),
            "frechet": round(frechet(features, data["features"].numpy()), 4),
            "edits_per_picture": round(float(np.mean(made.edits)), 2),
        }


class SharedRows:
    """Batches of the shared data in the order of a seed, the same in every arm."""

    numbered = True  # the last batch of an epoch is short

    def __init__(self, x0: Tensor, text: Tensor, size: int, seed: int):
        self.x0, self.text, self.size, self.seed = x0, text, size, seed
        self.epoch = -1
        self.lots: tuple[Tensor, ...] = ()

    def batch(self, index: int) -> Batch:
        epoch, k = divmod(index, -(-len(self.x0) // self.size))
        if epoch != self.epoch:
            order = torch.Generator().manual_seed(1000 + self.seed)
            for _ in range(epoch + 1):
                rows = torch.randperm(len(self.x0), generator=order)
            self.epoch, self.lots = epoch, rows.split(self.size)
        rows = self.lots[-1 - k].to(self.x0.device)
        return Batch(self.text[rows].long(), tokens=self.x0[rows].long())


class ArmObjective(nn.Module):
    """The model with the loss of an arm."""

    def __init__(self, model: MaskedDiffusionTransformer, bench: Bench, arm: Arm):
        super().__init__()
        self.model, self.arm, self.flips, self.share = model, arm, bench.flips, bench.args.rows
        levels, mine = bench.codec_config.levels, arm.group > 1
        self.groups = cells(levels, arm.group).to(bench.device) if mine else None
        self.objective = ObjectiveConfig(group_weight=arm.weight if mine else 0.0)

    def forward(self, x0: Tensor, text: Tensor) -> Tensor:
        model, arm, device, config = self.model, self.arm, x0.device, self.objective
        corruption = CorruptionConfig(flip_uniform=0.5, flip_group=0.5)
        c = corrupt(x0, model.config.mask_id, corruption, groups=self.flips)
        drop = torch.rand(len(x0), device=device) < 0.1
        with precision(device):
            hidden = model(c.zt, text, drop)  # [B, L, D]
            # the head costs most at a large V, and the tokens of one picture say much the same: more pictures,
            # fewer tokens of each, teach more in a second
            some = torch.randperm(x0.numel(), device=device)[: int(self.share * x0.numel())]  # [n]
            few = (t.flatten()[some][None] for t in (x0, c.zt, c.masked, c.flipped))
            x0, zt, masked, flipped = few  # [1, n]
            hidden, c = hidden.flatten(0, 1)[some][None], Corrupted(zt, masked, flipped, c.ratio)
            loss = objective(hidden, model.head_weight, x0, c, self.groups, config)
            if arm.smoothing:
                loss = loss + arm.smoothing * smoothing(hidden, model.head_weight, x0, c, config.edit_weight)
        return loss


class ArmRun(Run[tuple[Tensor, Tensor]]):
    """One arm, from the first step to the last."""

    untimed = 3
    model: MaskedDiffusionTransformer

    def __init__(
        self,
        bench: Bench,
        arm: Arm,
        settings: ArmSettings,
        data: dict,
        out: Path,
        last: int | None,
        gate: Callable[[], None],
    ):
        super().__init__(settings, out, Parallel(bench.device))
        self.bench, self.data, self.last, self.gate = bench, data, last, gate
        model = MaskedDiffusionTransformer(bench.model_config).to(self.device)
        optimizers = build_optimizers(model, lr=settings.lr, matrix_lr=0.02, fused=self.device.type == "cuda")
        x0, text = (data[name].to(self.device) for name in ("x0", "text"))
        source = SharedRows(x0, text, bench.args.batch, settings.seed)
        self.assemble(model, ArmObjective(model, bench, arm), optimizers, source, bench.args.batch)

    def draw(self) -> tuple[Tensor, Tensor]:
        batch = next(self.stream)
        assert batch.tokens is not None  # as SharedRows has them
        return batch.tokens, batch.text

    def validates(self) -> bool:
        return self.last is None and self.step * CHECKS % self.settings.steps < CHECKS

    def validate(self) -> dict[str, float]:
        wait(self.device)
        began = time.time()
        average = copy.deepcopy(self.model)
        self.ema.copy_to(average)
        found = self.bench.bits(average, self.data)
        self.aside += time.time() - began  # what an arm costs is its steps
        return found

    def warmed(self) -> None:
        wait(self.device)
        self.gate()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def after(self) -> None:
        self.stop = self.stop or self.step == self.last


def smoothing(hidden: Tensor, weight: Tensor, x0: Tensor, c: Corrupted, edit_weight: float) -> Tensor:
    """What uniform label smoothing adds for each unit of epsilon: z_y - mean(z), rows weighed as the objective does.

    (1 - eps) (lse - z_y) + eps (lse - mean z) = CE + eps (z_y - mean z), and mean z = h . mean(weight).
    """
    masked = c.masked.flatten()
    rows = masked / masked.sum().clamp_min(1) + ~masked * (edit_weight / (~masked).sum().clamp_min(1))  # [N]
    h, w = hidden.flatten(0, 1).float(), weight.float()  # [N, D], [V, D]
    return ((h * w[x0.flatten()]).sum(1) - h @ w.mean(0)) @ rows.float()


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
