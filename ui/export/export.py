"""What leaves the studio: a run as PNG, animated WebP, GIF, trajectory JSON, replay page, or link.

Files are made when they are asked for, from the records that the server keeps, and travel to the browser as
base64 inside the answer; nothing is written to disk and no text of a visitor becomes a file name.
"""

import base64
import io
import json
import re
import threading
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mdm_core.diffusion.trajectory import Trajectory, given
from ui.export import draw, envelope, gamelink, replay, sharelink
from ui.inspector.lookups import whole
from ui.server import asks
from ui.server.form import Refused
from ui.server.runs import largest_run
from ui.server.studio import answered

PNG_SIDE = 512  # pixels of the longer side, where the picture is no larger by itself
MOVING_SIDE = 384
KINDS = {
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "json": "application/json",
    "html": "text/html",
}
BUSY = "Others are saving pictures just now: try again in a moment."
WAIT_S = 20.0


def settings_of(run: Any) -> dict[str, Any]:
    """What the run was carved with, as it goes into files."""
    return {"kind": run.request.kind, **run.request.sampler()}


def png(pipe: Any, run: Any, step: int, tokens: Any = None) -> bytes:
    """The picture after `step`, with prompt, seed and settings as text chunks.

    `tokens` [L] stand in place of the step's own where some were changed by hand.
    """
    told = PngInfo()
    words = {
        "Software": "Chisel",
        "prompt": run.prompt,
        "seed": str(run.seed),
        "step": f"{step} of {len(run.records) - 1}",
        "settings": json.dumps(settings_of(run)),
        **({} if run.made_by is None else {"made_by": json.dumps(run.made_by)}),
        **({} if tokens is None else {"changed": "by hand"}),
    }
    for name, text in words.items():
        told.add_itxt(name, text)
    # what the page shows again when it is given this picture: pixels alone would be read as a stranger's
    shown = run.records[step].tokens if tokens is None else tokens
    told.add_itxt("tokens", base64.b64encode(np.ascontiguousarray(shown, "<i4").tobytes()).decode(), zip=True)
    buffer = io.BytesIO()
    draw.frame(pipe, run, step, PNG_SIDE, tokens=tokens).save(
        buffer, format="PNG", pnginfo=told, optimize=True
    )
    return buffer.getvalue()


def webp(pipe: Any, run: Any) -> bytes:
    """The carving as an animated WebP that plays for ever."""
    images, times = draw.frames(pipe, run, MOVING_SIDE)
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=images[1:],
        duration=times,
        loop=0,
        quality=88,
        method=3,
    )
    return buffer.getvalue()


def gif(pipe: Any, run: Any) -> bytes:
    """The carving as a GIF with one palette fitted to all its frames."""
    images, times = draw.frames(pipe, run, MOVING_SIDE)
    palette = draw.shared_palette(images)
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = io.BytesIO()
    flat[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=flat[1:],
        duration=times,
        loop=0,
        optimize=False,
        disposal=1,
    )
    return buffer.getvalue()


def trajectory(run: Any, tokens: Any = None) -> Trajectory:
    """The run in the library's own form: `Trajectory.load` and the page open it again.

    `tokens` [L] changed by hand stand alone: no step of the run led to them.
    """
    records = list(run.records) if tokens is None else [given(tokens)]
    return Trajectory(run.prompt, settings_of(run), run.grid, run.vocab, records, made_by=run.made_by)


def as_json(run: Any, tokens: Any = None) -> bytes:
    """The trajectory as JSON; Refused where it would be too large to be opened again."""
    data = json.dumps(trajectory(run, tokens).to_json()).encode()
    if len(data) > largest_run(run.grid):
        raise Refused("This run is too large for one file: save it as a picture or an animation instead.")
    return data


def file_name(run: Any, kind: str, step: int | None = None, tokens: Any = None) -> str:
    """A name of letters, digits and hyphens, whatever the prompt holds, and another one for anything that differs.

    It ends with eight digits of what is in the file: of the picture's tokens after `step`, or those on the canvas, and
    for what holds the whole run of all its steps.
    """
    plain = unicodedata.normalize("NFKD", run.prompt).encode("ascii", "ignore").decode().lower()
    words = "-".join(re.findall(r"[a-z0-9]+", plain))[:48].strip("-")
    records = run.records if step is None else run.records[step : step + 1]
    held = [record.tokens for record in records] if tokens is None else [tokens]
    last = step is None or step == len(run.records) - 1
    at = "" if last else f"-step{step}"
    what = envelope.digest(np.concatenate([*held, np.zeros(0, np.int32)]))
    return f"chisel-{words or 'picture'}-{run.seed}{at}-{what}.{kind}"


class Exports:
    """The look-ups behind the buttons; few at a time, because each decodes every step."""

    def __init__(self, studio: Any) -> None:
        self.studio = studio
        self._free = threading.BoundedSemaphore(2)

    def make(self, data: Any) -> dict[str, Any]:
        """{"run": id, "step": k, "as": kind} -> {"name", "type", "data": base64}; Refused in one sentence.

        PNG and JSON may hold "tokens" (int32 [L], base64), those on the canvas where some were changed by hand.
        """
        if not isinstance(data, dict) or not isinstance(data.get("as"), str) or data["as"] not in KINDS:
            raise Refused("This kind of file is not offered here.")
        run, kind = self.studio.store.get(data.get("run")), data["as"]
        if run.state == "running" or not run.records:
            raise Refused("This picture is still being carved: save it when it is finished.")
        step = data.get("step", len(run.records) - 1)
        run.record(step)
        given = data.get("tokens")
        tokens = None if given is None else asks.tokens(given, run.cells, run.vocab)
        if not self._free.acquire(timeout=WAIT_S):
            raise Refused(BUSY)
        try:
            pipe = self.studio.pipe
            made = {
                "png": lambda: png(pipe, run, step, tokens),
                "webp": lambda: webp(pipe, run),
                "gif": lambda: gif(pipe, run),
                "json": lambda: as_json(run, tokens),
                "html": lambda: replay.page(self.studio, run),
            }[kind]()
        finally:
            self._free.release()
        return {
            "name": file_name(run, kind, step, tokens) if kind == "png" else file_name(run, kind),
            "type": KINDS[kind],
            "data": base64.b64encode(made).decode("ascii"),
        }

    def link(self, data: Any) -> dict[str, str]:
        """{"run": id} -> {"hash": ...}, what the page appends to its own address; "tokens" as in `make`.

        With "beside": id, "way" and "step" the link holds both runs, and how they are looked at.
        """
        store = self.studio.store
        run = store.get(data.get("run") if isinstance(data, dict) else None)
        hand = data.get("tokens")
        tokens = None if hand is None else asks.tokens(hand, run.cells, run.vocab)
        beside = None if data.get("beside") is None else store.get(data["beside"])
        for one in (run, beside):
            if one is not None and (one.state == "running" or not one.records):
                raise Refused("This picture is still being carved: copy the link when it is finished.")
        if run.request.kind == "hand" and tokens is None:
            return {"hash": gamelink.encode(run)}
        # the page puts something beside a run only once that is done
        if beside is not None and run.state == "done":
            return {"hash": sharelink.encode_pair(run, beside, self._seen(data), store, tokens)}
        made = sharelink.encode(run, store) if tokens is None else sharelink.encode_given(run, tokens)
        return {"hash": made}

    def _seen(self, data: dict[str, Any]) -> tuple[str, int]:
        way, step = data.get("way", sharelink.WAYS[0]), data.get("step", 0)
        if way not in sharelink.WAYS:
            raise Refused("Two pictures cannot be looked at in this way.")
        return way, whole(step, sharelink.MAX_STEPS, "step")


def functions(studio: Any) -> list[Callable[..., Any]]:
    """What export/export.js may call as `server.name(argument)`."""
    exports = Exports(studio)

    def save(data: Any) -> dict[str, Any]:
        """A file of a run."""
        return answered(lambda: exports.make(data))

    def share(data: Any) -> dict[str, Any]:
        """The link of a run."""
        return answered(lambda: exports.link(data))

    return [save, share]
