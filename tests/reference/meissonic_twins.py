"""The twins of Meissonic and what its own program makes of them; `meissonic.py` beside this is the command."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

import diffusers
import numpy as np
import torch
import transformers
from amused_twins import END, MASK, PROMPT, V, annealed, randomise, steps, vocabulary
from diffusers import VQModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from mdm_core.families.meissonic.folder import NEGATIVE as THEIRS

HERE = Path(__file__).parents[1] / "golden" / "meissonic"
NEGATIVE, STEPS, LEFT = "the snow", 10, 5
# how both are published; the text encoder is CLIP's ViT-H
PUBLISHED = {
    "num_layers": 14,
    "num_single_layers": 28,
    "attention_head_dim": 128,
    "num_attention_heads": 8,
    "joint_attention_dim": 1024,
    "pooled_projection_dim": 1024,
    "axes_dims_rope": [16, 56, 56],
    "vocab_size": 8256,
    "codebook_size": 8192,
}


def twin(name: str, folder: Path, theirs: dict):
    """The parts of a twin, in fp32, in the pipeline of their program."""
    halved = name == "halved"
    dtype = torch.float16
    vocabulary(folder / "tokenizer", THEIRS, 460)
    pair = {"vocab": str(folder / "tokenizer/vocab.json"), "merges": str(folder / "tokenizer/merges.txt")}
    tokenizer = CLIPTokenizer(**pair, pad_token=END, model_max_length=77)
    text = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=24,
            projection_dim=24,
            num_hidden_layers=3,
            num_attention_heads=2,
            hidden_act="gelu",
            eos_token_id=2,
        )
    )
    model = theirs["transformer"].Transformer2DModel(
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=12,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=24,
        axes_dims_rope=(2, 4, 6),
        vocab_size=144,
        codebook_size=V,
        downsample=halved,
        upsample=halved,
    )
    codec = VQModel(
        block_out_channels=[4, 8, 8],
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        latent_channels=4,
        layers_per_block=1,
        num_vq_embeddings=V,
        norm_num_groups=2,
        lookup_from_codebook=True,
        mid_block_add_attention=False,
        force_upcast=True,
    )
    for block in (*model.transformer_blocks, *model.single_transformer_blocks):
        # asked for by today's diffusers, which their program was not written for
        block.attn.head_dim = 12
    for seed, part in enumerate((text, model, codec)):
        randomise(part.eval(), 20 + seed + 3 * halved, dtype)
    codec.decoder.conv_out.weight.data.mul_(0.25)
    codec.decoder.conv_out.bias.data.copy_(torch.tensor([0.4, 0.5, 0.6]).to(dtype))
    pipe = theirs["pipeline"].Pipeline(codec, tokenizer, text, model, theirs["scheduler"].Scheduler(MASK))
    pipe.set_progress_bar_config(disable=True)
    write(pipe, folder)
    return pipe


def write(pipe, folder: Path) -> None:
    """The folder in fp16, as it is published, but for the cells a side, which its files leave to the program."""
    pipe.scheduler.save_pretrained(folder / "scheduler")
    for name in ("transformer", "vqvae", "text_encoder"):
        part = getattr(pipe, name).half()
        part.save_pretrained(folder / name, variant="fp16")
        part.float()
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sample_size": 8}, indent=2))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A twin\n")


@torch.no_grad()
def golden(pipe, halved: bool, module) -> dict[str, torch.Tensor]:
    side, L, size = 8, 64, 32
    g = torch.Generator().manual_seed(98)
    tokens = torch.randint(V, (1, side, side), generator=g)
    tokens[torch.rand(1, side, side, generator=g) < 0.5] = MASK
    micro = torch.tensor([[size, size, 0, 0, 6]]).float()
    places = module._prepare_latent_image_ids
    body = side // 2 if halved else side

    def logits(text: str) -> torch.Tensor:
        ids = pipe.tokenizer([text], padding="max_length", max_length=77, return_tensors="pt").input_ids
        told = pipe.text_encoder(ids, output_hidden_states=True)
        out = pipe.transformer(
            tokens,
            told.hidden_states[-2],
            told.text_embeds,
            torch.tensor([LEFT]),
            img_ids=places(1, 2 * body, 2 * body, "cpu", torch.float32),
            txt_ids=torch.zeros(77, 3),
            micro_conds=micro,
            return_dict=False,
        )
        return out[0].flatten(2).transpose(1, 2)[0]  # [L, V]

    with_prompt, without = logits(PROMPT), logits(NEGATIVE)
    pictures: list = []
    # their program halves positions at 1,024 pixels alone; a twin is smaller
    half = (lambda b, h, w, *rest: places(b, h // 2, w // 2, *rest)) if halved else places
    with mock.patch.object(module, "_prepare_latent_image_ids", half):
        made = steps(
            lambda told: pictures.extend(
                pipe(
                    PROMPT,
                    size,
                    size,
                    negative_prompt=NEGATIVE,
                    guidance_scale=9.0,
                    num_inference_steps=STEPS,
                    temperature=annealed(STEPS),
                    callback=told,
                ).images
            ),
            L,
            np.full(L, MASK),
            scheduler=sys.modules["src.scheduler"],
        )
    return {
        "tokens": torch.where(tokens == MASK, V, tokens).to(torch.int16),
        "logits": with_prompt[::3],
        "guided": (without + 9 * (with_prompt - without))[::3],
        "made": torch.from_numpy(made).to(torch.int16),
        "pixels": torch.from_numpy(np.array(pictures[0])),
    }


def published(model: type) -> dict:
    """Names and shapes of the transformers on the hub: how often each comes, with the numbers of layers as N."""
    out = {}
    for name, halved in (("Monetico", False), ("Meissonic", True)):
        config = {**PUBLISHED, "downsample": halved, "upsample": halved}
        with torch.device("meta"):
            state = model(**{**config, "axes_dims_rope": (16, 56, 56)}).state_dict()
        shapes = Counter(f"{re.sub(r'[.][0-9]+', '.N', k)} {list(v.shape)}" for k, v in state.items())
        out[name] = {"config": config, "parameters": sum(v.numel() for v in state.values()), "shapes": shapes}
    return out


def write_all(clone: Path) -> None:
    """All files of tests/golden/meissonic."""
    sys.path.insert(0, str(clone.resolve()))
    theirs = {
        name: importlib.import_module(f"src.{name}") for name in ("transformer", "scheduler", "pipeline")
    }
    shutil.rmtree(HERE, ignore_errors=True)
    versions = {m.__name__: m.__version__ for m in (diffusers, transformers, torch)} | {
        "Meissonic": "aeba85e8"
    }
    for name in ("plain", "halved"):
        pipe = twin(name, HERE / name, theirs)
        tensors = golden(pipe, name == "halved", theirs["pipeline"])
        save_file(
            {k: v.contiguous() for k, v in tensors.items()}, HERE / f"{name}.safetensors", metadata=versions
        )
        print(name, {k: list(v.shape) for k, v in tensors.items()})
    told = {"versions": versions, **published(theirs["transformer"].Transformer2DModel)}
    (HERE / "published.json").write_text(json.dumps(told, indent=1) + "\n")
    for path in HERE.rglob("*.safetensors"):
        path.chmod(0o644)
