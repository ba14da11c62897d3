"""When a picture shows what was asked for, by what the judge found in it.

The rules are GenEval's (Ghosh et al. 2023) made stricter: nothing but what the prompt names may be in the picture.
"""

from __future__ import annotations

from trainer.judge.detector import NOTHING, Detection


def mistakes(include: list[dict], exclude: list[dict], found: list[Detection], margin: float) -> list[str]:
    """What is wrong with the picture; an empty list is a right one.

    include: the class as often as asked, in the colour where one is asked for. exclude: fewer than so many of it.
    Anything else in the picture is wrong too, whether it can be named or not. position: the first object lies
    beyond the second by more along the axis of the relation than across it, and by more than `margin` pixels.
    """
    out = []
    wanted = {e["class"] for e in include}
    for entry in include:
        mine = [d for d in found if d.name == entry["class"]]
        right = [d for d in mine if "color" not in entry or d.colour == entry["color"]]
        if len(mine) < entry["count"]:
            out.append("missing")
        elif len(right) < entry["count"]:
            out.append("colour")
    for entry in exclude:
        if sum(d.name == entry["class"] for d in found) >= entry["count"]:
            out.append("too many")
    if any(d.name == NOTHING for d in found):
        out.append("broken object")
    if any(d.name not in wanted and d.name != NOTHING for d in found):
        out.append("unasked object")
    position = include[0].get("position")
    if position and not out:
        first = next(d for d in found if d.name == include[0]["class"])
        second = next(d for d in found if d.name == include[position[1]]["class"])
        if not lies(first.centre, position[0], second.centre, margin):
            out.append("position")
    return out


def lies(a: tuple[float, float], relation: str, b: tuple[float, float], margin: float) -> bool:
    """Whether a lies to b as the relation says; points in pixels, y downwards."""
    dx, dy = a[0] - b[0], a[1] - b[1]
    along = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[relation]
    across = abs(dy) if relation in ("left of", "right of") else abs(dx)
    return along > max(margin, across)
