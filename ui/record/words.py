"""A small picture of each thing that the palette names, drawn by the shipped weights.

    python -m ui.record.words

writes ui/prompt/words.webp, a sheet of all of them, and ui/prompt/words.json, whose they are and where each stands.
One picture a thing, "a cat", seed 0, the weights' own settings: what the model draws, not what it was shown.
"""

import argparse
import json
import math

from PIL import Image

from mdm_core.explain.spelling import article
from mdm_core.explain.vocabulary import Vocabulary
from mdm_core.pipeline import Pipeline
from ui.prompt.words import PICTURES, SHEET

# Pixels of a picture in the sheet: twice what the palette shows, sharp on a dense screen too.
SIDE = 48
COLUMNS = 16
BATCH = 16
QUALITY = 80  # of WebP


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """The pictures side by side, COLUMNS in a row, SIDE pixels each."""
    drawn = Image.new("RGB", (COLUMNS * SIDE, math.ceil(len(pictures) / COLUMNS) * SIDE), "white")
    for n, picture in enumerate(pictures):
        at = (n % COLUMNS * SIDE, n // COLUMNS * SIDE)
        drawn.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), at)
    return drawn


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    pipe = Pipeline.from_pretrained()
    names = [thing.name for thing in Vocabulary.from_card(pipe.facts.card).things]
    pictures: list[Image.Image] = []
    for start in range(0, len(names), BATCH):
        asked = [f"{article(name)} {name}" for name in names[start : start + BATCH]]
        pictures += [one.image for one in pipe.generate_batch(asked, seeds=[0] * len(asked))]
        print(f"{len(pictures)} of {len(names)}")
    sheet(pictures).save(SHEET, quality=QUALITY, method=6)
    told = {"fingerprint": pipe.facts.fingerprint, "side": SIDE, "columns": COLUMNS, "names": names}
    PICTURES.write_text(json.dumps(told, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {SHEET} ({SHEET.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
