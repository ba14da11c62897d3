"""The token inspector's look-ups on the server; its panel is inspector/inspector.html and inspector/lookup.js.

A look-up names a run by its unguessable id, a step and a cell. The forward pass behind a step is computed once and
kept for a while, so that a second cell of the same step answers at once.
"""

import base64
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mdm_core.explain import attention
from mdm_core.explain import outlook as core
from ui.server.form import Refused
from ui.server.frames import fixed_point, pack
from ui.server.runs import Run
from ui.server.studio import answered

TOP = 8  # candidates shown
GROUP_SHOWN = 16  # tokens of a group that come with their patch, and so are shown
BYTES_KEPT = 16 * 2**20  # of forward passes, whatever the model's grid and width; the newest is always kept
MOST_SHARES = 2**19  # of attention in one answer: 128 layers of 64x64 cells, 1.4 MB
WAIT_S = 3.0  # how long a look-up waits for the others before it gives up
BUSY = "Many people are looking at tokens right now: try again in a moment."


class Lookups:
    """Forward passes behind the steps of runs, a few of them kept; one is computed at a time."""

    def __init__(self, studio: Any) -> None:
        self.studio = studio
        self._passes: OrderedDict[tuple[str, int, bool], core.Outlook] = OrderedDict()
        self._lock = threading.Lock()

    def outlook(self, run: Run, step: int, guided: bool = True) -> core.Outlook:
        """The forward pass that `step` of `run` was decided on; unguided as training sees it."""
        run, seen, guidance = self.behind(run, step)
        return self.kept((run.id, max(step, 1), guided), run.prompt, seen, guidance if guided else 0.0)

    def behind(self, run: Run, step: int) -> tuple[Run, np.ndarray, float]:
        """The run in which `step` was decided, the tokens [h, w] that it was decided on, and the guidance."""
        run.record(step)
        if (run.grid, run.vocab) != (tuple(self.studio.pipe.grid), self.studio.pipe.vocab_size):
            raise Refused("This picture was made by another model, which is not open here.")
        # the first steps of a branch were decided in the run that it grew from
        if run.request.parent and 0 < step <= run.prefix:
            return self.behind(self.studio.store.get(run.request.parent[0]), step)
        seen: np.ndarray = run.records[max(step - 1, 0)].tokens.reshape(run.grid)
        return run, seen, float(run.request.sampler()["guidance"])

    def kept(self, key: tuple[str, int, bool], prompt: str, tokens: Any, guidance: float) -> core.Outlook:
        """The pass kept under `key`, or else a new one over `tokens` [h, w]."""
        with self._alone():
            if key not in self._passes:
                self._passes[key] = core.outlook(self.studio.pipe, prompt, tokens, guidance)
                held = sum(seen.hidden.nbytes for seen in self._passes.values())
                while held > BYTES_KEPT and len(self._passes) > 1:
                    _, oldest = self._passes.popitem(last=False)
                    held -= oldest.hidden.nbytes
            self._passes.move_to_end(key)
            return self._passes[key]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One look at a time; Refused where the others take too long."""
        if not self._lock.acquire(timeout=WAIT_S):
            raise Refused(BUSY)
        try:
            yield
        finally:
            self._lock.release()

    def find(self, data: Any) -> tuple[Run, int, int]:
        """{"run": id, "step": k, "cell": c} as run, step and cell; Refused where there is none such."""
        data = data if isinstance(data, dict) else {}
        run = self.studio.store.get(data.get("run"))
        run.record(data.get("step"))
        return run, data["step"], whole(data.get("cell"), run.cells - 1, "cell")

    def token(self, data: Any) -> dict[str, Any]:
        """One cell at one step: its likeliest tokens and its group, with probabilities and patches.

        {"run", "step", "cell"} -> {"p", "entropy", "token", "centre", "top": [[id, p], ...],
        "group": [[id, p], ...], "mass", "patches": {id: base64 of uint8 [p, p, 3]}}
        """
        run, step, cell = self.find(data)
        pipe, record = self.studio.pipe, run.records[step]
        size = core.usual_size(pipe)
        groups = core.code_groups(pipe, size) if size else None
        top = min(TOP, run.vocab)
        told = self.outlook(run, step).candidates(cell, int(record.tokens[cell]), top, groups)
        ids = list(dict.fromkeys([*told.ids.tolist(), *told.group[:GROUP_SHOWN].tolist(), told.centre]))
        return {
            "run": run.id,
            "step": step,
            "cell": cell,
            "token": told.token,
            "p": told.p,
            "entropy": told.entropy,
            "top": pairs(told.ids, told.probabilities),
            "centre": told.centre,
            "group": pairs(told.group, told.group_probabilities),
            "mass": told.group_mass,
            "patches": patches(ids, core.patches_in_place(pipe, record.tokens, cell, ids)),
        }

    def attention(self, data: Any) -> dict[str, Any]:
        """Where one cell looked in the pass that a step was decided on, see `mdm_core.explain.attention`.

        {"run", "step", "cell"} -> {"names": [word, ...], "words": u16 [n * m], "rest": u16 [n], "cells": u16 [n * L]},
        a row for each of n layers, each row in shares of 65,535 of its largest entry of the three, which is in "most":
        [n] numbers from 0 to 1.
        """
        run, step, cell = self.find(data)
        if not attention.able(self.studio.pipe):
            raise Refused("This model does not tell where it looks.")
        made, seen, guidance = self.behind(run, step)
        with self._alone():
            told = attention.attention(self.studio.pipe, made.prompt, seen, cell, guidance)
        if told.cells.size > MOST_SHARES:
            raise Refused("This model is too large to show where it looks.")
        rows = np.concatenate([told.words, told.rest[:, None], told.cells], 1)  # [n, m + 1 + L]
        most = rows.max(1)
        packed = fixed_point(rows / most[:, None], 65535.0)
        m = len(told.names)
        return {
            "run": run.id,
            "step": step,
            "cell": cell,
            "names": list(told.names),
            "most": most.tolist(),
            "words": pack(packed[:, :m], "<u2"),
            "rest": pack(packed[:, m], "<u2"),
            "cells": pack(packed[:, m + 1 :], "<u2"),
        }


def of(studio: Any) -> Lookups:
    """The studio's one set of look-ups: the inspector and the Learn task share the passes it keeps."""
    if getattr(studio, "lookups", None) is None:
        studio.lookups = Lookups(studio)
    return studio.lookups


def functions(studio: Any) -> list[Callable[..., Any]]:
    """What inspector/lookup.js may call as `server.name(argument)`; see `ui.server.studio.Studio.functions`."""
    lookups = of(studio)

    def look_up(data: Any) -> dict[str, Any]:
        """See `Lookups.token`."""
        return answered(lambda: lookups.token(data))

    return [look_up]


def whole(value: Any, last: int, name: str) -> int:
    """`value` as a whole number of 0..last; Refused otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= last:
        raise Refused(f"The {name} must be a whole number from 0 to {last:,}.")
    return value


def pairs(ids: np.ndarray, probabilities: np.ndarray) -> list[list[float]]:
    """[[id, p], ...] for the wire."""
    return [[int(i), round(float(p), 7)] for i, p in zip(ids, probabilities, strict=True)]


def patches(ids: Iterable[int], pixels: np.ndarray) -> dict[str, str]:
    """Patches uint8 [n, p, p, 3] by token id, each as base64: 4 characters a pixel."""
    coded = (base64.b64encode(np.ascontiguousarray(p).tobytes()).decode("ascii") for p in pixels)
    return {str(int(i)): c for i, c in zip(ids, coded, strict=True)}
