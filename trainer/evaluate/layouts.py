"""A verdict without any trained judge: is the picture one of the scenes that the prompt allows?

Objects can only lie where the data puts them, so for a prompt there are a few places to look at. The picture is
right if at every place of one layout the nearest sprite (`templates`) is the one asked for, and nothing else shows.
Blind to objects off those places, and stricter than the verifier about blur; used to choose sampling defaults on
prompts of their own, so that the verifier stays out of every choice, and as a second opinion on the score.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.evaluate.prompts import Prompt
from trainer.evaluate.templates import FAR, Templates, crops

REST = 22.0  # root mean square difference in grey levels from the ground allowed where no object should be
Place = tuple[int, int, int]  # left, top, side


def layouts(p: Prompt) -> list[tuple[Place, ...]]:
    """Every way in which the data places what the prompt asks for, an entry for each object in include's order.

    ValueError for a prompt of a world whose things lie anywhere.
    """
    if p.spec.snapped < 1:
        raise ValueError(f"things in {p.spec.name} lie anywhere: only its judge can say what a picture shows")
    if len(p.include) == 1:
        options = p.spec.counts[p.include[0]["count"]]
        return sorted({tuple((x, y, size) for x, y in places) for size, places in options})
    relation = (p.include[0].get("position") or [None])[0]
    out = set()
    for names, options in ((("left of", "right of"), p.spec.beside), (("above", "below"), p.spec.stacked)):
        for size, places in options:
            pair = tuple((x, y, size) for x, y in places)
            if relation in (None, names[0]):
                out.add(pair)
            if relation in (None, names[1]):
                out.add(pair[::-1])
    return sorted(out)


@torch.no_grad()
def accepts(
    templates: Templates, images: Tensor, prompts: list[Prompt], far: float = FAR, batch: int = 64
) -> list[bool]:
    """uint8 pictures [B, H, H, 3] -> whether each is a scene that its prompt allows. `far`: see templates."""
    out = [False] * len(prompts)
    alike: dict[tuple, list[int]] = {}  # prompts that look at the same places go together
    for i, p in enumerate(prompts):
        alike.setdefault(tuple(layouts(p)), []).append(i)
    for ways, rows in alike.items():
        for k in range(0, len(rows), batch):
            part = rows[k : k + batch]
            for i, ok in zip(
                part, _look(templates, images[part], [prompts[i] for i in part], ways, far), strict=True
            ):
                out[i] = ok
    return out


def _look(templates: Templates, images: Tensor, prompts: list[Prompt], ways: tuple, far: float) -> list[bool]:
    pixels = images.to(templates.device).float() / 255  # [n, H, H, 3]
    ground = templates.ground(pixels)
    places = sorted({place for way in ways for place in way})
    seen = torch.cat([crops(pixels, place) for place in places])  # [places * n, 3P]
    behind = torch.cat([crops(ground, place) for place in places])
    error, best = (v.view(len(places), -1).T.tolist() for v in templates.nearest(seen, behind))  # [n][places]
    gap = (pixels - ground).square().mean(-1)  # [n, H, H]
    # -> [n, ways]
    empty = torch.stack([gap[:, _rest(way, gap)].mean(1) for way in ways], 1).sqrt() * 255 <= REST
    out = []
    for n, p in enumerate(prompts):
        named = {
            place: (templates.names[i], templates.colours[i])
            for place, e, i in zip(places, error[n], best[n], strict=True)
            if e <= far
        }
        wanted = [(e["class"], e.get("color")) for e in p.include for _ in range(e["count"])]
        out.append(any(ok and _fits(w, wanted, named) for w, ok in zip(ways, empty[n].tolist(), strict=True)))
    return out


def _rest(way: tuple[Place, ...], gap: Tensor) -> Tensor:
    """bool [H, H]: where the layout has no object."""
    rest = torch.ones(gap.shape[1:], dtype=torch.bool, device=gap.device)
    for x, y, size in way:
        rest[y : y + size, x : x + size] = False
    return rest


def _fits(way: tuple[Place, ...], wanted: list[tuple], named: dict[Place, tuple]) -> bool:
    found = [named.get(place, (None, None)) for place in way]
    return all(
        f[0] == name and colour in (None, f[1]) for f, (name, colour) in zip(found, wanted, strict=True)
    )
