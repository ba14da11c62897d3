"""A run as one HTML page that needs nothing else: opened from a disk, it scrubs, plays and shows every token.

The page is the studio's own canvas and timeline with the frames written into it. It holds no address of any
server, asks nothing of the network (its own policy forbids it), and reads the visitor's prompt as text alone.
"""

import html
import json
from typing import Any

from mdm_core.settings import SETTINGS, SampleConfig
from ui import assemble
from ui.server.frames import message, pack_record

STYLES = (
    "layout/page.css",
    "layout/controls.css",
    "stage/stage.css",
    "stage/time/timeline.css",
    "inspector/inspector.css",
    "export/replay.css",
)


def page(studio: Any, run: Any) -> bytes:
    """The replay page of `run` as UTF-8; its pictures are decoded here, so this is not for free."""
    frames = [pack_record(r, studio.picture(run, r.tokens), 0) for r in run.records]
    told = {**message(run, run.state), "parent": None, "prefix": 0, "frames": frames, "told": labelled(run)}
    del told["form"]  # there is none
    if run.made_by is not None:
        told["made_by"] = list(run.made_by)
    template = assemble.markup("export/replay.html")
    parts = {
        "<!-- title -->": html.escape(run.prompt[:80]),
        "/* styles */": assemble.styles(STYLES),
        "<!-- scripts -->": assemble.scripts("export/replay.js"),
        "<!-- run -->": as_script(told),
    }
    # one pass over the template: what is filled in is never looked at again
    out = []
    rest = template
    while rest:
        at = {mark: rest.find(mark) for mark in parts if mark in rest}
        if not at:
            out.append(rest)
            break
        mark = min(at, key=at.__getitem__)
        out += [rest[: at[mark]], parts[mark]]
        rest = rest[at[mark] + len(mark) :]
    return "".join(out).encode("utf-8")


def labelled(run: Any) -> list[list[Any]]:
    """[label, value] of the settings that the page tells: the common ones, and of the others what is not as usual."""
    chosen, usual = run.request.settings.chosen, vars(SampleConfig())
    told = [
        [setting.label, chosen[name]]
        for name, setting in SETTINGS.items()
        if name in chosen and (setting.where in ("main", "advanced") or chosen[name] != usual[name])
    ]
    return [["Seed", run.seed], *told]


def as_script(data: Any) -> str:
    """JSON that can stand inside a script element: no text in it can end the element or open another."""
    text = json.dumps(data, separators=(",", ":"))  # everything beyond ASCII becomes \\u....
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
