"""A game of "You are the sampler" as the hash of an address: what it was begun with, and every choice so far.

    {"m": [h, w, V], "by": [model's name, fingerprint], "p": prompt, "s": settings, "c": [choice, ...],
     "f": digest of the tokens that they led to}
    choice = [set, edited, sent back], or the same and a temperature other than the game's own

The three of a choice are "" or base64 of cells. The tokens are not told: whoever opens the link looks with the same
model, draws with the same seed, and so is offered the same. `settings` are those of `ui.export.sharelink`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mdm_core.diffusion.trajectory import MadeBy
from ui.export import envelope, sharelink
from ui.export.envelope import BROKEN, array, digest, id_type, ids, read
from ui.server import form as limits
from ui.server.form import Refused, RunSettings
from ui.server.runs import MAX_RECORDS, Run

PREFIX = "c4="
TOO_LONG = "This game is too long for a link: go back to an earlier step, and copy the link there."

Choice = tuple[float | None, list[list[int]]]  # temperature; cells to set, to edit, to send back


@dataclass(frozen=True)
class GameLink:
    """A checked link: what the game was begun with, the choices in their order, the digest of where they led."""

    settings: RunSettings
    choices: tuple[Choice, ...]
    digest: str


def encode(run: Run, steps: int | None = None) -> str:
    """The hash of the game as far as its first `steps` choices, None for all; Refused where it fits no address."""
    records = run.records if steps is None else run.records[: steps + 1]
    choices: list[list[Any]] = []
    for k, record in enumerate(records[1:]):
        cells, _, to = record.edited.T
        # a cell that the model itself would mask again is masked by either word
        parts = (record.committed, cells[to != run.vocab], cells[to == run.vocab])
        heat = run.heats[k] if k < len(run.heats) else None
        told = [ids(part, run.cells) if len(part) else "" for part in parts]
        choices.append(told if heat is None else [*told, heat])
    data = {
        "m": [*run.grid, run.vocab],
        "f": digest(records[-1].tokens),
        "p": run.prompt,
        "s": sharelink.by_name(run.request.settings),
        "c": choices,
    }
    if run.made_by is not None:
        data["by"] = list(run.made_by)
    return envelope.addressed(data, run.cells, PREFIX, TOO_LONG)


def decode(value: Any, grid: tuple[int, int], vocab: int, here: MadeBy | None = None) -> GameLink:
    """The checked game of a link; Refused with one sentence when anything is out of place. See `envelope.read`."""
    version, data = read(value, grid, vocab, here)
    if version != 4:
        raise Refused("This link holds no game: open it in Create.")
    try:
        prompt, told, raw, said = data["p"], data["s"], data["c"], data["f"]
    except KeyError:
        raise Refused(BROKEN) from None
    if not isinstance(raw, list) or len(raw) >= MAX_RECORDS:
        raise Refused(BROKEN)
    settings = sharelink.asked_for(prompt, sharelink.of_names(told))
    choices = tuple(_choice(one, grid[0] * grid[1]) for one in raw)
    return GameLink(settings, choices, envelope.told_digest(said))


def _choice(raw: Any, cells: int) -> Choice:
    if not isinstance(raw, list) or len(raw) not in (3, 4):
        raise Refused(BROKEN)
    parts = []
    for part in raw[:3]:
        found = array(part, id_type(cells))
        if len(found) > cells or len(np.unique(found)) != len(found) or found.max(initial=0) >= cells:
            raise Refused(BROKEN)
        parts.append(found.tolist())
    heat = limits.taken("temperature", raw[3]) if len(raw) == 4 else None
    return heat, parts
