"""What is asked of the commands tokenizer, tokenizer measure, tokenizer photos and tokens."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from mdm_core.families.chisel.config import ImageTokenizerConfig
from mdm_core.paths import SHIPPED
from trainer import checks
from trainer.conduct import Conduct
from trainer.options import Settings, any_seed, any_text, number, path, share, switch, whole
from trainer.settings.shared import OfWorld, OnDevice

HELD_SIDE = 128  # pixels a side of a held-out photograph, unless another size is asked for


@dataclass(frozen=True, kw_only=True)
class TokenizerSettings(Conduct):
    """How an image tokenizer is trained."""

    # the schedule runs over `minutes` unless steps > 0
    minutes: float = number(20.0, "training time")
    steps: int = whole(0, "train so many steps instead of --minutes")
    warmup: float = 0.02
    decay: float = 0.4
    ema: float = 0.999
    log_every: int = whole(100, "steps between lines", 1)
    save_every: int = whole(500, "steps between checkpoints, figures and sheets", 1)
    init: Path | None = path(None, "start from these weights (.safetensors)")
    freeze_encoder: bool = switch("train the decoder only: no token changes")
    blend: float = number(
        1.0, "in the end, go so far from --init to the trained weights", high=1.0, above=True
    )
    augment: float = share(0.125, "share of scenes shifted off the lattice")
    measure_on: int = whole(512, "unseen scenes that figures are measured on", 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.numbers(self, ("minutes",), above=not self.steps)
        if self.blend < 1 and self.init is None:
            raise ValueError(f"blend goes from the weights of --init, and there are none: got {self.blend:g}")


@dataclass(frozen=True, kw_only=True)
class TokenizerCommand(TokenizerSettings, OfWorld, OnDevice):
    """The whole command: what is trained, on what, and where it is kept."""

    out: Path = path(Path("runs/tokenizer"), "run folder")
    # of `ImageTokenizerConfig`, which says what goes together
    image_size: int | None = whole(None, "pixels a side (default: the world's)", 8, 8192)
    patch: int = whole(ImageTokenizerConfig.patch, "pixels a side that a token stands for", 1, 1024)
    levels: tuple[int, ...] = whole(
        ImageTokenizerConfig.levels, "lattice of the quantiser", 2, 1 << 16, several=True
    )
    codebook: int = whole(
        ImageTokenizerConfig.codebook, "so many learned codes instead of the lattice; 0: none", 0, 1 << 24
    )
    code_width: int = whole(ImageTokenizerConfig.code_width, "numbers of a learned code", 1, 4096)
    encoder_width: int = whole(ImageTokenizerConfig.encoder_width, "of its layers", 1, 1 << 16)
    decoder_width: int = whole(ImageTokenizerConfig.decoder_width, "of its layers", 1, 1 << 16)
    decoder_depth: int = whole(ImageTokenizerConfig.decoder_depth, "of its layers", 0, 1000)
    objects: int | None = whole(None, "scenes of the first N objects of the atlas", 2)
    images: Path | None = path(None, "folder, tar shards, or file of `tokenizer photos`")
    images_share: float = share(0.4, "share of a batch that comes from --images")
    batch: int = whole(64, "pictures a step", 1, checks.MOST_IN_BATCH)
    workers: int = whole(0, "processes that draw or read pictures", 0, checks.MOST_WORKERS)

    def config(self, image_size: int) -> ImageTokenizerConfig:
        """The tokenizer that is trained, for pictures of the given side unless another was asked for."""
        asked = dataclasses.asdict(self) | {"image_size": self.image_size or image_size}
        names = {f.name for f in dataclasses.fields(ImageTokenizerConfig)}
        return ImageTokenizerConfig(**{name: value for name, value in asked.items() if name in names})


@dataclass(frozen=True, kw_only=True)
class Measure(OfWorld):
    model: tuple[Path, ...] = path((SHIPPED,), "model folders", several=True)
    scenes: int = whole(512, "unseen scenes to measure on", 1, 1 << 20)
    out: Path | None = path(None, "write the record here")
    photos: Path | None = path(
        None, "packed photographs (python -m trainer tokenizer photos), or a folder of pictures"
    )
    sheet: Path | None = path(None, "picture: each photograph, then every model's")


@dataclass(frozen=True, kw_only=True)
class Photos(Settings):
    root: Path = path(about="folder with one sub-folder per package", place=True)
    out: Path = path(Path("runs/photos.safetensors"), "the packed file")
    limit_mib: float = number(39.5, "largest size of the file", high=1 << 20, above=True)
    image_size: int = whole(HELD_SIDE, "pixels a side of the tokenizer's pictures", 8, 4096)
    processes: int = whole(2, "that read pictures", 1, 1024)


@dataclass(frozen=True, kw_only=True)
class TokenJob(Settings):
    """What every process that makes tokens needs to know."""

    source: str = any_text(about="folder of captioned pictures, or tar shards", place=True)
    codec: Path = path(SHIPPED, "model folder with the tokenizer")
    out: Path = path(about="folder for the tokens")
    shard_size: int = whole(4096, "pictures in a shard", 1, 1 << 20)
    views: int = whole(1, "tokenise every picture so often: centre, random squares", 1, 1 << 20)
    crop: float = number(0.8, "smallest share of the side of a random square", 0.1, 1.0)
    flip: bool = switch("mirror half of the random squares")
    seed: int = any_seed(0, "of the random squares")
    device: str = any_text("cpu", "where the tokenizer runs: cpu, cuda, ...")


@dataclass(frozen=True, kw_only=True)
class MakeTokens(TokenJob):
    processes: int = whole(1, "that work side by side", 1, 1024)
