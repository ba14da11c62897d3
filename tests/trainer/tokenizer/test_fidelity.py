"""Figures of reconstructions: SSIM against its definition, and what a perfect or a broken picture scores."""

import numpy as np
import pytest
import torch
from PIL import Image

from mdm_core.families.chisel.config import ImageTokenizerConfig
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from trainer.tokenizer.fidelity import fidelity, save_sheet, ssim

SMALL = ImageTokenizerConfig(
    image_size=32, levels=(4, 4), encoder_width=16, decoder_width=16, decoder_depth=1
)


def noise(seed: int, n: int = 2, side: int = 32) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, side, side, 3), generator=g, dtype=torch.uint8)


def reference_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """By the definition, window by window, in float64."""
    x, y = (p.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) for p in (a, b))
    g = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    w = np.outer(g, g) / np.outer(g, g).sum()
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            p, q = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mp, mq = (w * p).sum(), (w * q).sum()
            vp, vq, c = (w * (p - mp) ** 2).sum(), (w * (q - mq) ** 2).sum(), (w * (p - mp) * (q - mq)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append((2 * mp * mq + c1) * (2 * c + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def test_ssim_is_the_definition():
    a = noise(0)
    b = (a.float() * 0.7 + noise(1).float() * 0.3).to(torch.uint8)
    expected = [reference_ssim(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)]
    assert ssim(a, b).tolist() == pytest.approx(expected, abs=1e-4)
    assert ssim(a, a).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)


def test_fidelity_counts_codes_and_good_pictures():
    codec = ImageTokenizer(SMALL).eval()
    row = fidelity(codec, noise(2, 5))
    assert row["images"] == 5 and 0 < row["codes_used"] <= 16
    assert row["psnr_p05_db"] <= row["psnr_p50_db"] <= row["psnr_p75_db"]
    assert row["share_22_db"] == 0.0  # untrained weights reconstruct no noise


def test_sheet_holds_every_version(tmp_path):
    rows = [noise(s, 5) for s in (0, 1, 2)]
    save_sheet(tmp_path / "sheet.png", rows, columns=3)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * 3 * 32 + 6, 3 * 32, 3)
    assert np.array_equal(sheet[64:96, :32], rows[2][0].numpy())
    assert np.array_equal(sheet[3 * 32 + 6 :][:32, 32:64], rows[0][4].numpy())
