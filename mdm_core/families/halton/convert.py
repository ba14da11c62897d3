"""Halton-MaskGIT's published files -> a model folder of safetensors, by the names and shapes of their tensors."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from mdm_core.families.halton.config import HaltonConfig, MaskGITConfig
from mdm_core.families.halton.folder import CODEC, MODEL
from mdm_core.families.halton.transformer import MaskGIT
from mdm_core.families.published.ibq import IBQ, IBQConfig

# (width, depth) -> heads and guidance, as published
HEADS = {(384, 6): 6, (512, 12): 6, (768, 12): 12, (1024, 24): 16, (1152, 28): 16}
GUIDANCE = {(384, 6): 1.5, (512, 12): 1.0, (768, 12): 0.7, (1024, 24): 0.5}
CARD = "---\nlicense: mit\n---\nConverted from {model} and {tokenizer}.\n"


def convert(model: Path, tokenizer: Path, folder: Path, heads: int | None = None) -> str:
    """Write a model folder; what it holds, in words. ValueError, one sentence, where a file is not what it should be.

    heads: of attention, where the published sizes do not tell; its weights do not either.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already: name a new folder")
    theirs, codes = _state(model, "model_state_dict"), _state(tokenizer, "model")
    try:
        state = transformer_state(theirs)
        ours = transformer_config(state, heads)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{model} holds no transformer of Halton-MaskGIT: {_said(error)}") from error
    try:
        parts = tokenizer_state(codes)
        config = HaltonConfig(ours, tokenizer_config(parts))
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{tokenizer} holds no tokenizer of LlamaGen: {_said(error)}") from error
    with torch.device("meta"):
        empty = {model: (MaskGIT(config.model), state), tokenizer: (IBQ(config.tokenizer, 2), parts)}
    for file, (module, found) in empty.items():
        _check(file, module, found)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / MODEL, metadata={"format": "pt"})
    save_file(parts, folder / CODEC, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config.told(), indent=1) + "\n")
    (folder / "README.md").write_text(CARD.format(model=model.name, tokenizer=tokenizer.name))
    count = sum(v.numel() for v in state.values())
    side = config.model.input_size * config.tokenizer.patch
    return f"{count / 1e6:.1f} million parameters, pictures of {side} pixels"


def _said(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def _state(file: Path, key: str) -> dict[str, Tensor]:
    """The tensors of a pickle that is read as data alone."""
    if not file.is_file():
        raise ValueError(f"{file} is missing")
    try:
        with warnings.catch_warnings():
            # of pickles that it may not read: what it cannot read it says
            warnings.simplefilter("ignore")
            told: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  of a file of any making it raises of every kind
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ValueError(
            f"{file} cannot be read as tensors and plain values alone: {reason[:200]}"
        ) from error
    state = told.get(key) if isinstance(told, dict) else None
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{file} cannot be used: it has no {key!r}")
    out = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{file} cannot be used: {str(name)[:60]!r} is no tensor")
        out[name] = value.detach()
    return out


def transformer_state(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their names without what training wrapped around them; the head's rows are the token table's, kept once."""
    state = {re.sub(r"module\.|_orig_mod\.", "", k): v for k, v in theirs.items()}
    head = state.pop("head.weight")
    if not torch.equal(head, state["tok_emb.weight"]):
        raise ValueError("its head does not share the rows of its token table")
    state.setdefault("reg_tokens.weight", state["cls_emb.weight"][:0])
    return {k: v.float().contiguous() for k, v in state.items()}


def transformer_config(state: Mapping[str, Tensor], heads: int | None) -> MaskGITConfig:
    """By the shapes of the tensors."""
    width = state["cls_emb.weight"].shape[1]
    depth = len({k.split(".")[2] for k in state if k.startswith("transformer.layers.")})
    side = round(state["pos_emb.weight"].shape[0] ** 0.5)
    heads = heads or HEADS.get((width, depth))
    if heads is None:
        raise ValueError(f"its size, {width} by {depth} layers, is none that was published: say its --heads")
    return MaskGITConfig(
        input_size=side,
        hidden_dim=width,
        depth=depth,
        heads=heads,
        ffn=state["transformer.layers.0.ff.w1.weight"].shape[0],
        register=len(state["reg_tokens.weight"]),
        classes=len(state["cls_emb.weight"]) - 1,
        codebook_size=len(state["tok_emb.weight"]) - 1,
        guidance=GUIDANCE.get((width, depth), 1.0),
    )


def tokenizer_state(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """LlamaGen's names -> those of `IBQ`; codes at unit length, as its program makes them at every use."""
    levels = len({k.split(".")[2] for k in theirs if k.startswith("decoder.conv_blocks.")})
    state = {}
    for name, value in theirs.items():
        if name == "quantize.codebook_used":
            continue
        name = re.sub(r"encoder\.conv_blocks\.(\d+)", r"encoder.down.\1", name)
        # theirs counts from the small pictures up
        name = re.sub(r"decoder\.conv_blocks\.(\d+)", lambda m: f"decoder.up.{levels - 1 - int(m[1])}", name)
        name = re.sub(r"((?:down|up)\.\d+)\.res\.", r"\1.block.", name)
        for place, ours in enumerate(("block_1", "attn_1", "block_2")):
            name = name.replace(f"coder.mid.{place}.", f"coder.mid.{ours}.")
        state[name] = value.float().contiguous()
    book = "quantize.embedding.weight"
    state[book] = F.normalize(state[book], dim=-1)
    return state


def tokenizer_config(state: Mapping[str, Tensor]) -> IBQConfig:
    """By the shapes of the tensors."""
    ch = state["encoder.conv_in.weight"].shape[0]
    levels = len({k.split(".")[2] for k in state if k.startswith("encoder.down.")})
    blocks = len({k.split(".")[4] for k in state if k.startswith("encoder.down.0.block.")})
    mult = [state[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] // ch for i in range(levels)]
    book = state["quantize.embedding.weight"]
    return IBQConfig(
        ch=ch,
        ch_mult=tuple(mult),
        num_res_blocks=blocks,
        attn_resolutions=(16,),
        # attention stands at the smallest pictures alone
        resolution=16 * 2 ** (levels - 1),
        z_channels=state["encoder.conv_out.weight"].shape[0],
        embed_dim=book.shape[1],
        codebook_size=book.shape[0],
    )


def _check(file: Path, module: nn.Module, found: Mapping[str, Tensor]) -> None:
    """ValueError unless these are the module's tensors, finite all of them."""
    wanted = {k: list(v.shape) for k, v in module.state_dict().items()}
    if missing := sorted(set(wanted) - set(found)):
        raise ValueError(f"{file} cannot be used: {missing[0]!r} is missing ({len(missing)} keys in all)")
    if extra := sorted(set(found) - set(wanted)):
        raise ValueError(
            f"{file} cannot be used: {extra[0]!r} does not belong to this model ({len(extra)} keys in all)"
        )
    for name, shape in wanted.items():
        if list(found[name].shape) != shape:
            raise ValueError(
                f"{file} cannot be used: {name!r} has shape {list(found[name].shape)}, not {shape}"
            )
        if not bool(torch.isfinite(found[name]).all()):
            raise ValueError(f"{file} cannot be used: {name!r} holds values that are not finite")
