"""Train EmojiEval's judge from scratch.

    python -m trainer judge --out runs/verifier --minutes 2.3

Writes verifier.safetensors and card.json (budget, accuracy, thresholds, and the SHA-256 of the weights, which is
to be recorded before any model is scored). `--minutes` is the whole run, from start to files.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mdm_core.device import usable
from trainer.command import any_seed, number, out_folder, run_command, to_path, whole
from trainer.judge.detector import (
    CELL,
    GRID,
    NOTHING,
    Detector,
    Verifier,
    load_quantised,
    save_quantised,
    sha256,
)
from trainer.judge.lessons import IGNORE, SEED, SIZES, Lesson, SceneMaker, lesson
from trainer.record import environment
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.render import SpriteBank, render
from trainer.scenes.generator import SceneGenerator

SHARES = {"flat": 2, "cartoon": 2, "simple": 2, "glossy": 2, "bright": 2, "classic": 1, "playful": 1}
CHECK_SEED = 70_000_001  # of the scenes that thresholds and accuracy are read from
FINISH = 12.0  # seconds kept for thresholds, accuracy and files


def detection_loss(model: Detector, maps: Tensor, truth: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
    """Focal loss on the heat map; cross-entropy of names and colours and L1 of boxes at the centres' 3x3 cells."""
    heat, name, colour, box = (m.float() for m in model.parts(maps))
    cell = (truth.box[..., :2] / CELL).floor().clamp(0, GRID - 1)  # [B, S, 2] (x, y)
    axis = torch.arange(GRID, device=maps.device, dtype=torch.float32)
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
    inside = ((at >= 0) & (at < GRID)).all(-1)  # [n, 9]
    at = at.clamp(0, GRID - 1).long()
    index = rows[:, None], slice(None), at[..., 1], at[..., 0]

    def read(m: Tensor) -> Tensor:
        return m.permute(0, 2, 3, 1)[index[0].expand_as(at[..., 0]), index[2], index[3]][inside]  # [k, C]

    def label(values: Tensor) -> Tensor:
        return values[rows, slots][:, None].expand_as(inside)[inside]  # [k]

    named, hues = label(truth.name), label(truth.colour)
    what = F.cross_entropy(read(name), named, ignore_index=IGNORE, label_smoothing=0.02)
    hue = F.cross_entropy(read(colour), hues, ignore_index=IGNORE, reduction="sum")
    hue = hue / (hues != IGNORE).sum().clamp_min(1)
    centre = truth.box[rows, slots][:, None, :2] / CELL - (at + 0.5)  # [n, 9, 2]
    side = (truth.box[rows, slots][:, None, 2:] / 64).log().expand_as(centre)
    shape = F.l1_loss(read(box), torch.cat([centre, side], -1)[inside])
    parts = {"where": where, "what": what, "hue": hue, "shape": shape}
    return where + what + 0.5 * hue + 0.5 * shape, {k: v.detach() for k, v in parts.items()}


def train(args: argparse.Namespace, began: float) -> None:
    out_folder(args.out)
    device = usable(args.device)
    # read before the training, so that nothing is lost by it; a copy of the code may come without git
    where = environment(device, None if shutil.which("git") else "unknown")
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    atlas = Atlas.load()
    n = args.objects or len(atlas)
    if n > len(atlas):
        raise ValueError(f"--objects is {n}, and the atlas has {len(atlas)} objects")
    styles = list(SHARES)
    bank = SpriteBank(atlas, n, styles, sizes=SIZES, device=device)
    maker = SceneMaker(atlas, n, styles, list(SHARES.values()), args.seed)
    model = Detector(n).to(device).to(memory_format=torch.channels_last)
    step_model = torch.compile(model) if args.compile else model
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.03}, {"params": rest, "weight_decay": 0.0}],
        lr=args.lr,
        betas=(0.9, 0.98),
        fused=device.type == "cuda",
    )
    generator = torch.Generator(device).manual_seed(SEED + args.seed)
    finish = FINISH if device.type == "cuda" else 0.1 * 60 * args.minutes
    ready, budget = time.time() - began, 60 * args.minutes - finish
    print(
        f"ready after {ready:.1f} s; {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters",
        flush=True,
    )
    log, step, seen, base = [], 0, 0, None
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(maker.draw, args.batch)]
        while True:
            now = time.time() - began
            if step == 3:
                base = now  # the first steps compile and tune
            progress = 0.0 if base is None else (now - base) / max(1.0, budget - base)
            if progress >= 1 or step == args.steps:
                break
            drawn = waiting.pop().result()
            waiting.append(pool.submit(maker.draw, args.batch))
            rate = min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * progress))
            for group in optimizer.param_groups:
                group["lr"] = args.lr * rate
            truth = lesson(drawn, bank, n, generator)
            x = (truth.images / 127.5 - 1).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16):
                maps, _ = step_model(x)
            loss, parts = detection_loss(model, maps, truth)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            step, seen = step + 1, seen + args.batch
            if step % args.log_every == 0:
                entry = {"step": step, "images": seen, "seconds": round(time.time() - began, 1)}
                entry |= {k: round(float(v), 4) for k, v in parts.items()}
                if not math.isfinite(loss.item()):
                    raise RuntimeError(f"the loss is {loss.item()} at step {step}: lower --lr")
                log.append(entry)
                print(entry, flush=True)

    args.out.mkdir(parents=True, exist_ok=True)
    weights = args.out / "verifier.safetensors"
    save_quantised(model.eval(), weights)
    stored = Detector(n)
    load_quantised(stored, weights)
    card = {
        "sha256": sha256(weights),
        "bytes": weights.stat().st_size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "widths": [64, 160, 224],
        "images_seen": seen,
        "steps": step,
        "batch": args.batch,
        "seed": args.seed,
        "renderer_seed": SEED + args.seed,
        "styles": SHARES,
        "place_above": 0.4,
        "name_above": 0.5,
        "environment": where,
        "objects": [o.name for o in atlas.objects[:n]],
    }
    # already usable if the time runs out
    (args.out / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    judge = Verifier(stored, card["objects"], card, device)
    card |= calibrate(judge, atlas, bank, args.check)
    card["seconds"] = round(time.time() - began, 1)
    card["log"] = log[:: max(1, len(log) // 50)]
    (args.out / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    print({k: v for k, v in card.items() if k not in ("objects", "log", "styles")}, flush=True)


def calibrate(judge: Verifier, atlas: Atlas, bank: SpriteBank, count: int) -> dict:
    """Thresholds that best tell whole scenes from broken ones, on scenes of another seed; and the accuracy there."""
    n, device = bank.n_objects, bank.device
    maker = SceneMaker(atlas, n, bank.styles, [SHARES[s] for s in bank.styles], CHECK_SEED)
    generator = torch.Generator(device).manual_seed(CHECK_SEED)
    part = min(count, 256)
    kept: list[tuple[Lesson, Tensor]] = []
    for k in range(max(1, count // part)):
        truth = lesson(maker.draw(part), bank, n, generator, broken=k % 2 * 1.0)
        kept.append((truth, truth.images.round().to(torch.uint8).permute(0, 2, 3, 1)))
    best = (-1.0, 0.0, 0.0, 0.0, 0.0)
    for place, name in itertools.product((0.3, 0.4, 0.5), (0.35, 0.5, 0.65, 0.8)):
        judge.place_above, judge.name_above = place, name
        right, refused = [], []
        for truth, images in kept:
            for b, found in enumerate(judge.detect(images)):
                names = truth.name[b][truth.used[b]].tolist()
                if IGNORE in names or truth.doubtful[b].any():
                    continue
                wanted = Counter(NOTHING if i == n else judge.names[i] for i in names)
                (refused if n in names else right).append(wanted == Counter(d.name for d in found))
        whole, broken = sum(right) / max(1, len(right)), sum(refused) / max(1, len(refused))
        best = max(best, ((whole + broken) / 2, place, name, whole, broken))
    _, judge.place_above, judge.name_above, whole, broken = best
    out = {
        "place_above": judge.place_above,
        "name_above": judge.name_above,
        "check_degraded_whole_scenes_right": round(whole, 4),
        "check_degraded_broken_scenes_right": round(broken, 4),
    }
    for split in ("seen", "held_out"):
        scenes = SceneGenerator(atlas, n_objects=n, styles=bank.styles, seed=CHECK_SEED, split=split)
        right = places = 0
        for _ in range(max(1, count // part)):
            lot = [scenes.sample() for _ in range(part)]
            for scene, found in zip(lot, judge.detect(render(scenes.to_batch(lot), bank)), strict=True):
                wanted = Counter((o.name, o.colour) for o in scene.objects)
                right += wanted == Counter((d.name, d.colour) for d in found)
                places += 1
        out[f"check_clean_{split}_scenes_right"] = round(right / places, 4)
    return out


def main() -> None:
    began = time.time()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=to_path, default=Path("runs/verifier"))
    parser.add_argument("--minutes", type=number(above=True), default=2.3, help="of the whole run")
    parser.add_argument("--steps", type=whole(-1), default=-1, help="stop after so many steps (-1: by time)")
    parser.add_argument("--batch", type=whole(1, 1 << 20), default=512)
    parser.add_argument("--lr", type=number(), default=2e-3)
    parser.add_argument("--objects", type=whole(2), default=None, help="the first N objects of the atlas")
    parser.add_argument("--check", type=whole(1), default=2048, help="pictures for thresholds and accuracy")
    parser.add_argument("--seed", type=any_seed, default=0)
    parser.add_argument("--device", default=None)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--log-every", type=whole(1), default=100)
    train(parser.parse_args(), began)


if __name__ == "__main__":
    run_command(main)
