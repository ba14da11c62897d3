"""What a run says while it trains: a bar, the log, validation, sheets of pictures, TensorBoard."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from mdm_core.diffusion.corruption import corrupt
from mdm_core.diffusion.loss import bits_per_token, guesses, right_by_ratio
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.pipeline import MAX_PROMPT, Pipeline
from trainer.engine.step import autocast

VALIDATION_SEED = 10_007  # of the pictures and their corruption; far from any seed a run would use
MOST_NAMED = 10  # skipped files said aloud; skipped.txt has them all
BAR = "{percentage:5.1f}%|{bar}| {elapsed} (left {remaining}){postfix}"


class Told(Protocol):
    """What a reporter reads of the run that it speaks for; it writes none of it."""

    settings: Any
    out: Path
    parallel: Any
    counted: str
    step: int
    samples: int
    seconds: float
    pending: list[float]

    def progress(self) -> float: ...


class ModelRun(Told, Protocol):
    """What is read of a run that trains a model, for pictures and validation."""

    recipe: Any
    device: torch.device
    codec: Any
    text: Any
    source: Any

    def tokens(self, batch: Any) -> torch.Tensor: ...

    def averaged(self, device: torch.device) -> Any: ...

    def config(self) -> Any: ...


class Reporter:
    """Speaks for a run, in the main process only."""

    def __init__(self, trainer: Told):
        self.trainer = trainer
        self.bar: tqdm | None = None
        self.tracker = trainer.parallel.accelerator if trainer.settings.tensorboard else None
        self._skipped: set[str] = set()  # named in this run, before a restart too
        self._listed: set[str] = set()  # in skipped.txt
        self._waiting: list[str] = []  # met by this process, and not yet passed on to the main one
        self._began, self._first_samples = time.time(), 0

    def start(self) -> None:
        t = self.trainer
        self._began, self._first_samples = time.time(), t.samples
        if (listed := t.out / "skipped.txt").exists():
            self._listed |= set(listed.read_text("utf-8").splitlines())
            self._skipped |= self._listed if t.step else set()
        if self.tracker is not None and not self.tracker.trackers:
            try:
                self.tracker.init_trackers("tensorboard")
            except (ImportError, ValueError) as error:
                raise ValueError("tensorboard=True needs TensorBoard: pip install tensorboard") from error
        if t.parallel.main and sys.stderr.isatty():
            self.bar = tqdm(total=1.0, initial=min(1.0, t.progress()), bar_format=BAR)

    def stop(self) -> None:
        self.share()
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        if self.tracker is not None:
            self.tracker.end_training()
        t = self.trainer
        if t.pending:  # steps that no line of the log has told of yet
            mean, n = sum(t.pending) / len(t.pending), len(t.pending)
            last = f"the last {n} steps" if n > 1 else "the last step"
            self.say(f"step {t.step} after {t.seconds / 60:.1f} minutes: loss {mean:.4f} over {last}")

    def say(self, text: str) -> None:
        """A line of text, above the bar where there is one."""
        if self.trainer.parallel.main:
            tqdm.write(text) if self.bar is not None else print(text, flush=True)

    def skipped(self, names: tuple[str, ...]) -> None:
        """Files that could not be read: each is named once, and all are listed in skipped.txt.

        The main process writes; what the others meet reaches it by `share`.
        """
        new = [name for name in names if name not in self._skipped]
        if not new:
            return
        self._skipped.update(new)
        if not self.trainer.parallel.main:
            self._waiting += new
            return
        unlisted = [name for name in new if name not in self._listed]
        self._listed.update(unlisted)
        with open(self.trainer.out / "skipped.txt", "a", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in unlisted)
        if len(self._skipped) - len(new) < MOST_NAMED:
            for name in new[:MOST_NAMED]:
                self.say(f"skipped {name}")

    def share(self) -> None:
        """The main process is told what the others skipped; a collective."""
        if self.trainer.parallel.world == 1:
            return
        gathered, self._waiting = self.trainer.parallel.gather(self._waiting), []
        if self.trainer.parallel.main:
            self.skipped(tuple(dict.fromkeys(name for names in gathered for name in names)))

    def rate(self) -> float:
        """Samples a second since the start of this process's run."""
        return (self.trainer.samples - self._first_samples) / max(1e-9, time.time() - self._began)

    def moved(self, loss: float) -> None:
        """After each step: the bar."""
        t = self.trainer
        if self.bar is not None:
            self.bar.update(min(1.0, t.progress()) - self.bar.n)
            self.bar.set_postfix_str(f" step {t.step}, loss {loss:.3f}, {self.rate():,.0f} {t.counted}/s")

    def record(self, entry: dict[str, Any], rates: list[float]) -> None:
        """A line of the log, said aloud and passed on to TensorBoard with the optimisers' learning rates."""
        said = {**entry, f"{self.trainer.counted}/s": round(self.rate(), 1)}
        self.say(str(said))
        if self.tracker is not None:
            lr = {f"lr_{i}": rate for i, rate in enumerate(rates)}
            self.tracker.log({**said, **lr}, step=entry["step"])

    @property
    def skipped_files(self) -> int:
        """How many files could not be read so far, as far as this process knows."""
        return len(self._skipped)


class ModelReporter(Reporter):
    """Also measures and draws what a model has learnt."""

    trainer: ModelRun

    def __init__(self, trainer: ModelRun):
        super().__init__(trainer)
        self.validation: Any = None  # the source of unseen pictures, opened when first needed

    @torch.no_grad()
    def validate(self, count: int = 4) -> dict[str, float]:
        """Plain-CE bits a token of the averaged weights on unseen pictures: masked, and flipped visible positions; and
        the share of masked tokens guessed right, of all and by how much of a picture is masked.

        The pictures and their corruption are the same at every call. All processes call; one computes.
        """
        t = self.trainer
        r, device = t.recipe, t.device
        model = t.averaged(device)
        totals: dict[str, float] = {}
        if model is not None:
            source = self._unseen()
            generator = torch.Generator(device).manual_seed(VALIDATION_SEED)
            plain = dataclasses.replace(
                r.corruption, flip_self=0.0, flip_group=0.0, flip_uniform=1.0, complementary=False
            )
            totals = {"masked_bits": 0.0, "flipped_bits": 0.0}
            hits: dict[str, list[int]] = {}
            for i in range(count):
                batch = source.batch(i)
                x0 = t.tokens(batch)
                grid = (r.model.grid, r.model.grid)
                c = corrupt(x0, r.model.mask_id, plain, generator=generator, grid=grid)
                with autocast(r, device):
                    hidden = model(c.zt, batch.text.to(device))  # [B, L, D]
                totals["masked_bits"] += bits_per_token(hidden, model.head_weight, x0, c.masked) / count
                totals["flipped_bits"] += bits_per_token(hidden, model.head_weight, x0, c.flipped) / count
                right = guesses(hidden[c.masked], model.head_weight).best == x0[c.masked]
                for name, found in right_by_ratio(right, c.masked).items():
                    hits[name] = [a + b for a, b in zip(hits.get(name, (0, 0)), found, strict=True)]
            totals |= {name: got / n for name, (got, n) in hits.items() if n}
        t.parallel.wait()
        return {k: round(v, 4) for k, v in totals.items()}

    def sheet(self, count: int = 16, cell: int = 160) -> None:
        """Pictures of unseen prompts by the averaged weights, with the sampler's real guidance and steps.

        Prompts and seeds are the same every time, so that the sheets of a run can be compared. Where too few
        pictures are held out, prompts of training stand after theirs.
        """
        t = self.trainer
        model = t.averaged(t.device)
        if model is not None:
            prompts = self._prompts(count)
            pipe = Pipeline(t.codec, t.text, TransformerBackbone(model), t.config())
            images = [x.image for x in pipe.generate_batch(prompts, list(range(len(prompts))))]
            folder = t.out / "sheets"
            folder.mkdir(exist_ok=True)
            lay_out(images, prompts, cell).save(folder / f"step-{t.step:09d}.webp", quality=88)
        t.parallel.wait()

    def _unseen(self) -> Any:
        if self.validation is None:
            t = self.trainer
            data = dataclasses.replace(
                t.recipe.data, batch_size=min(64, max(1, t.recipe.data.batch_size)), seed=VALIDATION_SEED
            )
            self.validation = data.open(t.text, "seen")
        return self.validation

    def _prompts(self, count: int) -> list[str]:
        """Different prompts of unseen pictures, filled up with those of training where there are too few."""
        t = self.trainer
        found: dict[str, None] = {}
        for source in (self._unseen(), t.source):
            found |= dict.fromkeys(
                c for c in source.captions(4 * count) if c.strip() and len(c) <= MAX_PROMPT
            )
            if len(found) >= count:
                break
        return [c for c in found if t.text.count(c) <= t.text.length][:count]


def lay_out(images: list[Image.Image], prompts: list[str], cell: int, columns: int = 4) -> Image.Image:
    """Pictures in rows, each over the first words of its prompt."""
    rows, font = -(-len(images) // columns), ImageFont.load_default(11)
    canvas = Image.new("RGB", (columns * cell, max(1, rows) * (cell + 18)), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (image, prompt) in enumerate(zip(images, prompts, strict=True)):
        x, y = i % columns * cell, i // columns * (cell + 18)
        canvas.paste(image.resize((cell - 4, cell - 4), Image.Resampling.LANCZOS), (x + 2, y + 2))
        while font.getlength(prompt) > cell - 6:
            prompt = prompt[:-1]
        draw.text((x + 3, y + cell), prompt, fill=(60, 60, 60), font=font)
    return canvas
