"""Render a sprite atlas from open-licensed emoji sets. Needed only to rebuild one.

    npm install --prefix DIR emojibase-data@17.0.0 @resvg/resvg-js@2.6.2 @lobehub/fluent-emoji-3d@1.1.0 \\
        @iconify-json/{noto@1.2.9,noto-v1@1.2.5,twemoji@1.2.5,fluent-emoji@1.2.7,fluent-emoji-flat@1.2.6} \\
        @iconify-json/{emojione@1.2.3,fxemoji@1.2.2}
    python -m trainer atlas build world --npm DIR

Two atlases are known: `emoji` (311 objects in cells of 96 pixels, under `assets/atlas/`) and `world` (806 in cells of
192, with a rendered 3D style, under `assets/atlas_256/`). Reads the curated list `assets/atlas/<list>` (order =
curriculum), finds each object in each set, draws its SVG larger than needed, trims it to its content, fits it into
its cell, and writes WebP sheets per style plus `index.json`. On one machine the same packages give the same bytes.
`--keep` names a folder for the drawings, so that a second build only draws what is new.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import unicodedata
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from mdm_core.paths import shipped
from trainer.art.art_sets import OTHERWISE, PictureSet, open_set
from trainer.art.object_list import read_objects
from trainer.art.sprites import content, fit, mean_colour, near_lossless
from trainer.command import ask, out_folder, run_command
from trainer.scenes.atlas import ATLAS_DIR
from trainer.settings.atlas import Build

COLUMNS = 20  # of a sheet
AT_ONCE = 100  # drawings of one renderer: it frees nothing before it ends, and slows down


@dataclass(frozen=True)
class Style:
    name: str  # as said in captions
    aliases: tuple[str, ...]
    package: str  # npm package of the art: one of @iconify-json, or by its full name one of pictures


@dataclass(frozen=True)
class AtlasPlan:
    """What to build: which objects, in which styles, how large."""

    objects: str  # the curated list, a file under assets/atlas
    licences: str  # whose art it is: beside the list, goes with the sheets as LICENSES.md
    cell: int  # pixels per sprite side
    margin: int  # empty pixels around the trimmed sprite
    render: int  # SVGs are drawn at this width before trimming, so that trimming loses no detail
    styles: tuple[Style, ...]
    rows: int | None = None  # of one sheet; None: one sheet holds all
    smooth: int = 1  # steps of the values, see `sprites.near_lossless`; 1 keeps every bit
    edge: int = 1
    effort: int = 90  # of the packer: 100 takes ten times as long, for up to a fifth less in flat art
    folder: Path = ATLAS_DIR  # where it is shipped


PLANS = {
    "emoji": AtlasPlan(
        objects="objects.txt",
        licences="LICENSES.md",
        cell=96,
        margin=2,
        render=384,
        effort=100,
        styles=(
            Style("flat", ("minimal",), "fluent-emoji-flat"),
            Style("cartoon", ("soft",), "noto"),
            Style("simple", ("sticker",), "twemoji"),
            Style("glossy", ("3d",), "fluent-emoji"),
            Style("classic", ("retro",), "noto-v1"),
            Style("bright", ("clip art",), "emojione"),
            Style("playful", ("storybook",), "fxemoji"),
        ),
    ),
    "world": AtlasPlan(
        objects="world.txt",
        licences="world_licences.md",
        cell=192,
        margin=4,
        render=576,
        rows=10,
        smooth=4,
        edge=12,
        folder=shipped("atlas_256"),
        styles=(
            Style("3d", ("rendered",), "@lobehub/fluent-emoji-3d"),
            Style("flat", ("minimal",), "fluent-emoji-flat"),
            Style("cartoon", ("soft",), "noto"),
            Style("simple", ("sticker",), "twemoji"),
            Style("glossy", ("shiny",), "fluent-emoji"),
            Style("bright", ("clip art",), "emojione"),
        ),
    ),
}

NODE = """
const fs = require('fs'), path = require('path');
const {Resvg} = require(path.resolve(process.argv[1], 'node_modules/@resvg/resvg-js'));
for (const job of JSON.parse(fs.readFileSync(0, 'utf8')))
  fs.writeFileSync(job.out, new Resvg(job.svg, {fitTo: {mode: 'width', value: job.width}}).render().asPng());
"""


def draw(npm: Path, jobs: list[dict]) -> None:
    """Render every job, on all cores; what cannot be rendered is named and left out."""
    parts = [jobs[k : k + AT_ONCE] for k in range(0, len(jobs), AT_ONCE)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda part: _draw(npm, part), parts))  # a failure in a part is raised here


def _draw(npm: Path, jobs: list[dict]) -> None:
    """Render some jobs. A few SVGs abort the renderer's whole process: those are named and left out."""
    while jobs:
        run = subprocess.run(
            ["node", "-e", NODE, str(npm)], input=json.dumps(jobs), text=True, stderr=subprocess.PIPE
        )
        if run.returncode == 0:
            return
        jobs = [job for job in jobs if not Path(job["out"]).exists()]
        if not jobs or "panicked" not in run.stderr:
            raise RuntimeError(f"The renderer failed: {run.stderr[-400:]}")
        print("cannot be rendered, left out:", Path(jobs[0]["out"]).stem)
        jobs = jobs[1:]


def keywords(npm: Path, objects: list[dict]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Code point -> published emoji keywords that point at that object only; code point -> CLDR label."""
    data = json.loads((npm / "node_modules/emojibase-data/en/data.json").read_text(encoding="utf-8"))
    tags = {e["hexcode"].lower().replace("-fe0f", ""): (e["label"], e.get("tags", [])) for e in data}
    taken = {w.lstrip("~"): o["code"] for o in objects for w in (o["name"], o["plural"], *o["synonyms"])}
    broader = {word for o in objects for word in o.get("broader", ())}
    owners: dict[str, set] = {}
    for obj in objects:
        for tag in tags.get(obj["code"], ("", []))[1]:
            owners.setdefault(tag, set()).add(obj["code"])
    return {
        obj["code"]: [
            t
            for t in tags.get(obj["code"], ("", []))[1]
            if len(owners[t]) == 1 and taken.get(t, obj["code"]) == obj["code"] and t not in broader
        ]
        for obj in objects
    }, {code: label for code, (label, _) in tags.items()}


def find(
    npm: Path, plan: AtlasPlan, objects: list[dict], labels: dict[str, str]
) -> dict[tuple[str, str], tuple]:
    """(style, code) -> (set, name of its icon or path of its picture), for every object that the style shows."""
    found = {}
    for style in plan.styles:
        art = open_set(npm, style.package)
        for obj in objects:
            code = obj["code"]
            if obj["name"] in OTHERWISE.get(style.package, ()):
                continue
            spoken = [labels.get(code, obj["name"]), obj["name"]]
            if "-" not in code:
                spoken.insert(1, unicodedata.name(chr(int(code, 16)), "?"))
            icon = art.find(code, spoken)
            if icon is not None:
                found[style.name, code] = (art, icon)
    return found


def sprites(npm: Path, plan: AtlasPlan, found: dict, keep: Path) -> dict[tuple[str, str], Image.Image]:
    """(style, code) -> fitted sprite. Drawings and sprites lie in keep, and what lies there is not made again."""

    def kept(key: tuple[str, str], size: str) -> Path:
        art, icon = found[key]
        name = icon.stem if isinstance(art, PictureSet) else icon
        return keep / f"{art.package.replace('/', '+')}-{art.version}-{name}-{size}.png"

    fitted = {key: kept(key, f"{plan.cell}-{plan.margin}") for key in found}
    for key, path in drawings(
        npm, plan, found, [key for key in found if not fitted[key].exists()], kept
    ).items():
        with Image.open(path) as image:
            fit(image.convert("RGBA"), plan.cell, plan.margin).save(fitted[key])
    out = {}
    for key, path in fitted.items():
        if path.exists():
            with Image.open(path) as image:
                out[key] = image.convert("RGBA")
    return out


def drawings(
    npm: Path, plan: AtlasPlan, found: dict, wanted: list, kept: Callable
) -> dict[tuple[str, str], Path]:
    """Key -> picture of at least the sprite's size: an SVG whose content is small is drawn again, larger."""
    room = plan.cell - 2 * plan.margin
    paths = {key: found[key][1] for key in wanted if isinstance(found[key][0], PictureSet)}
    widths = {key: plan.render for key in wanted if key not in paths}
    while widths:
        jobs = {}
        for key, width in widths.items():
            paths[key] = kept(key, str(width))
            if not paths[key].exists():
                art, icon = found[key]
                jobs[paths[key]] = {"svg": art.svg(icon), "width": width, "out": str(paths[key])}
        draw(npm, list(jobs.values()))
        small = {}
        for key, width in widths.items():
            if not paths[key].exists():
                del paths[key]
            elif width == plan.render:
                with Image.open(paths[key]) as image:
                    left, top, right, bottom = content(image.convert("RGBA"))
                side = max(right - left, bottom - top)
                if side < room:
                    small[key] = -(-width * room // side)
        widths = small
    return paths


def pack(
    plan: AtlasPlan, style: Style, objects: list[dict], cells: dict, out: Path, writers: Executor
) -> list[Future[None]]:
    """Have a style's sheets written; notes every sprite's place (row, column) and mean colour with its object."""
    written = []
    total = -(-len(objects) // COLUMNS)
    rows = plan.rows or total
    for first in range(0, total, rows):
        size = (COLUMNS * plan.cell, min(rows, total - first) * plan.cell)
        sheet = Image.new("RGBA", size, (0, 0, 0, 0))
        for i, obj in enumerate(objects[first * COLUMNS : (first + rows) * COLUMNS]):
            cell = cells.get((style.name, obj["code"]))
            if cell is not None:
                row, column = divmod(i, COLUMNS)
                obj["cells"][style.name] = [first + row, column]
                obj["means"][style.name] = mean_colour(cell)
                sprite = near_lossless(cell, plan.smooth, plan.edge)
                sheet.paste(sprite, (column * plan.cell, row * plan.cell))
        name = f"{style.name}-{first // rows}.webp" if plan.rows else f"{style.name}.webp"
        save = partial(sheet.save, out / name, lossless=True, method=6, quality=plan.effort)
        written.append(writers.submit(save))
    return written


def build(npm: Path, plan: AtlasPlan, out: Path, keep: Path, lists: Path = ATLAS_DIR) -> dict:
    """Draw, pack and index everything. Returns the index."""
    objects = read_objects(lists / plan.objects)
    tags, labels = keywords(npm, objects)
    cells = sprites(npm, plan, find(npm, plan, objects, labels), keep)
    for obj in objects:
        obj["keywords"] = tags[obj["code"]]
        obj["cells"], obj["means"] = {}, {}
    out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as writers:  # Pillow packs without Python's lock
        written = [done for style in plan.styles for done in pack(plan, style, objects, cells, out, writers)]
    for sheet in written:
        sheet.result()
    index = {
        "cell": plan.cell,
        "columns": COLUMNS,
        **({"rows": plan.rows} if plan.rows else {}),
        "styles": [
            {"name": s.name, "aliases": list(s.aliases), "package": s.package}
            | ({} if plan.rows else {"sheet": f"{s.name}.webp"})
            for s in plan.styles
        ],
        "objects": objects,
    }
    head = {k: v for k, v in index.items() if k != "objects"}
    # one object per line: readable diffs
    lines = ",\n".join(json.dumps(o, ensure_ascii=False) for o in objects)
    text = json.dumps(head, ensure_ascii=False)[:-1] + ', "objects": [\n' + lines + "\n]}\n"
    (out / "index.json").write_text(text, encoding="utf-8")
    (out / "LICENSES.md").write_bytes((lists / plan.licences).read_bytes())
    return index


def main() -> None:
    args = ask(Build, __doc__)
    out = args.out or PLANS[args.atlas].folder
    if not (args.npm / "node_modules").is_dir():
        raise ValueError(f"{args.npm} holds no node_modules: install the packages there first")
    out_folder(out)
    with tempfile.TemporaryDirectory() as scratch:
        keep = args.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        index = build(args.npm, PLANS[args.atlas], out, keep)
    counts = {s["name"]: sum(s["name"] in o["cells"] for o in index["objects"]) for s in index["styles"]}
    size = sum(p.stat().st_size for p in out.iterdir()) / 2**20
    print(f"{len(index['objects'])} objects, cells per style {counts}, {size:.1f} MiB")
    for obj in index["objects"]:
        if len(obj["cells"]) < 5:
            print("fewer than 5 styles:", obj["code"], obj["name"], sorted(obj["cells"]))


if __name__ == "__main__":
    run_command(main)
