"""A run as the hash of an address: what was asked, its branches and edits, compact enough to be sent in a message.

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

A link that begins with c3= holds a second run to be put beside the first, and how both were looked at. To what c2=
says it adds {"b": [entry, ...], "g": digest of its last tokens, "w": [way, step]}. How all this is packed, and read
again, stands in `ui.export.envelope`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mdm_core.diffusion.trajectory import MadeBy
from mdm_core.settings import SETTINGS
from ui.export import envelope
from ui.export.envelope import BROKEN, MOST_RUNS, NEWER, array, digest, id_type, ids, read, written
from ui.server import asks
from ui.server import form as limits
from ui.server.form import Refused, RunSettings
from ui.server.runs import Request, Run, Store

PREFIX, PAIR = "c2=", "c3="
WAYS = ("side", "wipe", "difference")  # to look at two runs, see stage/beside
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
MAX_ENTRIES = MOST_RUNS
MAX_STEPS = 512  # of the whole chain, start states and polish passes among them: what opening a link may cost
CARVED = ("generate", "repaint", "heal", "branch")
# "given": tokens as they are, for pictures that were uploaded or opened from a file
KINDS = (*CARVED, "given")
TOO_LONG = "This run is too long for a link: save it as a replay page or as JSON instead."
TOO_LONG_PAIR = "These two runs are too long for one link: stop comparing, and copy the link of each."


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
    beside: "Link | None" = None  # what stands beside it
    seen: tuple[str, int] | None = None  # where there is such: how both are looked at, and at which step


# ---- run -> link --------------------------------------------------------------------------------------------


def encode_given(run: Run, tokens: np.ndarray) -> str:
    """The hash that shows `tokens` [L] as they stand, those of `run` with what was changed by hand."""
    return _told(run, _given(run, tokens), tokens)


def _given(run: Run, tokens: np.ndarray) -> list[Any]:
    return [["given", run.prompt, by_name(_asked(run)), 0, ["t", ids(tokens, run.vocab)], "", 0]]


def encode(run: Run, store: Store) -> str:
    """The hash (without #) that rebuilds `run`; Refused where it would not fit an address."""
    return _told(run, _entries(run, store), run.records[-1].tokens)


def encode_pair(
    run: Run, beside: Run, seen: tuple[str, int], store: Store, tokens: np.ndarray | None = None
) -> str:
    """The hash that rebuilds two runs side by side; Refused where it would not fit an address.

    seen: how both are looked at, one of `WAYS`, and at which step. `tokens` [L] stand for `run`, where some were
    changed by hand.
    """
    first = _entries(run, store) if tokens is None else _given(run, tokens)
    more = {"b": _entries(beside, store), "g": digest(beside.records[-1].tokens), "w": list(seen)}
    return _told(run, first, run.records[-1].tokens if tokens is None else tokens, more)


def _entries(run: Run, store: Store) -> list[Any]:
    chain = _ancestors(run, store)
    entries = []
    for i, (one, parent) in enumerate(zip(chain, [None, *chain], strict=False)):
        grown = chain[i + 1].request.parent if i < len(chain) - 1 else None
        entries.append(_entry(one, parent, grown[1] if grown else None))
    return entries


def _told(run: Run, entries: list[Any], last: Any, more: dict[str, Any] | None = None) -> str:
    """`more`: of the run beside it."""
    data = {"m": [*run.grid, run.vocab], "f": digest(last), "r": entries, **(more or {})}
    if run.made_by is not None:
        data["by"] = list(run.made_by)
    prefix, words = (PREFIX, TOO_LONG) if more is None else (PAIR, TOO_LONG_PAIR)
    return envelope.addressed(data, run.cells, prefix, words)


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
    told = by_name(_asked(run))
    if kind not in CARVED:
        tokens = run.records[-1 if at is None else at].tokens
        return ["given", request.prompt, told, 0, ["t", ids(tokens, run.vocab)], "", 0]
    # the next entry of a "given" picture starts from its only step
    grew = request.parent[1] if parent and request.parent and parent.request.kind in CARVED else 0
    base = np.full(run.cells, run.vocab) if parent is None else parent.record(_step(parent, request)).tokens
    start = base if request.tokens is None else request.tokens
    where = np.flatnonzero(start != base)
    change: list[Any] = []
    if len(where) > run.cells // 2:
        change = ["t", ids(start, run.vocab)]
    elif len(where):
        change = ["d", ids(np.stack([where, start[where]], 1), run.vocab)]
    locked = "" if request.locked is None else written(np.packbits(request.locked).tobytes())
    # stopped, failed, or left behind by a connection that was lost: the link tells no more than there was to see
    shown = 0 if run.state == "done" else len(run.records) - run.prefix
    return [kind, request.prompt, told, grew, change, locked, shown]


def by_name(settings: RunSettings) -> dict[str, Any]:
    """The settings as a link names them: those of the first links in their order, and then the others."""
    told = settings.sampler()
    order = [*FIRST, *(name for name in told if name not in FIRST)]
    return {name: told[name] for name in order if name in told}


def _step(parent: Run, request: Request) -> int:
    return request.parent[1] if request.parent and request.parent[0] == parent.id else 0


# ---- link -> run --------------------------------------------------------------------------------------------


def decode(value: Any, grid: tuple[int, int], vocab: int, here: MadeBy | None = None) -> Link:
    """The checked runs of a link; Refused with one sentence when anything is out of place. See `envelope.read`."""
    version, data = read(value, grid, vocab, here)
    if version > 3:
        raise Refused("This link holds a game and no run: open it in the page.")
    cells = grid[0] * grid[1]
    try:
        first = (data["r"], data["f"])
        other = (data["b"], data["g"], *data["w"]) if version == 3 else None
    except (KeyError, TypeError):
        raise Refused(BROKEN) from None
    link = _chain(*first, version, cells, vocab)
    if other is None:
        return link
    if len(other) != 4 or other[2] not in WAYS:
        raise Refused(BROKEN)
    beside = _chain(*other[:2], version, cells, vocab)
    return Link(link.entries, link.digest, beside, (other[2], _step_number(other[3])))


def _chain(raw: Any, said: Any, version: int, cells: int, vocab: int) -> Link:
    """The entries that lead to one run."""
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_ENTRIES:
        raise Refused(BROKEN)
    entries = tuple(_checked(entry, version, i == 0, cells, vocab) for i, entry in enumerate(raw))
    if sum(_cost(e.settings) for e in entries if e.kind in CARVED) > MAX_STEPS:
        raise Refused("This link asks for too many steps.")
    return Link(entries, envelope.told_digest(said))


def _step_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_STEPS:
        raise Refused(BROKEN)
    return value


def _checked(entry: Any, version: int, first: bool, cells: int, vocab: int) -> Entry:
    if not isinstance(entry, list) or len(entry) != 7:
        raise Refused(BROKEN)
    kind, prompt, told, at, change, locked, shown = entry
    if kind not in KINDS or (kind == "given" and not first):
        raise Refused(BROKEN)
    settings = asked_for(prompt, _of_numbers(told) if version == 1 else of_names(told))
    pairs = tokens = None
    if change != []:
        if not (isinstance(change, list) and len(change) == 2 and change[0] in ("d", "t")):
            raise Refused(BROKEN)
        found = array(change[1], id_type(vocab)).astype(np.int64)
        if change[0] == "t":
            tokens = found.astype(np.int32)
            wrong = len(found) != cells or found.max(initial=0) > vocab
        else:
            wrong = not found.size or found.size % 2 or found.size > 2 * cells
            if not wrong:
                pairs = found.reshape(-1, 2)
                wrong = pairs[:, 0].max() >= cells or pairs[:, 1].max() > vocab
                wrong = wrong or len(np.unique(pairs[:, 0])) != len(pairs)
        if wrong:
            raise Refused(BROKEN)
    if kind == "given" and tokens is None:
        raise Refused(BROKEN)
    held = None
    if locked != "":
        bits = array(locked, "u1")
        if len(bits) != (cells + 7) // 8:
            raise Refused(BROKEN)
        held = np.unpackbits(bits)[:cells].astype(bool)
    return Entry(kind, settings, _step_number(at), pairs, tokens, held, _step_number(shown))


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


def of_names(told: Any) -> dict[str, Any]:
    """The settings of a c2= link, the first all there; a name that is not known here is a newer version's."""
    if not isinstance(told, dict) or not all(name in told for name in FIRST):
        raise Refused(BROKEN)
    if not all(name == "seed" or name in SETTINGS for name in told):
        raise Refused(NEWER)
    return told


def asked_for(prompt: Any, told: dict[str, Any]) -> RunSettings:
    """Prompt, seed and settings of a link, each one checked."""
    chosen = {name: limits.taken(name, told[name]) for name in SETTINGS if name in told}
    seed = int(limits.number(told["seed"], limits.SEED_CONTROL))
    return RunSettings(limits.prompt(prompt), seed, chosen)
