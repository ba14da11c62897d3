"""The words a model was taught, for its card: what the page's palette offers and its hints about prompts know.

    python -m trainer evidence words assets/model

writes them anew into the config.json of a model folder that was trained on the atlas; exporting does it by itself.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from mdm_core.families.chisel.config import load_config, save_config
from trainer.command import ask, out_folder, run_command
from trainer.scenes import captions
from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import COLOUR_NAMES
from trainer.scenes.spec import EMOJI_128, SceneSpec
from trainer.settings.evidence import Words


def words(atlas: Atlas, objects: list[str], styles: list[str], spec: SceneSpec = EMOJI_128) -> dict[str, Any]:
    """What `mdm_core.explain.vocabulary` reads: names, other names, and things of the atlas that were not taught.

    Objects are told in one line each, "category: plural, synonym, synonym", to keep the file short.
    """
    taught: dict[str, str] = {}
    others: dict[str, list[str]] = {}
    clues: dict[str, list[str]] = {}
    for obj in atlas.objects:
        if obj.name not in objects:
            others.setdefault(obj.category, []).append(obj.name)
            continue
        synonyms = [s.lstrip("~") for s in obj.synonyms]
        taught[obj.name] = f"{obj.category}: {', '.join([obj.plural, *synonyms])}"
        for clue in (*obj.keywords, *obj.broader):
            clues.setdefault(clue, []).append(obj.name)
    return {
        "objects": taught,
        "styles": {s: list(atlas.aliases[s]) for s in styles},
        "backgrounds": {b.name: list(b.aliases) for b in spec.grounds},
        "colours": list(COLOUR_NAMES),
        "numbers": {captions.NUMBERS[n]: [str(n)] for n in spec.counts},
        "relations": {name: list(straight) for name, (straight, _) in captions.RELATIONS.items()},
        "fillers": fillers(spec),
        "clues": clues,
        "others": others,
        **({"counts": 2} if "two_counts" in spec.kinds else {}),
    }


def fillers(spec: SceneSpec = EMOJI_128) -> list[str]:
    """Every word of the caption templates: they say how things lie or are drawn, and name nothing."""
    templates = [t for t, _ in (*captions.WITH_PLAIN, *captions.WITH_SCENE)]
    templates += [*captions.STYLE_AFTER, *captions.STYLE_BEFORE, *captions.OPENERS]
    if "sizes" in spec.kinds:
        templates += [*captions.NEXT_TO, *captions.SMALL, *captions.BIG]
    for straight, turned in captions.RELATIONS.values():
        templates += [*straight, *turned]
    text = re.sub(r"\{\w\}", " ", " ".join(templates)).lower()
    return sorted(set(re.findall(r"[a-z]+", text)))


def main() -> None:
    args = ask(Words, __doc__)
    out_folder(args.model) if args.model.is_dir() else None
    path = args.model / "config.json"
    config = load_config(path)
    card = config.card
    told = words(Atlas.load(), card.get("objects", []), card.get("styles", []))
    save_config(dataclasses.replace(config, card={**card, "words": told}), path)
    print(f"wrote {path}: {len(told['objects'])} objects with their names")


if __name__ == "__main__":
    run_command(main)
