"""Render the sprite atlas from open-licensed emoji sets. Needed only to rebuild `assets/atlas/`.

    npm install --prefix DIR @resvg/resvg-js emojibase-data @iconify-json/{noto,noto-v1,twemoji} \\
        @iconify-json/{fluent-emoji-flat,fluent-emoji,emojione,fxemoji}
    python -m trainer.build_atlas --npm DIR

Reads the curated list `assets/atlas/objects.txt` (order = curriculum), finds each object in each set, draws
its SVG at 384 px, trims it to its content, fits it into 96x96 with a 2 px margin, and writes one lossless
WebP sheet per style plus `index.json`. Takes about two minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.atlas import ATLAS_DIR
from trainer.command import out_folder, run_command, to_path

CELL = 96  # pixels per sprite side
MARGIN = 2  # empty pixels around the trimmed sprite
RENDER = 384  # SVGs are drawn at this width before trimming, so that trimming loses no detail
COLUMNS = 20

# style name used in captions, its aliases, the npm package the art comes from
STYLES = [
    ("flat", ["minimal"], "fluent-emoji-flat"),
    ("cartoon", ["soft"], "noto"),
    ("simple", ["sticker"], "twemoji"),
    ("glossy", ["3d"], "fluent-emoji"),
    ("classic", ["retro"], "noto-v1"),
    ("bright", ["clip art"], "emojione"),
    ("playful", ["storybook"], "fxemoji"),
]

# Names that the older sets use for a code point and that neither the CLDR nor the Unicode name leads to.
OLD_NAMES = {
    "fxemoji": {
        "1f332": "evergreen", "2b50": "whitemediumstar", "1f381": "present", "1f514": "ringingbell",
        "1f3c0": "", "1f430": "bunny", "1f433": "spurtingwhale", "2600": "sunrays",
        "1f3be": "tennisball", "1f460": "heels", "1f576": "darksunglasses", "1f4f1": "cellphone",
        "1f439": "hampster", "1f336": "chilipepper", "1f30d": "europeafricaglobe", "1f5fc": "toykotower",
        "1f3ce": "racecar", "1f380": "", "1f454": "tie", "1f45e": "mensshoe",
        "1f50d": "leftmagnifyingglass", "1f4cc": "blackpushpin", "1f4be": "blackhardshellfloppy",
        "1f432": "dragonhead", "1f330": "acorn",
    },
}  # fmt: skip

NODE = """
const fs = require('fs'), path = require('path');
const {Resvg} = require(path.resolve(process.argv[1], 'node_modules/@resvg/resvg-js'));
for (const job of JSON.parse(fs.readFileSync(0, 'utf8')))
  fs.writeFileSync(job.out, new Resvg(job.svg, {fitTo: {mode: 'width', value: job.width}}).render().asPng());
"""


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("’", "").replace("'", "")).strip("-")


def read_objects(path: Path) -> list[dict]:
    """Parse the curated list. Raises ValueError for a malformed line or a word that names two objects."""
    objects, seen = [], {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 5:
            raise ValueError(f"Line has {len(fields)} fields, wanted 5: {line}")
        hexcode, name, plural, category, synonyms = fields
        synonyms = [s.strip() for s in synonyms.split(",") if s.strip()]
        plural = plural or regular_plural(name)
        for word in (name, plural, *synonyms):
            word = word.lstrip("~")
            if seen.get(word, name) != name:
                raise ValueError(f"{word!r} names both {seen[word]} and {name}.")
            seen[word] = name
        objects.append(
            {"code": hexcode, "name": name, "plural": plural, "category": category, "synonyms": synonyms}
        )
    return objects


def regular_plural(name: str) -> str:
    """English plural of a regular noun: fox -> foxes, cherry -> cherries, cat -> cats."""
    if re.search(r"(s|x|z|ch|sh)$", name):
        return name + "es"
    if re.search(r"[^aeiou]y$", name):
        return name[:-1] + "ies"
    return name + "s"


class IconSet:
    """One iconify package: SVG bodies by name, found by code point."""

    def __init__(self, npm: Path, package: str):
        root = npm / "node_modules/@iconify-json" / package
        data = json.loads((root / "icons.json").read_text(encoding="utf-8"))
        self.package, self.icons, self.aliases = package, data["icons"], data.get("aliases", {})
        self.width, self.height = data.get("width", 16), data.get("height", 16)
        chars = root.parent / ("fluent-emoji-flat" if package == "fluent-emoji" else package) / "chars.json"
        self.by_code = json.loads(chars.read_text(encoding="utf-8"))

    def find(self, code: str, labels: list[str]) -> str | None:
        """Name of the icon for a code point (hex), or None."""
        names = [OLD_NAMES.get(self.package, {}).get(code), self.by_code.get(code)]
        for label in labels:
            names += [slug(label), slug(label).replace("-", "")]
        for name in names:
            if name == "":
                return None  # the list says: this set has no such picture under that name
            if name in self.icons:
                return name
            if name in self.aliases and self.aliases[name]["parent"] in self.icons:
                return self.aliases[name]["parent"]
        return None

    def svg(self, name: str) -> str:
        icon = self.icons[name]
        box = (
            icon.get("left", 0),
            icon.get("top", 0),
            icon.get("width", self.width),
            icon.get("height", self.height),
        )
        body = icon["body"]
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{box[0]} {box[1]} {box[2]} {box[3]}">{body}</svg>'
        )


def draw(npm: Path, jobs: list[dict]) -> None:
    """Render every job. A few SVGs abort the renderer's whole process: those are named and left out."""
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


def fit(image: Image.Image) -> Image.Image:
    """Trim to the visible content and fit it, centred, into the cell. Returns RGBA CELL x CELL."""
    box = image.getchannel("A").point(lambda a: 255 if a > 16 else 0).getbbox()
    if box is None:
        raise ValueError("An icon drew nothing.")
    image = image.crop(box)
    room = CELL - 2 * MARGIN
    scale = room / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    image = image.resize(size, Image.Resampling.LANCZOS)
    cell = Image.new("RGBA", (CELL, CELL), (0, 0, 0, 0))
    cell.paste(image, ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return cell


def mean_colour(cell: Image.Image) -> list[int]:
    """Alpha-weighted mean RGB: used to keep sprites off backgrounds of their own colour."""
    pixels = np.asarray(cell, np.float64).reshape(-1, 4)
    return [round(v) for v in (pixels[:, :3] * pixels[:, 3:]).sum(0) / pixels[:, 3].sum()]


def keywords(npm: Path, objects: list[dict]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Code point -> published emoji keywords that point at that object only; code point -> CLDR label."""
    data = json.loads((npm / "node_modules/emojibase-data/en/data.json").read_text(encoding="utf-8"))
    tags = {e["hexcode"].lower().replace("-fe0f", ""): (e["label"], e.get("tags", [])) for e in data}
    taken = {w.lstrip("~"): o["code"] for o in objects for w in (o["name"], o["plural"], *o["synonyms"])}
    owners: dict[str, set] = {}
    for obj in objects:
        for tag in tags.get(obj["code"], ("", []))[1]:
            owners.setdefault(tag, set()).add(obj["code"])
    return {
        obj["code"]: [
            t
            for t in tags.get(obj["code"], ("", []))[1]
            if len(owners[t]) == 1 and taken.get(t, obj["code"]) == obj["code"]
        ]
        for obj in objects
    }, {code: label for code, (label, _) in tags.items()}


def build(npm: Path, out: Path, exclude: dict[str, set[str]]) -> dict:
    objects = read_objects(out / "objects.txt")
    tags, labels = keywords(npm, objects)
    sets = {package: IconSet(npm, package) for _, _, package in STYLES}
    with tempfile.TemporaryDirectory() as scratch:
        jobs, found = [], {}
        for obj in objects:
            code = obj["code"]
            names = [labels.get(code, obj["name"]), unicodedata.name(chr(int(code, 16)), "?"), obj["name"]]
            for style, _, package in STYLES:
                icon = sets[package].find(code, names)
                if icon is None or obj["name"] in exclude.get(package, ()):
                    continue
                path = Path(scratch) / f"{package}-{code}.png"
                jobs.append({"svg": sets[package].svg(icon), "width": RENDER, "out": str(path)})
                found[style, code] = path
        draw(npm, jobs)
        cells = {key: fit(Image.open(path).convert("RGBA")) for key, path in found.items() if path.exists()}

    rows = -(-len(objects) // COLUMNS)
    for obj in objects:
        obj["keywords"] = tags[obj["code"]]
        obj["cells"], obj["means"] = {}, {}
    for style, _, _ in STYLES:
        sheet = Image.new("RGBA", (COLUMNS * CELL, rows * CELL), (0, 0, 0, 0))
        for i, obj in enumerate(objects):
            cell = cells.get((style, obj["code"]))
            if cell is not None:
                sheet.paste(cell, (i % COLUMNS * CELL, i // COLUMNS * CELL))
                obj["cells"][style], obj["means"][style] = [i // COLUMNS, i % COLUMNS], mean_colour(cell)
        sheet.save(out / f"{style}.webp", lossless=True, method=6, quality=100)
    index = {
        "cell": CELL,
        "columns": COLUMNS,
        "styles": [{"name": n, "aliases": a, "package": p, "sheet": f"{n}.webp"} for n, a, p in STYLES],
        "objects": objects,
    }
    head = {k: v for k, v in index.items() if k != "objects"}
    lines = ",\n".join(
        json.dumps(o, ensure_ascii=False) for o in objects
    )  # one object per line: readable diffs
    text = json.dumps(head, ensure_ascii=False)[:-1] + ', "objects": [\n' + lines + "\n]}\n"
    (out / "index.json").write_text(text, encoding="utf-8")
    return index


# Pictures that show something else than the name, seen when the sheets were looked at.
EXCLUDE: dict[str, set[str]] = {
    "twemoji": {"tennis racket", "pair of headphones", "statue of liberty"},
    "noto-v1": {"basketball", "laptop", "pair of scissors"},
    "emojione": {"tent", "dolphin", "motorcycle", "speedboat"},
    "fxemoji": {
        "umbrella", "star", "rainbow", "sailboat", "die", "microphone", "pair of headphones", "laptop",
        "tent", "volcano", "fountain", "ferris wheel", "tokyo tower", "statue of liberty", "speedboat",
        "ship", "tram", "pair of skis", "necktie", "pair of jeans", "bird", "racing car", "credit card",
        "chestnut", "tennis racket",
    },
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--npm", type=to_path, required=True, help="folder that holds node_modules")
    parser.add_argument("--out", type=to_path, default=ATLAS_DIR)
    args = parser.parse_args()
    if not (args.npm / "node_modules").is_dir():
        raise ValueError(f"{args.npm} holds no node_modules: install the packages there first")
    out_folder(args.out)
    index = build(args.npm, args.out, EXCLUDE)
    counts = {s["name"]: sum(s["name"] in o["cells"] for o in index["objects"]) for s in index["styles"]}
    size = sum(p.stat().st_size for p in args.out.iterdir()) / 2**20
    print(f"{len(index['objects'])} objects, cells per style {counts}, {size:.1f} MiB")
    for obj in index["objects"]:
        if len(obj["cells"]) < 5:
            print("fewer than 5 styles:", obj["code"], obj["name"], sorted(obj["cells"]))


if __name__ == "__main__":
    run_command(main)
