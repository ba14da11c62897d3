"""Look at a built atlas: contact sheets with names, and the pairs that look alike.

    python -m trainer atlas look DIR --out FOLDER

writes `<style>-<n>.png` (sprites with their names, half on white and half on black, so that what would vanish on
either is seen) and prints the pairs of objects whose pictures are nearest over all styles that have both: candidates
for one object with two names. Distances compare small blurred pictures on grey, coarse colour and shape alone, so
near ones still want a look: a fork and a spoon are two things however near they lie.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from trainer.command import ask, out_folder, run_command
from trainer.scenes.atlas import Atlas
from trainer.settings.atlas import Look

SIDE = 24  # pixels of the small pictures that are compared
GREY = 128
CLIP = 40.0  # colour difference at which two pixels count as wholly different


def small(sprite: np.ndarray) -> np.ndarray:
    """[cell, cell, 4] uint8 -> [SIDE, SIDE, 3] float: on grey, reduced."""
    image = Image.fromarray(sprite, "RGBA")
    ground = Image.new("RGBA", image.size, (GREY, GREY, GREY, 255))
    ground.alpha_composite(image)
    return np.asarray(ground.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)


def distances(atlas: Atlas) -> np.ndarray:
    """[N, N]: how unlike two objects are, 0 to 1, the median over the styles that draw both (inf where none does)."""
    count = len(atlas)
    per_style = np.full((len(atlas.styles), count, count), np.nan, np.float32)
    for number, style in enumerate(atlas.styles):
        drawn = [i for i in range(count) if atlas.has(i, style)]
        pictures = np.stack([small(atlas.sprite(i, style)) for i in drawn])
        for row, i in enumerate(drawn):
            # mirrored pictures of one thing are alike too
            apart = [
                np.minimum(np.abs(pictures - view).mean(-1) / CLIP, 1).mean((1, 2))
                for view in (pictures[row], pictures[row][:, ::-1])
            ]
            per_style[number, i, drawn] = np.minimum(*apart)
    known = ~np.isnan(per_style).all(0)
    out = np.full((count, count), np.inf, np.float32)
    out[known] = np.nanmedian(per_style[:, known], axis=0)
    np.fill_diagonal(out, np.inf)
    return out


def nearest_pairs(atlas: Atlas, most: int) -> list[tuple[float, str, str]]:
    """(distance, name, name) of the pairs that look most alike, the nearest first."""
    apart = distances(atlas)
    rows, columns = np.triu_indices(len(atlas), 1)
    order = np.argsort(apart[rows, columns], kind="stable")[:most]
    names = [o.name for o in atlas.objects]
    return [(float(apart[rows[k], columns[k]]), names[rows[k]], names[columns[k]]) for k in order]


def contact_sheet(atlas: Atlas, style: str, objects: range, columns: int = 16, side: int = 96) -> Image.Image:
    """Sprites of a style with their numbers and names; an empty cell where the style lacks the object."""
    height = side + 26
    sheet = Image.new("RGB", (columns * side, -(-len(objects) // columns) * height), (160, 160, 160))
    pen = ImageDraw.Draw(sheet)
    for place, i in enumerate(objects):
        x, y = place % columns * side, place // columns * height
        pen.rectangle((x, y, x + side // 2, y + side - 1), fill="white")
        pen.rectangle((x + side // 2, y, x + side - 1, y + side - 1), fill="black")
        if atlas.has(i, style):
            sprite = Image.fromarray(atlas.sprite(i, style), "RGBA").resize((side - 4, side - 4))
            sheet.paste(sprite, (x + 2, y + 2), sprite)
        name = atlas.objects[i].name
        pen.text((x + 2, y + side), f"{i} {name[:13]}", fill="black")
        pen.text((x + 2, y + side + 12), name[13:30], fill="black")
    return sheet


def main() -> None:
    args = ask(Look, __doc__)
    atlas = Atlas.load(args.atlas)
    out_folder(args.out)
    for style in atlas.styles:
        for number, first in enumerate(range(0, len(atlas), 208)):
            some = range(first, min(first + 208, len(atlas)))
            contact_sheet(atlas, style, some).save(args.out / f"{style}-{number}.png")
    for apart, one, other in nearest_pairs(atlas, args.pairs):
        print(f"{apart:.3f}  {one} / {other}")


if __name__ == "__main__":
    run_command(main)
