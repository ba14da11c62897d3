"""Step records packed for the browser. Which run they belong to stands in `ui.server.runs`.

Wire format (version 1), one JSON message per yield of a model event:

    {"v": 1, "run": id, "state": "running" | "done" | "stopped" | "failed", "role": "main" | "beside",
     "kind": "generate" | "repaint" | "heal" | "branch" | ..., "seed": int, "prompt": str, "settings": {...},
     "form": {...}, what the controls of the form show for these settings,
     "grid": [h, w], "vocab": V, "planned": steps, "parent": [id, step] or null, "prefix": n, "ground": bool,
     "frames": [frame, ...]}

    frame = {"k": index, "phase": "start" | "unmask" | "polish", "ms": elapsed, "image": data URI, "" or null,
             "tokens": i32 [L], "set": u16 [n], "edited": i32 [m * 3], "p": u16 [L], "h": u16 [L],
             "locked": u8 [L]}

Arrays are base64 of little-endian values. `p` is a probability times 65,535, `h` an entropy in thousandths of
a nat, both clipped. A masked token is the value V. A running message carries its new frame and the few before
it (WINDOW in all), because a busy browser may merge two messages into one; the last message of a run repeats
all of them, so that a tab which slept through most of a run still ends with the whole. The first `prefix`
steps of a branch are its parent's own: the browser has them and they are not sent again.

An `image` is "" where there is nothing to see, and null where it was not decoded, or is too heavy to be sent once
more: who looks at that step asks `Studio.functions`' picture for it.

The last message of a run that a link holds together with another tells in "seen" how both were looked at: [way, step].

Two more messages. Waiting for the model: {"v": 1, "state": "waiting", "ahead": n}. Variations of a region:
{"v": 1, "role": "variation", "state": ..., "of": n, "variations": [message, ...]}, those finished so far.
"""

import base64
import io
from typing import Any

import numpy as np

from ui.server.form import shown

VERSION = 1
JPEG_QUALITY = 96
WINDOW = 3
PICTURES = 2 * 2**20  # characters of pictures in one message, the newest first; that one always goes


def pack(values: Any, dtype: str) -> str:
    """Base64 of `values` as a flat little-endian array of `dtype`."""
    array = np.ascontiguousarray(np.asarray(values).reshape(-1), dtype=dtype)
    return base64.b64encode(array.tobytes()).decode("ascii")


def fixed_point(values: Any, scale: float) -> np.ndarray:
    """`values` times `scale`, rounded and clipped to 16 bits; anything that is not a number becomes 0."""
    array = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=65535.0, neginf=0.0)
    return np.clip(np.rint(array * scale), 0, 65535).astype(np.uint16)


def jpeg_uri(image: Any) -> str:
    """A PIL image as a JPEG data URI.

    Colour keeps its full resolution: flat art shows every smear, and JPEG's 8x8 blocks then are exactly the
    patches of the tokens, so the noise of one token never reaches the next.
    """
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def pack_record(record: Any, image_uri: str | None, elapsed_ms: int) -> dict[str, Any]:
    """One frame of the wire format from a StepRecord (arrays [L]) and the picture decoded at that step."""
    return {
        "k": int(record.step),
        "phase": str(record.phase),
        "ms": int(elapsed_ms),
        "image": image_uri,
        "tokens": pack(record.tokens, "<i4"),
        "set": pack(record.committed, "<u2"),
        "edited": pack(record.edited, "<i4"),
        "p": pack(fixed_point(record.confidence, 65535.0), "<u2"),
        "h": pack(fixed_point(record.entropy, 1000.0), "<u2"),
        "locked": pack(record.locked, "<u1"),
    }


def message(run: Any, state: str) -> dict[str, Any]:
    """The message to send now: the newest frames while running, every frame in the last message of a run."""
    request = run.request
    return {
        "v": VERSION,
        "run": run.id,
        "state": state,
        "role": run.role,
        "kind": request.kind,
        "seed": request.seed,
        "prompt": request.prompt,
        "settings": request.settings.sampler(),
        "form": shown(request.settings.chosen),
        "grid": list(run.grid),
        "vocab": run.vocab,
        "planned": run.planned,
        "parent": list(request.parent) if request.parent else None,
        "prefix": run.prefix,
        "ground": run.ground is not None,
        "frames": light(run.frames[-WINDOW:] if state == "running" else run.frames),
    }


def light(frames: list[dict[str, Any]], room: int = PICTURES) -> list[dict[str, Any]]:
    """The frames with as many of their pictures, the newest first, as there is room for."""
    out: list[dict[str, Any]] = []
    for frame in reversed(frames):
        room -= len(frame.get("image") or "")
        out.append(frame if room >= 0 or not out or not frame["image"] else {**frame, "image": None})
    return out[::-1]
