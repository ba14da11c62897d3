"""What the verifier learns from: scenes of its own, with some objects broken on purpose.

Nothing here comes from the generator or from the image tokenizer. The scenes are laid out more freely than those
the generator learns from (any place, more sizes, up to six objects), with renderer seeds of their own, and they
include the combinations held out from the generator: the judge must know those. `SceneMaker` lays out EMOJI_128;
worlds whose things lie anywhere and lean have one of their own in `trainer/judge/free_lessons.py`.

Legend: B scenes, S = 6 slots, G backgrounds, H pixels a side, g = H / patch cells a side: what one token stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import COLOUR_NAMES, IMAGE
from trainer.scenes.drawing.bank import FreeBank
from trainer.scenes.drawing.free_render import draw
from trainer.scenes.drawing.render import SpriteBank, paste
from trainer.scenes.generator import VARIANTS
from trainer.scenes.scene import SceneBatch
from trainer.scenes.spec import EMOJI_128, SceneSpec

SEED = 900_000_000  # added to every seed: no scene of another generator starts from here
SIZES = (40, 48, 56, 64, 72, 80, 96)
S = 6
IGNORE = -100
WARP = 2.5 / 128  # of a side: by how much a picture is bent
KEEP_BELOW, BREAK_ABOVE = 0.10, 0.35  # changed share of an object's area: still itself; not to be named
_H = IMAGE // 2
_T = IMAGE / 3
# (share, sizes, rooms): an object lies anywhere within its room (left, top, width, height)
LAYOUTS = (
    (0.02, (48,), ()),
    (0.32, (48, 56, 64, 72, 80, 96, 96), ((0, 0, IMAGE, IMAGE),)),
    (0.15, (40, 48, 56, 56, 64), ((0, 0, _H, IMAGE), (_H, 0, _H, IMAGE))),
    (0.15, (40, 48, 56, 56, 64), ((0, 0, IMAGE, _H), (0, _H, IMAGE, _H))),
    (0.08, (40, 48, 56, 64), ((0, 0, IMAGE, _H), (0, _H, _H, _H), (_H, _H, _H, _H))),
    (0.08, (40, 48, 56, 64), ((0, 0, _H, _H), (_H, 0, _H, _H), (0, _H, IMAGE, _H))),
    (0.02, (40,), ((0, 0, _T, IMAGE), (_T, 0, _T, IMAGE), (2 * _T, 0, _T, IMAGE))),
    (0.12, (40, 48, 56, 64), ((0, 0, _H, _H), (_H, 0, _H, _H), (0, _H, _H, _H), (_H, _H, _H, _H))),
    (0.02, (40,), ((0, 0, _H, _H), (_H, 0, _H, _H), (0, _H, _T, _H), (_T, _H, _T, _H), (2 * _T, _H, _T, _H))),
    (0.02, (40,), ((0, _H, _H, _H), (_H, _H, _H, _H), (0, 0, _T, _H), (_T, 0, _T, _H), (2 * _T, 0, _T, _H))),
    (0.02, (40,), tuple((x * _T, y, _T, _H) for y in (0, _H) for x in range(3))),
)


@dataclass(frozen=True)
class Drawn:
    """One batch of scenes as arrays. sprite and twin are rows of the bank (-1: no object)."""

    ground: np.ndarray  # int64 [B]
    sprite: np.ndarray  # int64 [B, S]
    twin: np.ndarray  # int64 [B, S], another object for the same place, to break this one with
    size: np.ndarray  # int64 [B, S]
    xy: np.ndarray  # int64 [B, S, 2]
    name: np.ndarray  # int64 [B, S], index of the object; -1
    colour: np.ndarray  # int64 [B, S], 0 = as drawn
    angle: np.ndarray | None = None  # int64 [B, S], degrees; None: all stand straight
    look: np.ndarray | None = None  # int64 [B], which picture of the ground; None: the first
    spec: SceneSpec = EMOJI_128

    def bare(self, bank: Bank) -> Tensor:
        """The grounds alone: uint8 [B, H, H, 3], a copy."""
        if isinstance(bank, FreeBank):
            look = np.zeros_like(self.ground) if self.look is None else self.look
            return bank.ground(self.ground, look)
        return bank.grounds[torch.from_numpy(self.ground).to(bank.device)]

    def picture(self, bank: Bank, sprite: np.ndarray) -> Tensor:
        """Draw `sprite` or `twin`: uint8 [B, H, H, 3]. Rooms keep objects apart, so one paste a size will do."""
        if isinstance(bank, FreeBank):
            scenes = SceneBatch(
                self.ground, sprite, self.size, self.xy, [""] * len(sprite), self.angle, self.look
            )
            return draw(scenes, bank)
        canvas = self.bare(bank)
        for s in bank.sizes:
            scene, slot = np.nonzero((sprite >= 0) & (self.size == s))  # [K] each
            if len(scene):
                bank.prepare(sprite[scene, slot], (s,))
                paste(canvas.view(-1, 3), bank, scene, sprite[scene, slot], s, self.xy[scene, slot])
        return canvas

    def twin_of(self, slot: np.ndarray) -> Drawn:
        """The same scenes with the twin of one slot [B] as their only object: a sixth of the work."""
        row = np.arange(len(slot))
        kept = {k: getattr(self, k)[row, slot][:, None] for k in ("twin", "size", "xy")}
        lean = None if self.angle is None else self.angle[row, slot][:, None]
        return replace(self, **kept, angle=lean)


Bank = SpriteBank | FreeBank
# sides [B, S], which slots are used [B, S], left top corners [B, S, 2], degrees [B, S], looks [B]
Layouts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]


class SceneMaker:
    """Draws batches of scenes by whole arrays. The same seed gives the same scenes."""

    spec = EMOJI_128

    def __init__(self, atlas: Atlas, n_objects: int, styles: list[str], shares: list[float], seed: int):
        self.styles, self.shares = len(styles), np.array(shares) / sum(shares)
        members = [[i for i in range(n_objects) if atlas.has(i, s)] for s in styles]
        self.count = np.array([len(m) for m in members])
        self.member = np.zeros((len(styles), max(self.count)), np.int64)
        for row, m in zip(self.member, members, strict=True):
            row[: len(m)] = m
        self.visible = self._visible(atlas, n_objects, styles)
        self.rng = np.random.default_rng(SEED + seed)

    def _visible(self, atlas: Atlas, n_objects: int, styles: list[str]) -> np.ndarray:
        """bool [rows of the bank, G]: whether a sprite can be told from the ground."""
        grounds = self.spec.grounds
        rgb = np.array([b.rgb for b in grounds], np.float64)
        out = np.ones((n_objects * len(styles), VARIANTS, len(grounds)), bool)
        for i in range(n_objects):
            for j, style in enumerate(styles):
                if atlas.has(i, style):
                    far = np.linalg.norm(rgb - np.array(atlas.means[i, style]), axis=1) >= self.spec.contrast
                    out[i * len(styles) + j, 0] = far
        for k, colour in enumerate(COLOUR_NAMES):
            out[:, k + 1] = [b.name not in self.spec.clashes[colour] for b in grounds]
        return out.reshape(-1, len(grounds))

    def _objects(self, style: np.ndarray, b: int) -> np.ndarray:
        pick = (self.rng.random((b, S)) * self.count[style][:, None]).astype(np.int64)
        return self.member[style[:, None], pick]

    def _layouts(self, b: int) -> Layouts:
        rng, cell = self.rng, self.spec.cell
        layout = rng.choice(len(LAYOUTS), b, p=[s for s, _, _ in LAYOUTS])
        room, size, used = np.zeros((b, S, 4)), np.zeros((b, S), np.int64), np.zeros((b, S), bool)
        for k, (_, sizes, rooms) in enumerate(LAYOUTS):
            rows = np.flatnonzero(layout == k)
            if len(rooms):
                room[rows, : len(rooms)] = rooms
            size[rows] = rng.choice(sizes, (len(rows), 1))
            used[rows, : len(rooms)] = True
        free = np.maximum(room[..., 2:] - size[..., None], 0)  # [B, S, 2]
        xy = room[..., :2] + rng.random((b, S, 2)) * free
        snapped = np.round(xy / cell) * cell  # half of the scenes lie on the lattice
        xy = np.where((rng.random(b) < 0.5)[:, None, None], snapped, xy)
        # whole pixels inside the room: thirds of the picture are no multiple of a cell
        xy = np.clip(np.round(xy), np.ceil(room[..., :2]), np.floor(room[..., :2] + free)).astype(np.int64)
        return size, used, xy, None, None

    def draw(self, b: int) -> Drawn:
        """The next b scenes."""
        rng = self.rng
        size, used, xy, angle, look = self._layouts(b)
        style = rng.choice(self.styles, b, p=self.shares)
        name, other = self._objects(style, b), self._objects(style, b)
        same = rng.random(b) < 0.35
        name[same] = name[same, :1]
        colour = np.where(rng.random((b, 1)) < 0.55, 0, rng.integers(0, VARIANTS, (b, S)))
        colour[same & (rng.random(b) < 0.6)] = 0
        sprite = (name * self.styles + style[:, None]) * VARIANTS + colour
        hue = np.where(rng.random((b, S)) < 0.5, colour, rng.integers(0, VARIANTS, (b, S)))
        twin = (other * self.styles + style[:, None]) * VARIANTS + hue

        good = np.where(used[..., None], self.visible[sprite], True).all(1)  # [B, G]
        ground = (rng.random(good.shape) * (good + 1e-3)).argmax(1)
        return Drawn(
            ground,
            np.where(used, sprite, -1),
            np.where(used & (other != name), twin, -1),
            size,
            xy,
            np.where(used, name, -1),
            colour,
            angle,
            look,
            self.spec,
        )


@dataclass(frozen=True)
class Lesson:
    """What the detector is trained on."""

    images: Tensor  # float [B, 3, H, H], 0..255
    name: Tensor  # int64 [B, S]; n_objects = broken; IGNORE where the class is not asked for
    colour: Tensor  # int64 [B, S]
    box: Tensor  # float [B, S, 3], centre x, centre y, side in pixels
    used: Tensor  # bool [B, S]: there is an object
    doubtful: Tensor  # bool [B, S]: so little is left of it that "an object" is neither right nor wrong


def _pixels(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float()  # [B, 3, H, H]


def _upscale(cells: Tensor, by: int) -> Tensor:
    return cells.repeat_interleave(by, -2).repeat_interleave(by, -1)


@torch.no_grad()
def lesson(drawn: Drawn, bank: Bank, n_objects: int, g: torch.Generator, broken: float = 0.45) -> Lesson:
    """Render, break one object in a share of the scenes, then make the picture look less than perfect."""
    device, b, spec = bank.device, len(drawn.ground), drawn.spec
    side_of_picture, patch, grid = spec.image, spec.patch, spec.grid
    image, ground = _pixels(drawn.picture(bank, drawn.sprite)), _pixels(drawn.bare(bank))
    size, xy = torch.from_numpy(drawn.size).to(device), torch.from_numpy(drawn.xy).to(device)
    name = torch.from_numpy(drawn.name.copy()).to(device)  # written to below
    colour = torch.from_numpy(drawn.colour).to(device)
    used = name >= 0
    doubtful = torch.zeros_like(used)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=g)

    # the victim: one object of each picture, in the given share of the pictures
    victim = (rand(b, S) + used).argmax(1)  # [B]
    row = torch.arange(b, device=device)
    if isinstance(bank, FreeBank):
        alone = drawn.twin_of(victim.cpu().numpy())
        twin, foreign = _pixels(alone.picture(bank, alone.twin)), image.roll(1, 0)
    else:
        twin = _pixels(drawn.picture(bank, drawn.twin))
        foreign = twin.roll(1, 0)
    hit = used.any(1) & (rand(b) < broken)
    side, corner = size[row, victim], xy[row, victim]  # [B], [B, 2]
    axis = torch.arange(side_of_picture, device=device)
    inside_x = (axis >= corner[:, :1]) & (axis < corner[:, :1] + side[:, None])  # [B, H]
    inside_y = (axis >= corner[:, 1:]) & (axis < corner[:, 1:] + side[:, None])
    inside = inside_y[:, :, None] & inside_x[:, None, :]  # [B, H, H]

    # where: a half plane, or scattered cells
    cell = (torch.arange(grid, device=device) + 0.5) * patch
    angle, cut = rand(b) * 6.2832, (rand(b) - 0.5) * 0.7 * side
    centre = corner + side[:, None] / 2
    plane = (cell[None, None] - centre[:, :1, None]) * angle.cos()[:, None, None]
    plane = plane + (cell[None, :, None] - centre[:, 1:, None]) * angle.sin()[:, None, None]
    scattered = _scattered(rand, b, spec)
    where = torch.where((rand(b) < 0.5)[:, None, None], plane < cut[:, None, None], scattered)  # [B, g, g]

    # with what: another object, the ground, its own cells in disorder, a blot, something from another picture
    patches = F.unfold(image, patch, stride=patch).transpose(1, 2)  # [B, g * g, 3 * patch * patch]
    span = torch.div(side, patch, rounding_mode="floor")[:, None, None]  # cells
    first = torch.div(corner, patch, rounding_mode="floor")  # [B, 2]
    sx = (first[:, 0, None, None] + (rand(b, grid, grid) * span).long()).clamp_max(grid - 1)
    sy = (first[:, 1, None, None] + (rand(b, grid, grid) * span).long()).clamp_max(grid - 1)
    mixed = patches.gather(1, (sy * grid + sx).flatten(1)[..., None].expand(-1, -1, patches.shape[2]))
    shuffled = F.fold(mixed.transpose(1, 2), (side_of_picture,) * 2, patch, stride=patch)
    coarse = side_of_picture // 8
    blot = F.interpolate(F.avg_pool2d(image, coarse), scale_factor=float(coarse), mode="bilinear")
    mode = rand(b)[:, None, None, None]
    source = torch.where(mode < 0.30, twin, ground)
    source = torch.where((mode >= 0.50) & (mode < 0.70), shuffled, source)
    source = torch.where((mode >= 0.70) & (mode < 0.85), blot, source)
    source = torch.where(mode >= 0.85, foreign, source)
    mask = _upscale(where, patch) & inside & hit[:, None, None]
    ruined = torch.where(mask[:, None], source, image)

    # how much of the object changed decides what it still is
    ink = ((image - ground).abs().amax(1) > 24) & inside
    changed = ((ruined - image).abs().amax(1) > 40) & inside
    area = ink.flatten(1).sum(1).clamp_min(1)
    damage = changed.flatten(1).sum(1) / area
    left = ((((ruined - ground).abs().amax(1) > 24) & inside).flatten(1).sum(1)) / area
    now = name[row, victim]
    now = torch.where(damage > BREAK_ABOVE, n_objects, torch.where(damage > KEEP_BELOW, IGNORE, now))
    name[row, victim] = torch.where(hit, now, name[row, victim])
    colour = torch.where((name >= 0) & (name < n_objects), colour, IGNORE)
    doubtful[row, victim] = hit & (left < 0.3)

    # stray cells anywhere change nothing that is true of the picture
    stray = (rand(b, grid, grid) < 0.006) & (rand(b) < 0.25)[:, None, None]
    ruined = torch.where(_upscale(stray, patch)[:, None], foreign, ruined)
    box = torch.cat([xy + size[..., None] / 2, size[..., None].float()], -1)
    return Lesson(soften(ruined, g, patch), name, colour, box, used, doubtful)


def _scattered(rand: Callable[..., Tensor], b: int, spec: SceneSpec) -> Tensor:
    """Cells here and there, bool [B, g, g]; where tokens are small, in half of the pictures four of them together."""
    if spec.patch == spec.cell:
        return rand(b, spec.grid, spec.grid) < (0.05 + 0.9 * rand(b))[:, None, None]
    share = (0.05 + 0.9 * rand(b))[:, None, None]
    fine, wide = rand(b, spec.grid, spec.grid) < share, rand(b, spec.grid // 2, spec.grid // 2) < share
    return torch.where((rand(b) < 0.5)[:, None, None], fine, _upscale(wide, 2))


def _dct(size: int, device: torch.device) -> Tensor:
    """Orthonormal DCT-II matrix [size, size]."""
    n = torch.arange(size, device=device, dtype=torch.float32)
    matrix = torch.cos(torch.pi / size * (n[None] + 0.5) * n[:, None]) * (2 / size) ** 0.5
    matrix[0] /= 2**0.5
    return matrix


def soften(x: Tensor, g: torch.Generator, block: int) -> Tensor:
    """Warp, coarse blocks, blur, colour jitter too small to change a hue's name, noise. [B, 3, H, H]."""
    b, device, image = len(x), x.device, x.shape[-1]
    half, across = image // 2, image // block

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=g)

    def some(share: float) -> Tensor:
        return (rand(b, 1, 1, 1) < share).float()

    # warp: a smooth displacement of up to about a sixtieth of the picture
    coarse = (rand(b, 2, 5, 5) - 0.5) * (4 * WARP) * some(0.4)
    shift = F.interpolate(coarse, size=(image, image), mode="bicubic", align_corners=True)
    line = (torch.arange(image, device=device) + 0.5) / half - 1
    # -> [H, W, 2] (x, y)
    place = torch.stack([line[None].expand(image, -1), line[:, None].expand(-1, image)], -1)
    x = F.grid_sample(x, place + shift.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    # coarse blocks: high frequencies of every block dropped, the rest rounded
    dct = _dct(block, device)
    blocks = x.view(b, 3, across, block, across, block)
    waves = torch.einsum("ui,bchiwj,vj->bchuwv", dct, blocks, dct)
    order = torch.arange(block, device=device)
    keep = (order[:, None] + order)[None] < (3 + rand(b, 1, 1) * 9)  # [B, 8, 8]
    step = 4 + rand(b, 1, 1, 1, 1, 1) * 36
    waves = (waves / step).round() * step * keep[:, None, None, :, None, :]
    lossy = torch.einsum("ui,bchuwv,vj->bchiwj", dct, waves, dct).reshape(x.shape)
    x = torch.lerp(x, lossy, some(0.5))
    # blur
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = torch.lerp(x, soft, rand(b, 1, 1, 1) * some(0.6))
    softer = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    x = torch.lerp(x, softer, rand(b, 1, 1, 1) * some(0.2))
    # light and colour
    gain = 1 + (rand(b, 3, 1, 1) - 0.5) * 0.12 + (rand(b, 1, 1, 1) - 0.5) * 0.16
    x = x * gain + (rand(b, 1, 1, 1) - 0.5) * 24
    x = torch.lerp(x.mean(1, keepdim=True), x, 0.85 + 0.25 * rand(b, 1, 1, 1))
    x = x + torch.randn(x.shape, device=device, generator=g) * (8 * rand(b, 1, 1, 1) * some(0.5))
    return x.clamp(0, 255)
