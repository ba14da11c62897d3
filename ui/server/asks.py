"""What the canvas asks for, checked: start tokens, locks, region, and the run and step they grew from.

An ask is a JSON object made in stage/ask/ask.js:

    {"kind": "generate" | "repaint" | "heal" | "remask" | "branch", "role": "main" | "beside" | "variation",
     "count": 1..4, "run": id or null, "step": k, "tokens": i32 [L] or null, "locked": u8 [L] or null}

Arrays are base64 of little-endian values, as in `ui.server.frames`. No ask at all means: a new picture.
"""

import base64
import binascii
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mdm_core.explain.doubt import unsure
from ui.server.form import SEED_LAST, Refused, RunSettings
from ui.server.runs import MAX_RECORDS, ROLES, Request, Run, Store

ASKED = ("generate", "repaint", "heal", "remask", "branch")
VARIATIONS = 4
WRONG = "The page sent something that the studio does not understand: reload the page and try again."


@dataclass(frozen=True)
class Ask:
    """A checked ask: the requests to carve (several for variations), where they go, and their parent."""

    requests: tuple[Request, ...]
    role: str = "main"
    parent: Run | None = None


def check(value: Any, settings: RunSettings, grid: tuple[int, int], vocab: int, store: Store) -> Ask:
    """The ask of a visitor as requests; Refused with one sentence when anything is out of place."""
    if value is None or value == "":
        return Ask((Request("generate", settings),))
    if not isinstance(value, dict):
        raise Refused(WRONG)
    kind, role, count = value.get("kind"), value.get("role", "main"), value.get("count", 1)
    if kind not in ASKED or role not in ROLES or (kind == "remask" and role == "variation"):
        raise Refused(WRONG)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= VARIATIONS:
        raise Refused(f"Variations come in 1 to {VARIATIONS} at a time.")
    length = grid[0] * grid[1]
    given = value.get("tokens")
    start = None if given is None else tokens(given, length, vocab)
    locked = _array(value.get("locked"), "<u1", length)
    locked = None if locked is None or not locked.any() else locked.astype(bool)
    parent, step = None, 0
    if value.get("run") is not None:
        parent, step = store.get(value["run"]), value.get("step", -1)
        parent.record(step)
        if (parent.grid, parent.vocab) != (grid, vocab):
            raise Refused("This picture was made by another model: make a new one with Generate.")
    if kind == "branch" and parent is not None:
        most = step + 1 + max(settings.steps - step, 1) + settings.passes - settings.steps
        if most > MAX_RECORDS:
            raise Refused(
                f"A picture can have up to {MAX_RECORDS} steps, here it could be {most}: branch from an earlier one."
            )
    request = Request(kind, settings, start, locked, None, (parent.id, step) if parent else None)
    request = checked(request, vocab)
    if role != "variation":
        return Ask((request,), role, parent)
    seeds = [(settings.seed + i) % (SEED_LAST + 1) for i in range(count)]
    several = tuple(replace(request, settings=replace(settings, seed=seed)) for seed in seeds)
    return Ask(several, role, parent)


def tokens(text: Any, length: int, vocab: int) -> np.ndarray:
    """int32 [L] with ids of 0..V from the wire's base64; Refused otherwise."""
    array = _array(text, "<i4", length)
    if array is None or array.min() < 0 or array.max() > vocab:
        raise Refused(WRONG)
    return array


def checked(request: Request, vocab: int) -> Request:
    """The request with its region, once its tokens suit its kind."""
    kind, tokens, locked = request.kind, request.tokens, request.locked
    if tokens is None:
        if kind != "generate":
            raise Refused("Make a picture first: there is nothing here to work on yet.")
        if locked is not None:
            raise Refused("Locks need the tokens that they hold: make a picture first.")
        return request
    masked = tokens == vocab
    if locked is not None and (masked & locked).any():
        raise Refused("A masked cell cannot be locked, it would stay masked: unlock it first.")
    if kind == "generate":
        # a new picture around what is locked: everything else starts masked
        kept = np.zeros(len(tokens), bool) if locked is None else locked
        return replace(request, tokens=np.where(kept, tokens, vocab).astype(np.int32) if kept.any() else None)
    if kind == "repaint":
        if not masked.any():
            raise Refused("Nothing is masked: choose Remask and mark what should be made anew.")
        return replace(request, region=masked)
    if kind == "heal" and masked.any():
        raise Refused("Healing mends finished tokens and some cells are masked: press Repaint first.")
    if kind == "remask" and masked.any():
        raise Refused("Some cells are masked already: press Repaint to make them anew.")
    return request


def decided(request: Request, pipe: Any) -> Request:
    """The request once the model was asked what it leaves open: which cells a "remask" makes anew, as a repaint.

    Refused where nothing is unsure. It costs two forward passes.
    """
    if request.kind != "remask":
        return request
    guidance = pipe.settings(**request.settings.chosen).guidance
    where = unsure(pipe, request.prompt, request.tokens, guidance, locked=request.locked).reshape(-1)
    if not where.any():
        raise Refused("The model would choose every free token again: there is nothing unsure to make anew.")
    tokens = np.asarray(np.where(where, pipe.vocab_size, request.tokens), np.int32)
    return replace(request, kind="repaint", tokens=tokens, region=where)


def _array(text: Any, dtype: str, length: int) -> np.ndarray | None:
    if text is None:
        return None
    width = np.dtype(dtype).itemsize * length
    if not isinstance(text, str) or len(text) > 2 * width + 8:
        raise Refused(WRONG)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(WRONG) from None
    if len(data) != width:
        raise Refused(WRONG)
    return np.frombuffer(data, dtype).astype(np.int32 if dtype == "<i4" else np.uint8)
