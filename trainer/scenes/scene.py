"""What a scene is: its truth for people and judges, and the arrays of it that are drawn.

Legend: B scenes, S slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SceneObject:
    name: str
    colour: str | None  # None: as drawn by the artist
    size: int  # pixels
    x: int  # left edge, pixels
    y: int  # top edge, pixels
    angle: int = 0  # degrees that it leans to the right


@dataclass(frozen=True)
class Scene:
    kind: str
    background: str
    style: str
    objects: tuple[SceneObject, ...]
    relation: str | None  # how objects[0] lies to objects[1], when the caption says it
    caption: str
    says_background: bool
    says_style: bool
    look: int = 0  # which picture of the ground

    def truth(self) -> dict:
        """The scene as a line of GenEval's jsonl, plus style and background (None where not said).

        `exclude` is in every tag: one more of an included class, or any unnamed object, is an error.
        """
        include: list[dict] = []
        for obj in self.objects:
            same = [e for e in include if e["class"] == obj.name and e.get("color") == obj.colour]
            if same:
                same[0]["count"] += 1
            else:
                include.append(
                    {"class": obj.name, "count": 1} | ({"color": obj.colour} if obj.colour else {})
                )
        # GenEval: [relation, index of the other include]; the first object holds the position
        if self.relation:
            include[0]["position"] = [self.relation, 1]
        exclude = [{"class": e["class"], "count": e["count"] + 1} for e in include]
        return {
            "tag": self.kind,
            "include": include,
            "exclude": exclude,
            "prompt": self.caption,
            "style": self.style if self.says_style else None,
            "background": self.background if self.says_background else None,
        }


@dataclass(frozen=True)
class SceneBatch:
    """Integer arrays for the renderer, what a worker process sends. B scenes, S slots (4 in EMOJI_128)."""

    background: np.ndarray  # int64 [B], index into the grounds of the world
    # int64 [B, S], (object * styles + style) * 9 + colour, colour 0 = as drawn; -1 = empty
    sprite: np.ndarray
    size: np.ndarray  # int64 [B, S], pixels
    xy: np.ndarray  # int64 [B, S, 2], top-left corner (x, y), pixels
    captions: list[str]
    angle: np.ndarray | None = None  # int64 [B, S], degrees; None: all stand straight
    look: np.ndarray | None = None  # int64 [B], which picture of the ground; None: the first

    def __len__(self) -> int:
        return len(self.captions)

    @classmethod
    def empty(cls, n: int, slots: int) -> SceneBatch:
        """n scenes without things and captions, to be filled."""
        whole = np.zeros((n, slots), np.int64)
        return cls(
            background=np.zeros(n, np.int64),
            sprite=np.full((n, slots), -1, np.int64),
            size=whole,
            xy=np.zeros((n, slots, 2), np.int64),
            captions=[""] * n,
            angle=np.zeros_like(whole),
            look=np.zeros(n, np.int64),
        )
