"""What a recipe costs, on paper: parameters, work, memory of a GPU, tokens a second, days.

The model is built on the meta device, so that a plan for billions of parameters takes seconds and no memory. Work
and states are exact counts; activations are an estimate; speed comes from the record of
`python -m trainer.bench train --device cuda`, and is called unmeasured where there is none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mdm_core.config import ModelConfig
from mdm_core.model import MaskedDiffusionTransformer, count_parameters
from mdm_core.ops import GCE_TILE_BYTES
from trainer.optim import parameter_groups
from trainer.recipe import Recipe

RECORD = Path("assets/benchmarks/train_cuda.json")
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


def build_on_meta(config: ModelConfig) -> MaskedDiffusionTransformer:
    """The model with shapes and no numbers."""
    with torch.device("meta"):
        return MaskedDiffusionTransformer(config)


def work_per_sample(config: ModelConfig, model: nn.Module | None = None) -> Work:
    """2 operations per weight and position, three times: forward, and two products in the backward pass.

    Recomputation (gradient checkpointing) is not counted: what a model needs, not what a setting spends.
    """
    c = config
    model = model or build_on_meta(c)
    body_positions = c.text_length + c.length // c.resample**2

    def weights(modules) -> int:
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


def memory(recipe: Recipe, gpus: int, model: nn.Module | None = None) -> dict[str, float]:
    """Bytes on one GPU, by what they hold; with parallel="fsdp" the states are split over `gpus`."""
    r, c = recipe, recipe.model
    model = model or build_on_meta(c)
    body, rest = parameter_groups(model)
    n_body, n_rest = (sum(p.numel() for p in part) for part in (body, rest))
    if r.matrix_lr == 0:
        n_body, n_rest = 0, n_body + n_rest
    parts = gpus if r.parallel == "fsdp" else 1
    n = n_body + n_rest
    states = {
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
    # kept for the backward pass: per position of a block about 12 widths and 4 hidden layers, in bf16
    inside = lambda width, hidden: 2 * (12 * width + 4 * hidden)  # noqa: E731
    positions = c.text_length + c.length // c.resample**2
    body_block = positions * inside(c.width, c.ffn)
    token_block = c.length * inside(c.token_width, c.token_ffn)
    if r.checkpointing:
        kept = c.depth * positions * c.width * 2 + c.token_depth * c.length * c.token_width * 2
        kept += max(body_block, token_block)
    else:
        kept = c.depth * body_block + c.token_depth * token_block
    kept += c.length * c.token_width * 4 * 6  # embeddings and the head's input
    states["activations (estimate)"] = r.data.batch_size * kept
    states["tile of logits"] = GCE_TILE_BYTES["cuda"]
    return states


def measured_rate(path: Path = RECORD) -> dict | None:
    """The row of the record that says how many operations a second training reaches, and on what."""
    try:
        record = json.loads(path.read_text())
        row = next(r for r in record["rows"] if r.get("flops_per_second"))
        return {"device": record["environment"]["device"], **row}
    except (OSError, ValueError, KeyError, StopIteration):
        return None


def plan(recipe: Recipe, gpus: int = 1, record: Path = RECORD) -> str:
    """The plan as text."""
    r, c = recipe, recipe.model
    model = build_on_meta(c)
    work, parts = work_per_sample(c, model), memory(r, gpus, model)
    batch = r.data.batch_size * r.accumulate * gpus
    lines = [
        f"{count_parameters(model) / 1e9:.3f} G parameters: {count_parameters(model.blocks) / 1e9:.3f} G in "
        f"{c.depth} blocks, {model.head.weight.numel() / 1e9:.3f} G in the head of {c.vocab_size:,} tokens",
        f"{c.length:,} image tokens a picture, of which the body sees {c.length // c.resample**2:,} positions "
        f"beside {c.text_length} of text",
        f"{work.total / 1e12:.2f} TFLOP a picture and step: body {work.body / work.total:.0%}, attention "
        f"{work.attention / work.total:.0%}, token layers {work.token_layers / work.total:.0%}, head "
        f"{work.head / work.total:.0%}",
        f"a step sees {batch:,} pictures: {r.data.batch_size} on each of {gpus} GPUs"
        + (f", {r.accumulate} times" if r.accumulate > 1 else ""),
        "",
        f"memory of one GPU ({'states in ' + str(gpus) + ' parts' if r.parallel == 'fsdp' else 'all states'}"
        f"{', blocks recomputed' if r.checkpointing else ''}):",
        *(f"    {name:<38}{value / GIB:9.2f} GiB" for name, value in parts.items()),
        f"    {'together':<38}{sum(parts.values()) / GIB:9.2f} GiB",
        "",
    ]
    rate = measured_rate(record)
    if rate is None:
        lines.append(
            f"speed: unmeasured (no record {record}; python -m trainer.bench train --device cuda makes it)"
        )
        return "\n".join(lines)
    spent = work.total + (r.checkpointing and (work.total - work.head) / 3)
    pictures = rate["flops_per_second"] * gpus / spent
    said = (
        f"speed at the {rate['flops_per_second'] / 1e12:.0f} TFLOP/s measured on {rate['device']}, not counting what "
        f"{gpus} GPUs lose in talking to each other: {pictures:,.1f} pictures/s, "
        f"{pictures * c.length:,.0f} image tokens/s"
    )
    lines.append(said)
    if not r.minutes:
        lines.append(
            f"{r.steps:,} steps, {r.steps * batch:,} pictures: {r.steps * batch / pictures / 86400:,.1f} days"
        )
    return "\n".join(lines)
