"""Table A: which objective teaches a small model best, under equal budgets?

    python -m trainer.ablate --codec runs/codec16 --out runs/ablation --minutes 6.5

Trains the same small model (same initial weights, data order, corruption and steps for a seed) under plain CE, CE
with label smoothing, and CE + GCE at several group sizes; samples EmojiEval prompts from each and scores them with
the frozen verifier. The data are drawn and tokenised once. Every run is written when it ends, so that a run that
is cut loses no more than what was under way. `python -m trainer.tables` makes the table and the plot.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mdm_core.config import ImageTokenizerConfig, ModelConfig, PipelineConfig, load_config
from mdm_core.corruption import Corrupted, CorruptionConfig, corrupt
from mdm_core.groups import Groups
from mdm_core.image_tokenizer import ImageTokenizer
from mdm_core.loss import ObjectiveConfig, bits_per_token, objective
from mdm_core.model import MaskedDiffusionTransformer, count_parameters
from mdm_core.pipeline import Pipeline, TransformerBackbone
from mdm_core.text import TextTokenizer
from mdm_core.weights import load_weights
from trainer.atlas import Atlas
from trainer.bench.record import environment
from trainer.data import SceneDataConfig, scene_batches
from trainer.evaluate.controls import frechet, verdicts
from trainer.evaluate.generate import Artist, generate
from trainer.evaluate.prompts import Prompt, make
from trainer.evaluate.scoring import summary
from trainer.optim import EMA, build_optimizers, trapezoid
from trainer.render import SpriteBank, render
from trainer.verifier import Verifier

DATA_SEED, UNSEEN_SEED = 31, 10_031
TENSORS, PROMPTS = "data.safetensors", "prompts.json"  # what all runs share, in the output folder
STARTING = 20.0  # seconds until the workers of a GPU run have agreed on their pace


@dataclass(frozen=True)
class Arm:
    """One way to train. `group`: codes a cell of the lattice holds; 1 is plain CE."""

    group: int = 1
    weight: float = 0.2  # of the grouped term
    smoothing: float = 0.0


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
        self.device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.set_float32_matmul_precision("high")
        config: ImageTokenizerConfig = load_config(args.codec / "config.json").tokenizer
        self.codec_config = config
        self.codec = ImageTokenizer(config)
        load_weights(self.codec, args.codec / "image_tokenizer.safetensors")
        self.codec.eval().to(self.device)
        self.model_config = ModelConfig(
            vocab_size=config.vocab_size, code_levels=config.levels, width=256, depth=5, heads=4, kv_heads=4,
            ffn=704, token_width=128, token_depth=2, token_heads=2, token_ffn=256,
        )  # fmt: skip
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
                x0.append(self.codec.encode(render(scenes, bank)).flatten(1).int().cpu())
                text.append(ids.short())
            return torch.cat(x0)[:n], torch.cat(text)[:n]

        x0, text = lot(DATA_SEED, a.scenes)
        unseen = lot(UNSEEN_SEED, min(256, a.scenes))
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

    # ---- one run -----------------------------------------------------------------------------------------

    def start(self, arm: Arm, seed: int):
        torch.manual_seed(seed)
        model = MaskedDiffusionTransformer(self.model_config).to(self.device)
        matrix_lr = 0.02 if hasattr(torch.optim, "Muon") else 0.0
        optimizers = build_optimizers(model, lr=2e-3, matrix_lr=matrix_lr, fused=self.device.type == "cuda")
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
        """Returns the averaged model and seconds a step, without the first three; `gate` is called after those."""
        a = self.args
        model, optimizers, groups = self.start(arm, seed)
        ema = EMA(model, 0.99)
        base = [[g["lr"] for g in o.param_groups] for o in optimizers]
        order = torch.Generator().manual_seed(1000 + seed)
        queue: list[Tensor] = []
        x0, text = data["x0"].to(self.device), data["text"].to(self.device)
        began = time.perf_counter()
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
            if step == 2:
                _wait(self.device)
                gate()
                began = time.perf_counter()
                if self.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
        _wait(self.device)
        took = (time.perf_counter() - began) / max(1, (steps if stop is None else stop) - 3)
        ema.copy_to(model)
        return model.eval(), took

    @torch.no_grad()
    def measure(self, model, data: dict) -> dict:
        """Plain-CE bits a token on unseen scenes; EmojiEval; the Fréchet distance."""
        x0, text = (data[name].to(self.device).long() for name in ("unseen_x0", "unseen_text"))
        plain = CorruptionConfig(flip_uniform=1.0)
        generator = torch.Generator(self.device).manual_seed(1)
        bits = {"masked_bits": [], "flipped_bits": []}
        for part, words in zip(x0.split(64), text.split(64), strict=True):
            c = corrupt(part, self.model_config.mask_id, plain, generator=generator)
            with torch.autocast(self.device.type, torch.bfloat16):
                hidden = model(c.zt, words)
            bits["masked_bits"].append(bits_per_token(hidden, model.head_weight, part, c.masked))
            bits["flipped_bits"].append(bits_per_token(hidden, model.head_weight, part, c.flipped))
        prompts = [Prompt.read(i, line) for i, line in enumerate(data["lines"])]
        config = PipelineConfig(tokenizer=self.codec_config, model=self.model_config)
        pipe = Pipeline(self.codec, self.text, TransformerBackbone(model), config)
        made = generate(pipe, [p.prompt for p in prompts], [p.index for p in prompts], quiet=True)
        judge = Verifier.load(self.args.verifier, self.device)
        features = judge.features(made.images).numpy()
        return {
            **{k: round(float(np.mean(v)), 4) for k, v in bits.items()},
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


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def probe(bench: Bench, data: dict) -> dict:
    """Seconds a step and peak memory of every arm, alone on the machine."""
    out = {}
    for name in bench.args.arms:
        steps = 12 if bench.device.type == "cuda" else 4
        try:
            _, seconds = bench.train(ARMS[name], 0, 1000, data, stop=steps)
        except Exception as error:  # the other arms shall still run; what failed is seen in the output
            print(f"{name} cannot run here and is left out: {error!r}", flush=True)
            continue
        peak = torch.cuda.max_memory_allocated() / 2**20 if bench.device.type == "cuda" else None
        out[name] = {"seconds_per_step": round(seconds, 5), "peak_mib": peak and round(peak)}
        print(name, out[name], flush=True)
    return out


def worker(args: argparse.Namespace) -> None:
    """All seeds of one arm, as far as the time goes."""
    bench = Bench(args)
    data = bench.load()
    if args.steps == 0:
        args.steps = agreed_steps(args, bench, data)
    for seed in range(args.seeds):
        began = time.time()
        model, seconds = bench.train(ARMS[args.worker], seed, args.steps, data)
        trained = time.time() - began
        row = {
            "arm": args.worker, **dataclasses.asdict(ARMS[args.worker]), "seed": seed, "steps": args.steps,
            "samples": args.steps * args.batch, "seconds_per_step_shared": round(seconds, 5),
            **bench.measure(model, data), "train_seconds": round(trained, 1),
            "seconds": round(time.time() - began, 1),
        }  # fmt: skip
        (args.out / f"run_{args.worker}_{seed}.json").write_text(json.dumps(row) + "\n")
        print(json.dumps({k: v for k, v in row.items() if k != "score"}), row["score"]["mean"], flush=True)
        if time.time() + 1.05 * (time.time() - began) > args.until:
            break


def agreed_steps(args: argparse.Namespace, bench: Bench, data: dict) -> int:
    """Steps of a run, the same for all arms: all train a little at the same time, and the slowest decides."""

    def together() -> None:
        (args.out / f"ready_{args.worker}").touch()
        while time.time() < args.until and len(list(args.out.glob("ready_*"))) < len(args.arms):
            time.sleep(0.02)

    stop = 33 if bench.device.type == "cuda" else 5
    _, seconds = bench.train(ARMS[args.worker], 0, 1000, data, stop=stop, gate=together)
    part = args.out / f"pace_{args.worker}.tmp"
    part.write_text(json.dumps(seconds))
    part.rename(part.with_suffix(".json"))  # appears only once it is whole
    while len(paces := list(args.out.glob("pace_*.json"))) < len(args.arms):
        if time.time() > args.until:
            raise RuntimeError("the other runs never started; see their messages")
        time.sleep(0.02)
    slowest = max(json.loads(p.read_text()) for p in paces)
    return steps_for(args, slowest)


def steps_for(args: argparse.Namespace, seconds_per_step: float) -> int:
    """As many steps as `seeds` runs, one after the other, can have from `start` (all paced) to `until`."""
    each = (args.until - args.start) / args.seeds - args.reserve
    return max(1, min(4000, int(each / seconds_per_step)))


def coordinate(args: argparse.Namespace) -> None:
    began = time.time()
    args.out.mkdir(parents=True, exist_ok=True)
    until = began + 60 * args.minutes
    bench = Bench(args)
    bench.prepare()
    print(f"{args.scenes} scenes after {time.time() - began:.0f} s", flush=True)
    data = bench.load()
    alone = probe(bench, data)
    info = {
        "environment": environment(bench.device, args.commit),
        "parameters": count_parameters(MaskedDiffusionTransformer(bench.model_config)),
        "vocab_size": bench.model_config.vocab_size, "objects": args.objects, "styles": args.styles,
        "scenes": args.scenes, "batch": args.batch, "rows": args.rows, "prompts": len(data["lines"]),
        "controls": data["controls"], "alone": alone, "verifier_sha256": Verifier.load(args.verifier).card["sha256"],
    }  # fmt: skip
    (args.out / "setup.json").write_text(json.dumps(info) + "\n")
    print(f"set up after {time.time() - began:.0f} s", flush=True)
    for old in (*args.out.glob("ready_*"), *args.out.glob("pace_*"), *args.out.glob("run_*.json")):
        old.unlink()
    del bench, data
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    waiting, running, start = list(alone), [], time.time() + STARTING
    if not args.steps and args.processes < len(waiting):
        raise ValueError(
            "give --steps where not all arms run at once: they agree on a number by running together"
        )
    while waiting or running:
        while waiting and len(running) < args.processes:
            running.append(start_worker(waiting.pop(0), list(alone), start, until))
        running = [p for p in running if p.poll() is None]
        time.sleep(0.2)
    rows = [json.loads(p.read_text()) for p in sorted(args.out.glob("run_*.json"))]
    (args.out / "ablation.json").write_text(json.dumps({**info, "runs": rows}) + "\n")
    (args.out / TENSORS).unlink()
    print(f"{len(rows)} runs in {time.time() - began:.0f} s; {args.out / 'ablation.json'}", flush=True)


def start_worker(arm: str, arms: list[str], start: float, until: float) -> subprocess.Popen:
    """This command again, for one arm."""
    more = ["--arms", *arms, "--worker", arm, "--start", str(start), "--until", str(until)]
    return subprocess.Popen([sys.executable, "-m", "trainer.ablate", *sys.argv[1:], *more])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--codec", type=Path, required=True, help="folder with config.json and the image tokenizer"
    )
    parser.add_argument("--text", type=Path, default=Path("assets/model/text.json"), help="prompt vocabulary")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument(
        "--arms", nargs="+", choices=list(ARMS), default=list(ARMS)[:5], metavar="ARM", help=", ".join(ARMS)
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=6.5, help="of the whole command")
    parser.add_argument("--steps", type=int, default=0, help="of each run (0: as many as the minutes allow)")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument(
        "--rows", type=float, default=0.3, help="share of a batch's tokens that the loss sees"
    )
    parser.add_argument("--scenes", type=int, default=131_072, help="training scenes, drawn once")
    parser.add_argument("--objects", type=int, default=30)
    parser.add_argument("--styles", nargs="+", default=["flat", "simple"])
    parser.add_argument("--per-tag", type=int, default=60, help="EmojiEval prompts a tag")
    parser.add_argument("--processes", type=int, default=5, help="runs at once")
    parser.add_argument("--workers", type=int, default=12, help="processes that draw scenes")
    parser.add_argument("--reserve", type=float, default=15.0, help="seconds a seed costs beside its steps")
    parser.add_argument("--verifier", type=Path, default=None)
    parser.add_argument("--device", default=None)
    parser.add_argument("--commit", default=None, help="recorded where the code came without its history")
    parser.add_argument("--worker", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--start", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    (worker if args.worker else coordinate)(args)


if __name__ == "__main__":
    main()
