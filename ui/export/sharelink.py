"""A run as the hash of an address: what was asked, its branches and edits, compact enough to be sent in a message.

    #c2=<base64url of deflated JSON>

    {"m": [h, w, V], "f": digest of the last tokens, "r": [entry, ...], "by": [model's name, fingerprint]}
    entry = [kind, prompt, settings, at, change, locked, shown]
    settings = {"seed": n, "steps": n, "order": name, ...}, the seed and fields of `SampleConfig`

The entries are a chain: each grew from step `at` of the one before, its tokens altered by `change`; the first
starts from masks. `change` is [] or ["d", base64 of (cell, token) pairs] or ["t", base64 of all tokens]; `locked` is
"" or base64 of bits; `shown` is how many steps were carved when the run ended before its end, else 0. Settings are
all written out, so that a link does not change its meaning when a default does, and by name, so that it does not
when a table of ours is sorted. Links that begin with c1= wrote them as numbers by their places in `C1`; they are
read for ever and written no more. A setting that older links lack is as the model has it. Older links have no "by";
with it, a link is refused by every other model, also by one of the same shape. Nothing is kept on the server: the
link is the whole recipe, carved anew by whoever opens it. What arrives is hostile until each value was checked.
"""

import base64
import binascii
import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdm_core.diffusion.trajectory import MadeBy
from mdm_core.settings import SETTINGS
from ui.server import asks
from ui.server import form as limits
from ui.server.form import Refused, RunSettings
from ui.server.runs import Request, Run, Store

PREFIX = "c2="
# A link alone or in its address, as messengers and mail programs pass it on: "=" as %3D, parameters hung behind it.
LINK = re.compile(r"\s*(?:[^#]*#)?c(\d{1,4})(?:=|%3[Dd])([A-Za-z0-9_-]*)")
# What the numbers of a c1= link mean, by their place. Frozen: every link ever copied depends on it.
C1 = (
    ("seed", None),
    ("steps", None),
    ("guidance", None),
    ("temperature", None),
    ("order", ("confidence", "halton", "entropy", "margin", "random", "threshold")),
    ("schedule", ("cosine", "linear", "arccos", "shift")),
    ("gumbel", None),
    ("edit", ("off", "overwrite", "remask")),
    ("edit_threshold", None),
    ("edit_margin", None),
    ("edit_budget", None),
    ("polish", None),
)
FIRST = tuple(name for name, _ in C1)  # what every link names
# What every c2= link says, known to the packer beforehand so that names cost hardly more than places. Frozen too.
COMMON = (
    b'"off""remask""t""d""threshold""random""margin""entropy""halton""shift""arccos""linear""given""heal""repaint"'
    b'"branch"],"f":","r":[["generate",","m":[16,16,16384],"f":"{"seed":,"steps":12,"guidance":1.5,"temperature":0.4,'
    b'"order":"confidence","schedule":"cosine","gumbel":1.0,"edit":"overwrite","edit_threshold":0.3,'
    b'"edit_margin":0.0,"edit_budget":0.15,"polish":4},0,[],"",0]]}'
)
MAX_ENTRIES = 12
MAX_STEPS = 512  # of the whole chain, start states and polish passes among them: what opening a link may cost
CARVED = ("generate", "repaint", "heal", "branch")
# "given": tokens as they are, for pictures that were uploaded or opened from a file
KINDS = (*CARVED, "given")
BROKEN = "This link is damaged or was cut off: ask for it again."
NEWER = "This link was made by a newer version of Chisel: bring this one up to date to open it."


@dataclass(frozen=True)
class Entry:
    """One run of a link, checked but not yet attached to its parent. Arrays [L]; see the module's text."""

    kind: str
    settings: RunSettings
    at: int
    pairs: np.ndarray | None  # int [n, 2] of (cell, token)
    tokens: np.ndarray | None  # int32 [L]
    locked: np.ndarray | None  # bool [L]
    shown: int

    def start(self, parent: Run | None, vocab: int, cells: int) -> np.ndarray | None:
        """int32 [L], where the run starts; None when that is all masks. Refused when the parent lacks the step."""
        if self.tokens is not None:
            return self.tokens
        if parent is not None:
            tokens = np.array(parent.record(self.at).tokens, np.int32)
        elif self.pairs is None:
            return None
        else:
            tokens = np.full(cells, vocab, np.int32)
        if self.pairs is not None:
            tokens[self.pairs[:, 0]] = self.pairs[:, 1]
        return tokens

    def request(self, parent: Run | None, vocab: int, cells: int) -> Request:
        """The request to carve once the parent's steps are there."""
        tokens = self.start(parent, vocab, cells)
        if self.kind == "given":
            return Request("opened", self.settings, tokens)
        grew = (parent.id, self.at) if parent is not None else None
        return asks.checked(Request(self.kind, self.settings, tokens, self.locked, None, grew), vocab)


@dataclass(frozen=True)
class Link:
    """A checked link: the chain of runs and the digest of the tokens it ends with."""

    entries: tuple[Entry, ...]
    digest: str


def most_characters(cells: int) -> int:
    """How long a link may be: what the settings of a chain take, and once all tokens of the grid, packed twice."""
    return max(6000, 2000 + 8 * cells)


def most_json(cells: int) -> int:
    """Bytes that the JSON inside a link may have: a chain of prompts, and all tokens of the grid at each entry."""
    return max(48 * 2**10, 2**15 + 6 * cells * MAX_ENTRIES)


def another(what: str, by: MadeBy | None) -> str:
    """The refusal of what another model made; says which, where that is known."""
    which = "another model" if by is None else f"another model, {by}"
    return f"{what} was made with {which}, whose tokens mean something else here."


def digest(tokens: Any) -> str:
    """Eight hex digits of final tokens: tells whether a rebuilt run is the one that was shared."""
    return hashlib.sha256(np.ascontiguousarray(tokens, "<i4").tobytes()).hexdigest()[:8]


# ---- run -> link --------------------------------------------------------------------------------------------


def encode_given(run: Run, tokens: np.ndarray) -> str:
    """The hash that shows `tokens` [L] as they stand, those of `run` with what was changed by hand."""
    entry = ["given", run.prompt, _by_name(_asked(run)), 0, ["t", _ids(tokens, run.vocab)], "", 0]
    return _told(run, [entry], tokens)


def encode(run: Run, store: Store) -> str:
    """The hash (without #) that rebuilds `run`; Refused where it would not fit an address."""
    chain = _ancestors(run, store)
    entries = []
    for i, (one, parent) in enumerate(zip(chain, [None, *chain], strict=False)):
        grown = chain[i + 1].request.parent if i < len(chain) - 1 else None
        entries.append(_entry(one, parent, grown[1] if grown else None))
    return _told(run, entries, run.records[-1].tokens)


def _told(run: Run, entries: list[Any], last: Any) -> str:
    data = {"m": [*run.grid, run.vocab], "f": digest(last), "r": entries}
    if run.made_by is not None:
        data["by"] = list(run.made_by)
    link = sealed(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())
    if len(link) > most_characters(run.cells):
        raise Refused("This run is too long for a link: save it as a replay page or as JSON instead.")
    return link


def sealed(text: bytes) -> str:
    """The link that holds this JSON."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=COMMON)
    return PREFIX + _written(packer.compress(text) + packer.flush()).rstrip("=")


def _ancestors(run: Run, store: Store) -> list[Run]:
    """The run and what it grew from, oldest first, as far back as is known and a link may cost."""
    chain, steps = [run], _weight(run)
    while chain[0].request.kind in CARVED and chain[0].request.parent and len(chain) < MAX_ENTRIES:
        try:
            parent = store.get(chain[0].request.parent[0])
        except Refused:
            break
        steps += _weight(parent)
        if steps > MAX_STEPS:
            break
        chain.insert(0, parent)
    return chain


def _cost(settings: RunSettings) -> int:
    """How many steps carving may take at most, the start among them."""
    return settings.passes + 1


def _asked(run: Run) -> RunSettings:
    """The settings that a link asks for: the steps of a branch are counted from the start, as its form has them."""
    settings = run.request.settings
    grown = run.prefix if run.request.kind == "branch" else 0
    return settings.having(steps=min(settings.steps + grown, int(limits.CONTROLS["steps"].high)))


def _weight(run: Run) -> int:
    return max(_cost(_asked(run)), len(run.records))


def _entry(run: Run, parent: Run | None, at: int | None) -> list[Any]:
    """One entry; `at` is the step that the next entry grew from."""
    request, kind = run.request, run.request.kind
    told = _by_name(_asked(run))
    if kind not in CARVED:
        tokens = run.records[-1 if at is None else at].tokens
        return ["given", request.prompt, told, 0, ["t", _ids(tokens, run.vocab)], "", 0]
    # the next entry of a "given" picture starts from its only step
    grew = request.parent[1] if parent and request.parent and parent.request.kind in CARVED else 0
    base = np.full(run.cells, run.vocab) if parent is None else parent.record(_step(parent, request)).tokens
    start = base if request.tokens is None else request.tokens
    where = np.flatnonzero(start != base)
    change: list[Any] = []
    if len(where) > run.cells // 2:
        change = ["t", _ids(start, run.vocab)]
    elif len(where):
        change = ["d", _ids(np.stack([where, start[where]], 1), run.vocab)]
    locked = "" if request.locked is None else _written(np.packbits(request.locked).tobytes())
    # stopped, failed, or left behind by a connection that was lost: the link tells no more than there was to see
    shown = 0 if run.state == "done" else len(run.records) - run.prefix
    return [kind, request.prompt, told, grew, change, locked, shown]


def _by_name(settings: RunSettings) -> dict[str, Any]:
    """The settings as a link names them: those of the first links in their order, and then the others."""
    told = settings.sampler()
    order = [*FIRST, *(name for name in told if name not in FIRST)]
    return {name: told[name] for name in order if name in told}


def _step(parent: Run, request: Request) -> int:
    return request.parent[1] if request.parent and request.parent[0] == parent.id else 0


def _ids(values: Any, vocab: int) -> str:
    return _written(np.ascontiguousarray(values, _id_type(vocab)).tobytes())


def _id_type(vocab: int) -> str:
    return "<u2" if vocab < 2**16 else "<u4"


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii")


# ---- link -> run --------------------------------------------------------------------------------------------


def decode(value: Any, grid: tuple[int, int], vocab: int, here: MadeBy | None = None) -> Link:
    """The checked chain of a link; Refused with one sentence when anything is out of place.

    `value` is the hash with or without #, or the whole address; what others have hung behind it is left aside.
    `here` is the opened model.
    """
    cells = grid[0] * grid[1]
    found = LINK.match(value[: 2 * most_characters(cells)]) if isinstance(value, str) else None
    if found is None:
        raise Refused("This is no link to a Chisel run.")
    version, text = int(found[1]), found[2]
    if version > 2:
        raise Refused(NEWER)
    if version < 1 or len(text) > most_characters(cells):
        raise Refused(BROKEN)
    data = opened(text, version, most_json(cells))
    try:
        model, said, raw = data["m"], data["f"], data["r"]
        by = MadeBy.told(data["by"]) if "by" in data else None
    except (KeyError, TypeError, ValueError):
        raise Refused(BROKEN) from None
    if not isinstance(said, str) or len(said) != 8 or not isinstance(raw, list):
        raise Refused(BROKEN)
    if model != [*grid, vocab] or not same_model(by, here):
        raise Refused(another("This link", by))
    if not 1 <= len(raw) <= MAX_ENTRIES:
        raise Refused(BROKEN)
    entries = tuple(_checked(entry, version, i == 0, cells, vocab) for i, entry in enumerate(raw))
    if sum(_cost(e.settings) for e in entries if e.kind in CARVED) > MAX_STEPS:
        raise Refused("This link asks for too many steps.")
    return Link(entries, said)


def same_model(by: MadeBy | None, here: MadeBy | None) -> bool:
    """False where two models are known and they differ."""
    return by is None or here is None or by.fingerprint == here.fingerprint


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


def _checked(entry: Any, version: int, first: bool, cells: int, vocab: int) -> Entry:
    if not isinstance(entry, list) or len(entry) != 7:
        raise Refused(BROKEN)
    kind, prompt, told, at, change, locked, shown = entry
    if kind not in KINDS or (kind == "given" and not first):
        raise Refused(BROKEN)
    settings = _settings(prompt, _of_numbers(told) if version == 1 else _of_names(told))
    pairs = tokens = None
    if change != []:
        if not (isinstance(change, list) and len(change) == 2 and change[0] in ("d", "t")):
            raise Refused(BROKEN)
        ids = _array(change[1], _id_type(vocab)).astype(np.int64)
        if change[0] == "t":
            tokens = ids.astype(np.int32)
            wrong = len(ids) != cells or ids.max(initial=0) > vocab
        else:
            wrong = not ids.size or ids.size % 2 or ids.size > 2 * cells
            if not wrong:
                pairs = ids.reshape(-1, 2)
                wrong = pairs[:, 0].max() >= cells or pairs[:, 1].max() > vocab
                wrong = wrong or len(np.unique(pairs[:, 0])) != len(pairs)
        if wrong:
            raise Refused(BROKEN)
    if kind == "given" and tokens is None:
        raise Refused(BROKEN)
    held = None
    if locked != "":
        bits = _array(locked, "u1")
        if len(bits) != (cells + 7) // 8:
            raise Refused(BROKEN)
        held = np.unpackbits(bits)[:cells].astype(bool)
    for number in (at, shown):
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_STEPS:
            raise Refused(BROKEN)
    return Entry(kind, settings, at, pairs, tokens, held, shown)


def _of_numbers(told: Any) -> dict[str, Any]:
    """The settings of a c1= link by name."""
    if not isinstance(told, list) or len(told) != len(C1):
        raise Refused(BROKEN)
    return {name: _picked(value, table) for value, (name, table) in zip(told, C1, strict=True)}


def _picked(value: Any, table: tuple[str, ...] | None) -> Any:
    if table is None:
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(table):
        raise Refused(BROKEN)
    return table[value]


def _of_names(told: Any) -> dict[str, Any]:
    """The settings of a c2= link, the first all there; a name that is not known here is a newer version's."""
    if not isinstance(told, dict) or not all(name in told for name in FIRST):
        raise Refused(BROKEN)
    if not all(name == "seed" or name in SETTINGS for name in told):
        raise Refused(NEWER)
    return told


def _settings(prompt: Any, told: dict[str, Any]) -> RunSettings:
    chosen = {name: limits.taken(name, told[name]) for name in SETTINGS if name in told}
    seed = int(limits.number(told["seed"], limits.SEED_CONTROL))
    return RunSettings(limits.prompt(prompt), seed, chosen)


def _array(text: Any, dtype: str) -> np.ndarray:
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii"))
    except (AttributeError, ValueError, binascii.Error):
        raise Refused(BROKEN) from None
    if len(data) % np.dtype(dtype).itemsize:
        raise Refused(BROKEN)
    return np.frombuffer(data, dtype)
