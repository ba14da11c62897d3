"""How true reconstructed pictures are: PSNR, SSIM, use of the codebook, and sheets to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mdm_core.families.chisel.image_tokenizer import ImageTokenizer, psnr


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of each pair: uint8 [B, H, W, 3] twice -> float [B], at most 1.

    Luminance (Rec. 601), Gaussian window of 11 pixels with sigma 1.5, valid positions only, K = (0.01, 0.03).
    """
    weights = torch.tensor([0.299, 0.587, 0.114], device=a.device)
    x, y = ((p.float() @ weights)[:, None] for p in (a, b))  # [B, 1, H, W]
    g = torch.exp(-((torch.arange(11, device=a.device) - 5) ** 2) / (2 * 1.5**2))
    g = g / g.sum()

    def blur(z: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(z, g.view(1, 1, 11, 1)), g.view(1, 1, 1, 11))

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return value.mean((1, 2, 3))


@torch.no_grad()
def round_trip(codec: ImageTokenizer, images: Tensor, batch: int = 64) -> tuple[Tensor, Tensor]:
    """uint8 images [B, H, W, 3] -> (reconstructions uint8 of that shape, token ids int64 [B, h, w])."""
    ids = torch.cat([codec.encode(part) for part in images.split(batch)])
    return torch.cat([codec.decode(part) for part in ids.split(batch)]), ids


def fidelity(codec: ImageTokenizer, images: Tensor) -> dict:
    """Figures of one set of pictures uint8 [B, H, W, 3]: PSNR (dB), SSIM, and how many codes they use."""
    output, ids = round_trip(codec, images)
    scores = psnr(output, images)
    counts = torch.bincount(ids.flatten(), minlength=codec.vocab_size).double()
    p = counts[counts > 0] / counts.sum()
    quantiles = scores.float().cpu().quantile(torch.tensor([0.05, 0.25, 0.5, 0.75]))
    return {
        "images": len(images),
        "psnr_db": round(float(scores.mean()), 3),
        **{
            f"psnr_p{n}_db": round(float(q), 3)
            for n, q in zip(("05", "25", "50", "75"), quantiles, strict=True)
        },
        "share_22_db": round(float((scores >= 22).float().mean()), 4),
        "ssim": round(float(ssim(output, images).mean()), 4),
        "codes_used": int((counts > 0).sum()),
        "code_entropy_bits": round(abs(float((p * p.log2()).sum())), 3),
    }


def save_sheet(path: Path, rows: list[Tensor], columns: int = 8, scale: int = 1) -> None:
    """Write a sheet: for every picture its versions below each other; rows: uint8 [B, H, W, 3] each."""
    n, h, w = rows[0].shape[:3]
    bands = []
    for first in range(0, n, columns):
        for row in rows:
            part = row[first : first + columns].cpu().numpy()
            line = np.full((h, columns * w, 3), 255, np.uint8)
            line[:, : len(part) * w] = np.concatenate(list(part), 1)
            bands.append(line)
        bands.append(np.full((6, columns * w, 3), 255, np.uint8))
    sheet = Image.fromarray(np.concatenate(bands[:-1]))
    sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST).save(path)
