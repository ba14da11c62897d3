"""Training speed: the loop with the fused loss beside the same loop with naive losses, in one run.

    python -m trainer bench train [--device cpu|cuda] [--out assets/benchmarks]

On the CPU a small model with V = 65,536; on a GPU a model of 300 M parameters, compiled, and the share of the
GPU's peak that its matrix products reach ("model FLOPs utilisation", MFU). Data are random tokens in memory: what
is timed is the loop's own step, from corrupting the tokens to averaging the weights.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mdm_core.device import default
from mdm_core.diffusion.corruption import Corrupted
from mdm_core.diffusion.loss import ObjectiveConfig
from mdm_core.families.chisel.config import ImageTokenizerConfig, PipelineConfig, save_config
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.transformer import count_parameters
from mdm_core.families.weights import save_weights
from mdm_core.groups import Groups, Partition
from trainer import record
from trainer.bench.measure import peak_bytes
from trainer.command import ask
from trainer.engine.loop import Trainer
from trainer.engine.plan import work_per_sample
from trainer.recipes.measured import cpu_recipe, gpu_recipe
from trainer.recipes.recipe import Recipe
from trainer.settings.bench import Training

# dense bf16 matrix products, operations a second, from the vendor's data sheets
PEAKS = {"H200": 989.4e12, "H100": 989.4e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165.2e12}


def naive_objective(grouped: bool) -> Callable[..., Tensor]:
    """The loss as a textbook writes it: all logits at once, softmax in fp32; same weights of the rows."""

    def loss(
        hidden: Tensor,
        head_weight: Tensor,
        x0: Tensor,
        corrupted: Corrupted,
        groups: Groups | None,
        config: ObjectiveConfig,
        backend: str,
    ) -> Tensor:
        masked = corrupted.masked.flatten()  # [N]
        row_weight = masked / masked.sum().clamp_min(1)
        row_weight = row_weight + ~masked * (config.edit_weight / (~masked).sum().clamp_min(1))
        target = x0.flatten()
        logits = F.linear(hidden.flatten(0, 1), head_weight).float()  # [N, V]
        total = config.ce_weight * F.cross_entropy(logits, target, reduction="none")  # [N]
        if grouped and groups is not None:
            assert not isinstance(config.group_weight, tuple)  # there is one level
            level = groups.levels[0]
            assert isinstance(level, Partition)
            first = level.offsets[level.group_of[target].long()].long()  # [N]
            members = level.order[first[:, None] + torch.arange(level.width, device=target.device)].long()
            gathered = logits.gather(1, members).logsumexp(1)  # [N]
            total = total + config.group_weight * (logits.logsumexp(1) - gathered)
        return (total * row_weight).sum()

    return loss


def contenders(trainer: Trainer) -> dict[str, tuple]:
    """name -> (objective, with groups)"""
    fused, groups = trainer.net.objective, trainer.groups
    return {
        "fused, CE + GCE": (fused, groups),
        "fused, CE": (fused, None),
        "naive, CE": (naive_objective(False), None),
        "naive, CE + GCE": (naive_objective(True), groups),
    }


def make_trainer(recipe: Recipe, device: torch.device | None, folder: Path) -> Trainer:
    """The training loop itself, on random tokens; the image tokenizer is there for its lattice only."""
    m = recipe.model
    if m.code_levels is None:
        raise ValueError(
            "steps are measured with models that embed tokens by a lattice: set model.code_levels"
        )
    codec = ImageTokenizer(ImageTokenizerConfig(image_size=8 * m.grid, levels=m.code_levels))
    save_weights(codec, folder / "image_tokenizer.safetensors")
    save_config(PipelineConfig(tokenizer=codec.config, model=recipe.model), folder / "config.json")
    trainer = Trainer(recipe, folder, folder / "run", device)
    trainer.stream = iter(lambda: recipe.data.batch(0), None)
    trainer.draws_ahead = trainer.device.type == "cuda"  # as with any source that has indexed batches
    return trainer


def step(trainer: Trainer) -> None:
    """One whole step of the loop."""
    trainer.gradient()
    trainer.update()
    trainer.step += 1


def gradients_only(trainer: Trainer, x0: Tensor, text: Tensor) -> Callable[[], None]:
    """Forward and backward into gradients that exist already, for the memory that they need beside it."""

    def run() -> None:
        for p in trainer.model.parameters():
            if p.grad is not None:
                p.grad.zero_()
        trainer.net(x0, text, 0).backward()

    return run


def bench(device: torch.device, batch: int, seconds: float) -> list[dict]:
    """One row per contender; they take turns, and a CPU's figure is the best round, a GPU's the median."""
    on_gpu = device.type == "cuda"
    recipe = gpu_recipe(batch) if on_gpu else cpu_recipe(batch)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(recipe, device, Path(folder))
        x0, text, _ = trainer.draw()
        trainer.set_learning_rate(0.5)
        found = contenders(trainer)
        step(trainer)  # the optimisers' states are there before memory is measured
        taken: dict[str, list[float]] = {name: [] for name in found}
        extra: dict[str, int] = {}
        for name, (objective, groups) in list(found.items()):  # compile, tune, fault pages in; measure memory
            trainer.net.objective, trainer.net.groups = objective, groups
            try:
                extra[name] = peak_bytes(gradients_only(trainer, x0, text), device)
            except torch.OutOfMemoryError:
                print(f"{name}: out of memory at {batch} samples", flush=True)
                del found[name], taken[name]
        begin, least = time.perf_counter(), 5 if on_gpu else 2
        while len(taken["fused, CE"]) < least or time.perf_counter() - begin < seconds:
            for name, (objective, groups) in found.items():
                trainer.net.objective, trainer.net.groups = objective, groups
                taken[name].append(_timed(trainer, device))
    parameters = list(trainer.model.parameters())
    standing = sum(p.nbytes * 2 for p in parameters) + sum(s.nbytes for s in trainer.ema.shadow)
    standing += sum(
        v.nbytes
        for o in trainer.optimizers
        for s in o.state.values()
        for v in s.values()
        if hasattr(v, "nbytes")
    )
    rows = []
    pick = (lambda t: sorted(t)[len(t) // 2]) if on_gpu else min
    work, peak = work_per_sample(recipe.model).total, peak_of(device)
    for name in found:
        rate = batch / pick(taken[name])
        rows.append(
            {
                "name": name,
                "batch": batch,
                "shape": [batch * 256, recipe.model.token_width, recipe.model.vocab_size],
                "parameters": count_parameters(trainer.model),
                "ms": 1e3 * batch / rate,
                "samples_per_second": rate,
                "extra_mib": extra[name] / 2**20,
                "standing_mib": standing / 2**20,
                "peak_mib": (extra[name] + standing) / 2**20,
                "flops_per_second": work * rate,
                "rounds": len(taken[name]),
                "mfu": work * rate / peak if peak else None,
            }
        )
    return rows


def peak_of(device: torch.device) -> float | None:
    """The data sheet's peak of this GPU; None for a CPU or a GPU that is not in the list."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for key, peak in PEAKS.items() if key in name), None)


def _timed(trainer: Trainer, device: torch.device) -> float:
    """Seconds of one step: on a GPU of three in a row, so that their launches overlap as they do in the loop."""
    count = 3 if device.type == "cuda" else 1
    if device.type == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(count):
        step(trainer)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / count


def table(rows: list[dict]) -> str:
    """The rows as text."""
    base = next((r for r in rows if r["name"] == "naive, CE"), rows[0])
    lines = [f"{'':<18}{'samples/s':>10}{'x naive CE':>12}{'peak MiB':>10}{'of naive CE':>12}{'MFU':>7}"]
    for r in rows:
        mfu = f"{r['mfu']:7.1%}" if r["mfu"] else f"{'-':>7}"
        lines.append(
            f"{r['name']:<18}{r['samples_per_second']:>10.1f}"
            f"{r['samples_per_second'] / base['samples_per_second']:>12.2f}{r['peak_mib']:>10.0f}"
            f"{r['peak_mib'] / base['peak_mib']:>12.2f}{mfu}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> Path:
    args = ask(Training, __doc__, argv)
    device = torch.device(args.device or default())
    on_gpu = device.type == "cuda"
    rows = bench(device, args.batch or (512 if on_gpu else 16), args.seconds or (12 if on_gpu else 40))
    print(table(rows), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"train_{device.type}.json"
    path.write_text(json.dumps({"environment": record.environment(device), "rows": rows}, indent=1) + "\n")
    print("wrote", path)
    return path


if __name__ == "__main__":
    main()
