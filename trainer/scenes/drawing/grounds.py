"""The grounds of the world at 256 pixels: plain colours in soft light, and places with a horizon.

Every ground is painted in a few looks (other horizons, hills and clouds, always the same ones). One light falls from
the upper left in all of them, as in the art of the sprites. `brushes.py` holds what they are painted with.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainer.scenes.colours import BACKGROUNDS, Background
from trainer.scenes.drawing.brushes import (
    Canvas,
    beam,
    clouds,
    curtain,
    disc,
    fade,
    glow,
    hills,
    lines,
    peaks,
    scatter,
    skyline,
    stars,
    trees,
)

LOOKS = 6
_LOW = (0.25, 0.34, 0.42, 0.5, 0.58, 0.66)  # horizons of the looks, the high view first
_NOWHERE = (1.1,) * LOOKS  # nothing stands in the sky
_TABLE = (0.22, 0.28, 0.34, 0.4, 0.46, 0.52)

# the plain ones of the first world, white and black a little nearer to the middle, and three more
PLAIN = (
    Background("white", (244, 244, 242)),
    Background("black", (34, 34, 38)),
    *(b for b in BACKGROUNDS if not b.scene and b.name not in ("white", "black")),
    Background("maroon", (132, 40, 56), ("dark red",)),
    Background("turquoise", (88, 204, 200)),
    Background("khaki", (196, 180, 124)),
)
Painter = Callable[[int], Canvas]


def _in(name: str, rgb: tuple[int, int, int], *aliases: str, place: str = "in") -> Background:
    return Background(name, rgb, aliases, scene=True, place=place)


def _on(name: str, rgb: tuple[int, int, int], *aliases: str) -> Background:
    return _in(name, rgb, *aliases, place="on")


# ---- places --------------------------------------------------------------------------------------------


def _land(look: int, sky: tuple, floor: tuple, at: tuple[float, ...] = _LOW) -> tuple[Canvas, float]:
    """A sky down to the horizon and a floor below it, both fading."""
    h = at[look]
    canvas = fade(((0.0, sky[0]), (h, sky[1])))
    return canvas.below(h, fade(((h, floor[0]), (1.0, floor[1])))), h


def _meadow(look: int) -> Canvas:
    canvas, h = _land(look, ((112, 186, 240), (214, 238, 250)), ((156, 208, 110), (92, 168, 76)))
    canvas = clouds(canvas, look, h * 0.6)
    canvas = hills(canvas, look, h, 0.07, (132, 196, 120))
    return scatter(canvas, look, h + 0.05, ((255, 250, 210), (255, 214, 110)), 0.006)


def _beach(look: int) -> Canvas:
    canvas, h = _land(look, ((122, 196, 246), (222, 242, 252)), ((250, 230, 184), (232, 200, 142)))
    sea = fade(((h - 0.16, (44, 140, 200)), (h, (120, 212, 214))))
    canvas = canvas.below(h - 0.16, sea, until=h)
    canvas = lines(canvas, h - 0.004, h + 0.014, (255, 255, 255), 0.75, wave=0.012, look=look)
    return clouds(canvas, look, (h - 0.16) * 0.6)


def _desert(look: int) -> Canvas:
    canvas, h = _land(look, ((250, 190, 110), (255, 232, 180)), ((240, 196, 122), (206, 146, 84)))
    canvas = disc(canvas, (0.2 + 0.1 * look, h * 0.45), 0.07, (255, 248, 214), 0.3)
    return hills(canvas, look, h, 0.08, (226, 172, 104))


def _snow(look: int) -> Canvas:
    canvas, h = _land(look, ((150, 190, 226), (226, 238, 246)), ((250, 252, 255), (206, 222, 240)))
    canvas = trees(canvas, look, h, (120, 152, 168), 0.1)
    return hills(canvas, look, h, 0.04, (236, 243, 250))


def _mountains(look: int) -> Canvas:
    canvas, h = _land(look, ((104, 168, 228), (220, 236, 248)), ((124, 180, 104), (76, 138, 78)))
    canvas = clouds(canvas, look, h * 0.4)
    canvas = peaks(canvas, look, h, 0.3, (146, 162, 190), (246, 249, 254))
    return peaks(canvas, look + 9, h, 0.16, (106, 128, 148), None)


def _hills(look: int) -> Canvas:
    canvas, h = _land(look, ((140, 206, 240), (232, 244, 240)), ((126, 190, 96), (84, 156, 80)))
    for k, rgb in enumerate(((176, 212, 168), (150, 202, 132), (128, 192, 104))):
        canvas = hills(canvas, look + 7 * k, h + 0.01 * k, 0.12 - 0.04 * k, rgb)
    return canvas


def _forest(look: int) -> Canvas:
    canvas, h = _land(look, ((170, 214, 196), (226, 238, 208)), ((110, 156, 84), (62, 104, 58)))
    for k, rgb in enumerate(((140, 186, 150), (92, 148, 106), (58, 112, 78))):
        canvas = trees(canvas, look + 5 * k, h + 0.01 * k, rgb, 0.3 - 0.05 * k)
    return canvas


def _autumn(look: int) -> Canvas:
    canvas, h = _land(look, ((240, 220, 190), (252, 240, 214)), ((214, 150, 76), (160, 96, 52)))
    for k, rgb in enumerate(((236, 186, 110), (222, 138, 64), (184, 88, 48))):
        canvas = trees(canvas, look + 5 * k, h + 0.01 * k, rgb, 0.27 - 0.05 * k, round_=True)
    return scatter(canvas, look, h + 0.05, ((232, 120, 48), (250, 190, 80)), 0.012)


def _sunset(look: int) -> Canvas:
    h = _LOW[look]
    canvas = fade(((0.0, (88, 62, 136)), (h * 0.55, (232, 112, 112)), (h, (255, 206, 130))))
    canvas = disc(canvas, (0.3 + 0.08 * look, h - 0.03), 0.1, (255, 240, 190), 0.4)
    sea = fade(((h, (226, 132, 110)), (1.0, (84, 58, 118))))
    canvas = canvas.below(h, sea)
    return beam(canvas, 0.3 + 0.08 * look, h, (255, 220, 160))


def _sunrise(look: int) -> Canvas:
    h = _LOW[look]
    canvas = fade(((0.0, (126, 176, 226)), (h * 0.6, (250, 206, 196)), (h, (255, 238, 190))))
    canvas = disc(canvas, (0.7 - 0.08 * look, h - 0.02), 0.09, (255, 250, 220), 0.4)
    canvas = canvas.below(h, fade(((h, (178, 196, 128)), (1.0, (98, 140, 92)))))
    return hills(canvas, look, h, 0.06, (158, 178, 132))


def _sea(look: int) -> Canvas:
    canvas, h = _land(look, ((116, 186, 240), (220, 240, 250)), ((58, 148, 206), (22, 84, 150)))
    canvas = clouds(canvas, look, h * 0.55)
    for k in range(5):
        y = h + 0.04 + 0.1 * k
        canvas = lines(canvas, y, y + 0.008 + 0.003 * k, (180, 222, 240), 0.45, wave=0.008, look=look + k)
    return canvas


def _lake(look: int) -> Canvas:
    canvas, h = _land(look, ((150, 200, 236), (236, 240, 232)), ((136, 190, 214), (62, 124, 164)))
    canvas = peaks(canvas, look, h, 0.18, (122, 150, 160), None)
    return trees(canvas, look, h, (66, 116, 92), 0.1)


def _night(look: int) -> Canvas:
    canvas = fade(((0.0, (18, 22, 56)), (0.75, (44, 54, 108)), (1.0, (70, 76, 138))))
    return stars(canvas, look, 70)


def _galaxy(look: int) -> Canvas:
    canvas = fade(((0.0, (20, 14, 46)), (1.0, (34, 20, 66))))
    canvas = glow(canvas, (0.3 + 0.1 * look, 0.4), 0.5, (150, 60, 160), 0.55)
    canvas = glow(canvas, (0.8 - 0.1 * look, 0.7), 0.45, (40, 110, 190), 0.5)
    return stars(canvas, look + 3, 110)


def _moonscape(look: int) -> Canvas:
    canvas, h = _land(look, ((12, 14, 30), (32, 36, 60)), ((176, 178, 186), (116, 118, 130)))
    canvas = stars(canvas, look, 60, until=h)
    for k in range(5):
        x, y = (0.13 + 0.37 * k + 0.1 * look) % 1, h + 0.08 + 0.11 * k
        canvas = disc(canvas, (x, y), 0.05 + 0.012 * k, (142, 144, 154), 0.0, flat=0.35)
    return canvas


def _underwater(look: int) -> Canvas:
    canvas = fade(((0.0, (96, 208, 226)), (0.5, (34, 136, 190)), (1.0, (14, 66, 126))))
    for k in range(4):
        canvas = glow(canvas, (0.15 + 0.25 * k, -0.05), 0.4 - 0.04 * k, (190, 244, 246), 0.22)
    return scatter(canvas, look, 0.1, ((200, 240, 250), (150, 220, 240)), 0.004)


def _sky(look: int) -> Canvas:
    canvas = fade(((0.0, (84, 164, 236)), (1.0, (214, 238, 252))))
    for k in range(3):
        canvas = clouds(canvas, look + 4 * k, 0.2 + 0.28 * k)
    return canvas


def _storm(look: int) -> Canvas:
    canvas = fade(((0.0, (62, 70, 90)), (1.0, (142, 154, 170))))
    for k in range(3):
        canvas = clouds(canvas, look + 4 * k, 0.12 + 0.16 * k, (96, 106, 126))
    return canvas


def _pink_sky(look: int) -> Canvas:
    canvas = fade(((0.0, (246, 160, 190)), (0.6, (252, 206, 206)), (1.0, (255, 236, 214))))
    for k in range(2):
        canvas = clouds(canvas, look + 4 * k, 0.3 + 0.34 * k, (255, 236, 236))
    return canvas


def _city(look: int, night: bool = False) -> Canvas:
    sky = ((22, 26, 66), (88, 74, 130)) if night else ((128, 192, 238), (232, 242, 246))
    floor = ((74, 76, 98), (44, 46, 64)) if night else ((186, 190, 196), (140, 146, 156))
    canvas, h = _land(look, sky, floor)
    far, near = ((52, 54, 100), (34, 36, 76)) if night else ((172, 194, 214), (130, 156, 186))
    canvas = skyline(canvas, look, h, far, 0.3, (255, 220, 130) if night else None)
    return skyline(canvas, look + 8, h, near, 0.18, (255, 214, 120) if night else (190, 212, 230))


def _city_night(look: int) -> Canvas:
    return _city(look, night=True)


def _road(look: int) -> Canvas:
    canvas, h = _land(look, ((132, 196, 240), (228, 242, 250)), ((150, 196, 112), (102, 160, 84)))
    canvas = hills(canvas, look, h, 0.06, (124, 180, 116))
    canvas = canvas.below(h + 0.08, fade(((h, (112, 116, 126)), (1.0, (78, 82, 92)))))
    middle = h + 0.08 + (0.92 - h) * 0.55
    return lines(canvas, middle, middle + 0.022, (250, 244, 220), 0.95, dash=0.16)


def _field(look: int, rgb: tuple, dark: tuple, sky: tuple) -> Canvas:
    canvas, h = _land(look, sky, (rgb, dark))
    canvas = hills(canvas, look, h, 0.05, tuple((a + 3 * b) // 4 for a, b in zip(dark, rgb, strict=True)))
    for k in range(6):
        y = h + 0.03 + 0.016 * k * (k + 2)
        canvas = lines(canvas, y, y + 0.008 + 0.006 * k, dark, 0.4, wave=0.004, look=look + k)
    return canvas


def _wheat(look: int) -> Canvas:
    return _field(look, (246, 212, 112), (208, 156, 58), ((126, 190, 236), (236, 240, 226)))


def _lavender(look: int) -> Canvas:
    return _field(look, (186, 158, 222), (124, 92, 174), ((170, 204, 240), (246, 236, 236)))


def _tulips(look: int) -> Canvas:
    canvas = _field(look, (132, 190, 98), (92, 156, 74), ((140, 204, 244), (234, 244, 250)))
    return scatter(canvas, look, _LOW[look] + 0.03, ((238, 86, 96), (255, 196, 70), (250, 140, 180)), 0.02)


def _savanna(look: int) -> Canvas:
    canvas, h = _land(look, ((252, 178, 96), (255, 226, 160)), ((222, 184, 96), (174, 128, 62)))
    canvas = disc(canvas, (0.75 - 0.1 * look, h * 0.5), 0.09, (255, 240, 190), 0.35)
    return trees(canvas, look, h, (150, 110, 60), 0.12, round_=True, sparse=True)


def _table(look: int, rgb: tuple, dark: tuple, wall: tuple) -> Canvas:
    canvas, h = _land(look, wall, (rgb, dark), _TABLE)
    for k in range(5):
        y = h + 0.045 + 0.13 * k
        canvas = lines(canvas, y, y + 0.006, dark, 0.5)
    canvas = lines(canvas, h, h + 0.014, tuple(min(255, c + 24) for c in rgb), 0.8)
    return glow(canvas, (0.25, 0.1), 0.6, (255, 250, 236), 0.25)


def _wooden_table(look: int) -> Canvas:
    return _table(look, (206, 150, 98), (160, 104, 62), ((236, 226, 208), (250, 242, 228)))


def _dark_table(look: int) -> Canvas:
    return _table(look, (122, 82, 62), (84, 54, 42), ((86, 104, 112), (122, 142, 148)))


def _checkered(look: int) -> Canvas:
    canvas, h = _land(look, ((244, 226, 200), (252, 242, 224)), ((250, 244, 232), (236, 230, 220)), _TABLE)
    return canvas.checkered(h, (170, 202, 194), (142, 182, 176))


def _tiles(look: int) -> Canvas:
    canvas, h = _land(look, ((190, 214, 230), (222, 234, 240)), ((246, 248, 250), (222, 228, 236)), _TABLE)
    return canvas.checkered(h, (120, 168, 204), (92, 144, 190))


def _stage(look: int) -> Canvas:
    canvas = curtain((172, 34, 48), (112, 16, 34))
    h = _TABLE[look] + 0.2
    canvas = canvas.below(h, fade(((h, (196, 134, 84)), (1.0, (132, 82, 52)))))
    return glow(canvas, (0.5, 0.62), 0.55, (255, 236, 190), 0.4)


def _brick(look: int) -> Canvas:
    canvas = fade(((0.0, (196, 106, 82)), (1.0, (168, 84, 66)))).bricks((226, 196, 176))
    h = 0.5 + 0.04 * look
    canvas = canvas.below(h, fade(((h, (196, 190, 184)), (1.0, (160, 154, 150)))))
    return glow(canvas, (0.2, 0.05), 0.7, (255, 226, 190), 0.22)


def _volcanic(look: int) -> Canvas:
    canvas, h = _land(look, ((70, 40, 60), (236, 110, 70)), ((84, 62, 62), (46, 34, 40)))
    canvas = peaks(canvas, look, h, 0.26, (70, 48, 56), (255, 140, 60))
    return glow(canvas, (0.5, h), 0.4, (255, 130, 60), 0.25)


def _aurora(look: int) -> Canvas:
    canvas, h = _land(look, ((14, 26, 62), (34, 70, 96)), ((206, 226, 240), (150, 180, 208)))
    canvas = stars(canvas, look, 40, until=h)
    for k, rgb in enumerate(((80, 240, 170), (120, 200, 250), (190, 110, 230))):
        canvas = glow(canvas, (0.2 + 0.3 * k + 0.02 * look, h * 0.4), 0.3, rgb, 0.5, flat=0.8)
    return trees(canvas, look, h, (24, 48, 66), 0.1)


def _candy(look: int) -> Canvas:
    canvas, h = _land(look, ((255, 198, 222), (255, 236, 240)), ((190, 236, 222), (140, 210, 204)))
    canvas = hills(canvas, look, h, 0.1, (250, 182, 208))
    return hills(canvas, look + 5, h, 0.05, (255, 222, 160))


PLACES: dict[str, tuple[Background, Painter, tuple[float, ...]]] = {
    b.name: (b, painter, horizons)
    for b, painter, horizons in (
        (_in("meadow", (140, 196, 104), "grassy field"), _meadow, _LOW),
        (_on("beach", (243, 216, 164), "sandy beach"), _beach, _LOW),
        (_in("dune landscape", (224, 172, 104), "sandy landscape"), _desert, _LOW),
        (_in("snowy field", (230, 238, 248), "snowy landscape"), _snow, _LOW),
        (_in("mountain landscape", (100, 158, 92), "mountain valley"), _mountains, _LOW),
        (_on("green hill", (104, 172, 88), "grassy hill"), _hills, _LOW),
        (_in("forest", (86, 130, 70), "green forest"), _forest, _LOW),
        (_in("autumn forest", (188, 124, 64), "fall forest"), _autumn, _LOW),
        (_in("sunset sky", (240, 146, 118), "evening sky"), _sunset, _LOW),
        (_in("morning landscape", (138, 168, 110), "sunrise landscape"), _sunrise, _LOW),
        (_on("sea", (40, 116, 178), "open sea"), _sea, _LOW),
        (_on("mountain lake", (96, 156, 188), "calm lake"), _lake, _LOW),
        (_in("starry night", (34, 42, 88), "night sky"), _night, _NOWHERE),
        (_in("space scene", (44, 28, 84), "deep space scene"), _galaxy, _NOWHERE),
        (_on("moonscape", (146, 148, 158), "lunar landscape"), _moonscape, _LOW),
        (_in("underwater scene", (40, 130, 184), "deep blue sea"), _underwater, _NOWHERE),
        (_in("cloudy sky", (150, 202, 244), "blue sky with clouds"), _sky, _NOWHERE),
        (_in("stormy sky", (104, 114, 132), "dark cloudy sky"), _storm, _NOWHERE),
        (_in("pink sky", (250, 198, 204), "pink cloudy sky"), _pink_sky, _NOWHERE),
        (_in("city square", (164, 170, 178), "town square"), _city, _LOW),
        (_in("city square at night", (56, 58, 80), "night city square"), _city_night, _LOW),
        (_on("country road", (96, 100, 110), "asphalt road"), _road, _LOW),
        (_in("wheat field", (228, 184, 86), "golden field"), _wheat, _LOW),
        (_in("lavender field", (154, 124, 198), "purple flower field"), _lavender, _LOW),
        (_in("flower field", (112, 170, 86), "field of flowers"), _tulips, _LOW),
        (_in("savanna", (198, 156, 78), "dry grassland"), _savanna, _LOW),
        (_on("wooden table", (184, 128, 80), "wood table"), _wooden_table, _TABLE),
        (_on("dark wooden table", (104, 68, 52), "dark wood table"), _dark_table, _TABLE),
        (_on("checkered floor", (218, 222, 212), "checkerboard"), _checkered, _TABLE),
        (_on("blue tiled floor", (176, 202, 222), "blue and white floor"), _tiles, _TABLE),
        (_on("stage", (178, 116, 74), "theatre stage"), _stage, tuple(h + 0.2 for h in _TABLE)),
        (
            _in("brick wall", (180, 150, 136), "wall of bricks", place="in front of"),
            _brick,
            tuple(0.5 + 0.04 * k for k in range(LOOKS)),
        ),
        (_in("volcanic landscape", (66, 48, 52), "land of volcanoes"), _volcanic, _LOW),
        (_in("northern night", (178, 204, 224), "polar night"), _aurora, _LOW),
        (_in("candy land", (166, 222, 212), "pastel landscape"), _candy, _LOW),
    )
}
WORLD_GROUNDS = (*PLAIN, *(ground for ground, _, _ in PLACES.values()))
WORLD_HORIZONS = {name: horizons for name, (_, _, horizons) in PLACES.items()}


def paint_ground(background: Background, look: int, image: int) -> np.ndarray:
    """A ground of the world in one of its looks: uint8 [image, image, 3]."""
    place = PLACES.get(background.name)
    return (place[1](look) if place else _studio(background.rgb, look)).pixels(image)


def _studio(rgb: tuple[int, int, int], look: int) -> Canvas:
    """A sheet of paper that bends from the wall to the table, lit from the upper left."""
    r, g, b = (min(255, round(c + (255 - c) * 0.22)) for c in rgb)
    light = (r, g, b)
    r, g, b = (round(c * 0.86) for c in rgb)
    dark = (r, g, b)
    bend = 0.3 + 0.06 * look
    canvas = fade(((0.0, rgb), (bend, light), (bend + 0.3, rgb), (1.0, dark)))
    return glow(canvas, (0.12 + 0.1 * look, 0.16), 0.75, light, 0.5)
