"""Links and runs for the tests of links: one run of each kind, a link opened by a new program, a link changed."""

import json

import numpy as np
from studio_hands import Tab, carve, edited, settings

from ui.bring.opening import Opening
from ui.export import envelope, sharelink
from ui.export.envelope import sealed
from ui.server.runs import Request
from ui.server.studio import Studio

GRID, V, CELLS = (4, 4), 32, 16


def family(studio):
    """One run of each kind, each grown from one before it."""
    runs = {"generate": carve(studio, Request("generate", settings(seed=7, polish=1)))}
    root = runs["generate"]
    locked = np.zeros(CELLS, bool)
    locked[[2, 9]] = True
    branch = Request("branch", settings(seed=8, steps=6), edited(root, 2, [1], 5), None, None, (root.id, 2))
    runs["branch"] = carve(studio, branch, root)
    hole = edited(runs["branch"], -1, [4, 5, 6], V)
    last = len(runs["branch"].records) - 1
    repaint = Request(
        "repaint", settings(text="two dogs", seed=9), hole, locked, None, (runs["branch"].id, last)
    )
    runs["repaint"] = carve(studio, repaint, runs["branch"])
    last = len(runs["repaint"].records) - 1
    broken = Request(
        "heal", settings(), edited(runs["repaint"], -1, [0, 3], 11), None, None, (runs["repaint"].id, last)
    )
    runs["heal"] = carve(studio, broken, runs["repaint"])
    around = Request("generate", settings(seed=3), runs["heal"].records[-1].tokens, locked)
    runs["around locks"] = carve(studio, around)
    runs["stopped"] = carve(studio, Request("generate", settings(steps=8)), stop_after=3)
    return runs


def opened(tiny, link):
    """(studio, last message, last notice) of a new program that opens `link`."""
    other = Studio(lambda: tiny)
    out = list(Opening(other).link(link, Tab()))
    messages = [o[0] for o in out if isinstance(o[0], dict) and "frames" in o[0]]
    return other, messages, out


def change(link, how):
    """The link with its JSON changed."""
    data = envelope.opened(link.removeprefix(sharelink.PREFIX), 2, 10**6)
    how(data)
    return sealed(json.dumps(data).encode())
