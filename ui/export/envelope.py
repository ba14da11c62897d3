"""How every link is written: its JSON deflated into the hash of an address, and read again with nothing believed.

    #c<n>=<base64url of deflated JSON>

`n` says what is inside: 1 and 2 hold one run, 3 holds two that are compared (all in `ui.export.sharelink`), 4 holds a
game that a visitor decides (`ui.export.gamelink`). In all of them "m" is [h, w, V] and "by" the model that made it.
"""

import base64
import binascii
import hashlib
import json
import re
import zlib
from typing import Any

import numpy as np

from mdm_core.diffusion.trajectory import MadeBy
from ui.server.form import Refused

LATEST = 4
# A link alone or in its address, as messengers and mail programs pass it on: "=" as %3D, parameters hung behind it.
LINK = re.compile(r"\s*(?:[^#]*#)?c(\d{1,4})(?:=|%3[Dd])([A-Za-z0-9_-]*)")
# What links of c2= and later say, known to the packer beforehand so that names cost hardly more than places. Frozen.
COMMON = (
    b'"off""remask""t""d""threshold""random""margin""entropy""halton""shift""arccos""linear""given""heal""repaint"'
    b'"branch"],"f":","r":[["generate",","m":[16,16,16384],"f":"{"seed":,"steps":12,"guidance":1.5,"temperature":0.4,'
    b'"order":"confidence","schedule":"cosine","gumbel":1.0,"edit":"overwrite","edit_threshold":0.3,'
    b'"edit_margin":0.0,"edit_budget":0.15,"polish":4},0,[],"",0]]}'
)
MOST_RUNS = 12  # of one chain
BROKEN = "This link is damaged or was cut off: ask for it again."
NEWER = "This link was made by a newer version of Chisel: bring this one up to date to open it."
ROUNDED = "Rebuilt from the link; this computer rounds a little differently, so some tokens differ."


def most_characters(cells: int) -> int:
    """How long a link may be: what the settings of a chain take, and once all tokens of the grid, packed twice."""
    return max(6000, 2000 + 8 * cells)


def most_json(cells: int) -> int:
    """Bytes that the JSON inside a link may have: a chain of prompts, and all tokens of the grid at each entry."""
    return max(48 * 2**10, 2**15 + 6 * cells * MOST_RUNS)


def another(what: str, by: MadeBy | None) -> str:
    """The refusal of what another model made; says which, where that is known."""
    which = "another model" if by is None else f"another model, {by}"
    return f"{what} was made with {which}, whose tokens mean something else here."


def same_model(by: MadeBy | None, here: MadeBy | None) -> bool:
    """False where two models are known and they differ."""
    return by is None or here is None or by.fingerprint == here.fingerprint


def digest(tokens: Any) -> str:
    """Eight hex digits of final tokens: tells whether a rebuilt run is the one that was shared."""
    return hashlib.sha256(np.ascontiguousarray(tokens, "<i4").tobytes()).hexdigest()[:8]


# ---- written ------------------------------------------------------------------------------------------------


def sealed(text: bytes, prefix: str = "c2=") -> str:
    """The link that holds this JSON."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=COMMON)
    return prefix + written(packer.compress(text) + packer.flush()).rstrip("=")


def addressed(data: dict[str, Any], cells: int, prefix: str, too_long: str) -> str:
    """The link of this JSON object; Refused with the sentence `too_long` where it would not fit an address."""
    link = sealed(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode(), prefix)
    if len(link) > most_characters(cells):
        raise Refused(too_long)
    return link


def ids(values: Any, most: int) -> str:
    """Whole numbers of 0..most as they stand in a link."""
    return written(np.ascontiguousarray(values, id_type(most)).tobytes())


def id_type(most: int) -> str:
    """How numbers of 0..most are stored."""
    return "<u2" if most < 2**16 else "<u4"


def written(data: bytes) -> str:
    """Bytes as letters that an address takes."""
    return base64.urlsafe_b64encode(data).decode("ascii")


# ---- read ---------------------------------------------------------------------------------------------------


def read(
    value: Any, grid: tuple[int, int], vocab: int, here: MadeBy | None = None
) -> tuple[int, dict[str, Any]]:
    """The version of a link and the object inside; Refused where it is none of ours, or of another model.

    `value` is the hash with or without #, or the whole address; what others have hung behind it is left aside.
    `here` is the opened model.
    """
    cells = grid[0] * grid[1]
    found = LINK.match(value[: 2 * most_characters(cells)]) if isinstance(value, str) else None
    if found is None:
        raise Refused("This is no link to a Chisel run.")
    version, text = int(found[1]), found[2]
    if version > LATEST:
        raise Refused(NEWER)
    if version < 1 or len(text) > most_characters(cells):
        raise Refused(BROKEN)
    data = opened(text, version, most_json(cells))
    try:
        model, by = data["m"], MadeBy.told(data["by"]) if "by" in data else None
    except (KeyError, TypeError, ValueError):
        raise Refused(BROKEN) from None
    if not isinstance(data, dict) or not isinstance(model, list):
        raise Refused(BROKEN)
    if model != [*grid, vocab] or not same_model(by, here):
        raise Refused(another("This link", by))
    return version, data


def opened(text: str, version: int, most: int) -> Any:
    """The JSON inside; what unpacks to more than `most` bytes is refused while it unpacks."""
    try:
        packed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        opener = zlib.decompressobj(-15, zdict=COMMON) if version > 1 else zlib.decompressobj(-15)
        data = opener.decompress(packed, most)
        if not opener.eof:
            raise Refused(BROKEN)
        return json.loads(data)
    except (ValueError, binascii.Error, zlib.error, RecursionError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(BROKEN) from None


def array(text: Any, dtype: str) -> np.ndarray:
    """The numbers that `ids` or `written` put down; Refused where they are none."""
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii"))
    except (AttributeError, ValueError, binascii.Error):
        raise Refused(BROKEN) from None
    if len(data) % np.dtype(dtype).itemsize:
        raise Refused(BROKEN)
    return np.frombuffer(data, dtype)


def told_digest(value: Any) -> str:
    """A digest as a link tells it."""
    if not isinstance(value, str) or len(value) != 8:
        raise Refused(BROKEN)
    return value
