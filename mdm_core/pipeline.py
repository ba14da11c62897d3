"""The pipeline: a prompt becomes a picture, step by step; and repainting and healing what is already there."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mdm_core import conditions, families
from mdm_core.device import usable
from mdm_core.diffusion.sampler import Predict, check_seed, sample
from mdm_core.diffusion.trajectory import MadeBy, StepRecord, Trajectory
from mdm_core.facts import Facts, Fingerprint
from mdm_core.forward import Forward
from mdm_core.images.pictures import plain
from mdm_core.images.regions import as_cells, centre_box, composite, nearest_visible
from mdm_core.paths import SHIPPED as SHIPPED
from mdm_core.protocols import Backbone, ImageCodec, PromptEncoder, check_parts, geometry
from mdm_core.settings import HEAL, SETTINGS, SampleConfig

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_PROMPT = 500  # characters
MASK_COLOUR = (201, 196, 188)  # how decode draws a masked cell


class Pipeline:
    """Prompt encoder + backbone + image codec + sampler.

    >>> pipe = Pipeline.from_pretrained()
    >>> pipe.generate("a panda on a teal background", seed=1).image.save("panda.png")
    """

    def __init__(
        self,
        codec: ImageCodec,
        prompts: PromptEncoder,
        backbone: Backbone,
        facts: Any = None,
        config: Any = None,
    ):
        """Parts of any family, see `mdm_core.protocols`; ValueError where they do not fit each other.

        Args:
            facts: `Facts`; a family's configuration, which has a method facts(fingerprint); or None for the
                sampler's own defaults and no more.
            config: what the family keeps for itself. Nothing here looks into it.
        """
        check_parts(codec, backbone)
        self.codec, self.prompts, self.backbone = codec, prompts, backbone
        self.grid, self.patch = geometry(codec)  # (h, w)
        self.image_size = (self.grid[0] * self.patch, self.grid[1] * self.patch)  # pixels (H, W)
        self.vocab_size = codec.vocab_size
        self.device = backbone.head_weight.device
        self.forward = Forward(backbone, prompts, self.vocab_size)
        if facts is not None and not isinstance(facts, Facts):
            facts, config = facts.facts(functools.partial(Fingerprint.of, codec, backbone)), facts
        self.facts: Facts = self._facts() if facts is None else facts
        self.config = config
        self._check_facts()

    # ---- weights ----------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Pipeline:
        """Open a model (default: the shipped weights) on `device` (default: a GPU if there is one).

        path: a model folder, or the name of a model that `python -m mdm_core.fetch` has brought, as
            "amused/amused-256". Nothing is fetched here.
        dtype: what the weights are held in: fp32, or fp16 or bf16 for half of the memory and of its digits. None
            leaves it to the family: ours fp32, large ones bf16 where the device is fast in it.
        ValueError names the file that is missing or does not fit.
        """
        device = usable(device)
        if dtype not in (None, *DTYPES):
            raise ValueError(f"dtype must be one of {', '.join(map(str, DTYPES))}, got {dtype!r}")
        return cls(*families.open_folder(SHIPPED if path is None else path, device, dtype))

    @staticmethod
    def save(path: str | Path, *parts: Any, family: str = families.OURS, **options: Any) -> None:
        """Write a model folder that `from_pretrained` opens; the arguments are those of the family's own `save`."""
        families.module(family).save(path, *parts, **options)

    def _facts(self) -> Facts:
        """Of parts that come without."""
        name = type(self.backbone).__name__
        return Facts(
            name=name,
            family=name,
            grid=self.grid,
            patch=self.patch,
            vocab_size=self.vocab_size,
            mask_id=self.vocab_size,
            defaults=dataclasses.asdict(SampleConfig()),
            fingerprint=functools.partial(Fingerprint.of, self.codec, self.backbone),
        )

    def _check_facts(self) -> None:
        for name in ("grid", "patch", "vocab_size"):
            said, real = getattr(self.facts, name), getattr(self, name)
            if said != real:
                raise ValueError(f"the facts say {name} {said} and the image codec {real}")
        if self.facts.mask_id != self.vocab_size:
            raise ValueError(
                f"a masked cell holds {self.vocab_size} in runs and links, so facts say that mask_id, not "
                f"{self.facts.mask_id}; a model's own stands in its backbone"
            )

    # ---- pictures <-> tokens ------------------------------------------------------------------------

    def decode(self, tokens: Any) -> Image.Image | list[Image.Image]:
        """Token grid int [h, w] (or [B, h, w]) -> picture (or list). Masked cells get a neutral colour."""
        ids = torch.as_tensor(np.asarray(tokens), dtype=torch.int64)
        if ids.shape[-2:] != self.grid or ids.ndim not in (2, 3):
            raise ValueError(f"tokens must have shape {self.grid} or [B, {self.grid[0]}, {self.grid[1]}]")
        batch = ids.view(-1, *self.grid)
        masked = batch == self.vocab_size
        # a masked cell borrows the nearest visible token so that it does not bleed into its neighbours' seams
        filled = nearest_visible(batch, masked)
        pixels = self.codec.decode(filled.to(self.device)).cpu()  # [B, H, W, 3]
        if masked.any():
            cover = masked.repeat_interleave(self.patch, 1).repeat_interleave(self.patch, 2)
            # a new tensor: what a codec gives may be its own, or one that nobody may write to
            pixels = torch.where(cover[..., None], torch.tensor(MASK_COLOUR, dtype=torch.uint8), pixels)
        images = [Image.fromarray(x.numpy()) for x in pixels]
        return images if ids.ndim == 3 else images[0]

    def encode(self, image: Image.Image) -> np.ndarray:
        """Picture of any size and mode -> token grid int32 [h, w]; it is squared and scaled first."""
        pixels = torch.from_numpy(np.array(self.fit(image)))[None]
        return self.codec.encode(pixels.to(self.device))[0].cpu().numpy().astype(np.int32)

    def fit(self, image: Image.Image) -> Image.Image:
        """Any PIL image as the model takes it: upright, sRGB on white, the centre cut out and scaled."""
        if not isinstance(image, Image.Image):
            raise ValueError("expected a PIL image")
        return self._cut(plain(image))

    def _cut(self, image: Image.Image) -> Image.Image:
        size = self.image_size[::-1]
        if image.size == size:
            return image
        return image.resize(size, Image.Resampling.LANCZOS, box=centre_box(image.size, self.image_size))

    # ---- sampling ------------------------------------------------------------------------------------

    def stream(
        self,
        prompt: str,
        *,
        seed: int = 0,
        tokens: Any = None,
        locked: Any = None,
        region: Any = None,
        negative: str | None = None,
        **settings: Any,
    ) -> Iterator[StepRecord]:
        """Sample one picture and yield a `StepRecord` after every step, the start state first.

        Args:
            prompt: any text of 1 to 500 characters.
            negative: what guidance leads away from, for families that take it. Default: the family's own.
            seed: 0 .. 2**32-1; same seed, settings and machine, same picture.
            tokens: int [h, w], where to start; V marks cells to be made. Default: everything masked.
            locked: cells that never change (see `regions.as_cells` for the forms).
            region: only these cells may change. Default: all.
            settings: fields of `SampleConfig`.
        """
        config = self.settings(**settings)
        condition = self.condition(prompt, negative)
        start, held, inside = self._start(tokens, locked, region)
        steps = sample(
            self.predictor(condition, config),
            start[None],
            config,
            [check_seed(seed)],
            mask_id=self.vocab_size,
            grid=self.grid,
            locked=held,
            region=inside,
        )
        # a generator function would check nothing before its first next(): errors should come at the call
        return (records[0] for records in steps if records[0] is not None)

    def generate(
        self,
        prompt: str,
        *,
        seed: int = 0,
        negative: str | None = None,
        tokens: Any = None,
        locked: Any = None,
        region: Any = None,
        **settings: Any,
    ) -> Trajectory:
        """Sample one picture; see `stream` for the arguments."""
        place = {"tokens": tokens, "locked": locked, "region": region}
        records = self.stream(prompt, seed=seed, negative=negative, **place, **settings)
        told = self._told(seed, negative, self.settings(**settings))
        return self.trajectory(prompt, told, list(records))

    def generate_batch(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        tokens: Any = None,
        locked: Any = None,
        region: Any = None,
        negative: str | None = None,
        **settings: Any,
    ) -> list[Trajectory]:
        """One picture per (prompt, seed); the same pictures as one by one, sooner on a GPU. Seeds may repeat.

        tokens, locked, region: as in `stream`, one for each picture (None for a picture that has none).
        """
        if isinstance(prompts, str):
            raise ValueError("prompts must be a list; for one prompt use generate")
        B = len(prompts)
        if len(seeds) != B:
            raise ValueError("prompts and seeds must be equally many")
        if not B:
            raise ValueError("give at least one prompt")
        each = {"tokens": tokens, "locked": locked, "region": region}
        for name, values in each.items():
            if values is not None and len(values) != B:
                raise ValueError(f"{name} must be one for each of the {B} prompts, got {len(values)}")
        config, seeds = self.settings(**settings), [check_seed(s) for s in seeds]
        condition = self.forward.join([self.condition(p, negative) for p in prompts])
        starts = [self._start(*(None if v is None else v[b] for v in each.values())) for b in range(B)]
        start, held, inside = (np.stack(column) for column in zip(*starts, strict=True))
        out = [
            self.trajectory(p, self._told(s, negative, config), [])
            for p, s in zip(prompts, seeds, strict=True)
        ]
        for records in sample(
            self.predictor(condition, config),
            start,
            config,
            seeds,
            mask_id=self.vocab_size,
            grid=self.grid,
            locked=held,
            region=inside,
        ):
            for trajectory, record in zip(out, records, strict=True):
                if record is not None:
                    trajectory.records.append(record)
        return out

    def repaint(
        self,
        image_or_tokens: Any,
        region: Any,
        prompt: str,
        *,
        seed: int = 0,
        locked: Any = None,
        feather: int = 3,
        **settings: Any,
    ) -> Trajectory:
        """Make the cells of `region` anew, with the rest as context that never changes.

        On a picture the pixels outside the region stay the original's (feathered inwards): `.image` of the
        result is that composite. Masks of the picture's own size or aspect are cut as the picture is.
        """
        picture = size = None
        if isinstance(image_or_tokens, Image.Image):
            whole = plain(image_or_tokens)
            picture, size = self._cut(whole), whole.size
        tokens = self.encode(picture) if picture is not None else self._tokens(image_or_tokens)
        cells = as_cells(region, self.grid, self.image_size, picture=size)
        held = as_cells(locked, self.grid, self.image_size, "locked", size)
        cells &= ~held
        if not cells.any():
            raise ValueError("the region is empty: choose at least one cell that is not locked")
        start = np.where(cells, self.vocab_size, tokens)
        out = self.generate(prompt, seed=seed, tokens=start, locked=held, region=cells, **settings)
        if picture is not None:
            decode: Callable[[np.ndarray], Any] = self.decode
            out.decoder = lambda t: composite(picture, decode(t), cells, feather)
        return out

    def heal(
        self,
        tokens: Any,
        prompt: str,
        *,
        region: Any = None,
        seed: int = 0,
        locked: Any = None,
        **settings: Any,
    ) -> Trajectory:
        """Edit-only passes over finished tokens (within `region`): repairs what was broken on purpose.

        Defaults differ from sampling: up to 12 passes, a quarter of the cells each, no rest between edits.
        """
        tokens = self._tokens(tokens)
        if (tokens == self.vocab_size).any():
            raise ValueError("healing edits finished tokens, and some are masked: repaint those first")
        if settings.get("edit", HEAL["edit"]) != HEAL["edit"]:
            raise ValueError(
                "healing overwrites tokens, so edit must be 'overwrite'; to make cells anew use repaint"
            )
        settings = {**HEAL, **settings}  # a model's own default may be off
        return self.generate(prompt, seed=seed, tokens=tokens, locked=locked, region=region, **settings)

    # ---- parts -----------------------------------------------------------------------------------------

    def settings(self, **changes: Any) -> SampleConfig:
        """The model's sampling defaults with `changes`; ValueError names a setting that is unknown or out of range."""
        known = self.facts.defaults
        if unknown := sorted(set(changes) - set(SETTINGS)):
            raise ValueError(f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(SETTINGS))}")
        return SampleConfig(**{**known, **changes})

    def trajectory(self, prompt: str, settings: dict[str, Any], records: list[StepRecord]) -> Trajectory:
        made_by = MadeBy.of(getattr(self, "facts", None))
        return Trajectory(prompt, settings, self.grid, self.vocab_size, records, self.decode, made_by)

    def predictor(self, condition: Any, config: SampleConfig) -> Predict:
        """The sampler's forward pass under the conditions of its pictures, see `Forward.predictor`."""
        return self.forward.predictor(condition, config)

    def condition(self, prompt: str, negative: str | None = None) -> Any:
        """What the backbone is given for one prompt, in the family's own form; ValueError where it does not fit."""
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError("the prompt is empty: type what you would like to see")
        if negative is not None and not isinstance(negative, str):
            raise ValueError(f"the negative prompt must be a text, got {negative!r}")
        for text in (prompt, negative or ""):
            if len(text) > MAX_PROMPT:
                raise ValueError(f"the prompt has {len(text):,} characters; please use at most {MAX_PROMPT}")
        encode: Callable[..., Any] = self.prompts.encode
        if hasattr(self.prompts, "negative"):
            encoded = encode([prompt], self.prompts.negative if negative is None else negative)
        elif negative is not None:
            raise ValueError("this model takes no negative prompt: leave it out")
        else:
            encoded = encode([prompt])
        if not hasattr(self.prompts, "take"):
            conditions.check(encoded, 1)
        return encoded

    @staticmethod
    def _told(seed: int, negative: str | None, config: SampleConfig) -> dict[str, Any]:
        """The settings that a run is saved with."""
        more = {} if negative is None else {"negative": negative}
        return {"seed": check_seed(seed), **dataclasses.asdict(config), **more}

    def _start(self, tokens: Any, locked: Any, region: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What one picture starts from, [L] each: tokens int64, locked bool, inside the region bool."""
        start = np.full(self.grid, self.vocab_size) if tokens is None else self._tokens(tokens)
        held = as_cells(locked, self.grid, self.image_size, "locked")
        inside = np.ones(self.grid, bool) if region is None else as_cells(region, self.grid, self.image_size)
        return start.reshape(-1), held.reshape(-1), inside.reshape(-1)

    def _tokens(self, tokens: Any) -> np.ndarray:
        array = np.asarray(tokens)
        if array.shape != self.grid or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(
                f"tokens must be whole numbers of shape {self.grid[0]}x{self.grid[1]}, got {array.shape}"
            )
        if array.min() < 0 or array.max() > self.vocab_size:
            raise ValueError(f"token ids must lie in 0..{self.vocab_size}")
        return array.astype(np.int64)
