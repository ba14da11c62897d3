"""The art that atlases are drawn from: which picture of which npm package shows which code point.

Sets are found by code point where the package has an index of them, else by name. Older sets name things their own
way, and some draw another thing than today's name says: both are written down here, as seen on the sheets.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

# Sets that carry no index of code points but use the names of another set.
INDEX_OF = {"fluent-emoji": "fluent-emoji-flat"}


def slug(text: str) -> str:
    """Icon name of a label: lower case, words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("’", "").replace("'", "")).strip("-")


class IconSet:
    """One iconify package: SVG bodies by name, found by code point."""

    def __init__(self, npm: Path, package: str):
        root = npm / "node_modules/@iconify-json" / package
        data = json.loads((root / "icons.json").read_text(encoding="utf-8"))
        self.package, self.icons, self.aliases = package, data["icons"], data.get("aliases", {})
        self.version = _version(root)
        self.width, self.height = data.get("width", 16), data.get("height", 16)
        chars = root.parent / INDEX_OF.get(package, package) / "chars.json"
        self.by_code = json.loads(chars.read_text(encoding="utf-8"))

    def find(self, code: str, labels: list[str]) -> str | None:
        """Name of the icon for a code point (hex), or None."""
        names = [OLD_NAMES.get(self.package, {}).get(code), self.by_code.get(code)]
        for label in labels:
            names += [slug(label), slug(label).replace("-", ""), slug(label) + "-1"]
        for name in names:
            if name == "":
                return None  # the list says: this set has no such picture under that name
            if name in self.icons:
                return name
            if name in self.aliases and self.aliases[name]["parent"] in self.icons:
                return self.aliases[name]["parent"]
        return None

    def svg(self, name: str) -> str:
        """The icon as a whole SVG document."""
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


class PictureSet:
    """A package of rendered pictures, one file a code point (`1f353.webp`, or with its variation selector)."""

    def __init__(self, npm: Path, package: str):
        root = npm / "node_modules" / package
        self.package, self.version = package, _version(root)
        self.files = {f.stem.replace("-fe0f", ""): f for f in sorted((root / "assets").glob("*.webp"))}

    def find(self, code: str, labels: list[str]) -> Path | None:
        """The picture of a code point (hex), or None."""
        return self.files.get(code)


def open_set(npm: Path, package: str) -> IconSet | PictureSet:
    """The set in an npm package: by its full name one of pictures, by a bare name one of `@iconify-json`."""
    return PictureSet(npm, package) if package.startswith("@") else IconSet(npm, package)


def _version(root: Path) -> str:
    return json.loads((root / "package.json").read_text(encoding="utf-8"))["version"]


# Names that the older sets use for a code point and that neither the CLDR nor the Unicode name leads to;
# empty: the set shows nothing of the kind, though one of the names would lead somewhere.
OLD_NAMES: dict[str, dict[str, str]] = {
    "fxemoji": {
        "1f332": "evergreen",
        "2b50": "whitemediumstar",
        "1f381": "present",
        "1f514": "ringingbell",
        "1f3c0": "",
        "1f430": "bunny",
        "1f433": "spurtingwhale",
        "2600": "sunrays",
        "1f3be": "tennisball",
        "1f460": "heels",
        "1f576": "darksunglasses",
        "1f4f1": "cellphone",
        "1f439": "hampster",
        "1f336": "chilipepper",
        "1f30d": "europeafricaglobe",
        "1f5fc": "toykotower",
        "1f3ce": "racecar",
        "1f380": "",
        "1f454": "tie",
        "1f45e": "mensshoe",
        "1f50d": "leftmagnifyingglass",
        "1f4cc": "blackpushpin",
        "1f4be": "blackhardshellfloppy",
        "1f432": "dragonhead",
        "1f330": "acorn",
    },
}

# Pictures that show something else than the name, or show it in a frame of its own, seen
# when the sheets were looked at: package -> names.
OTHERWISE: dict[str, set[str]] = {
    "twemoji": {"tennis racket", "pair of headphones", "statue of liberty"},
    "noto-v1": {"basketball", "laptop", "pair of scissors", "water pistol", "cricket", "pixel alien"},
    # the ticket, the bus and the pager bear the set's own name
    "emojione": {
        "tent",
        "dolphin",
        "motorcycle",
        "speedboat",
        "water pistol",
        "dromedary",
        "cricket",
        "pixel alien",
        "set of control knobs",
        "roller coaster",
        "ticket",
        "oncoming bus",
        "pager",
    },
    "fxemoji": {
        "umbrella",
        "star",
        "rainbow",
        "sailboat",
        "die",
        "microphone",
        "pair of headphones",
        "laptop",
        "tent",
        "volcano",
        "fountain",
        "ferris wheel",
        "tokyo tower",
        "statue of liberty",
        "speedboat",
        "ship",
        "tram",
        "pair of skis",
        "necktie",
        "pair of jeans",
        "bird",
        "racing car",
        "credit card",
        "chestnut",
        "tennis racket",
        "standing dog",
        "standing cat",
        "standing tiger",
        "standing pig",
        "wild boar",
        "field mouse",
        "computer keyboard",
        "desktop computer",
        "window",
        "road barrier",
        "fog bank",
        "water pistol",
        "monorail",
        "trackball",
    },
}
