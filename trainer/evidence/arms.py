"""The runs that table A compares: one small model, trained under one objective and measured.

`python -m trainer evidence ablate` is the command. The data are drawn and tokenised once and shared by all runs as
files.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mdm_core.device import usable
from mdm_core.diffusion.corruption import Corrupted, CorruptionConfig, corrupt
from mdm_core.diffusion.loss import ObjectiveConfig, bits_per_token, objective
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.config import ModelConfig, PipelineConfig
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.groups import Groups
from mdm_core.pipeline import Pipeline
from trainer.codec import open_codec
from trainer.engine.optim import EMA, build_optimizers, trapezoid
from trainer.evaluate.controls import frechet, verdicts
from trainer.evaluate.generate import Artist, generate
from trainer.evaluate.prompts import Prompt, make
from trainer.evaluate.scoring import summary
from trainer.judge.detector import Verifier
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.render import SpriteBank, render
from trainer.scenes.source import SceneDataConfig, scene_batches

DATA_SEED, UNSEEN_SEED = 31, 10_031
TENSORS, PROMPTS = "data.safetensors", "prompts.json"  # what all runs share, in the output folder


@dataclass(frozen=True)
class Arm:
    """One way to train. `group`: codes a cell of the lattice holds; 1 is plain CE."""

    group: int = 1
    weight: float = 0.2  # of the grouped term
    smoothing: float = 0.0


SIZES = {  # of the model; width of the body's heads is 64, of the per-token ones 64 and 32
    "gpu": dict(
        width=256, depth=5, heads=4, kv_heads=4, ffn=704, token_width=128, token_heads=2, token_ffn=256
    ),
    "cpu": dict(
        width=192, depth=4, heads=3, kv_heads=3, ffn=512, token_width=96, token_heads=3, token_ffn=192
    ),
}
CHECKS = 4  # measurements on unseen scenes along a run, evenly spaced, the last at its end

ARMS = {
    "ce": Arm(),
    "smooth": Arm(smoothing=0.1),
    "gce8": Arm(8),
    "gce64": Arm(64),
    "gce512": Arm(512),
    "gce64_w1": Arm(64, weight=1.0),
}


def cells(levels: tuple[int, ...], size: int) -> Groups:
    """Lattice cells of `size` codes, halved dimension by dimension so that they stay as cubic as they can be."""
    factor, k = [1] * len(levels), 0
    for _ in range(size.bit_length() - 1):
        while factor[k % len(levels)] * 2 > levels[k % len(levels)]:
            k += 1
        factor[k % len(levels)] *= 2
        k += 1
    return Groups.lattice(levels, tuple(factor))


class Bench:
    """What all runs share: data, codec, prompts, judge."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.device = usable(args.device)
        torch.set_float32_matmul_precision("high")
        self.codec = open_codec(args.codec, self.device, levels=args.levels or None)
        self.codec_config = config = self.codec.config
        self.model_config = ModelConfig(token_depth=2, **SIZES[args.size]).for_codec(config)
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
            stream, x0, text = scene_batches(atlas, data, self.text), [], []
            while sum(map(len, x0)) < n:
                scenes, ids = next(stream)
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

    def start(self, arm: Arm, seed: int):
        torch.manual_seed(seed)
        model = MaskedDiffusionTransformer(self.model_config).to(self.device)
        optimizers = build_optimizers(model, lr=2e-3, matrix_lr=0.02, fused=self.device.type == "cuda")
        groups = cells(self.codec_config.levels, arm.group).to(self.device) if arm.group > 1 else None
        return model, optimizers, groups

    def loss(self, model, x0: Tensor, text: Tensor, arm: Arm, groups: Groups | None) -> Tensor:
        corruption = CorruptionConfig(flip_uniform=0.5, flip_group=0.5)
        c = corrupt(x0, self.model_config.mask_id, corruption, groups=self.flips)
        drop = torch.rand(len(x0), device=self.device) < 0.1
        config = ObjectiveConfig(group_weight=arm.weight if groups is not None else 0.0)
        with torch.autocast(self.device.type, torch.bfloat16):
            hidden = model(c.zt, text, drop)  # [B, L, D]
            # the head costs most at a large V, and the tokens of one picture say much the same: more pictures,
            # fewer tokens of each, teach more in a second
            some = torch.randperm(x0.numel(), device=self.device)[: int(self.args.rows * x0.numel())]  # [n]
            few = (t.flatten()[some][None] for t in (x0, c.zt, c.masked, c.flipped))
            x0, zt, masked, flipped = few  # [1, n]
            hidden, c = hidden.flatten(0, 1)[some][None], Corrupted(zt, masked, flipped, c.ratio)
            loss = objective(hidden, model.head_weight, x0, c, groups, config)
            if arm.smoothing:
                loss = loss + arm.smoothing * smoothing(hidden, model.head_weight, x0, c, config.edit_weight)
        return loss

    def train(self, arm: Arm, seed: int, steps: int, data: dict, stop: int | None = None, gate=lambda: None):
        """Returns the averaged model, seconds a step without the first three, and bits along the way.

        `gate` is called after the first three steps.
        """
        a = self.args
        model, optimizers, groups = self.start(arm, seed)
        ema = EMA(model, 0.99)
        base = [[g["lr"] for g in o.param_groups] for o in optimizers]
        order = torch.Generator().manual_seed(1000 + seed)
        queue: list[Tensor] = []
        x0, text = data["x0"].to(self.device), data["text"].to(self.device)
        began, aside, curve = time.perf_counter(), 0.0, []
        for step in range(steps if stop is None else stop):
            if not queue:
                queue = list(torch.randperm(len(x0), generator=order).split(a.batch))
            rows = queue.pop().to(self.device)
            factor = trapezoid(step / steps, 0.02, 0.4)
            for o, rates in zip(optimizers, base, strict=True):
                for group, rate in zip(o.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
            loss = self.loss(model, x0[rows].long(), text[rows].long(), arm, groups)
            for o in optimizers:
                o.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for o in optimizers:
                o.step()
            ema.update(model)
            if stop is None and (step + 1) * CHECKS % steps < CHECKS:
                wait(self.device)
                paused = time.perf_counter()
                average = copy.deepcopy(model)
                ema.copy_to(average)
                curve.append({"steps": step + 1, **self.bits(average, data)})
                aside += time.perf_counter() - paused
            if step == 2:
                wait(self.device)
                gate()
                began, aside = time.perf_counter(), 0.0
                if self.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
        wait(self.device)
        took = (time.perf_counter() - began - aside) / max(1, (steps if stop is None else stop) - 3)
        ema.copy_to(model)
        return model.eval(), took, curve

    @torch.no_grad()
    def bits(self, model, data: dict) -> dict[str, float]:
        """Plain CE in bits a token on unseen scenes: masked, flipped, and masked ones to within a cell of 8 codes."""
        x0, text = (data[name].to(self.device).long() for name in ("unseen_x0", "unseen_text"))
        plain = CorruptionConfig(flip_uniform=1.0)
        generator = torch.Generator(self.device).manual_seed(1)
        near = cells(self.codec_config.levels, 8).to(self.device)
        parts: dict[str, list[float]] = {"masked_bits": [], "flipped_bits": [], "cell_bits": []}
        for part, words in zip(x0.split(64), text.split(64), strict=True):
            c = corrupt(part, self.model_config.mask_id, plain, generator=generator)
            with torch.autocast(self.device.type, torch.bfloat16):
                hidden = model(c.zt, words)
            parts["masked_bits"].append(bits_per_token(hidden, model.head_weight, part, c.masked))
            parts["flipped_bits"].append(bits_per_token(hidden, model.head_weight, part, c.flipped))
            parts["cell_bits"].append(bits_per_token(hidden, model.head_weight, part, c.masked, near))
        return {k: round(float(np.mean(v)), 4) for k, v in parts.items()}

    @torch.no_grad()
    def measure(self, model, data: dict) -> dict:
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
