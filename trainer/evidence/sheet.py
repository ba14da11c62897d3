"""A sheet of pictures for fixed prompts and seeds, none of them picked, and the curves of the training run.

    python -m trainer evidence sheet [--model assets/model] [--out assets/samples]

Writes sheet.webp (64 prompts, seed = place in the list) and, from the run's log beside the weights, curves.png.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_folder, run_command
from trainer.settings.evidence import Sheet

PROMPTS = (
    "a strawberry",
    "a panda on a pink background",
    "a cat in cartoon style",
    "a dog on a sky blue background",
    "a penguin on white",
    "a slice of pizza on a navy background",
    "a red car",
    "a rocket in a starry night",
    "a soccer ball in a meadow",
    "a cactus on a beige background",
    "a sunflower",
    "an umbrella on a teal background",
    "an apple on a lavender background, flat style",
    "a frog",
    "a turtle on a beach",
    "a lion on a mint background",
    "an owl",
    "a guitar on a black background",
    "a ladybug on a green background",
    "an octopus on a navy background",
    "a mushroom in a meadow",
    "a house in a meadow",
    "a hamburger",
    "a doughnut on a pink background",
    "three strawberries on a teal background",
    "two cats on a purple background",
    "four stars on a navy background",
    "three balloons on a sky blue background",
    "two pandas on a green background",
    "four lemons on a grey background",
    "three bells on a red background",
    "two rockets in a starry night",
    "a penguin to the left of a cactus on a white background",
    "an umbrella above a soccer ball on a beige background",
    "a cat to the right of a dog on a mint background",
    "a star above a house on a navy background",
    "a car below an airplane on a sky blue background",
    "an apple to the left of a pear on a pink background",
    "a banana above a watermelon on a lavender background",
    "a key to the right of a padlock on a beige background",
    "a blue strawberry on a white background",
    "a purple cat on a yellow background",
    "a green car on a beige background",
    "a pink elephant on a mint background",
    "an orange umbrella on a navy background",
    "a grey house on a sky blue background",
    "a yellow butterfly on a purple background",
    "a red dolphin on a beige background",
    "a red car and a blue cat on a white background",
    "a green star and a pink moon on a black background",
    "a yellow balloon and a purple gift on a mint background",
    "a blue dog and an orange fox on a beige background",
    "a glossy crown on a purple background",
    "a simple drawing of a tiger on a teal background",
    "bright style: a unicorn on a lavender background",
    "flat butterfly on orange",
    "a cartoon fox on a brown background",
    "a glossy birthday cake on a pink background",
    "a camera on a yellow background",
    "a rainbow on a sky blue background",
    "a snowman on a navy background",
    "a castle in a meadow",
    "a whale on a beach",
    "a pineapple on a teal background",
)


def sheet(pipe: Pipeline, path: Path, columns: int = 8, cell: int = 160, label: int = 30) -> None:
    """Make every prompt with its place as the seed and lay the pictures out with their prompts."""
    rows = -(-len(PROMPTS) // columns)
    canvas = Image.new("RGB", (columns * cell, rows * (cell + label)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    for i, prompt in enumerate(tqdm(PROMPTS, unit="picture")):
        x, y = i % columns * cell, i // columns * (cell + label)
        picture = pipe.generate(prompt, seed=i).image.resize((cell - 6, cell - 6), Image.Resampling.LANCZOS)
        canvas.paste(picture, (x + 3, y + 3))
        for line, text in enumerate(wrapped(prompt, font, cell - 8)[:2]):
            draw.text((x + 4, y + cell - 2 + 13 * line), text, fill=(60, 60, 60), font=font)
    canvas.save(path, quality=88)


def wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def curves(log: list[dict], path: Path) -> None:
    """Training loss, and validation bits a token, over the samples seen."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    left.plot([e["samples"] / 1e6 for e in log], [e["loss"] for e in log], color="#0f766e", linewidth=1.2)
    left.set(xlabel="scenes seen (millions)", ylabel="training loss", ylim=(0, None))
    checks = [e for e in log if "masked_bits" in e]
    seen = [e["samples"] / 1e6 for e in checks]
    right.plot(seen, [e["masked_bits"] for e in checks], "o-", color="#0f766e", label="masked tokens")
    right.plot(
        seen, [e["flipped_bits"] for e in checks], "s--", color="#b45309", label="flipped visible tokens"
    )
    right.set(xlabel="scenes seen (millions)", ylabel="validation, plain-CE bits a token", ylim=(0, None))
    right.legend(frameon=False)
    grown = [e["samples"] / 1e6 for a, e in pairwise(log) if e.get("objects") != a.get("objects")]
    for axis in (left, right):
        for x in grown:  # from here on the atlas has more objects, so the task is harder
            axis.axvline(x, color="#9ca3af", linestyle=":", linewidth=1)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    figure.savefig(path, dpi=110)


def main() -> None:
    args = ask(Sheet, __doc__)
    out_folder(args.out)
    log = args.model / "training_log.json"
    if log.exists():
        curves(json.loads(log.read_text()), args.out / "curves.png")
    sheet(Pipeline.from_pretrained(args.model), args.out / "sheet.webp")


if __name__ == "__main__":
    run_command(main)
