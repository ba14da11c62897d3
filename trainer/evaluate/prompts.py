"""The prompts of EmojiEval, in GenEval's jsonl form, each with the scene it was written for.

    python -m trainer evaluate prompts [--objects 311] [--out assets/emojieval]

400 prompts for each of the six tags, from lots of the scene generator that training never draws. Half of each tag
combines what training combined (`seen`), half what was kept from it (`held_out`); one object alone cannot be held
out, so all of `single_object` is seen. The scene is there for the controls: drawn, it must be accepted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mdm_core.paths import located, shipped
from trainer.command import out_folder, run_command, to_path, whole
from trainer.data.texts import text_of
from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import BACKGROUNDS, CLASHES, COLOUR_NAMES
from trainer.scenes.generator import COUNTS, HELD_OUT_KINDS, MIN_CONTRAST, Scene, SceneGenerator, SceneObject

FOLDER = shipped("emojieval")
TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
SPLITS = ("seen", "held_out")
STYLES = ("flat", "cartoon", "simple", "glossy", "bright")  # of the shipped weights
PER_TAG = 400
SEED = 4_000_001


@dataclass(frozen=True)
class Prompt:
    """One line of the file. `index` is its place in it and the noise seed of its picture."""

    index: int
    tag: str
    split: str
    prompt: str
    include: list[dict]
    exclude: list[dict]
    scene: Scene

    @classmethod
    def read(cls, index: int, line: dict) -> Prompt:
        s = line["scene"]
        scene = Scene(
            line["tag"],
            s["background"],
            s["style"],
            tuple(SceneObject(**o) for o in s["objects"]),
            s["relation"],
            line["prompt"],
            line["background"] is not None,
            line["style"] is not None,
        )
        return cls(index, line["tag"], line["split"], line["prompt"], line["include"], line["exclude"], scene)


def _drawn(thing: SceneObject) -> dict:
    """Where a thing stands; that one stands straight goes without saying, as it did before things could lean."""
    told = dataclasses.asdict(thing)
    return told if thing.angle else {name: value for name, value in told.items() if name != "angle"}


def line_of(scene: Scene, split: str) -> dict:
    """A scene as a line: GenEval's fields, then ours."""
    drawn = {
        "background": scene.background,
        "style": scene.style,
        "relation": scene.relation,
        "objects": [_drawn(o) for o in scene.objects],
    }
    return {**scene.truth(), "split": split, "scene": drawn}


def make(
    atlas: Atlas, n_objects: int, styles: tuple[str, ...] = STYLES, per_tag: int = PER_TAG, seed: int = SEED
) -> list[dict]:
    """All lines, tag by tag. Every prompt differs; single objects take turns, so that each is asked for."""
    lines: list[dict] = []
    for tag in TAGS:
        splits = SPLITS if tag in HELD_OUT_KINDS else ("seen",)
        said: set[str] = set()
        for split in splits:
            scenes = SceneGenerator(
                atlas, n_objects=n_objects, styles=list(styles), seed=seed, split=split, kinds={tag: 1.0}
            )
            share = per_tag // len(splits)
            times: Counter = Counter()
            found = 0
            while found < share:
                scene = scenes.sample()
                name = scene.objects[0].name
                turn_over = tag == "single_object" and times[name] > found // n_objects
                if scene.caption.lower() in said or turn_over:
                    continue
                said.add(scene.caption.lower())
                times[name] += 1
                found += 1
                lines.append(line_of(scene, split))
    return lines


def load(
    path: Path | str | None = None,
    tags: tuple[str, ...] = TAGS,
    limit: int | None = None,
    known: set[str] | None = None,
) -> list[Prompt]:
    """Prompts of the file, at most `limit` for each tag, half of them held out where the tag has such.

    known: names of objects; prompts that name another are left out, for models that know fewer.
    Raises ValueError for unknown tags or a file that cannot be read.
    """
    path = located(path or FOLDER / "prompts.jsonl")
    if unknown := [t for t in tags if t not in TAGS]:
        raise ValueError(f"unknown tag {unknown[0]!r}: choose from {', '.join(TAGS)}")
    try:
        lines = [json.loads(row) for row in text_of(path.read_bytes()).split("\n") if row.strip()]
        prompts = [Prompt.read(i, line) for i, line in enumerate(lines)]
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} holds no EmojiEval prompts: {error}") from None
    out: list[Prompt] = []
    for tag in tags:
        mine = [p for p in prompts if p.tag == tag]
        if known is not None:
            mine = [p for p in mine if all(e["class"] in known for e in p.include)]
        lots = [[p for p in mine if p.split == s] for s in SPLITS]
        lots = [lot for lot in lots if lot]
        if limit is not None:
            lots = [lot[: -(-limit // len(lots))] for lot in lots]
        out += [p for lot in lots for p in lot]
    return out


# ---- near misses: scenes that differ from what the prompt asks for in one thing ------------------------


def near_misses(p: Prompt, atlas: Atlas, n_objects: int) -> dict[str, Scene]:
    """Wrong scenes for a prompt, by the kind of mistake. What the tag cannot get wrong is absent."""
    rng = Random(p.index)
    things, scene, out = list(p.scene.objects), p.scene, {}
    n = len(things)
    if n < 4:
        taken = {o.name for o in things}
        names = [
            o.name for o in atlas.objects[:n_objects] if o.name not in taken and _shows(atlas, o.index, scene)
        ]
        extra = SceneObject(rng.choice(names), None, 0, 0, 0)
        out["one object extra"] = _laid_out(scene, [*things, extra], rng)
    if p.tag == "counting":
        number = n + 1 if n < 4 else n - 1
        out["count off by one"] = _laid_out(scene, [things[0]] * number, rng)
    elif n > 1:
        out["one object missing"] = _laid_out(scene, things[:1], rng)
    else:
        out["count off by one"] = _laid_out(scene, things * 2, rng)
    if p.tag == "colors":
        clear = [c for c in COLOUR_NAMES if c != things[0].colour and scene.background not in CLASHES[c]]
        hue = rng.choice(clear)
        out["another colour"] = dataclasses.replace(
            scene, objects=(dataclasses.replace(things[0], colour=hue),)
        )
    if p.tag == "color_attr":
        a, b = things
        swapped = dataclasses.replace(a, colour=b.colour), dataclasses.replace(b, colour=a.colour)
        out["colours swapped"] = dataclasses.replace(scene, objects=swapped)
    if p.tag == "position":
        a, b = things
        flipped = dataclasses.replace(a, x=b.x, y=b.y), dataclasses.replace(b, x=a.x, y=a.y)
        out["relation flipped"] = dataclasses.replace(scene, objects=flipped)
    return out


def _shows(atlas: Atlas, index: int, scene: Scene) -> bool:
    """Whether the object is drawn in the scene's style and can be told from its ground."""
    if not atlas.has(index, scene.style):
        return False
    ground = next(b.rgb for b in BACKGROUNDS if b.name == scene.background)
    return math.dist(ground, atlas.means[index, scene.style]) >= MIN_CONTRAST


def _laid_out(scene: Scene, things: list[SceneObject], rng: Random) -> Scene:
    """The things at places for so many."""
    size, places = rng.choice(COUNTS[len(things)])
    objects = tuple(
        dataclasses.replace(o, size=size, x=x, y=y) for o, (x, y) in zip(things, places, strict=True)
    )
    return dataclasses.replace(scene, objects=objects)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=whole(2), default=None, help="the first N objects of the atlas")
    parser.add_argument("--out", type=to_path, default=Path("assets/emojieval"))
    args = parser.parse_args()
    out_folder(args.out)
    atlas = Atlas.load()
    lines = make(atlas, args.objects or len(atlas))
    file = args.out / "prompts.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    print(f"{file}: {len(lines)} prompts, {dict(Counter((x['tag'], x['split']) for x in lines))}")


if __name__ == "__main__":
    run_command(main)
