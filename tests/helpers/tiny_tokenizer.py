"""An image tokenizer so small that its training takes a moment: 32 lattice codes, 32 pixels, three pictures a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from picture_files import captioned_folder

from mdm_core.families.chisel.config import ImageTokenizerConfig
from trainer.engine.parallel import Parallel
from trainer.settings.tokenizer import TokenizerSettings
from trainer.tokenizer.data import TokenizerData
from trainer.tokenizer.loop import TokenizerTrainer

CONFIG = ImageTokenizerConfig(
    image_size=32,
    patch=8,
    levels=(4, 4, 2),
    encoder_width=8,
    decoder_width=8,
    decoder_depth=1,
    decoder_pixels=2,
)


def tiny_tokenizer(
    folder: Path, out: Path, config: ImageTokenizerConfig = CONFIG, **settings: Any
) -> TokenizerTrainer:
    """A run on the pictures of `folder`, twelve that are drawn there if it is not."""
    torch.set_num_threads(1)
    if not folder.exists():
        captioned_folder(folder, 12)
    settings = {"steps": 8, "log_every": 1, "save_every": 4, "lr": 1e-2} | settings
    parallel = Parallel(torch.device("cpu"))
    data = TokenizerData(folder, 1.0, 3, 32)
    return TokenizerTrainer(config, data, TokenizerSettings(**settings), out, parallel)
