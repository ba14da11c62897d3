"""Train the image tokenizer on scenes.

    python -m trainer.train_tokenizer --minutes 3 --out runs/tokenizer

Besides scenes on the lattice, a share of the pictures is shifted off it and recoloured, so that pictures that
nobody drew on a lattice survive the round trip as well. Prints and records PSNR and token consistency.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mdm_core.config import ImageTokenizerConfig
from mdm_core.image_tokenizer import ImageTokenizer, psnr, to_float
from mdm_core.weights import load_weights, save_weights
from trainer.atlas import Atlas
from trainer.data import SceneDataConfig, scene_batches
from trainer.fidelity import fidelity, round_trip, save_sheet
from trainer.optim import EMA, trapezoid
from trainer.photos import cut, load_pictures
from trainer.render import SpriteBank, render


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error, plus the absolute error of pixel differences, which keeps outlines crisp."""
    loss = F.mse_loss(output, target)
    for dim in (2, 3):
        loss = loss + 0.02 * F.l1_loss(output.diff(dim=dim), target.diff(dim=dim))
    return loss


def mixed_loss(output: Tensor, target: Tensor, photos: int) -> Tensor:
    """The loss of a batch whose last `photos` pictures are photographs.

    Photographs are several times harder, so that a common mean would train for them alone; the sum of the two
    logarithms asks for the same number of decibels from either.
    """
    if photos == 0:
        return reconstruction_loss(output, target)
    n, share = len(output) - photos, photos / len(output)
    parts = [(output[:n], target[:n], 1 - share), (output[n:], target[n:], share)]
    return sum(weight * reconstruction_loss(a, b).log() for a, b, weight in parts if len(a))


def augment(images: Tensor, share: float) -> Tensor:
    """Shift the first `share` of the batch off the lattice and mix its colour channels; uint8 [B, H, W, 3]."""
    n = int(len(images) * share)
    if n == 0:
        return images
    dy, dx = torch.randint(0, images.shape[1], (2,)).tolist()
    some = images[:n].roll((dy, dx), (1, 2)).float()
    gain = torch.rand(n, 1, 1, 3, device=images.device) * 0.5 + 0.6
    some = (some * gain + torch.rand(n, 1, 1, 3, device=images.device) * 40 - 10).clamp(0, 255)
    return torch.cat([some.to(torch.uint8), images[n:]])


@torch.no_grad()
def evaluate(
    codec: ImageTokenizer, atlas: Atlas, bank: SpriteBank, data: SceneDataConfig, n: int = 512
) -> dict:
    """PSNR over unseen scenes, and how many codes are in use."""
    stream = scene_batches(atlas, data)
    scores, used = [], []
    for _ in range(max(1, n // data.batch_size)):
        images = render(next(stream)[0], bank)
        ids = codec.encode(images)
        scores.append(psnr(codec.decode(ids), images))
        used.append(ids.flatten())
    ids = torch.cat(used)
    counts = torch.bincount(ids, minlength=codec.vocab_size).float()
    p = counts[counts > 0] / counts.sum()
    scores = torch.cat(scores)
    return {
        "psnr_db": round(float(scores.mean()), 3),
        "psnr_p05_db": round(float(scores.quantile(0.05)), 3),
        "codes_used": int((counts > 0).sum()),
        "code_entropy_bits": round(float(-(p * p.log2()).sum()), 3),
        "images": len(scores),
    }


def train(args: argparse.Namespace) -> dict:
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    atlas = Atlas.load()
    bank = SpriteBank(atlas, n_objects=args.objects, device=device)
    config = ImageTokenizerConfig(levels=tuple(args.levels))
    codec = ImageTokenizer(config)
    if args.init:
        load_weights(codec, args.init)
    codec.to(device)
    if args.freeze_encoder:
        codec.encoder.requires_grad_(False)
    photos = int(args.batch * args.images_share) if args.images else 0
    pictures = load_pictures(args.images).to(device) if photos else None
    held_out = load_pictures(args.images, "held_out").to(device) if photos else None
    before = round_trip(codec, held_out) if photos else None
    draw = torch.Generator().manual_seed(args.seed)
    data = SceneDataConfig(
        n_objects=args.objects, batch_size=args.batch - photos, workers=args.workers, seed=args.seed
    )
    unseen = SceneDataConfig(n_objects=args.objects, batch_size=64, seed=10_007)
    stream = scene_batches(atlas, data)
    learning = [p for p in codec.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=args.lr, betas=(0.9, 0.99), weight_decay=0.0)
    ema = EMA(codec, 0.999)
    decode = torch.compile(codec.pixels) if args.compile else codec.pixels
    encode = torch.compile(codec.features) if args.compile else codec.features

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    log, started, step, seen = [], time.time(), 0, 0
    while (progress := (time.time() - started) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = args.lr * trapezoid(progress, 0.02, 0.4)
        drawn = augment(render(next(stream)[0], bank), args.augment)
        if photos:
            drawn = torch.cat([drawn, cut(pictures, photos, config.image_size, draw)])
        images = to_float(drawn)
        if args.freeze_encoder:
            with torch.no_grad():  # fp32, so that the codes are those that `encode` gives
                codes = codec.fsq.value(codec.fsq.index(codec.features(images)))
        with torch.autocast(device.type, torch.bfloat16):
            recon = decode(codes if args.freeze_encoder else codec.fsq(encode(images)))
        loss = mixed_loss(recon.float(), images, photos)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        ema.update(codec)
        step, seen = step + 1, seen + len(images)
        if step == 3:
            started, seen = time.time(), 0  # compilation is not training time
        if step % args.log_every == 0:
            log.append({"step": step, "images": seen, "seconds": round(time.time() - started, 1),
                        "loss": round(loss.item(), 5)})  # fmt: skip
            print(
                f"step {step}  {seen / (time.time() - started):.0f} images/s  loss {loss.item():.5f}",
                flush=True,
            )
    ema.copy_to(codec)
    codec.eval()
    save_weights(codec, out / "image_tokenizer.safetensors")
    result = {
        "levels": list(config.levels), "vocab_size": config.vocab_size, "images_seen": seen, "steps": step,
        "minutes": args.minutes, **evaluate(codec, atlas, bank, unseen),
    }  # fmt: skip
    if photos:
        output, ids = round_trip(codec, held_out)
        result["photos"] = fidelity(codec, held_out)
        result["photo_tokens_kept"] = round(float((ids == before[1]).float().mean()), 6)
        save_sheet(out / "photos.png", [held_out, before[0], output], columns=14)
    result["log"] = log
    (out / "tokenizer.json").write_text(json.dumps(result, indent=1))
    print({k: v for k, v in result.items() if k != "log"}, flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/tokenizer", help="folder for weights and record")
    parser.add_argument(
        "--levels", type=int, nargs="+", default=[8, 8, 8, 8, 4], help="lattice of the quantiser"
    )
    parser.add_argument("--objects", type=int, default=None, help="train on the first N objects of the atlas")
    parser.add_argument("--init", type=Path, default=None, help="start from these weights (.safetensors)")
    parser.add_argument("--images", type=Path, default=None, help="packed photographs (trainer.photos)")
    parser.add_argument("--images-share", type=float, default=0.4, help="share of photographs in a batch")
    parser.add_argument(
        "--freeze-encoder",
        action="store_true",
        help="train the decoder only: no token of any picture changes",
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="training time")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument(
        "--augment", type=float, default=0.125, help="share of pictures shifted off the lattice"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that draw scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default=None)
    parser.add_argument("--compile", action="store_true", help="torch.compile the tokenizer")
    parser.add_argument("--log-every", type=int, default=100)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
