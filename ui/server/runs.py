"""Runs as the server keeps them: what was asked, every step as it came, found again by an unguessable id.

A run is fully given by its `Request`: the same request on the same weights carves the same steps. Everything
that a visitor does later (edit, branch, compare, look up a token, export) names a run's id and a step, and is
checked against what stands here. Ids have 96 random bits, so knowing one is the right to use it; what is not
used for long is forgotten first.
"""

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdm_core.diffusion.trajectory import MadeBy, most_bytes
from mdm_core.settings import HEAL
from ui.server.form import Refused, RunSettings

KINDS = ("generate", "repaint", "heal", "branch", "upload", "opened", "hand")
ROLES = ("main", "beside", "variation")
RUNS_KEPT = 400
RUNS_A_TAB = 48
BYTES_KEPT = 96 * 2**20
MAX_RECORDS = 160  # of one run, with the steps that it took over: more are neither carved nor opened
LEAST_JSON, MOST_JSON = 4 * 2**20, 64 * 2**20  # bounds of what a saved run may weigh, whatever the grid
FORGOTTEN = "This picture is no longer kept on the server, it was too long ago: make it again with Generate."


def largest_run(grid: tuple[int, int]) -> int:
    """Bytes that a saved run may have: as many as the longest run on this grid takes."""
    return min(max(most_bytes(grid[0] * grid[1], MAX_RECORDS), LEAST_JSON), MOST_JSON)


def largest_body(grid: tuple[int, int]) -> int:
    """Bytes of the request that brings the largest saved run: base64, and the JSON around it."""
    return 4 * -(-largest_run(grid) // 3) + 2**16


@dataclass(frozen=True)
class Request:
    """All that a run depends on besides the weights.

    tokens int32 [L] is where it starts (V marks cells to be made; None: everything masked), locked bool [L]
    never change, region bool [L] may change (None: all). parent is the (run id, step) that it grew from.
    """

    kind: str
    settings: RunSettings
    tokens: np.ndarray | None = None
    locked: np.ndarray | None = None
    region: np.ndarray | None = None
    parent: tuple[str, int] | None = None

    @property
    def prompt(self) -> str:
        return self.settings.prompt

    @property
    def seed(self) -> int:
        return self.settings.seed

    def sampler(self) -> dict[str, Any]:
        """The keywords of `Pipeline.stream`, start tokens and locks excepted."""
        return {**self.settings.sampler(), **(HEAL if self.kind == "heal" else {})}

    def stream(self, pipe: Any) -> Any:
        """The records of this request, as the pipeline makes them."""
        grid = tuple(pipe.grid)

        def shaped(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array.reshape(grid)

        given = {"tokens": self.tokens, "locked": self.locked, "region": self.region}
        given = {name: shaped(array) for name, array in given.items() if array is not None}
        return pipe.stream(self.prompt, **self.sampler(), **given)


@dataclass
class Run:
    """One run: its request, its records so far, and the frames of the wire while it streams."""

    request: Request
    grid: tuple[int, int]
    vocab: int
    role: str = "main"
    session: str = ""
    planned: int = 0
    made_by: MadeBy | None = None  # the model whose tokens these are
    prefix: int = 0  # this many first steps are the parent's own, see `branch`
    ground: Any = None  # picture.Ground: the uploaded picture under the tokens
    heats: tuple[
        float | None, ...
    ] = ()  # of a run decided by hand: each step's temperature, None for its own
    state: str = "running"
    whole: bool = False  # it came to its end by itself, whatever was pressed meanwhile
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    started: float = field(default_factory=time.perf_counter)
    records: list[Any] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)

    @property
    def prompt(self) -> str:
        return self.request.prompt

    @property
    def seed(self) -> int:
        return self.request.seed

    @property
    def cells(self) -> int:
        return self.grid[0] * self.grid[1]

    def elapsed_ms(self) -> int:
        """Milliseconds since the run was accepted."""
        return round((time.perf_counter() - self.started) * 1000)

    def record(self, step: Any) -> Any:
        """The record of one step; Refused when there is none such."""
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < len(self.records):
            raise Refused(f"This picture has the steps 0 to {len(self.records) - 1}.")
        return self.records[step]

    def size(self) -> int:
        """Bytes held, about."""
        arrays = sum(
            r.tokens.nbytes
            + r.committed.nbytes
            + r.edited.nbytes
            + r.confidence.nbytes
            + r.entropy.nbytes
            + 900
            for r in self.records
        )
        ground = 0 if self.ground is None else self.ground.width * self.ground.height * 3
        return arrays + ground + sum(len(f.get("image") or "") for f in self.frames) + 2048


class Store:
    """The runs of all visitors, the longest unused forgotten first: bounded in number, in bytes, and a tab."""

    def __init__(self, runs: int = RUNS_KEPT, runs_a_tab: int = RUNS_A_TAB, size: int = BYTES_KEPT) -> None:
        self.most, self.most_a_tab, self.most_bytes = runs, runs_a_tab, size
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._runs)

    def keep(self, run: Run) -> Run:
        """Keeps `run`, and forgets what no longer has room."""
        with self._lock:
            self._runs[run.id] = run
            self._runs.move_to_end(run.id)
            mine = [r for r in self._runs.values() if run.session and r.session == run.session]
            for old in mine[: max(len(mine) - self.most_a_tab, 0)]:
                del self._runs[old.id]
            held = sum(r.size() for r in self._runs.values())
            while len(self._runs) > 1 and (len(self._runs) > self.most or held > self.most_bytes):
                _, old = self._runs.popitem(last=False)
                held -= old.size()
        return run

    def get(self, run_id: Any) -> Run:
        """The run with this id; Refused when it is unknown, and nobody learns whether it ever was."""
        with self._lock:
            run = self._runs.get(run_id) if isinstance(run_id, str) else None
            if run is None:
                raise Refused(FORGOTTEN)
            self._runs.move_to_end(run.id)
            return run

    def forget(self, run: Run) -> None:
        """Drops a run that never showed anything."""
        with self._lock:
            self._runs.pop(run.id, None)
