"""The pipeline: a prompt becomes a picture, step by step; and repainting and healing what is already there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mdm_core.config import (
    ModelConfig,
    PipelineConfig,
    SampleConfig,
    check_pair,
    load_config,
    located,
    save_config,
)
from mdm_core.diffusion.sampler import check_seed, sample
from mdm_core.diffusion.trajectory import StepRecord, Trajectory
from mdm_core.families.chisel.backbone import TransformerBackbone as TransformerBackbone
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.families.weights import load_weights, save_weights
from mdm_core.images.pictures import plain
from mdm_core.images.regions import as_cells, centre_box, composite, nearest_visible
from mdm_core.ops import SampleStep, sample_step
from mdm_core.protocols import Backbone, ImageCodec, PromptEncoder, check_parts, geometry
from mdm_core.shipped import shipped

SHIPPED = shipped("model")
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
        config: PipelineConfig | None = None,
    ):
        """`config` has the sampling defaults and the card; ValueError where codec and backbone do not fit."""
        check_parts(codec, backbone)
        self.codec, self.prompts, self.backbone = codec, prompts, backbone
        self.config = _config_of(codec, backbone, config)
        self.grid, self.patch = geometry(codec, config)  # (h, w)
        self.image_size = (self.grid[0] * self.patch, self.grid[1] * self.patch)  # pixels (H, W)
        self.vocab_size = codec.vocab_size
        self.device = backbone.head_weight.device

    # ---- weights ----------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, device: str | torch.device | None = None
    ) -> Pipeline:
        """Open a model folder (default: the shipped weights) on `device` (default: a GPU if there is one).

        ValueError names the file that is missing or does not fit.
        """
        path = located(path) if path is not None else SHIPPED
        if not path.is_dir():
            raise ValueError(
                f"{path} is no model folder: it should hold config.json, two .safetensors files and text.json"
            )
        device = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        config = load_config(path / "config.json")
        codec, model = ImageTokenizer(config.tokenizer), MaskedDiffusionTransformer(config.model)
        load_weights(codec, path / "image_tokenizer.safetensors")
        load_weights(model, path / "model.safetensors")
        text = TextTokenizer.load(path / "text.json", config.model.text_length)
        if text.vocab_size > config.model.text_vocab_size:
            raise ValueError(f"{path / 'text.json'} has more ids than the model's text vocabulary")
        codec, model = codec.eval().to(device), model.eval().to(device)
        return cls(codec, text, TransformerBackbone(model), config)

    @staticmethod
    def save(
        path: str | Path,
        codec: ImageTokenizer,
        model: MaskedDiffusionTransformer,
        text: TextTokenizer,
        config: PipelineConfig,
        int8: bool = False,
    ) -> None:
        """Write a model folder that `from_pretrained` opens."""
        path = located(path)
        check_pair(codec.config, model.config)
        path.mkdir(parents=True, exist_ok=True)
        save_weights(codec, path / "image_tokenizer.safetensors")
        save_weights(model, path / "model.safetensors", int8=int8)
        text.save(path / "text.json")
        save_config(config, path / "config.json")

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
            pixels[cover] = torch.tensor(MASK_COLOUR, dtype=torch.uint8)
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
        return image.resize(size, Image.LANCZOS, box=centre_box(image.size, self.image_size))

    # ---- sampling ------------------------------------------------------------------------------------

    def stream(
        self,
        prompt: str,
        *,
        seed: int = 0,
        tokens: Any = None,
        locked: Any = None,
        region: Any = None,
        **settings,
    ) -> Iterator[StepRecord]:
        """Sample one picture and yield a `StepRecord` after every step, the start state first.

        Args:
            prompt: any text of 1 to 500 characters.
            seed: 0 .. 2**32-1; same seed, settings and machine, same picture.
            tokens: int [h, w], where to start; V marks cells to be made. Default: everything masked.
            locked: cells that never change (see `regions.as_cells` for the forms).
            region: only these cells may change. Default: all.
            settings: fields of `SampleConfig`.
        """
        config = self.settings(**settings)
        condition = self._condition(prompt)
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
        self, prompt: str, *, seed: int = 0, tokens=None, locked=None, region=None, **settings
    ) -> Trajectory:
        """Sample one picture; see `stream` for the arguments."""
        records = self.stream(prompt, seed=seed, tokens=tokens, locked=locked, region=region, **settings)
        told = {"seed": check_seed(seed), **dataclasses.asdict(self.settings(**settings))}
        return self.trajectory(prompt, told, list(records))

    def generate_batch(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        tokens: Any = None,
        locked: Any = None,
        region: Any = None,
        **settings,
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
        conditions = torch.cat([self._condition(p) for p in prompts])
        starts = [self._start(*(None if v is None else v[b] for v in each.values())) for b in range(B)]
        start, held, inside = (np.stack(column) for column in zip(*starts, strict=True))
        out = [
            self.trajectory(p, {"seed": s, **dataclasses.asdict(config)}, [])
            for p, s in zip(prompts, seeds, strict=True)
        ]
        for records in sample(
            self.predictor(conditions, config),
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
        **settings,
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
            decode = out.decoder
            out.decoder = lambda t: composite(picture, decode(t), cells, feather)
        return out

    def heal(
        self, tokens: Any, prompt: str, *, region: Any = None, seed: int = 0, locked: Any = None, **settings
    ):
        """Edit-only passes over finished tokens (within `region`): repairs what was broken on purpose.

        Defaults differ from sampling: up to 12 passes, a quarter of the cells each, no rest between edits.
        """
        tokens = self._tokens(tokens)
        if (tokens == self.vocab_size).any():
            raise ValueError("healing edits finished tokens, and some are masked: repaint those first")
        if settings.get("edit", "overwrite") != "overwrite":
            raise ValueError(
                "healing overwrites tokens, so edit must be 'overwrite'; to make cells anew use repaint"
            )
        settings = {"polish": 12, "edit_budget": 0.25, "edit_cooldown": 0, "edit_threshold": 0.3, **settings}
        return self.generate(prompt, seed=seed, tokens=tokens, locked=locked, region=region, **settings)

    # ---- parts -----------------------------------------------------------------------------------------

    def settings(self, **changes: Any) -> SampleConfig:
        """The model's sampling defaults with `changes`; ValueError names a setting that is unknown or out of range."""
        known = {f.name for f in dataclasses.fields(SampleConfig)}
        if unknown := sorted(set(changes) - known):
            raise ValueError(f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}")
        return dataclasses.replace(self.config.sample, **changes)

    def trajectory(self, prompt: str, settings: dict[str, Any], records: list[StepRecord]) -> Trajectory:
        return Trajectory(prompt, settings, self.grid, self.vocab_size, records, self.decode)

    def predictor(self, condition: Tensor, config: SampleConfig):
        """The sampler's forward pass: backbone, folded guidance, fused sampling step.

        On the CPU images go one by one, so that every matrix product has one shape and a picture comes out the
        same to the last bit whatever batch it rides in.
        """
        L = self.grid[0] * self.grid[1]
        whole = self.device.type != "cpu"
        captured = None
        if config.top_k is None and config.top_p is None:
            captured = getattr(self.backbone, "captured_steps", lambda: None)()

        @torch.inference_mode()
        def predict(tokens: Tensor, seeds: Sequence[int], step: int):
            rows = list(getattr(seeds, "rows", range(len(seeds))))
            if captured is not None:
                done = captured(tokens, condition[rows], seeds, step, config.guidance, config.temperature)
                if done is not None:
                    return done
            parts = [range(len(seeds))] if whole else [[b] for b in range(len(seeds))]
            out = []
            for part in parts:
                part = list(part)
                hidden = self.backbone.hidden(
                    tokens[part], condition[[rows[b] for b in part]], config.guidance
                )
                seed = torch.tensor([seeds[b] for b in part]).repeat_interleave(L)  # one a row
                out.append(
                    sample_step(
                        hidden.flatten(0, 1),
                        self.backbone.head_weight,
                        tokens[part].flatten().to(self.device),
                        temperature=config.temperature,
                        seed=seed,
                        step=step,
                        row_ids=torch.arange(L).repeat(len(part)),
                        top_k=config.top_k,
                        top_p=config.top_p,
                    )
                )
            return SampleStep(*(torch.cat(column).view(len(seeds), L) for column in zip(*out, strict=True)))

        return predict

    def _condition(self, prompt: str) -> Tensor:
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError("the prompt is empty: type what you would like to see")
        if len(prompt) > MAX_PROMPT:
            raise ValueError(f"the prompt has {len(prompt):,} characters; please use at most {MAX_PROMPT}")
        condition = self.prompts.encode([prompt])
        if not isinstance(condition, Tensor) or not condition.ndim or len(condition) != 1:
            raise ValueError(
                "the prompt encoder must give one tensor [B, ...] for B prompts (see mdm_core.protocols)"
            )
        return condition

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


def _usable(device: str | torch.device) -> torch.device:
    """The device, or ValueError where this machine or this PyTorch has none such."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"the device {str(device)!r} cannot be used here; try cpu") from error
    return torch.device(device)


def _config_of(codec: Any, backbone: Any, given: PipelineConfig | None) -> PipelineConfig:
    """The given configuration, with parts that describe these parts; of another family no lattice is claimed."""
    given = given or PipelineConfig()
    model, levels = getattr(getattr(backbone, "model", None), "config", None), getattr(codec, "levels", None)
    if isinstance(codec, ImageTokenizer) and isinstance(model, ModelConfig):
        return dataclasses.replace(given, tokenizer=codec.config, model=model)
    if given.model.vocab_size == codec.vocab_size and given.model.code_levels in (None, levels):
        return given
    return dataclasses.replace(given, model=ModelConfig(vocab_size=codec.vocab_size, code_levels=None))
