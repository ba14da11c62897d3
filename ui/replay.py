"""A run as one HTML page that needs nothing else: opened from a disk, it scrubs, plays and shows every token.

The page is the studio's own canvas and timeline with the frames written into it. It holds no address of any
server, asks nothing of the network (its own policy forbids it), and reads the visitor's prompt as text alone.
"""

import html
import json
from pathlib import Path
from typing import Any

from ui.frames import message, pack_record

HERE = Path(__file__).parent
STYLES = ("page.css", "stage.css", "timeline.css", "inspector.css", "replay.css")
SCRIPTS = ("frames.js", "paint.js", "overlays.js", "timeline.js", "inspector.js", "replay.js")


def page(studio: Any, run: Any) -> bytes:
    """The replay page of `run` as UTF-8; its pictures are decoded here, so this is not for free."""
    frames = [pack_record(r, studio.picture(run, r.tokens), 0) for r in run.records]
    told = {**message(run, run.state), "parent": None, "prefix": 0, "frames": frames}
    template = (HERE / "html" / "replay.html").read_text(encoding="utf-8")
    parts = {
        "<!-- title -->": html.escape(run.prompt[:80]),
        "/* styles */": _joined("css", STYLES),
        "/* scripts */": _joined("js", SCRIPTS),
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
        mark = min(at, key=at.get)
        out += [rest[: at[mark]], parts[mark]]
        rest = rest[at[mark] + len(mark) :]
    return "".join(out).encode("utf-8")


def as_script(data: Any) -> str:
    """JSON that can stand inside a script element: no text in it can end the element or open another."""
    text = json.dumps(data, separators=(",", ":"))  # everything beyond ASCII becomes \\u....
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _joined(folder: str, names: tuple[str, ...]) -> str:
    return "\n".join((HERE / folder / name).read_text(encoding="utf-8") for name in names)
