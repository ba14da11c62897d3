"""What a recipe costs, on paper: parameters, work, memory of a GPU, tokens a second, days.

    python -m trainer plan paper_1024 --gpus 64
    python -m trainer plan emoji_gpu data.batch_size=512

The model is built on the meta device, so that a plan for billions of parameters takes seconds and no memory. Work
and states are exact counts; activations are what blocks were measured to keep, and the traffic between the products
is estimated from that. The speed has two sources: rates of single kernels (the records of `python -m trainer bench
gce` and `profile`), from which follows what a GPU could do at best, and whole training steps (`python -m
trainer bench train --device cuda`); what was not measured is said.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mdm_core.families.chisel.config import ModelConfig
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer, count_parameters
from mdm_core.ops import GCE_TILE_BYTES
from mdm_core.paths import shipped
from trainer.command import ask, run_command
from trainer.engine.muon import LOT, NEWTON_SCHULZ_STEPS, same_shape
from trainer.engine.optim import parameter_groups
from trainer.recipes.measured import gpu_recipe
from trainer.recipes.recipe import Recipe, load_recipe
from trainer.settings.training import Plan

RECORDS = shipped("benchmarks")
GIB = 1 << 30


@dataclass(frozen=True)
class Work:
    """Floating-point operations of one sample's training step: matrix products, forward and backward."""

    body: float
    attention: float
    token_layers: float
    head: float

    @property
    def total(self) -> float:
        return self.body + self.attention + self.token_layers + self.head

    def spent(self, recipe: Recipe) -> float:
        """With what a recipe's settings add outside the head: recomputed blocks, and passes that draw drafts or go
        without prompt."""
        passes = 3 + recipe.checkpointing + recipe.self_flip_steps + recipe.model.guided
        return self.head + (self.total - self.head) * passes / 3


@dataclass(frozen=True)
class Rates:
    """What single kernels reach on a device, operations or bytes a second."""

    device: str
    products: float  # bf16 matrices of 8192 x 8192
    head: float  # grouped cross-entropy, forward and backward, over the work of its three products
    head_shape: tuple[int, int, int]
    copy: float  # bytes read and written


def build_on_meta(config: ModelConfig) -> MaskedDiffusionTransformer:
    """The model with shapes and no numbers."""
    with torch.device("meta"):
        return MaskedDiffusionTransformer(config)


def work_per_sample(config: ModelConfig, model: MaskedDiffusionTransformer | None = None) -> Work:
    """2 operations per weight and position, three times: forward, and two products in the backward pass.

    Recomputation (gradient checkpointing) is not counted: what a model needs, not what a setting spends.
    """
    c = config
    model = model or build_on_meta(c)
    body_positions = c.text_length + c.length // c.resample**2

    def weights(modules: Iterable[nn.Module]) -> int:
        return sum(m.weight.numel() for part in modules for m in part.modules() if isinstance(m, nn.Linear))

    body = weights(model.blocks) * body_positions + weights([model.merge, model.split]) * (
        c.length // c.resample**2
    )
    token = weights(model.token_blocks) * c.length
    if c.code_levels is not None:
        token += weights([model.token_embed]) * c.length
    attention = 2 * c.depth * c.width * body_positions**2  # scores and weighted values
    token += 2 * c.token_depth * c.token_width * c.length**2
    head = c.vocab_size * c.token_width * c.length
    return Work(6 * body, 6 * attention, 6 * token, 6 * head)


def memory(
    recipe: Recipe, gpus: int, model: MaskedDiffusionTransformer | None = None, kernels: bool = True
) -> dict[str, float]:
    """Bytes on one GPU, by what they hold; with parallel="fsdp" the states are split over `gpus`.

    kernels: blocks go through mdm_core/ops/block/training.py, as on any GPU with bf16; else they are PyTorch's, as on
    a CPU.
    """
    r, c = recipe, recipe.model
    model = model or build_on_meta(c)
    body, rest = parameter_groups(model)
    n_body, n_rest = (sum(p.numel() for p in part) for part in (body, rest))
    if r.matrix_lr == 0:
        n_body, n_rest = 0, n_body + n_rest
    parts = gpus if r.parallel == "fsdp" else 1
    n = n_body + n_rest
    states: dict[str, float] = {
        "weights, fp32": 4 * n / parts,
        "gradients, fp32": 4 * n / parts,
        "optimiser states, fp32": (4 * n_body + 8 * n_rest) / parts,
        "averaged weights, fp32": 4 * n / parts,
    }
    if parts > 1:  # gathered in bf16: the root's own weights, two blocks, and the root's gradient
        block = sum(p.numel() for p in model.blocks[0].parameters()) if c.depth else 0
        root = n - sum(p.numel() for b in (*model.blocks, *model.token_blocks) for p in b.parameters())
        states["gathered weights, bf16"] = 2 * (root + 2 * block)
        states["gradient of the gathered head, fp32"] = 4 * root
    elif r.precision == "bf16":
        states["copies of the weights, bf16"] = 2 * n
    positions = c.text_length + c.length // c.resample**2
    body_block: float
    token_block: float
    kept: float
    if kernels:
        body_block = positions * kept_by_kernels(c.width, c.ffn, c.kv_heads / c.heads)
        token_block = c.length * kept_by_kernels(c.token_width, c.token_ffn)
    else:
        body_block = positions * inside(c.width, c.ffn)
        token_block = c.length * inside(c.token_width, c.token_ffn)
    if r.checkpointing:
        # sums between blocks are in bf16 with FSDP2 and with the kernels
        each = 2 if parts > 1 or kernels else 4
        kept = each * (c.depth * positions * c.width + c.token_depth * c.length * c.token_width)
        kept += max(body_block, token_block)
    else:
        kept = c.depth * body_block + c.token_depth * token_block
    kept += c.length * c.token_width * 4 * 6  # embeddings and the head's input
    states["activations (estimate)"] = r.data.batch_size * kept
    states["tile of logits"] = GCE_TILE_BYTES["cuda"]
    if n_body:  # fp32 updates, and about six bf16 copies of the matrices that are made orthogonal at once
        lots = same_shape(body, LOT * parts)
        largest = max(math.ceil(len(members) / parts) * rows * cols for rows, cols, members in lots)
        states["updates of Muon"] = 4 * n_body / parts + 2 * 6 * largest
    return states


def muon_work(recipe: Recipe, gpus: int, model: nn.Module) -> float:
    """Operations of one GPU in one step for Muon's iteration, of symmetric products one half.

    Shared with FSDP2; with DDP everyone does all (on one machine they share too, which is not counted on).
    """
    if recipe.matrix_lr == 0:
        return 0.0
    parts, total = (gpus if recipe.parallel == "fsdp" else 1), 0
    for rows, columns, members in same_shape(parameter_groups(model)[0], LOT * parts):
        r, c = min(rows, columns), max(rows, columns)
        total += math.ceil(len(members) / parts) * NEWTON_SCHULZ_STEPS * (3 * r * r * c + r**3)
    return float(total)


def traffic(recipe: Recipe, gpus: int, model: nn.Module) -> tuple[float, float]:
    """(bytes of GPU memory a sample, bytes of GPU memory a step), beside the products; estimates.

    What the kernels between a block's products read and write, forward (again, where it is recomputed, and where
    drafts are drawn) and backward; states are read and written by the optimiser.
    """
    r, c = recipe, recipe.model
    positions = c.text_length + c.length // c.resample**2
    sample = 0.0
    for depth, count, width, hidden, shared in (
        (c.depth, positions, c.width, c.ffn, c.kv_heads / c.heads),
        (c.token_depth, c.length, c.token_width, c.token_ffn, 1.0),
    ):
        projection = 2 * width * (1 + 2 * shared)  # bytes of queries, keys and values
        forward = 2 * width * 9 + projection + 2 * width + 2 * hidden * 3  # norms and sums, attention, SwiGLU
        backward = 2 * width * 10 + 2 * projection + 2 * width + 2 * hidden * 5
        sample += depth * count * (forward * (1 + r.checkpointing + r.self_flip_steps + c.guided) + backward)
    parts = gpus if r.parallel == "fsdp" else 1
    return sample, 36 * count_parameters(model) / parts


def exchanged(recipe: Recipe, gpus: int, parameters: int) -> float:
    """Bytes that one GPU receives in a step: weights in bf16 for either pass and gradients in fp32 with FSDP2,
    gradients there and back with DDP."""
    if gpus == 1:
        return 0.0
    each = 4 * recipe.accumulate + 4 if recipe.parallel == "fsdp" else 8
    return each * parameters * (gpus - 1) / gpus


def inside(width: int, hidden: int) -> int:
    """Bytes that a block keeps for the backward pass a position, measured eagerly; compiled it can only be fewer."""
    return 50 * width + 8 * hidden


def kept_by_kernels(width: int, hidden: int, shared: float = 1.0) -> float:
    """Bytes that a block of kernels keeps for the backward pass a position, all in bf16.

    Its input, both norms, the sum between, attention's input and output; SwiGLU's input and output.
    shared: key and value heads to a query head.
    """
    return 2 * width * (5 + 1 + 2 * shared) + 2 * hidden * 3


def kernel_rates(width: int, folder: Path = RECORDS) -> Rates | None:
    """Measured rates, the head's at the shape whose width is nearest; None where a record is missing."""
    try:
        record = json.loads((folder / "gce_cuda.json").read_text())
        rows = [r for r in record["rows"] if r["name"] == "ours" and r["grouped"] and r.get("ms")]
        row = min(rows, key=lambda r: abs(math.log(r["shape"][1] / width)))
        text = (folder / "profile_cuda.txt").read_text()
        found = re.search(r"copy ([\d.]+) TB/s, 8192\^3 bf16 product ([\d.]+) TFLOP/s", text)
        if found is None:
            return None
        copy, product = found.groups()
        return Rates(
            record["environment"]["device"],
            float(product) * 1e12,
            6 * math.prod(row["shape"]) / (row["ms"] * 1e-3),
            tuple(row["shape"]),
            float(copy) * 1e12,
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def step_rate(folder: Path = RECORDS) -> dict | None:
    """The row of the record that says how many operations a second whole training steps reach, and on what."""
    try:
        record = json.loads((folder / "train_cuda.json").read_text())
        row = next(r for r in record["rows"] if r.get("flops_per_second"))
        return {"device": record["environment"]["device"], **row}
    except (OSError, ValueError, KeyError, StopIteration):
        return None


def plan(recipe: Recipe, gpus: int = 1, folder: Path = RECORDS) -> str:
    """The plan as text."""
    r, c = recipe, recipe.model
    model = build_on_meta(c)
    work, parts = work_per_sample(c, model), memory(r, gpus, model)
    n, batch = count_parameters(model), r.data.batch_size * r.accumulate * gpus
    lines = [
        f"{n / 1e9:.3f} G parameters: {count_parameters(model.blocks) / 1e9:.3f} G in "
        f"{c.depth} blocks, {model.head.weight.numel() / 1e9:.3f} G in the head of {c.vocab_size:,} tokens",
        f"{c.length:,} image tokens a picture, of which the body sees {c.length // c.resample**2:,} positions "
        f"beside {c.text_length} of text",
        f"{work.total / 1e12:.2f} TFLOP a picture and step: body {work.body / work.total:.0%}, attention "
        f"{work.attention / work.total:.0%}, token layers {work.token_layers / work.total:.0%}, head "
        f"{work.head / work.total:.0%}; {work.spent(r) / 1e12:.2f} with recomputed blocks and drafts",
        f"a step sees {batch:,} pictures: {r.data.batch_size} on each of {gpus} GPUs"
        + (f", {r.accumulate} times" if r.accumulate > 1 else ""),
        "",
        f"memory of one GPU ({'states in ' + str(gpus) + ' parts' if r.parallel == 'fsdp' else 'all states'}"
        f"{', blocks recomputed' if r.checkpointing else ''}):",
        *(f"    {name:<38}{value / GIB:9.2f} GiB" for name, value in parts.items()),
        f"    {'together':<38}{sum(parts.values()) / GIB:9.2f} GiB",
        f"    at the start on each GPU, in validation on the first: the whole model, {4 * n / GIB:,.1f} GiB more",
        f"a checkpoint on disk: {_checkpoint_bytes(r, model) / GIB:,.1f} GiB, of which "
        f"{r.keep_last + r.keep_best} or fewer are kept",
        "",
        *_at_best(r, gpus, model, work, kernel_rates(c.token_width, folder)),
        *_measured(r, gpus, model, work, folder),
    ]
    return "\n".join(lines)


def parts_of_a_step(
    recipe: Recipe, gpus: int, model: nn.Module, work: Work, rates: Rates
) -> dict[str, float]:
    """Seconds that each part of a step takes at best, one after the other."""
    r = recipe
    per_picture, per_step = traffic(r, gpus, model)
    samples = r.data.batch_size * r.accumulate
    return {
        "products": samples * (work.spent(r) - work.head) / rates.products,
        "head and loss": samples * work.head / rates.head,
        "between the products (estimate)": samples * per_picture / rates.copy,
        "Muon's iteration": muon_work(r, gpus, model) / rates.products,
        "optimiser states": per_step / rates.copy,
    }


def forecast(recipe: Recipe, gpus: int, folder: Path = RECORDS) -> float | None:
    """Seconds of a step: at best, over the share of it that a whole step on record reached; None without records."""
    rates, rate = kernel_rates(recipe.model.token_width, folder), step_rate(folder)
    if rates is None or rate is None or not rate.get("batch"):
        return None
    best = []
    for r, count in ((gpu_recipe(rate["batch"]), 1), (recipe, gpus)):
        model, mine = build_on_meta(r.model), kernel_rates(r.model.token_width, folder) or rates
        best.append(sum(parts_of_a_step(r, count, model, work_per_sample(r.model, model), mine).values()))
    return best[1] / best[0] * rate["ms"] * 1e-3


def _at_best(recipe: Recipe, gpus: int, model: nn.Module, work: Work, rates: Rates | None) -> list[str]:
    r = recipe
    if rates is None:
        return ["speed at best: unmeasured (no records of python -m trainer bench gce and profile)"]
    samples = r.data.batch_size * r.accumulate
    seconds = parts_of_a_step(r, gpus, model, work, rates)
    step = sum(seconds.values())
    lines = [
        f"at best, from kernels measured on {rates.device}: products {rates.products / 1e12:.0f} TFLOP/s, grouped "
        f"cross-entropy {rates.head / 1e12:.0f} (N, D, V = {', '.join(map(str, rates.head_shape))}), "
        f"copies {rates.copy / 1e12:.2f} TB/s",
        *(f"    {name:<38}{1e3 * value:9.1f} ms a step" for name, value in seconds.items() if value),
        _said(r, gpus, gpus * samples / step),
    ]
    if gpus > 1:
        there = exchanged(r, gpus, count_parameters(model))
        lines.append(
            f"    in which each GPU receives {there / 1e9:,.0f} GB, hidden behind the work where the network gives it "
            f"{there / step / 1e9:,.0f} GB/s; what a network really takes is unmeasured"
        )
    return lines


def _measured(recipe: Recipe, gpus: int, model: nn.Module, work: Work, folder: Path) -> list[str]:
    rate = step_rate(folder)
    if rate is None:
        return [
            f"whole steps: unmeasured (no record {folder / 'train_cuda.json'}; "
            "python -m trainer bench train --device cuda makes it)"
        ]
    expected = forecast(recipe, gpus, folder)
    if expected is not None:
        samples = gpus * recipe.data.batch_size * recipe.accumulate
        return [
            f"forecast: {1e3 * expected:,.0f} ms a step, as far above the best as whole steps of "
            f"{rate['parameters'] / 1e6:.0f} M parameters stayed on {rate['device']}, not counting what {gpus} GPUs "
            "lose in talking to each other:",
            _said(recipe, gpus, samples / expected),
        ]
    pictures = rate["flops_per_second"] * gpus / work.spent(recipe)
    return [
        f"at the {rate['flops_per_second'] / 1e12:.0f} TFLOP/s that whole steps of {rate['parameters'] / 1e6:.0f} M "
        f"parameters reached on {rate['device']} (smaller models reach less), not counting what {gpus} GPUs lose in "
        "talking to each other:",
        _said(recipe, gpus, pictures),
    ]


def _said(recipe: Recipe, gpus: int, pictures: float) -> str:
    """pictures: a second, of all GPUs together."""
    r = recipe
    text = f"    {pictures:,.1f} pictures/s, {pictures * r.model.length:,.0f} image tokens/s"
    if r.minutes:
        return text
    whole = r.steps * r.data.batch_size * r.accumulate * gpus
    return f"{text}: {r.steps:,} steps, {whole:,} pictures, in {whole / pictures / 86400:,.1f} days"


def _checkpoint_bytes(recipe: Recipe, model: nn.Module) -> int:
    """Weights, their average, one state of each of Muon's matrices and two of everything else, in fp32."""
    body, rest = (sum(p.numel() for p in part) for part in parameter_groups(model))
    return 4 * (2 * (body + rest) + (body + 2 * rest if recipe.matrix_lr else 2 * (body + rest)))


def main(argv: list[str] | None = None) -> None:
    args = ask(Plan, __doc__, argv)
    print(plan(load_recipe(args.recipe, list(args.overrides)), args.gpus))


if __name__ == "__main__":
    run_command(main)
