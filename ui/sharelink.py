"""A run as the hash of an address: what was asked, its branches and edits, compact enough to be sent in a message.

    #c1=<base64url of deflated JSON>

    {"m": [h, w, V], "f": digest of the last tokens, "r": [entry, ...]}
    entry = [kind, prompt, settings, at, change, locked, shown]

The entries are a chain: each grew from step `at` of the one before, its tokens altered by `change`; the first
starts from masks. `change` is [] or ["d", base64 of (cell, token) pairs] or ["t", base64 of all tokens]; `locked` is
"" or base64 of bits; `shown` is how many steps were carved when Stop was pressed, else 0. Settings are all
written out, so that a link does not change its meaning when a default does. Nothing is kept on the server: the
link is the whole recipe, carved anew by whoever opens it. What arrives is hostile until each value was checked.
"""

import base64
import binascii
import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ui import asks, limits
from ui.limits import Refused, RunSettings
from ui.runs import Request, Run, Store

PREFIX = "c1="
MAX_CHARACTERS = 6000
MAX_JSON = 48 * 2**10
MAX_ENTRIES = 12
MAX_STEPS = 256  # of the whole chain: what opening a link may cost
CARVED = ("generate", "repaint", "heal", "branch")
KINDS = (
    *CARVED,
    "given",
)  # "given": tokens as they are, for pictures that were uploaded or opened from a file
BROKEN = "This link is damaged or was cut off: ask for it again."
OTHER_MODEL = "This link was made with another model, whose tokens mean something else here."


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


def digest(tokens: Any) -> str:
    """Eight hex digits of final tokens: tells whether a rebuilt run is the one that was shared."""
    return hashlib.sha256(np.ascontiguousarray(tokens, "<i4").tobytes()).hexdigest()[:8]


# ---- run -> link --------------------------------------------------------------------------------------------


def encode(run: Run, store: Store) -> str:
    """The hash (without #) that rebuilds `run`; Refused where it would not fit an address."""
    chain = _ancestors(run, store)
    entries = []
    for i, (one, parent) in enumerate(zip(chain, [None, *chain], strict=False)):
        last = i == len(chain) - 1
        at = None if last else chain[i + 1].request.parent[1]
        entries.append(_entry(one, parent, at))
    data = {"m": [*run.grid, run.vocab], "f": digest(run.records[-1].tokens), "r": entries}
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    link = PREFIX + _written(packer.compress(text) + packer.flush()).rstrip("=")
    if len(link) > MAX_CHARACTERS:
        raise Refused("This run is too long for a link: save it as a replay page or as JSON instead.")
    return link


def _ancestors(run: Run, store: Store) -> list[Run]:
    """The run and what it grew from, oldest first, as far back as is known and a link may cost."""
    chain, steps = [run], len(run.records)
    while chain[0].request.kind in CARVED and chain[0].request.parent and len(chain) < MAX_ENTRIES:
        try:
            parent = store.get(chain[0].request.parent[0])
        except Refused:
            break
        steps += len(parent.records)
        if steps > MAX_STEPS:
            break
        chain.insert(0, parent)
    return chain


def _entry(run: Run, parent: Run | None, at: int | None) -> list[Any]:
    """One entry; `at` is the step that the next entry grew from."""
    request, s = run.request, run.request.settings
    kind = request.kind
    steps = s.steps
    if kind == "branch" and run.prefix:
        steps = min(s.steps + run.prefix, int(limits.STEPS.high))
    numbers = [s.seed, steps, s.guidance, s.temperature, limits.ORDERS.index(s.order)]
    numbers += [limits.SCHEDULES.index(s.schedule), s.gumbel, ("off", *limits.EDIT_MODES).index(s.edit)]
    numbers += [s.edit_threshold, s.edit_margin, s.edit_budget, s.polish]
    if kind not in CARVED:
        tokens = run.records[-1 if at is None else at].tokens
        return ["given", request.prompt, numbers, 0, ["t", _ids(tokens, run.vocab)], "", 0]
    # the next entry of a "given" picture starts from its only step
    grew = request.parent[1] if parent is not None and parent.request.kind in CARVED else 0
    base = np.full(run.cells, run.vocab) if parent is None else parent.record(_step(parent, request)).tokens
    start = base if request.tokens is None else request.tokens
    where = np.flatnonzero(start != base)
    change: list[Any] = []
    if len(where) > run.cells // 2:
        change = ["t", _ids(start, run.vocab)]
    elif len(where):
        change = ["d", _ids(np.stack([where, start[where]], 1), run.vocab)]
    locked = "" if request.locked is None else _written(np.packbits(request.locked).tobytes())
    shown = len(run.records) - run.prefix if run.state == "stopped" else 0
    return [kind, request.prompt, numbers, grew, change, locked, shown]


def _step(parent: Run, request: Request) -> int:
    return request.parent[1] if request.parent and request.parent[0] == parent.id else 0


def _ids(values: Any, vocab: int) -> str:
    return _written(np.ascontiguousarray(values, _id_type(vocab)).tobytes())


def _id_type(vocab: int) -> str:
    return "<u2" if vocab < 2**16 else "<u4"


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii")


# ---- link -> run --------------------------------------------------------------------------------------------


def decode(value: Any, grid: tuple[int, int], vocab: int) -> Link:
    """The checked chain of a link (with or without #); Refused with one sentence when anything is out of place."""
    if not isinstance(value, str) or not value.lstrip("#").startswith(PREFIX):
        raise Refused("This is no link to a Chisel run.")
    if len(value) > MAX_CHARACTERS:
        raise Refused(BROKEN)
    data = _opened(value.lstrip("#")[len(PREFIX) :])
    try:
        model, said, raw = data["m"], data["f"], data["r"]
    except (KeyError, TypeError):
        raise Refused(BROKEN) from None
    if not isinstance(said, str) or len(said) != 8 or not isinstance(raw, list):
        raise Refused(BROKEN)
    if model != [*grid, vocab]:
        raise Refused(OTHER_MODEL)
    if not 1 <= len(raw) <= MAX_ENTRIES:
        raise Refused(BROKEN)
    entries = tuple(_checked(entry, i == 0, grid[0] * grid[1], vocab) for i, entry in enumerate(raw))
    if sum(e.settings.steps + e.settings.polish + 1 for e in entries if e.kind in CARVED) > 2 * MAX_STEPS:
        raise Refused("This link asks for too many steps.")
    return Link(entries, said)


def _opened(text: str) -> Any:
    """The JSON inside; what unpacks to more than MAX_JSON bytes is refused while it unpacks."""
    try:
        packed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        opener = zlib.decompressobj(-15)
        data = opener.decompress(packed, MAX_JSON)
        if not opener.eof:
            raise Refused(BROKEN)
        return json.loads(data)
    except (ValueError, binascii.Error, zlib.error, RecursionError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(BROKEN) from None


def _checked(entry: Any, first: bool, cells: int, vocab: int) -> Entry:
    if not isinstance(entry, list) or len(entry) != 7:
        raise Refused(BROKEN)
    kind, prompt, numbers, at, change, locked, shown = entry
    if kind not in KINDS or (kind == "given" and not first):
        raise Refused(BROKEN)
    if not isinstance(numbers, list) or len(numbers) != 12:
        raise Refused(BROKEN)
    edits = ("off", *limits.EDIT_MODES)
    order, schedule = _picked(numbers[4], limits.ORDERS), _picked(numbers[5], limits.SCHEDULES)
    edit = _picked(numbers[7], edits)
    mode = limits.EDIT_MODES[0] if edit == "off" else edit
    settings = limits.check_run(
        prompt, *numbers[:3], edit != "off", numbers[3], order, schedule, numbers[6], mode, *numbers[8:]
    )
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
            pairs = None if wrong else ids.reshape(-1, 2)
            wrong = wrong or pairs[:, 0].max() >= cells or pairs[:, 1].max() > vocab
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


def _picked(index: Any, names: tuple[str, ...]) -> str:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(names):
        raise Refused(BROKEN)
    return names[index]


def _array(text: Any, dtype: str) -> np.ndarray:
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii"))
    except (AttributeError, ValueError, binascii.Error):
        raise Refused(BROKEN) from None
    if len(data) % np.dtype(dtype).itemsize:
        raise Refused(BROKEN)
    return np.frombuffer(data, dtype)
