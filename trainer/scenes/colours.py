"""Named colours: the backgrounds of scenes and the hues objects can be recoloured to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# of EMOJI_128, whose grounds are painted here; who draws any other world reads its trainer.scenes.spec.SceneSpec
IMAGE = 128  # pixels per image side
PATCH = 8  # pixels per token side: everything in a scene is snapped to this lattice


@dataclass(frozen=True)
class Background:
    name: str  # as said in "on a {name} background" or "in {name}"
    rgb: tuple[int, int, int]  # the colour, or the most typical one of a pattern
    aliases: tuple[str, ...] = ()
    scene: bool = False  # a place ("a meadow"), not a plain colour
    place: str = "on"  # how things are there: "on a beach", "in a meadow"


BACKGROUNDS = (
    Background("white", (250, 250, 248)),
    Background("black", (28, 28, 32)),
    Background("grey", (158, 163, 170), ("gray",)),
    Background("red", (206, 66, 62)),
    Background("orange", (243, 154, 74)),
    Background("yellow", (250, 214, 96)),
    Background("green", (104, 176, 106)),
    Background("teal", (46, 148, 148)),
    Background("blue", (76, 134, 214)),
    Background("sky blue", (168, 214, 244), ("light blue",)),
    Background("navy", (38, 52, 98), ("dark blue",)),
    Background("purple", (128, 90, 178)),
    Background("lavender", (206, 196, 240)),
    Background("pink", (246, 172, 194)),
    Background("brown", (128, 92, 70)),
    Background("beige", (238, 222, 196), ("cream",)),
    Background("mint", (182, 230, 206), ("mint green",)),
    Background("meadow", (150, 196, 120), ("grassy field",), scene=True, place="in"),
    Background("beach", (240, 216, 166), ("sandy beach",), scene=True),
    Background("starry night", (34, 42, 84), ("night sky",), scene=True, place="in"),
    Background("checkered floor", (220, 227, 214), ("checkerboard",), scene=True),
)

# hue -> ramp of three colours: deepest shade, the colour itself, palest light
COLOURS = {
    "red": ((92, 8, 18), (222, 36, 44), (255, 150, 140)),
    "orange": ((122, 52, 0), (245, 130, 22), (255, 206, 140)),
    "yellow": ((140, 96, 0), (250, 208, 30), (255, 244, 170)),
    "green": ((8, 66, 24), (44, 164, 66), (160, 228, 150)),
    "blue": ((8, 28, 104), (36, 104, 226), (150, 200, 255)),
    "purple": ((50, 12, 92), (132, 58, 190), (212, 168, 244)),
    "pink": ((140, 24, 84), (246, 110, 170), (255, 200, 226)),
    "grey": ((44, 46, 50), (134, 138, 144), (216, 219, 224)),
}
COLOUR_NAMES = tuple(COLOURS)

# backgrounds on which an object of a colour would be hard to see, or the caption ambiguous
CLASHES = {
    "red": {"red"},
    "orange": {"orange", "yellow", "beach"},
    "yellow": {"yellow", "orange", "beach", "beige"},
    "green": {"green", "meadow", "mint", "teal"},
    "blue": {"blue", "navy", "sky blue", "teal", "starry night"},
    "purple": {"purple", "lavender", "navy", "starry night"},
    "pink": {"pink", "red", "lavender"},
    "grey": {"grey", "checkered floor", "brown"},
}


def paint(background: Background) -> np.ndarray:
    """The background as uint8 [128, 128, 3]. Patterns repeat a few 8x8 patches, so that tokens stay few."""
    canvas = np.empty((IMAGE, IMAGE, 3), np.uint8)
    canvas[:] = background.rgb
    if background.name == "meadow":
        canvas[:72] = (176, 220, 246)
        canvas[72:] = (134, 196, 104)
        canvas[104:] = (112, 178, 88)
    elif background.name == "beach":
        canvas[:48] = (178, 224, 248)
        canvas[48:80] = (72, 168, 206)
        canvas[80:] = (244, 222, 172)
    elif background.name == "starry night":
        canvas[:] = (34, 42, 84)
        canvas[96:] = (44, 54, 104)
        # sparse stars on lattice cells, big and small, always drawn the same inside their cell
        for row, column, big in (
            (1, 2, 1),
            (0, 7, 0),
            (2, 12, 1),
            (4, 5, 0),
            (1, 14, 0),
            (5, 0, 1),
            (6, 14, 1),
            (8, 8, 0),
            (9, 2, 0),
            (11, 13, 0),
            (10, 10, 1),
            (12, 5, 1),
            (14, 1, 0),
            (3, 9, 0),
            (14, 9, 0),
            (13, 14, 1),
            (7, 4, 0),
            (0, 10, 0),
        ):
            y, x = row * PATCH, column * PATCH
            canvas[y + 3 : y + 5, x + 3 : x + 5] = (255, 244, 200)
            if big:
                canvas[y + 2 : y + 6, x + 3 : x + 5] = (255, 244, 200)
                canvas[y + 3 : y + 5, x + 2 : x + 6] = (255, 244, 200)
    elif background.name == "checkered floor":
        square = np.add.outer(np.arange(IMAGE) // 16, np.arange(IMAGE) // 16) % 2
        canvas[square == 0] = (250, 240, 224)
        canvas[square == 1] = (190, 214, 204)
    return canvas
