"""The twin of Halton-MaskGIT and what its own program makes of it; `halton.py` beside this is the command."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from amused_twins import randomise
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parents[1] / "golden" / "halton"
V, SIDE, CLASS, STEPS, W = 130, 16, 1, 5, 1.5
# width, layers, heads, cells a side
SIZES = {
    "ImageNet_256_tiny": (384, 6, 6, 16),
    "ImageNet_256_small": (512, 12, 6, 16),
    "ImageNet_256_base": (768, 12, 12, 16),
    "ImageNet_384_small": (512, 12, 6, 24),
    "ImageNet_384_base": (768, 12, 12, 24),
    "ImageNet_384_large": (1024, 24, 16, 24),
}


def tokenizer(vq) -> nn.Module:
    """LlamaGen's, two levels of 64 and 32 wide."""
    z, sizes = 6, {"ch": 32, "ch_mult": (2, 1), "num_res_blocks": 1}
    made = vq.VQModel(vq.ModelArgs(codebook_size=V, codebook_embed_dim=8))
    made.encoder = vq.Encoder(z_channels=z, **sizes)
    made.decoder = vq.Decoder(z_channels=z, **sizes)
    made.quant_conv = nn.Conv2d(z, 8, 1)
    made.post_quant_conv = nn.Conv2d(8, z, 1)
    return made.eval()


@torch.no_grad()
def golden(vit: nn.Module, ae: nn.Module, sampler) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(96)
    tokens = torch.randint(V, (1, SIDE, SIDE), generator=g)
    tokens[torch.rand(1, SIDE, SIDE, generator=g) < 0.5] = V
    label, told = torch.tensor([CLASS]), torch.tensor([False])
    with_class = vit(tokens, label, told)[0, :, :V]
    without = vit(tokens, label, ~told)[0, :, :V]
    size = 2 * SIDE
    picture = (torch.rand(size, size, 3, generator=g) * 255).byte()
    codes = ae.encode(picture.permute(2, 0, 1)[None] / 127.5 - 1)[2][2]

    # rounded up; a name of the module goes before Python's own
    sampler.int = lambda r: math.ceil(float(r) - 1e-4)
    args = SimpleNamespace(device="cpu", mask_value=V, codebook_size=V)
    trainer = SimpleNamespace(
        vit=Told(vit), ae=ae, args=args, input_size=SIDE, autocast=contextlib.nullcontext()
    )
    run = sampler.HaltonSampler(w=W, step=STEPS, top_k=1)
    pixels, drawn, masks = run(trainer, nb_sample=1, labels=label, verbose=False)
    made, now = [np.full((SIDE, SIDE), V)], np.full((SIDE, SIDE), V)
    for one, mask in zip(drawn, masks, strict=True):
        now = np.where(mask[0].numpy() > 0, one[0].numpy(), now)
        made.append(now)
    return {
        "tokens": tokens.to(torch.int16),
        "logits": with_class[::3].clone(),
        "guided": ((1 + W) * with_class - W * without)[::3],
        "picture": picture,
        "codes": codes.view(SIDE, SIDE).to(torch.int16),
        "made": torch.from_numpy(np.stack(made)).to(torch.int16),
        "pixels": ((pixels[0].permute(1, 2, 0) + 1) * 127.5).round().byte(),
    }


class Told(nn.Module):
    """The transformer without the probability of its own mask token, which a random one may draw."""

    def __init__(self, vit: nn.Module):
        super().__init__()
        self.vit = vit

    def forward(self, *args):
        out = self.vit(*args)
        out[..., V] = -torch.inf
        # infinities cancel out in guidance
        return out.clamp(min=-1e30)


def published(network) -> dict:
    """Names and shapes of the transformers on the hub and of their tokenizer; nothing of them is downloaded."""
    out = {}
    with torch.device("meta"):
        for name, (width, depth, heads, side) in SIZES.items():
            sizes = {"hidden_dim": width, "depth": depth, "heads": heads, "mlp_dim": 4 * width}
            network.transformer.nn.init = Quiet()
            vit = network.transformer.Transformer(
                input_size=side, codebook_size=16384, register=1, proj=1, **sizes
            )
            out[name] = told_of(vit)
        out["vq_ds16_c2i"] = told_of(network.vq_model.VQ_16())
    return out


class Quiet:
    """Weights without numbers need none to start from."""

    def __getattr__(self, name: str):
        return lambda *args, **more: None


def told_of(module: nn.Module) -> dict:
    shapes = Counter(
        f"{re.sub(r'[.][0-9]+', '.N', k)} {list(v.shape)}" for k, v in module.state_dict().items()
    )
    return {"parameters": sum(p.numel() for p in module.parameters()), "shapes": shapes}


def write_all(clone: Path) -> None:
    """All files of tests/golden/halton."""
    sys.path.insert(0, str(clone.resolve()))
    network = SimpleNamespace(
        transformer=importlib.import_module("Network.transformer"),
        vq_model=importlib.import_module("Network.vq_model"),
    )
    sampler = importlib.import_module("Sampler.halton_sampler")
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir(parents=True)
    # 26 wide and 4 heads: two channels are lost, as in the published "small"
    vit = network.transformer.Transformer(
        input_size=SIDE, hidden_dim=26, codebook_size=V, depth=2, heads=4, mlp_dim=24, nclass=1000, register=1
    ).eval()
    ae = tokenizer(network.vq_model)
    for seed, part in enumerate((vit, ae)):
        randomise(part, 60 + seed, torch.float16)
    vit.head.weight.data.div_(4)
    ae.decoder.conv_out.weight.data.mul_(0.25)
    theirs = {f"vit.{k}": v for k, v in vit.state_dict().items() if k != "head.weight"}
    theirs |= {f"vq.{k}": v for k, v in ae.state_dict().items() if k != "quantize.codebook_used"}
    save_file({k: v.half().contiguous() for k, v in theirs.items()}, HERE / "theirs.safetensors")
    commit = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    versions = {"torch": torch.__version__, "Halton-MaskGIT": commit[:8]}
    tensors = golden(vit, ae, sampler)
    save_file({k: v.contiguous() for k, v in tensors.items()}, HERE / "golden.safetensors", metadata=versions)
    print({k: list(v.shape) for k, v in tensors.items()})
    (HERE / "published.json").write_text(
        json.dumps({"versions": versions, **published(network)}, indent=1) + "\n"
    )
    for path in HERE.rglob("*.safetensors"):
        path.chmod(0o644)
