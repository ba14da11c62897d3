"""The sprite atlas: named objects, each drawn in several art styles."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mdm_core.paths import located, shipped

ATLAS_DIR = shipped("atlas")


@dataclass(frozen=True)
class AtlasObject:
    index: int
    code: str  # Unicode code point in hex
    name: str
    plural: str
    synonyms: tuple[str, ...]  # "~" before a name that takes no article ("~corn")
    category: str
    keywords: tuple[str, ...]  # published emoji keywords that point at this object only
    broader: tuple[
        str, ...
    ] = ()  # what it is among others ("hat", "insect"): for hints, never said in a caption


@dataclass
class Atlas:
    """Objects in curriculum order (most iconic first), styles, and the sheets, each read when first used.

    An index with `rows` has sheets of that many rows (`flat-0.webp`, `flat-1.webp`, ...), so that who wants the first
    objects alone reads the first sheets alone; one without has a single sheet per style (`flat.webp`).
    """

    root: Path
    cell: int
    objects: list[AtlasObject]
    styles: list[str]
    aliases: dict[str, tuple[str, ...]]  # style -> other names of it
    packages: dict[str, str]  # style -> npm package its art comes from
    # (object, style) -> mean RGB; missing where there is no sprite
    means: dict[tuple[int, str], tuple[int, int, int]]
    _cells: dict[tuple[int, str], tuple[int, int]]
    _rows: int | None = None  # of one sheet
    # a whole sheet, or, of an atlas of several sheets, its cells one by one, compressed
    _sheets: dict[str, np.ndarray | dict[tuple[int, int], bytes]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, root: Path | str | None = None) -> Atlas:
        """Read `index.json` under root (by default the shipped one). Raises ValueError if it is no atlas."""
        root = located(root or ATLAS_DIR)
        try:
            index = json.loads((root / "index.json").read_text(encoding="utf-8"))
            objects = [
                AtlasObject(
                    i,
                    o["code"],
                    o["name"],
                    o["plural"],
                    tuple(o["synonyms"]),
                    o["category"],
                    tuple(o["keywords"]),
                    tuple(o.get("broader", ())),
                )
                for i, o in enumerate(index["objects"])
            ]
            styles = [s["name"] for s in index["styles"]]
        except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{root} holds no sprite atlas: {error}.") from None
        return cls(
            root=root,
            cell=index["cell"],
            objects=objects,
            styles=styles,
            aliases={s["name"]: tuple(s["aliases"]) for s in index["styles"]},
            packages={s["name"]: s["package"] for s in index["styles"]},
            means={(i, s): tuple(m) for i, o in enumerate(index["objects"]) for s, m in o["means"].items()},
            _cells={(i, s): tuple(c) for i, o in enumerate(index["objects"]) for s, c in o["cells"].items()},
            _rows=index.get("rows"),
        )

    def __len__(self) -> int:
        return len(self.objects)

    def has(self, index: int, style: str) -> bool:
        """Whether the object is drawn in the style."""
        return (index, style) in self._cells

    def find(self, name: str) -> AtlasObject:
        """Object by name or synonym. Raises ValueError for an unknown one."""
        for obj in self.objects:
            if name in (obj.name, obj.plural) or name in [s.lstrip("~") for s in obj.synonyms]:
                return obj
        raise ValueError(f"The atlas has no object called {name!r}.")

    def sprite(self, index: int, style: str) -> np.ndarray:
        """RGBA uint8 [cell, cell, 4], not premultiplied. Raises ValueError where the style lacks it."""
        if not self.has(index, style):
            raise ValueError(f"{self.objects[index].name!r} is not drawn in the {style!r} style.")
        row, column = self._cells[index, style]
        name = f"{style}.webp"
        if self._rows:
            number, row = divmod(row, self._rows)
            name = f"{style}-{number}.webp"
        if name not in self._sheets:
            with Image.open(self.root / name) as file:
                pixels = np.array(file.convert("RGBA"))
            self._sheets[name] = self._packed(pixels) if self._rows else pixels
        sheet = self._sheets[name]
        if isinstance(sheet, dict):
            cell = np.frombuffer(zlib.decompress(sheet[row, column]), np.uint8)
            return cell.reshape(self.cell, self.cell, 4).copy()
        y, x = row * self.cell, column * self.cell
        return sheet[y : y + self.cell, x : x + self.cell]

    def each(self, style: str) -> Iterator[tuple[int, np.ndarray]]:
        """(index, sprite) of every object drawn in the style, each sheet read once and nothing kept."""
        drawn: dict[int, list[tuple[int, int, int]]] = {}
        for (index, of), (row, column) in self._cells.items():
            if of == style:
                number, row = divmod(row, self._rows) if self._rows else (0, row)
                drawn.setdefault(number, []).append((index, row, column))
        for number, cells in sorted(drawn.items()):
            with Image.open(
                self.root / (f"{style}-{number}.webp" if self._rows else f"{style}.webp")
            ) as sheet:
                pixels = np.array(sheet.convert("RGBA"))
            for index, row, column in cells:
                y, x = row * self.cell, column * self.cell
                yield index, pixels[y : y + self.cell, x : x + self.cell]

    def _packed(self, sheet: np.ndarray) -> dict[tuple[int, int], bytes]:
        """The cells of a sheet, each compressed: the sheets of a world are a gigabyte, its cells a tenth of that."""
        rows, columns = (n // self.cell for n in sheet.shape[:2])
        cells = sheet.reshape(rows, self.cell, columns, self.cell, 4).swapaxes(1, 2)
        return {
            (r, c): zlib.compress(np.ascontiguousarray(cells[r, c]).data, 1)
            for r in range(rows)
            for c in range(columns)
        }

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_sheets": {}}  # workers read their own sheets, if they need any
