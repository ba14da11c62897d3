"""A small atlas for the world at 256 pixels: the first names of its list, drawn as simple shapes in two styles."""

import json

import numpy as np
from PIL import Image, ImageDraw

from trainer.art.object_list import read_objects
from trainer.scenes.atlas import ATLAS_DIR

CELL, COLUMNS, ROWS = 192, 4, 2
STYLES = ("3d", "flat")


def build(folder, count=12):
    """Write an atlas of `count` objects in two styles, in sheets of two rows, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = read_objects(ATLAS_DIR / "world.txt")[:count]
    means = {}
    for number, style in enumerate(STYLES):
        sheets = -(-count // (COLUMNS * ROWS))
        for sheet in range(sheets):
            picture = Image.new("RGBA", (COLUMNS * CELL, ROWS * CELL), (0, 0, 0, 0))
            pen = ImageDraw.Draw(picture)
            for place in range(COLUMNS * ROWS):
                i = sheet * COLUMNS * ROWS + place
                if i >= count:
                    break
                x, y = place % COLUMNS * CELL, place // COLUMNS * CELL
                rgb = ((40 + 61 * i) % 256, (90 + 113 * i) % 256, (30 + 77 * i + 90 * number) % 256)
                means[i, style] = rgb
                inset = 4 + 3 * i % 60
                box = (x + inset, y + 4, x + CELL - 1 - inset, y + CELL - 5)
                (pen.ellipse if i % 2 else pen.rectangle)(box, fill=(*rgb, 255))
                pen.rectangle((x + 90, y + 30, x + 101, y + 150), fill=(255, 255, 255, 255))
            picture.save(folder / f"{style}-{sheet}.webp", lossless=True)
    objects = [
        {
            **{k: o[k] for k in ("code", "name", "plural", "category")},
            "synonyms": list(o["synonyms"]),
            "broader": list(o.get("broader", ())),
            "keywords": [],
            "cells": {s: [i // COLUMNS, i % COLUMNS] for s in STYLES},
            "means": {s: means[i, s] for s in STYLES},
        }
        for i, o in enumerate(listed)
    ]
    styles = [{"name": s, "aliases": [s + "ish"], "package": "made"} for s in STYLES]
    index = {"cell": CELL, "columns": COLUMNS, "rows": ROWS, "styles": styles, "objects": objects}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def cut(picture, box):
    """A copy of a picture in which the box is blank."""
    out = np.array(picture)
    left, top, right, bottom = box
    out[top:bottom, left:right] = 0
    return out
