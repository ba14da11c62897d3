"""Frames of a run as pictures for files: the carved picture, the stone still on it, and rings on what changed."""

from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from mdm_core.pipeline import MASK_COLOUR
from ui import assemble
from ui.server.picture import picture

# what is new and what was edited is marked as on the page
NEW, EDITED = (ImageColor.getrgb(assemble.colour(name)) for name in ("set", "edit"))
HALO = (255, 255, 255)
LIGHT, DARK = (226, 220, 210), (176, 169, 158)


def frame(
    pipe: Any, run: Any, k: int, size: int, marks: bool = False, tokens: np.ndarray | None = None
) -> Image.Image:
    """RGB picture after step k, a whole number of times the run's own, its longer side as near to `size` pixels as
    that comes from below, and never smaller; blue rings on new tokens, orange ones on edited.

    `tokens` [L] stand in place of the step's own, for what was changed by hand.
    """
    record = run.records[k]
    tokens = np.asarray(record.tokens if tokens is None else tokens)
    image = picture(pipe, tokens, run.ground).convert("RGB")
    times = max(size // max(image.size), 1)
    image = image.resize((image.width * times, image.height * times), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(image)
    columns = run.grid[1]
    side = image.width / columns

    def box(cell: int, inset: float = 0.0) -> tuple[float, float, float, float]:
        x, y = cell % columns * side, cell // columns * side
        return x + inset, y + inset, x + side - 1 - inset, y + side - 1 - inset

    for hole in np.flatnonzero(tokens == run.vocab):
        x0, y0, x1, y1 = box(int(hole))
        pen.rectangle((x0, y0, x1, y1), fill=MASK_COLOUR)
        pen.line((x0, y1, x0, y0, x1, y0), fill=LIGHT)
        pen.line((x0, y1, x1, y1, x1, y0), fill=DARK)
    if marks:
        width = max(round(side / 9), 2)
        rings = [(int(c), NEW) for c in record.committed] + [(int(e[0]), EDITED) for e in record.edited]
        for cell, colour in rings:
            # a cell of one or two pixels has no room for a ring
            if side < 3:
                pen.rectangle(box(cell), fill=colour)
                continue
            pen.rectangle(box(cell), outline=HALO, width=width + 1)
            pen.rectangle(box(cell, 1), outline=colour, width=width)
    return image


def frames(pipe: Any, run: Any, size: int) -> tuple[list[Image.Image], list[int]]:
    """(pictures, milliseconds each): every step with its marks, then the last one clean and held."""
    last = len(run.records) - 1
    images = [frame(pipe, run, k, size, marks=True) for k in range(last + 1)]
    images.append(frame(pipe, run, last, size))
    return images, [500] + [260] * last + [2200]


def shared_palette(images: list[Image.Image], colours: int = 256) -> Image.Image:
    """One palette for all frames, so that no colour flickers between them.

    It is fitted to a sheet of the frames at a small size, the last one four times: that is what stays on screen.
    """
    # of any shape: only the colours count
    small = [image.resize((96, 96), Image.Resampling.BOX) for image in [*images, *images[-1:] * 3]]
    sheet = Image.new("RGB", (96, 96 * len(small) + 48))
    for i, image in enumerate(small):
        sheet.paste(image, (0, 96 * i))
    # thin lines keep their colours
    for i, colour in enumerate((NEW, EDITED, HALO, LIGHT, DARK, MASK_COLOUR)):
        sheet.paste(colour, (0, 96 * len(small) + 8 * i, 96, 96 * len(small) + 8 * i + 8))
    return sheet.quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=2)
