"""The twin of NL-Diffusion-Image and what its parts make of it; `nl_diffusion.py` beside this is the command."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from amused_twins import PROMPTS, randomise
from diffusers import VQModel
from diffusers.models.downsampling import Downsample2D
from diffusers.models.upsampling import Upsample2D
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import Ministral3Config, Ministral3Model, PreTrainedTokenizerFast
from transformers.models.apertus1p5.configuration_apertus1p5 import Apertus1p5VisionTokenizerConfig
from transformers.models.apertus1p5.modeling_apertus1p5 import Apertus1p5VisionTokenizerModel

HERE = Path(__file__).parents[1] / "golden" / "nl_diffusion"
V, SIDE, PATCH, DIM = 130, 8, 2, 24
MASK, STEPS, GUIDANCE = V + 1, 6, 5.0
TEXTS = [*PROMPTS[:3], "ünïcödé 雪 🦊 a_b-c"]
ROPE = {
    "rope_type": "yarn",
    "type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 512,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}
BODY = {
    "hidden_size": DIM,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 40,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "sliding_window": None,
    "rope_parameters": ROPE,
}
TOKENIZER = {
    "ch": 32,
    "ch_mult": [2, 1],
    "num_res_blocks": 1,
    "attn_resolutions": [8],
    "resolution": 16,
    "z_channels": 6,
    "embed_dim": 5,
    "codebook_size": V,
    "in_channels": 3,
    "out_ch": 3,
    "double_z": False,
    "dropout": 0.0,
    "model_type": "Emu3p5VisionVQ",
}
SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)


def vocabulary(path: Path) -> PreTrainedTokenizerFast:
    """Byte pairs with the signs of a chat at their published ids, in one file; as transformers reads it."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    signs = ["<unk>", "<s>", "</s>", *(f"<SPECIAL_{n}>" for n in range(3, 10)), "<|im_start|>", "<|im_end|>"]
    signs += [f"<SPECIAL_{n}>" for n in range(12, 26)]
    bpe.train_from_iterator(
        [f"{SYSTEM} a red fox in the snow Generate an image with the caption: ORIGINAL WIDTH HEIGHT"] * 9,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=signs,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    bpe.add_special_tokens([AddedToken(sign, normalized=False, special=True) for sign in signs])
    bpe.save(str(path))
    return PreTrainedTokenizerFast(tokenizer_file=str(path))


class Twin(nn.Module):
    """The parts, by the names that the published files have them under."""

    def __init__(self, words: int):
        super().__init__()
        self.body = Ministral3Model(Ministral3Config(vocab_size=words, **BODY)).eval()
        self.gen_embedding = nn.Embedding(V + 256, DIM)
        scale = {
            "use_conv": True,
            "padding": 0,
            "name": "Conv2d_0",
            "kernel_size": 2,
            "norm_type": "rms_norm",
        }
        more = {"eps": 1e-6, "elementwise_affine": True, "bias": False}
        self.down = Downsample2D(DIM, **scale, **more)
        scale = {
            "use_conv_transpose": True,
            "kernel_size": 2,
            "padding": 0,
            "name": "conv",
            "interpolate": False,
        }
        self.up = Upsample2D(DIM, norm_type="rms_norm", **scale, **more)
        self.gen_predictor = nn.Linear(DIM, V, bias=False)
        t = TOKENIZER
        self.encoder = Apertus1p5VisionTokenizerModel(
            Apertus1p5VisionTokenizerConfig(
                codebook_size=V,
                embed_dim=t["embed_dim"],
                latent_channels=t["z_channels"],
                base_channels=t["ch"],
                channel_multiplier=t["ch_mult"],
                num_res_blocks=t["num_res_blocks"],
                attn_resolutions=t["attn_resolutions"],
                resolution=t["resolution"],
            )
        ).eval()
        self.decoder = VQModel(
            block_out_channels=[t["ch"] * m for m in t["ch_mult"]],
            down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
            up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"],
            latent_channels=t["z_channels"],
            layers_per_block=t["num_res_blocks"],
            num_vq_embeddings=V,
            vq_embed_dim=t["embed_dim"],
            norm_num_groups=32,
            lookup_from_codebook=True,
            mid_block_add_attention=True,
        ).eval()

    def published(self) -> dict[str, Tensor]:
        """All tensors under their published names, and some that pictures do not need."""
        out = {f"encoder.{k}": v for k, v in self.body.state_dict().items()}
        out["encoder.gen_embedding.weight"] = self.gen_embedding.weight
        out["encoder.gen_predictor.weight"] = self.gen_predictor.weight
        for kind, part in (("down", self.down), ("up", self.up)):
            for name in ("norm", "conv"):
                out[f"encoder.{kind}sample_gen.{kind}sample.{name}.weight"] = getattr(part, name).weight
        for name, value in self.encoder.state_dict().items():
            out["encoder.vqvae." + encoder_name(name)] = value
        for name, value in self.decoder.state_dict().items():
            if name.startswith(("decoder.", "post_quant_conv.")):
                name, value = decoder_name(name, value)
                out["encoder.vqvae." + name] = value
        out["encoder.image_newline"] = torch.ones(DIM)
        out["diffusion_head.weight"] = torch.ones(2, DIM)
        out["encoder.mm_projector.0.bias"] = torch.ones(DIM)
        out["encoder.vision_tower.vision_tower.visual_model.blocks.0.norm1.weight"] = torch.full(
            (DIM,), torch.nan
        )
        return {k: v.detach().clone().contiguous() for k, v in out.items()}


def encoder_name(name: str) -> str:
    """Apertus' name of an encoder's part -> the published one."""
    name = re.sub(r"stages\.(\d+)\.layers\.(\d+)\.resnet", r"down.\1.block.\2", name)
    name = re.sub(r"stages\.(\d+)\.layers\.(\d+)\.attention", r"down.\1.attn.\2", name)
    return re.sub(r"stages\.(\d+)\.downsample", r"down.\1.downsample", name)


def decoder_name(name: str, value: Tensor) -> tuple[str, Tensor]:
    """diffusers' name of a decoder's part -> the published one, where attention has 1x1 convolutions."""
    last = len(TOKENIZER["ch_mult"]) - 1
    name = re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{last - int(m[1])}", name)
    name = name.replace("upsamplers.0", "upsample").replace("conv_norm_out", "norm_out")
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("mid_block.resnets.0", "mid.block_1")
    name = name.replace("mid_block.resnets.1", "mid.block_2").replace("resnets", "block")
    name = name.replace("attentions", "attn").replace("conv_shortcut", "nin_shortcut")
    for theirs, ours in (
        ("group_norm", "norm"),
        ("to_out.0", "proj_out"),
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
    ):
        name = re.sub(rf"(attn(?:_1|\.\d+))\.{theirs}", rf"\1.{ours}", name)
    if value.ndim == 2:
        value = value[:, :, None, None]
    return name, value


def told(tokenizer: PreTrainedTokenizerFast, prompt: str) -> Tensor:
    """ids [T] of a prompt, its slots among them."""
    size, slots = SIDE * PATCH, "<SPECIAL_18>" * (SIDE // 2) ** 2
    micro = f"ORIGINAL WIDTH : {size}; ORIGINAL HEIGHT : {size}; TOP : 0; LEFT : 0; SCORE : 6.5"
    text = (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nGenerate an image with the caption:\n {prompt} "
        f"{micro}<|im_end|>\n<|im_start|>assistant\nSure <SPECIAL_21>{slots}<SPECIAL_22><|im_end|>\n"
    )
    return tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids[0]


def logits(twin: Twin, ids: Tensor, tokens: Tensor, guidance: float) -> Tensor:
    """[L, V] of a grid of tokens [h, w]."""
    slots = ids == 18
    second = int((ids == 11).nonzero()[1])

    def branch(prompt: bool) -> Tensor:
        x = twin.body.embed_tokens(ids).clone()
        if not prompt:
            x[: second + 1] = twin.body.embed_tokens.weight[100]
        cells = twin.gen_embedding(tokens).permute(2, 0, 1)[None]
        x[slots] = twin.down(cells)[0].flatten(1).t()
        everything = torch.zeros(1, 1, len(ids), len(ids))
        states = twin.body(
            inputs_embeds=x[None], attention_mask=everything, use_cache=False
        ).last_hidden_state[0]
        grid = states[slots].t().view(1, DIM, SIDE // 2, SIDE // 2)
        return twin.gen_predictor(twin.up(grid)[0].flatten(1).t())

    return branch(True) if not guidance else (1 + guidance) * branch(True) - guidance * branch(False)


def run(twin: Twin, ids: Tensor) -> np.ndarray:
    """Tokens [T + 1, L] of a greedy run: the surest first, as many as the shifted schedule asks for."""
    tokens, out = torch.full((SIDE * SIDE,), MASK), []
    for step in range(STEPS + 1):
        out.append(tokens.numpy().copy())
        if step == STEPS:
            break
        t = 1 - (step + 1) / STEPS
        goal = int(3 * t / (1 + 2 * t) * SIDE * SIDE)  # masked after this step
        p, best = logits(twin, ids, tokens.view(SIDE, SIDE), GUIDANCE).softmax(1).max(1)
        masked = tokens == MASK
        surest = p.where(masked, torch.tensor(-1.0)).argsort(descending=True)[: int(masked.sum()) - goal]
        tokens[surest] = best[surest]
    made = np.stack(out)
    return np.where(made == MASK, V, made)


@torch.no_grad()
def golden(twin: Twin, tokenizer: PreTrainedTokenizerFast) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(97)
    ids = [told(tokenizer, prompt) for prompt in TEXTS]
    tokens = torch.randint(V, (SIDE, SIDE), generator=g)
    tokens[torch.rand(SIDE, SIDE, generator=g) < 0.5] = MASK
    size = SIDE * PATCH
    picture = (torch.rand(size, size, 3, generator=g) * 255).byte()
    codes = twin.encoder.encode(picture.permute(2, 0, 1)[None] / 127.5 - 1).image_tokens[0]
    made = run(twin, ids[0])
    book = twin.encoder.quantize.embedding.weight
    z = book[torch.from_numpy(made[-1])].view(1, SIDE, SIDE, -1).permute(0, 3, 1, 2)
    pixels = twin.decoder.decoder(twin.decoder.post_quant_conv(z))[0].permute(1, 2, 0)
    return {
        **{f"ids.{n}": one for n, one in enumerate(ids)},
        "tokens": torch.where(tokens == MASK, V, tokens).to(torch.int16),
        "logits": logits(twin, ids[0], tokens, 0)[::3],
        "guided": logits(twin, ids[0], tokens, GUIDANCE)[::3],
        "picture": picture,
        "codes": codes.to(torch.int16),
        "made": torch.from_numpy(made).to(torch.int16),
        "pixels": ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte(),
    }


def write(twin: Twin, words: int) -> None:
    """The folder as it is published: shards in bf16 with an index."""
    tensors = twin.published()
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    where = {k: shards[k.startswith("encoder.vqvae.") or "vision" in k] for k in tensors}
    for shard in shards:
        part = {k: v.bfloat16() for k, v in tensors.items() if where[k] == shard}
        save_file(part, HERE / "twin" / shard, metadata={"format": "pt"})
    (HERE / "twin" / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": where}, indent=1) + "\n"
    )
    config = {
        **BODY,
        "model_type": "nemotron_labs_diffusion_image",
        "architectures": ["NemotronLabsDiffusionImageForMaskedDiffusion"],
        "vocab_size": words,
        "d_model_gen": DIM,
        "attention_bias": False,
        "mlp_bias": False,
        "dlm_paradigm": "bidirectional",
        "downsample": True,
        "mask_token_id": 100,
        "tokenizer_model_max_length": 512,
        # the published file leaves it to the program
        "sample_size": SIDE,
    }
    (HERE / "twin" / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (HERE / "twin" / "emu3_vqvae").mkdir()
    (HERE / "twin" / "emu3_vqvae" / "config.json").write_text(json.dumps(TOKENIZER, indent=1) + "\n")
    (HERE / "twin" / "README.md").write_text(
        "---\nlicense: other\nlicense_name: nvidia-license\n---\n# A twin\n"
    )


def write_all(index: Path) -> None:
    """All files of tests/golden/nl_diffusion."""
    shutil.rmtree(HERE, ignore_errors=True)
    (HERE / "twin").mkdir(parents=True)
    tokenizer = vocabulary(HERE / "twin" / "tokenizer.json")
    twin = Twin(len(tokenizer))
    for seed, part in enumerate(twin.children()):
        randomise(part, 40 + seed, torch.bfloat16)
    twin.decoder.decoder.conv_out.weight.data.mul_(0.25)
    twin.decoder.decoder.conv_out.bias.data.copy_(torch.tensor([0.125, 0.25, -0.125]))
    write(twin, len(tokenizer))
    tensors = golden(twin, tokenizer)
    versions = {m.__name__: m.__version__ for m in (diffusers, transformers, torch)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, HERE / "twin.safetensors", metadata=versions)
    print({k: list(v.shape) for k, v in tensors.items()})

    real = json.loads(index.read_text())
    names = Counter(re.sub(r"[.][0-9]+", ".N", name) for name in real["weight_map"])
    told_of = {"versions": versions, "parameters": real["metadata"]["total_parameters"], "names": names}
    (HERE / "published.json").write_text(json.dumps(told_of, indent=1) + "\n")
    for path in HERE.rglob("*.safetensors"):
        path.chmod(0o644)
