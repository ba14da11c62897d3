"""The judge of EmojiEval: a detector (place, object, colour) trained from scratch on rendered scenes.

It shares no weights with the generator or the image tokenizer, and nothing is trained against it or picked by it.
Objects are found as points on a 16x16 grid (CenterNet, Zhou et al. 2019), whose cells are those of the world's lattice:
a heat map says where, and at each peak a class, a colour and a box are read. The last class, `NOTHING`, is an object
that is too broken to name. One judge knows one world: its card says which.

Legend: H pixels a side of the world's pictures (128, 256), G = 16 cells a side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mdm_core.paths import located, shipped
from trainer.scenes.colours import COLOUR_NAMES
from trainer.scenes.spec import EMOJI_128, SceneSpec, scene_spec

# world -> folder of its judge
FOLDERS = {"emoji_128": "verifier", "world_256": "verifier_256"}
VERIFIER_DIR = shipped(FOLDERS[EMOJI_128.name])
# world -> channels of the stages, the finest first; four stages reduce a picture by 16, three by 8
WIDTHS = {"emoji_128": (64, 160, 224), "world_256": (48, 64, 192, 256)}
NOTHING = "nothing that can be named"
COLOURS = (None, *COLOUR_NAMES)  # None: as the artist drew it
MOST = 8  # detections read from one picture


@dataclass(frozen=True)
class Detection:
    """One object found in a picture. `box` is (left, top, right, bottom) in pixels."""

    name: str
    colour: str | None
    box: tuple[float, float, float, float]
    score: float  # of the place
    certainty: float  # of the name

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016). [B, C, h, w] throughout."""

    def __init__(self, width: int):
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.two = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_one, self.norm_two = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm_two.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm_one(self.one(x)))
        return F.relu(x + self.norm_two(self.two(h)))


def _entry(inputs: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


class Detector(nn.Module):
    """Pictures in [-1, 1] [B, 3, H, H] -> maps over the 16x16 grid.

    4.5 M parameters at 128 pixels and 311 objects, 5.9 M at 256 pixels and 806. `widths`: see `WIDTHS`.
    """

    def __init__(self, n_objects: int, widths: tuple[int, ...] = WIDTHS["emoji_128"]):
        super().__init__()
        *first, fine, middle, coarse = widths
        self.n_objects = n_objects
        self.cell = 4 * 2 ** (len(widths) - 2)  # pixels a side of what one cell of the maps stands for
        # pictures that are twice as large have one stage more
        self.first = nn.Sequential(*(m for w in first for m in (_entry(48, w, 1), Residual(w))))
        enter = _entry(first[-1], fine, 2) if first else _entry(48, fine, 1)
        self.stem = nn.Sequential(enter, Residual(fine), Residual(fine))
        self.grid = nn.Sequential(_entry(fine, middle, 2), *(Residual(middle) for _ in range(3)))
        self.wide = nn.Sequential(_entry(middle, coarse, 2), *(Residual(coarse) for _ in range(2)))
        self.back = nn.Conv2d(coarse, middle, 1, bias=False)
        self.mix = nn.Sequential(Residual(middle), _entry(middle, 192, 1))
        self.head = nn.Conv2d(192, 1 + (n_objects + 1) + len(COLOURS) + 4, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        bias = self.head.bias
        assert bias is not None
        nn.init.zeros_(bias)
        with torch.no_grad():
            bias[0] = -4.0  # most cells are no centre: start by saying so

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the maps [B, 1 + classes + colours + 4, 16, 16] and pooled features [B, coarse]."""
        x = self.first(F.pixel_unshuffle(x, 4))  # [B, first, H / 4, H / 4]
        x = self.stem(x)  # [B, fine, 32, 32]
        x = self.grid(x)  # [B, middle, 16, 16]
        w = self.wide(x)  # [B, coarse, 8, 8]
        x = x + F.interpolate(self.back(w), scale_factor=2.0)  # [B, middle, 16, 16]
        return self.head(self.mix(x)), w.mean((2, 3))

    def parts(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps [B, C, ...] -> heat [B, 1, ...], class, colour, box logits."""
        return maps.split((1, self.n_objects + 1, len(COLOURS), 4), dim=1)


def as_input(images: Tensor) -> Tensor:
    """uint8 or float 0..255 [B, H, H, 3] -> [-1, 1] [B, 3, H, H]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


class Verifier:
    """A trained detector with the names of what it knows."""

    def __init__(self, model: Detector, names: list[str], card: dict, device: torch.device):
        self.model, self.names, self.card = model.eval().to(device), names, card
        self.device = device
        # cards older than the second world do not name theirs
        self.spec: SceneSpec = scene_spec(card.get("world", EMOJI_128.name))
        self.place_above = card["place_above"]  # heat a detection needs
        # below this certainty the object counts as one that nobody can name
        self.name_above = card["name_above"]

    @classmethod
    def load(cls, folder: Path | str | None = None, device: str | torch.device = "cpu") -> Verifier:
        """Read weights and card. ValueError where the weights are not those whose hash the card records."""
        folder = located(folder or VERIFIER_DIR)
        try:
            card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
            found = sha256(folder / "verifier.safetensors")
        except (OSError, json.JSONDecodeError) as error:
            raise ValueError(f"{folder} holds no verifier: {error}") from None
        if found != card["sha256"]:
            raise ValueError(f"{folder / 'verifier.safetensors'} is not the verifier that its card describes")
        model = Detector(len(card["objects"]), tuple(card["widths"]))
        load_quantised(model, folder / "verifier.safetensors")
        return cls(model, card["objects"], card, torch.device(device))

    @torch.no_grad()
    def detect(self, images: Tensor, batch: int | None = None) -> list[list[Detection]]:
        """uint8 [B, H, H, 3] -> the objects in each picture, the surest first.

        ValueError where the pictures are not as large as those of the judge's world.
        """
        return [found for part in self._split(images, batch) for found in self._detect(part)]

    @torch.no_grad()
    def features(self, images: Tensor, batch: int | None = None) -> Tensor:
        """uint8 [B, H, H, 3] -> pooled features float32 [B, coarse], the space of the Fréchet distance."""
        parts = self._split(images, batch)
        return torch.cat([self.model(as_input(p.to(self.device)))[1].float().cpu() for p in parts])

    def _split(self, images: Tensor, batch: int | None) -> tuple[Tensor, ...]:
        side = self.spec.image
        if images.shape[1:] != (side, side, 3):
            raise ValueError(
                f"the judge of {self.spec.name} reads pictures of {side} pixels a side, not "
                f"{'x'.join(map(str, images.shape[1:3]))}: give the judge of the model's world"
            )
        # as many pixels at once, whatever the size of a picture
        return images.split(batch or max(1, 256 * EMOJI_128.image**2 // side**2))

    def _detect(self, images: Tensor) -> list[list[Detection]]:
        maps, _ = self.model(as_input(images.to(self.device)))
        heat, name, colour, box = self.model.parts(maps.float())
        across = heat.shape[-1]
        heat = heat.sigmoid()[:, 0]  # [B, 16, 16]
        peak = heat == F.max_pool2d(heat[:, None], 3, stride=1, padding=1)[:, 0]
        score, where = (heat * peak).flatten(1).topk(MOST)  # [B, 8]

        def at(m: Tensor) -> Tensor:
            # -> [B, 8, C]
            return m.flatten(2).gather(2, where[:, None].expand(-1, m.shape[1], -1)).transpose(1, 2)

        certainty, index = at(name).softmax(-1).max(-1)  # [B, 8]
        hue, geometry = at(colour).argmax(-1), at(box)  # [B, 8], [B, 8, 4]
        cell = torch.stack([where % across, where // across], -1)  # [B, 8, 2] (x, y)
        centre = (cell + 0.5 + geometry[..., :2]) * self.spec.cell
        side = geometry[..., 2:].exp() * (self.spec.image // 2)
        corners = torch.cat([centre - side / 2, centre + side / 2], -1).cpu().numpy()  # [B, 8, 4]
        columns = [c.cpu().numpy() for c in (score, certainty, index, hue)]
        return [self._picture(corners[b], *(c[b] for c in columns)) for b in range(len(images))]

    def _picture(
        self,
        corners: np.ndarray,
        score: np.ndarray,
        certainty: np.ndarray,
        index: np.ndarray,
        hue: np.ndarray,
    ) -> list[Detection]:
        found: list[Detection] = []
        for k in np.flatnonzero(score > self.place_above):
            if any(overlap(corners[k], d.box) > 0.5 for d in found):
                continue  # one object, found from two cells
            left, top, right, bottom = corners[k].tolist()
            named = index[k] < len(self.names) and certainty[k] >= self.name_above
            found.append(
                Detection(
                    self.names[index[k]] if named else NOTHING,
                    COLOURS[hue[k]],
                    (left, top, right, bottom),
                    float(score[k]),
                    float(certainty[k]),
                )
            )
        return found


def overlap(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_quantised(model: nn.Module, path: Path) -> None:
    """Convolution weights as int8 with a scale per output channel, everything else as float32."""
    tensors = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu()
        if value.ndim == 4:
            scale = (value.float().abs().amax((1, 2, 3)) / 127).clamp_min(1e-8)  # [out]
            tensors[name] = (value.float() / scale[:, None, None, None]).round().to(torch.int8).contiguous()
            tensors[name + ".scale"] = scale
        elif not name.endswith("num_batches_tracked"):
            tensors[name] = value.float().contiguous()
    save_file(tensors, str(path))


def load_quantised(model: nn.Module, path: Path) -> None:
    """The inverse of `save_quantised`."""
    tensors = load_file(str(path))
    state = {}
    for name, value in tensors.items():
        if not name.endswith(".scale"):
            wide = value.dtype == torch.int8
            state[name] = value.float() * tensors[name + ".scale"][:, None, None, None] if wide else value
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or any(not m.endswith("num_batches_tracked") for m in missing):
        raise ValueError(f"the weights {path} do not fit the verifier: {(missing + unexpected)[0]!r}")
