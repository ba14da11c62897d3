"""Measure how ambiguous true tokens are: codes that decode alike, and what a trained model is unsure of.

    python -m trainer evidence ambiguity --ground runs/ground_lattice --json runs/ambiguity_lattice.json
    python -m trainer evidence ambiguity --ground runs/ground_lattice --model runs/credit_a/runs/ce-0/model

Credit for neighbours can only help where more than one token is right. Two measures of that, on scenes that nobody
trained on: of a token's neighbours (nearest codes, and the other codes of its group) the share that decode to the same
patch up to 1, 2, 4, 8 grey levels at every pixel, with all else as it was; and the entropy of a trained model's
prediction of masked tokens, beside the bits that the truth costs it, how often its best guess is right, and both by
groups of neighbours.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mdm_core.device import usable
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.groups import Groups
from mdm_core.pipeline import Pipeline
from trainer.codec import open_codec
from trainer.command import ask, out_file, run_command
from trainer.evidence.credit.figures import token_figures
from trainer.evidence.credit.ground import Ground
from trainer.record import environment
from trainer.settings.credit import Ambiguity

LEVELS = (1, 2, 4, 8)  # grey levels up to which a patch counts as the same
LOT = 4096  # blocks decoded at once


def around(ids: Tensor, cells: Tensor, context: int) -> tuple[Tensor, Tensor]:
    """Blocks of tokens that decode their cells as the whole pictures do.

    Args:
        ids: int64 [B, h, w].
        cells: int64 [M, 3], picture, row and column.
        context: cells on each side that a cell is decoded with.
    Returns:
        blocks int64 [M, k, k], k = 2 context + 1 or the grid's side, and where the cells are in them, int64 [M, 2].
    """
    h, w = ids.shape[1:]
    high, wide = min(2 * context + 1, h), min(2 * context + 1, w)
    top = (cells[:, 1] - context).clamp(0, h - high)  # [M]
    left = (cells[:, 2] - context).clamp(0, w - wide)  # [M]
    rows = top[:, None, None] + torch.arange(high)[:, None]  # [M, high, 1]
    columns = left[:, None, None] + torch.arange(wide)  # [M, 1, wide]
    blocks = ids[cells[:, 0, None, None], rows, columns]  # [M, high, wide]
    return blocks, torch.stack([cells[:, 1] - top, cells[:, 2] - left], 1)


@torch.no_grad()
def twins(
    codec: ImageTokenizer, x0: Tensor, near: Tensor | Groups, most: int, seed: int = 0
) -> dict[str, Any]:
    """How many neighbours of a token decode to its patch, over `most` tokens drawn at random from x0 [N, L].

    near: int64 [V, k], neighbours with the code itself first, or groups. `within_1` and on: share of neighbours whose
    patch differs by at most so many grey levels anywhere; `tokens_with_twin`: share of tokens that have one within 1.
    """
    side = codec.config.grid
    ids = x0.long().view(len(x0), side, side)
    draw = torch.Generator().manual_seed(seed)
    cells = torch.stack([torch.randint(0, n, (most,), generator=draw) for n in ids.shape], 1)  # [M, 3]
    blocks, inside = around(ids, cells, codec.context)
    target = ids[cells[:, 0], cells[:, 1], cells[:, 2]]  # [M]
    others, real = _others(near, target)  # [M, k], [M, k]
    true = _patches(codec, blocks, inside)  # [M, p, p, 3]
    gaps = []  # largest difference of each neighbour's patch
    for column in others.T:
        changed = blocks.clone()
        changed[torch.arange(most), inside[:, 0], inside[:, 1]] = column
        gaps.append((_patches(codec, changed, inside) - true).abs().flatten(1).amax(1))  # [M]
    gap = torch.stack(gaps, 1)  # [M, k]
    count = max(1, int(real.sum()))
    return {
        "tokens": most,
        "neighbours": round(float(real.sum(1).float().mean()), 3),
        **{f"within_{n}": round(int(((gap <= n) & real).sum()) / count, 5) for n in LEVELS},
        "tokens_with_twin": round(float(((gap <= 1) & real).any(1).float().mean()), 5),
        "mean_largest_difference": round(float(gap[real].mean()), 3) if bool(real.any()) else None,
    }


def _others(near: Tensor | Groups, target: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours of each target [M, k], and whether they are others than itself, bool [M, k]."""
    if isinstance(near, Groups):
        patch = near.patch(target)
        return patch.ids, patch.keep & (patch.ids != target[:, None])
    return near[target][:, 1:], torch.ones(len(target), near.shape[1] - 1, dtype=torch.bool)


def _patches(codec: ImageTokenizer, blocks: Tensor, inside: Tensor) -> Tensor:
    """The cell of each block as pixels, float [M, p, p, 3] on the CPU."""
    device, p, out = codec.embed.weight.device, codec.patch, []
    for lot, places in zip(blocks.split(LOT), inside.split(LOT), strict=True):
        pixels = codec.decode(lot.to(device)).cpu()  # [m, k p, k p, 3]
        m, high, wide = len(lot), lot.shape[1], lot.shape[2]
        cut = pixels.view(m, high, p, wide, p, 3).transpose(2, 3)  # [m, k, k, p, p, 3]
        out.append(cut[torch.arange(m), places[:, 0], places[:, 1]].float())
    return torch.cat(out)


def bits_of(ground: Ground, folder: Path, device: torch.device) -> dict[str, Any]:
    """Token figures of a model folder on the ground's unseen scenes; ValueError where it speaks of other tokens."""
    pipe = Pipeline.from_pretrained(folder, device)
    model, codec = getattr(pipe.backbone, "model", None), pipe.codec
    same = pipe.vocab_size == ground.codec.vocab_size and pipe.grid == (ground.codec.grid,) * 2
    if not (same and isinstance(model, MaskedDiffusionTransformer) and isinstance(codec, ImageTokenizer)):
        raise ValueError(f"{folder} is for other codes or another grid than {ground.folder}")
    ours, theirs = open_codec(ground.folder, device).state_dict(), codec.state_dict()
    # what makes tokens of a patch; decoders may differ
    mine = [name for name in ours if name.startswith(("encoder.", "quantiser."))]
    if any(name not in theirs or not torch.equal(ours[name], theirs[name]) for name in mine):
        raise ValueError(f"{folder} has another image tokenizer than {ground.folder}")
    text = torch.as_tensor(pipe.prompts.encode(ground.info["unseen_captions"])).cpu()
    near = {n: ground.groups(n, device) for n in (8, 64) if n < ground.codec.vocab_size}
    return token_figures(model, ground.tensors["unseen_x0"], text, near)


def measure(ground: Ground, device: torch.device, tokens: int, nearest: int) -> dict[str, Any]:
    """`twins` by kind of neighbour."""
    codec, x0 = open_codec(ground.folder, device), ground.tensors["unseen_x0"]
    k = min(nearest + 1, ground.codec.vocab_size)
    found = {f"{k - 1} nearest": ground.nearest(k, device).levels[0].tensors()[0].long().cpu()}
    told = {name: twins(codec, x0, table, tokens) for name, table in found.items()}
    for size in (8, 64):
        if size < ground.codec.vocab_size:
            told[f"group of {size}"] = twins(codec, x0, ground.groups(size), tokens)
    return told


def main() -> None:
    args = ask(Ambiguity, __doc__)
    out_file(args.json)
    device, ground = usable(args.device), Ground(args.ground)
    record = {
        "environment": environment(device),
        "ground": {k: ground.info[k] for k in ("world", "vocab_size", "codec", "snapped", "fidelity")},
        "twins": measure(ground, device, args.tokens, args.nearest),
        "models": {str(folder): bits_of(ground, folder, device) for folder in args.model},
    }
    print(json.dumps(record, indent=1))
    if args.json:
        args.json.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    run_command(main)
