"""The prompts of EmojiEval, in GenEval's jsonl form, each with the scene it was written for.

    python -m trainer evaluate prompts [--objects 311] [--out assets/emojieval]
    python -m trainer evaluate prompts --world world_256 --out runs/prompts

400 prompts for each tag (six at 128 pixels; at 256 two more, counts of two kinds and five or six things), from lots of
the scene generator that training never draws. Half of each tag combines what training combined (`seen`), half what was
kept from it (`held_out`); one object alone cannot be held out, so all of `single_object` is seen. The scene is there
for the controls: drawn, it must be accepted. The same command makes the same file.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mdm_core.paths import located, shipped
from trainer.command import ask, out_folder, run_command
from trainer.data.texts import text_of
from trainer.judge.near_misses import near_misses as wrong_scenes
from trainer.scenes.atlas import Atlas
from trainer.scenes.generator import SceneGenerator
from trainer.scenes.scene import Scene, SceneObject
from trainer.scenes.source import SceneDataConfig
from trainer.scenes.spec import EMOJI_128, SceneSpec, scene_spec
from trainer.settings.evaluate import EVERY_TAG as EVERY_TAG
from trainer.settings.evaluate import SPLITS as SPLITS
from trainer.settings.evaluate import TAGS as TAGS
from trainer.settings.evaluate import Prompts

FOLDER = shipped("emojieval")
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
    spec: SceneSpec = EMOJI_128  # the world that its pictures are of

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
            s.get("look", 0),
        )
        spec = scene_spec(line.get("world", EMOJI_128.name))
        told = line["tag"], line["split"], line["prompt"], line["include"], line["exclude"]
        return cls(index, *told, scene, spec)


def _drawn(thing: SceneObject) -> dict:
    """Where a thing stands; that one stands straight goes without saying, as it did before things could lean."""
    told = dataclasses.asdict(thing)
    return told if thing.angle else {name: value for name, value in told.items() if name != "angle"}


def tags_of(spec: SceneSpec) -> tuple[str, ...]:
    """The tags that a world's scenes can be asked for by."""
    return tuple(tag for tag in EVERY_TAG if tag in spec.kinds)


def line_of(scene: Scene, split: str, spec: SceneSpec = EMOJI_128) -> dict:
    """A scene as a line: GenEval's fields, then ours."""
    drawn = {
        "background": scene.background,
        "style": scene.style,
        "relation": scene.relation,
        "objects": [_drawn(o) for o in scene.objects],
    }
    if spec is EMOJI_128:
        return {**scene.truth(), "split": split, "scene": drawn}
    return {**scene.truth(), "split": split, "world": spec.name, "scene": {**drawn, "look": scene.look}}


def make(
    atlas: Atlas,
    n_objects: int,
    styles: tuple[str, ...] | None = None,
    per_tag: int = PER_TAG,
    seed: int = SEED,
    spec: SceneSpec = EMOJI_128,
) -> list[dict]:
    """All lines, tag by tag. Every prompt differs; single objects take turns, so that each is asked for.

    styles: by default those of the shipped weights, or of the world.
    """
    lines: list[dict] = []
    if styles is None:
        styles = STYLES if spec is EMOJI_128 else tuple(spec.styles_in(atlas.styles))
    for tag in tags_of(spec):
        splits = SPLITS if tag in spec.held_out_kinds else ("seen",)
        said: set[str] = set()
        for split in splits:
            scenes = SceneGenerator(
                atlas,
                n_objects=n_objects,
                styles=list(styles),
                seed=seed,
                split=split,
                kinds={tag: 1.0},
                spec=spec,
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
                lines.append(line_of(scene, split, spec))
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
    return choose(read(path or FOLDER / "prompts.jsonl"), tags, limit, known)


def read(path: Path | str) -> list[Prompt]:
    """All prompts of a file. Raises ValueError for one that cannot be read."""
    path = located(path)
    try:
        lines = [json.loads(row) for row in text_of(path.read_bytes()).split("\n") if row.strip()]
        return [Prompt.read(i, line) for i, line in enumerate(lines)]
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} holds no EmojiEval prompts: {error}") from None


def choose(
    prompts: list[Prompt],
    tags: tuple[str, ...] = TAGS,
    limit: int | None = None,
    known: set[str] | None = None,
) -> list[Prompt]:
    """Some of the prompts, as `load` does."""
    if unknown := [t for t in tags if t not in EVERY_TAG]:
        raise ValueError(f"unknown tag {unknown[0]!r}: choose from {', '.join(EVERY_TAG)}")
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


def near_misses(p: Prompt, atlas: Atlas, n_objects: int) -> dict[str, Scene]:
    """Wrong scenes for a prompt, by the kind of mistake: see `trainer/judge/near_misses.py`."""
    return wrong_scenes(p.scene, p.index, atlas, n_objects, p.spec)


def main() -> None:
    args = ask(Prompts, __doc__)
    out_folder(args.out)
    atlas = SceneDataConfig(spec=args.world, atlas=args.sprites).load_atlas()
    lines = make(atlas, args.objects or len(atlas), spec=scene_spec(args.world))
    file = args.out / "prompts.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    print(f"{file}: {len(lines)} prompts, {dict(Counter((x['tag'], x['split']) for x in lines))}")


if __name__ == "__main__":
    run_command(main)
