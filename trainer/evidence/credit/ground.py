"""Draw the ground that arms are compared on: scenes as tokens, prompts with their true pictures, groups of codes.

    python -m trainer evidence ground --codec runs/lattice_codec --world world_256 --objects 40 \\
        --styles 3d flat --out runs/ground_lattice
    python -m trainer evidence ground --codec runs/learned_codec --world world_256 --objects 40 \\
        --styles 3d flat --out runs/ground_learned

Where things can lie anywhere they all do (`--snapped 1` puts them back on the lattice): a thing at a free place leaves
several codes equally right, which is where credit for neighbours could help. The folder holds everything that
`python -m trainer evidence credit` needs, and ground.json says how well the judge knows true scenes (the most that
any arm can reach) and how true the image tokenizer is. `--per-tag 0` leaves prompts and judge out.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mdm_core.device import usable
from mdm_core.families.chisel.config import (
    ImageTokenizerConfig,
    ModelConfig,
    PipelineConfig,
    load_config,
    save_config,
)
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.groups import Groups
from trainer.codec import WEIGHTS, open_codec
from trainer.command import ask, out_folder, run_command
from trainer.data.source import Batch, batches
from trainer.evaluate.controls import verdicts
from trainer.evaluate.generate import Artist
from trainer.evaluate.prompts import Prompt, make
from trainer.evaluate.scoring import summary
from trainer.evaluate.worlds import open_judge
from trainer.evidence.arms import cells
from trainer.judge.detector import Verifier
from trainer.record import environment
from trainer.scenes.source import SceneDataConfig, SceneSource, captions
from trainer.scenes.spec import SceneSpec, scene_spec
from trainer.settings.credit import GroundSettings
from trainer.tokenizer.fidelity import fidelity, round_trip

DATA_SEED, UNSEEN_SEED = 31, 10_031
INFO, TENSORS = "ground.json", "ground.safetensors"
FORMAT = {"format": "chisel", "format_version": "1"}
TOLD_OF = ("world", "scenes", "vocab_size", "tokens", "fidelity", "codes_used", "seconds")
BATCH = 128  # scenes drawn at once


def spec_of(settings: GroundSettings) -> SceneSpec:
    """The world with its things where a ground wants them, as far as they can lie anywhere at all."""
    spec = scene_spec(settings.world)
    return dataclasses.replace(spec, snapped=settings.snapped) if spec.free_sizes else spec


def data_of(s: GroundSettings, seed: int = DATA_SEED) -> SceneDataConfig:
    atlas = None if s.atlas is None else str(s.atlas)
    return SceneDataConfig(s.objects, s.styles, batch_size=BATCH, seed=seed, spec=s.world, atlas=atlas)


class Ground:
    """An opened ground folder: what every arm reads, and nobody changes."""

    def __init__(self, folder: Path):
        """ValueError where the folder holds no finished ground."""
        self.folder = folder
        try:
            self.info: dict[str, Any] = json.loads((folder / INFO).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{folder} holds no finished ground ({error}): make one with python -m trainer evidence ground"
            ) from None
        self.codec: ImageTokenizerConfig = load_config(folder / "config.json").tokenizer
        self.spec = scene_spec(self.info["world"])

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """x0 int32 [N, L], text int16 [N, T], unseen_x0, unseen_text; features float32 [P, F] of true pictures."""
        return load_file(self.folder / TENSORS)

    @cached_property
    def prompts(self) -> list[Prompt]:
        return [Prompt.read(i, line) for i, line in enumerate(self.info["lines"])]

    def judge(self, device: torch.device) -> Verifier:
        """The judge that the controls were made with."""
        where = self.info["verifier"]
        return open_judge(self.spec, None if where is None else Path(where), device)

    def groups(self, size: int, device: torch.device | str = "cpu") -> Groups:
        """Groups of `size` codes: cells of the lattice, or balanced k-means over learned codes."""
        if self.codec.levels:
            return cells(self.codec.levels, size).to(device)
        return self._kept(
            f"kmeans_{size}",
            device,
            lambda book: Groups.kmeans(book, max(1, self.codec.vocab_size // size)),
        )

    def nearest(self, k: int, device: torch.device | str = "cpu") -> Groups:
        """The k nearest codes of each code, itself first."""
        return self._kept(f"nearest_{k}", device, lambda book: Groups.knn(book, k))

    def _kept(self, name: str, device: torch.device | str, make: Any) -> Groups:
        """Groups from their file; made and kept where there is none yet, at V = 131,072 in seconds of a GPU."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            book = open_codec(self.folder, device).codebook()
            aside = path.with_name(f".{name}.{os.getpid()}")
            save_file({k: v.cpu().contiguous() for k, v in make(book).state_dict().items()}, aside, FORMAT)
            os.replace(aside, path)
        return Groups.from_state_dict(load_file(path)).to(device)


@dataclass(frozen=True)
class GroundData:
    """The `data` of an arm's recipe: the scenes of a ground, in the order of a seed."""

    path: str
    batch_size: int = 512
    workers: int = 0
    seed: int = 0

    def open(
        self, text: TextTokenizer | None, split: str = "train", rank: int = 0, world: int = 1
    ) -> GroundRows:
        """See `trainer.data.source.DataConfig`."""
        return GroundRows(Ground(Path(self.path)), self.batch_size, self.seed)


class GroundRows:
    """Batches of a ground: every epoch all scenes once, in another order; the same in every arm of a seed."""

    numbered = True  # orders are drawn batch by batch

    def __init__(self, ground: Ground, size: int, seed: int):
        self.ground, self.size, self.seed = ground, size, seed
        self.x0, self.text = ground.tensors["x0"], ground.tensors["text"]
        if size > len(self.x0):
            raise ValueError(
                f"a batch of {size} is more than the {len(self.x0)} scenes of {ground.folder}: lower the batch"
            )
        self.epoch, self.order = -1, torch.empty(0)

    def batch(self, index: int) -> Batch:
        each = len(self.x0) // self.size
        epoch, k = divmod(index, each)
        if epoch != self.epoch:
            order = torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
            self.epoch, self.order = epoch, torch.randperm(len(self.x0), generator=order)
        rows = self.order[k * self.size : (k + 1) * self.size]
        return Batch(self.text[rows].long(), tokens=self.x0[rows].long())

    def captions(self, count: int) -> Iterator[str]:
        return iter(line["prompt"] for line in self.ground.info["lines"][:count])

    def card(self) -> dict[str, Any]:
        return {name: self.ground.info[name] for name in ("world", "objects", "styles")}


class FreeScenes(SceneSource):
    """Scenes of a world whose things lie as a ground wants them."""

    def __init__(self, settings: GroundSettings, data: SceneDataConfig, text: TextTokenizer):
        super().__init__(data.load_atlas(), data, text)
        self.scenes = data.generator(self.atlas, spec=spec_of(settings))


def draw_tokens(
    settings: GroundSettings, text: TextTokenizer, codec: ImageTokenizer, seed: int, count: int
) -> tuple[Tensor, Tensor, list[str], Tensor]:
    """`count` scenes of a seed: tokens int32 [N, L], prompt ids int16 [N, T], captions; and the first 256 pictures."""
    device = codec.embed.weight.device
    source = FreeScenes(settings, data_of(settings, seed), text)
    x0: list[Tensor] = []
    words: list[Tensor] = []
    said: list[str] = []
    shown: list[Tensor] = []
    for batch in batches(source, 0, 1, settings.workers):
        images = source.render(batch.scenes, device)
        if len(shown) * BATCH < 256:
            shown.append(images)
        x0.append(codec.encode(images).flatten(1).int().cpu())
        words.append(batch.text.short())
        said += batch.scenes.captions
        if len(x0) * BATCH >= count:
            break
    return torch.cat(x0)[:count], torch.cat(words)[:count], said[:count], torch.cat(shown)[: min(256, count)]


@torch.no_grad()
def draw(settings: GroundSettings) -> Path:
    """Make the folder of a ground; ground.json comes last. Returns it.

    ValueError where the codec's pictures are not as large as the world's, or the judge is of another world.
    """
    s, began = settings, time.time()
    out, device = out_folder(s.out), usable(s.device)
    codec, spec = open_codec(s.codec, device), scene_spec(s.world)
    if codec.config.image_size != spec.image:
        raise ValueError(
            f"{s.codec} is for pictures of {codec.config.image_size} pixels a side, and {spec.name} has {spec.image}"
        )
    judge = open_judge(spec, s.verifier, device) if s.per_tag else None
    atlas = data_of(s).load_atlas()
    text = TextTokenizer.train(captions(atlas, data_of(s), min(100_000, 4 * s.scenes)), 4096)
    x0, words, _, _ = draw_tokens(s, text, codec, DATA_SEED, s.scenes)
    unseen, unseen_words, said, shown = draw_tokens(s, text, codec, UNSEEN_SEED, s.unseen)
    tensors = {"x0": x0, "text": words, "unseen_x0": unseen, "unseen_text": unseen_words}
    lines, controls = [], {}
    if judge is not None:
        lines = make(atlas, s.objects, s.styles, s.per_tag, spec=spec_of(s))
        prompts = [Prompt.read(i, line) for i, line in enumerate(lines)]
        real = Artist(atlas, s.objects, s.styles, device, spec).draw([p.scene for p in prompts])
        back = round_trip(codec, real.to(device))[0].cpu()
        for name, images in (("real renders", real), ("round trip", back)):
            controls[name] = summary(prompts, verdicts(prompts, judge.detect(images)))
        tensors["features"] = judge.features(real).cpu().contiguous()
    save_file(tensors, out / TENSORS, FORMAT)
    text.save(out / "text.json")
    shutil.copyfile(s.codec / WEIGHTS, out / WEIGHTS)
    model = ModelConfig().for_codec(codec.config)
    save_config(PipelineConfig(codec.config, model), out / "config.json")
    info = {
        **{f.name: _plain(getattr(s, f.name)) for f in dataclasses.fields(s)},
        "objects": [o.name for o in data_of(s).generator(atlas).objects],
        "snapped": spec_of(s).snapped,
        "vocab_size": codec.vocab_size,
        "tokens": x0.shape[1],
        "codec": {"levels": list(codec.config.levels), "codebook": codec.config.codebook},
        "fidelity": fidelity(codec, shown),
        "codes_used": int(torch.unique(x0).numel()),
        "unseen_captions": said,
        "controls": controls,
        "verifier_sha256": None if judge is None else judge.card["sha256"],
        "seconds": round(time.time() - began, 1),
        "environment": environment(device),
        "lines": lines,
    }
    aside = out / f".{INFO}.tmp"
    aside.write_text(json.dumps(info) + "\n", encoding="utf-8")
    os.replace(aside, out / INFO)
    return out


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def main() -> None:
    settings = ask(GroundSettings, __doc__)
    folder = draw(settings)
    ground = Ground(folder)
    for size in (8, 64):
        ground.groups(size, usable(settings.device))
    ground.nearest(8, usable(settings.device))
    print({k: v for k, v in ground.info.items() if k in TOLD_OF})


if __name__ == "__main__":
    run_command(main)
