"""The twins of aMUSEd and what the libraries make of them; `amused.py` beside this is the command, and says more."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AmusedInpaintPipeline, AmusedPipeline, AmusedScheduler, UVit2DModel, VQModel
from diffusers.schedulers import scheduling_amused
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

HERE = Path(__file__).parents[1] / "golden" / "amused"
V, MASK = 130, 135
SIDES = {"amused-256": 16, "amused-512": 32}  # cells
PROMPTS = [
    "a red fox in the snow",
    "",
    "Ein Bär isst 12 Äpfel; it's   raining, isn't it?\tYES!!",
    "<|endoftext|> ünïcödé 雪 🦊 a_b-c",
]
PROMPT, SEED = PROMPTS[0], 7
STEPS, PAINT_STEPS = 10, 7
START, END = "<|startoftext|>", "<|endoftext|>"


def vocabulary(folder: Path, more: str = "", size: int = 330) -> None:
    """A little byte-pair vocabulary in CLIP's form: bytes, bytes that end a word, merges, and the two ends last."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.train_from_iterator(
        [f"a red fox in the snow raining over the red lake and a lighthouse in the snow {more}"] * 9,
        trainers.BpeTrainer(vocab_size=size, end_of_word_suffix="</w>", show_progress=False),
    )
    merges = [pair for pair in json.loads(bpe.to_str())["model"]["merges"] if not pair[0].startswith("Ġ")]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(tokens), START, END]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in merges))


def randomise(module: torch.nn.Module, seed: int, dtype: torch.dtype) -> None:
    """Every parameter at random, of a size that keeps states of the order of one, and exact in `dtype`."""
    g = torch.Generator().manual_seed(seed)
    for name, p in module.named_parameters():
        noise = torch.randn(p.shape, generator=g)
        if p.ndim > 1 and "gamma" not in name and "beta" not in name:
            noise = noise / p[0].numel() ** 0.5 * (4 if "embedd" in name else 1.4)
        else:
            noise = 0.2 * noise + (1 if name.endswith("weight") else 0)
        p.data = noise.to(dtype).float()


def twin(name: str, folder: Path) -> AmusedPipeline:
    """The parts of a twin, in fp32."""
    halved = name == "halved"
    dtype = torch.float16 if halved else torch.float32
    vocabulary(folder / "tokenizer")
    pair = {"vocab": str(folder / "tokenizer/vocab.json"), "merges": str(folder / "tokenizer/merges.txt")}
    pad = "!" if halved else END
    tokenizer = CLIPTokenizer(**pair, pad_token=pad, model_max_length=77)
    words = len(tokenizer)
    text = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=words,
            hidden_size=16,
            intermediate_size=24,
            projection_dim=12,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=77,
            bos_token_id=0 if not halved else words - 2,
            eos_token_id=2 if not halved else words - 1,
            pad_token_id=1,
        )
    )
    model = UVit2DModel(
        hidden_size=24,
        cond_embed_dim=12,
        micro_cond_encode_dim=4,
        micro_cond_embed_dim=20,
        encoder_hidden_size=16,
        vocab_size=144,
        codebook_size=V,
        in_channels=12,
        block_out_channels=16,
        num_res_blocks=1 if halved else 2,
        downsample=halved,
        upsample=halved,
        block_num_heads=2,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        sample_size=12 if halved else 8,
    )
    codec = VQModel(
        block_out_channels=[4, 8, 8],
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        latent_channels=4,
        layers_per_block=1 + halved,
        num_vq_embeddings=V,
        norm_num_groups=2,
        lookup_from_codebook=True,
        mid_block_add_attention=False,
        force_upcast=True,
    )
    for seed, part in enumerate((text, model, codec)):
        randomise(part.eval(), seed + 3 * halved, dtype)
    codec.decoder.conv_out.weight.data.mul_(0.25)
    codec.decoder.conv_out.bias.data.copy_(torch.tensor([0.4, 0.5, 0.6]).to(dtype))
    pipe = AmusedPipeline(codec, tokenizer, text, model, AmusedScheduler(MASK))
    write(pipe, folder, halved)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def write(pipe: AmusedPipeline, folder: Path, halved: bool) -> None:
    """The folder as it is published: with .fp16 in its names where weights are of that type."""
    pairs = {name: (folder / "tokenizer" / name).read_text() for name in ("vocab.json", "merges.txt")}
    if halved:
        pipe.to(dtype=torch.float16)
    pipe.save_pretrained(folder, variant="fp16" if halved else None)
    pipe.to(dtype=torch.float32)
    if not halved:  # the library writes one file where published models have these two
        (folder / "tokenizer" / "tokenizer.json").unlink()
        for name, text in pairs.items():
            (folder / "tokenizer" / name).write_text(text)
    else:
        for name in pairs:
            (folder / "tokenizer" / name).unlink(missing_ok=True)
    (folder / "README.md").write_text("---\nlicense: openrail++\ntags:\n- art\n---\n# A twin\n")


def noise(seed: int, cells: int) -> Iterator[torch.Tensor]:
    """Gumbel noise of the order in which cells are set, as `mdm_core.diffusion.sampler` draws it."""
    random = np.random.default_rng([seed, 0x0C415E1])
    while True:
        yield torch.from_numpy(random.gumbel(size=cells)).float()[None]


def steps(call, cells: int, start: np.ndarray, scheduler=scheduling_amused) -> np.ndarray:
    """Tokens after each step [T + 1, L] of a pipeline's call, with the likeliest token wherever one is drawn."""
    drawn, out = noise(SEED, cells), [start]
    with (
        mock.patch.object(torch, "multinomial", lambda p, n, generator=None: p.argmax(-1, keepdim=True)),
        mock.patch.object(scheduler, "gumbel_noise", side_effect=lambda *_, **__: next(drawn)),
    ):
        call(lambda i, t, latents: out.append(latents.flatten().numpy().copy()))
    tokens = np.stack(out)
    return np.where(tokens == MASK, V, tokens)


def annealed(count: int) -> tuple[float, float]:
    """diffusers' temperatures that equal our order noise of 2, which ends a step later."""
    return 2 * (1 - 1 / count), 0


@torch.no_grad()
def golden(pipe: AmusedPipeline) -> dict[str, torch.Tensor]:
    side, patch = pipe.transformer.config.sample_size, 4
    L, size = side * side, side * patch
    g = torch.Generator().manual_seed(99)
    ids = pipe.tokenizer(PROMPTS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    text = pipe.text_encoder(ids, output_hidden_states=True)
    states, pooled = text.hidden_states[-2], text.text_embeds

    tokens = torch.randint(V, (1, side, side), generator=g)
    tokens[torch.rand(1, side, side, generator=g) < 0.5] = MASK
    micro = torch.tensor([[size, size, 0, 0, 6]]).float()

    def logits(row: int) -> torch.Tensor:
        out = pipe.transformer(tokens, states[row : row + 1], pooled[row : row + 1], micro)
        return out.flatten(2).transpose(1, 2)[0]  # [L, V]

    with_prompt, without = logits(0), logits(1)

    wave = torch.linspace(0, 9, size)
    image = 0.5 + 0.4 * torch.stack(
        [(wave[:, None] * f).sin() * (wave * (2 - f)).cos() for f in (0.7, 1, 1.6)]
    )
    picture = (
        (image + 0.1 * torch.rand(3, size, size, generator=g)).clamp(0, 1).mul(255).byte().permute(1, 2, 0)
    )
    pixels = picture.permute(2, 0, 1)[None].float() / 255
    codes = pipe.vqvae.quantize(pipe.vqvae.encode(pixels).latents)[2][2]

    cells = np.zeros((side, side), bool)
    cells[1:5, 2:] = True
    pictures = []
    made = steps(
        lambda told: pictures.extend(
            pipe(PROMPT, num_inference_steps=STEPS, temperature=annealed(STEPS), callback=told).images
        ),
        L,
        np.full(L, MASK),
    )
    paint = AmusedInpaintPipeline(**pipe.components)
    paint.set_progress_bar_config(disable=True)
    painted = steps(
        lambda told: paint(
            PROMPT,
            Image.fromarray(picture.numpy()),
            Image.fromarray(np.kron(cells, np.full((patch, patch), 255)).astype(np.uint8)),
            num_inference_steps=PAINT_STEPS,
            temperature=annealed(PAINT_STEPS),
            callback=told,
        ),
        L,
        np.where(cells.ravel(), MASK, codes.numpy()),
    )
    short = torch.int16
    return {
        "ids": ids.to(short),
        "states": states,
        "pooled": pooled,
        "tokens": torch.where(tokens == MASK, V, tokens).to(short),
        "logits": with_prompt[::3],
        "guided": (without + 10 * (with_prompt - without))[::3],
        "picture": picture,
        "codes": codes.view(side, side).to(short),
        "pixels": torch.from_numpy(np.array(pictures[0])),
        "cells": torch.from_numpy(cells),
        "made": torch.from_numpy(made).to(short),
        "painted": torch.from_numpy(painted).to(short),
    }


def published() -> dict:
    """Configurations of the models on the hub, and what they make; nothing of them is downloaded."""
    out = {}
    for name, side in SIDES.items():
        halved = side == 32
        config = {
            "transformer": {"sample_size": side, "downsample": halved, "upsample": halved},
            "vqvae": {
                "block_out_channels": [128, 256, 256, 512, 768],
                "down_block_types": ["DownEncoderBlock2D"] * 5,
                "up_block_types": ["UpDecoderBlock2D"] * 5,
                "latent_channels": 64,
                "layers_per_block": 2,
                "num_vq_embeddings": 8192,
                "lookup_from_codebook": True,
                "mid_block_add_attention": False,
                "force_upcast": True,
            },
            "text_encoder": {
                "vocab_size": 49408,
                "hidden_size": 768,
                "intermediate_size": 3072,
                "projection_dim": 768,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "max_position_embeddings": 77,
                "hidden_act": "quick_gelu",
                "eos_token_id": 2,
            },
        }
        with torch.device("meta"):
            parts = {
                "transformer": UVit2DModel(**config["transformer"]),
                "vqvae": VQModel(**config["vqvae"]),
                "text_encoder": CLIPTextModelWithProjection(CLIPTextConfig(**config["text_encoder"])),
            }
        told = {}
        for part, module in parts.items():
            state = module.state_dict()
            shapes = Counter(f"{re.sub(r'[.][0-9]+', '.N', k)} {list(v.shape)}" for k, v in state.items())
            told[part] = {"parameters": sum(v.numel() for v in state.values()), "shapes": shapes}
        for part in ("transformer", "vqvae"):
            config[part] = {k: v for k, v in parts[part].config.items() if not k.startswith("_")}
        out[name] = {"config": config, "weights": told}
    return out


def write_all() -> None:
    """All files of tests/golden/amused."""
    shutil.rmtree(HERE, ignore_errors=True)
    versions = {m.__name__: m.__version__ for m in (diffusers, transformers, torch)}
    for name in ("plain", "halved"):
        tensors = golden(twin(name, HERE / name))
        save_file(
            {k: v.contiguous() for k, v in tensors.items()}, HERE / f"{name}.safetensors", metadata=versions
        )
        print(name, {k: list(v.shape) for k, v in tensors.items()})

    (HERE / "published.json").write_text(json.dumps({"versions": versions, **published()}, indent=1) + "\n")
    for path in HERE.rglob("*.safetensors"):
        path.chmod(0o644)
