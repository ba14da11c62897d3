"""The record of a run: every step's tokens, commits, edits and confidences; saved as JSON, replayed without a model."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mdm_core.checks import own
from mdm_core.paths import located
from mdm_core.settings import MOST_PASSES

FORMAT = "chisel-trajectory"
FORMAT_VERSION = 1
MAX_NAME = 60  # characters of a model's name that are kept
PHASES = ("start", "unmask", "polish")
MAX_SIDE = 256  # of the grid
MAX_RECORDS = 1 + MOST_PASSES  # the start, and as many steps and polish passes as the sampler takes


def most_bytes(cells: int, records: int) -> int:
    """The most that the JSON of a run may weigh, in bytes: every cell committed and edited at every step.

    A cell of a record takes 13 bytes for its token, confidence, entropy and lock, 4 more where it was committed and
    12 where it was edited; base64 makes 4 of 3. Names and figures around them are 400 bytes a record, prompt and
    settings 16 KiB.
    """
    return records * (4 * -(-(13 + 4 + 12) * cells // 3) + 400) + 2**14


MAX_FILE_BYTES = most_bytes(MAX_SIDE**2, MAX_RECORDS)  # no run of ours weighs more


class MadeBy(NamedTuple):
    """The model that a run was made with: its name for people, and the fingerprint of its weights and lattice."""

    name: str
    fingerprint: str  # 16 hex digits

    @classmethod
    def of(cls, facts: Any) -> MadeBy | None:
        """From the facts of an opened model (`mdm_core.facts`); None where they hold no fingerprint."""
        if facts is None or not facts.fingerprint:
            return None
        return cls.told([facts.name, facts.fingerprint])

    @classmethod
    def told(cls, value: Any) -> MadeBy:
        """From [name, fingerprint] of a file or a link; ValueError where it is no such pair."""
        if (
            not isinstance(value, list | tuple)
            or len(value) != 2
            or not all(isinstance(v, str) for v in value)
        ):
            raise ValueError("the model that made it must be a name and a fingerprint")
        if not re.fullmatch("[0-9a-f]{16}", value[1]):
            raise ValueError("the fingerprint of a model must be 16 hex digits")
        name = " ".join("".join(c if c.isprintable() else " " for c in value[0][: 4 * MAX_NAME]).split())
        return cls(name[:MAX_NAME], value[1])

    def __str__(self) -> str:
        return f"“{self.name}” ({self.fingerprint})" if self.name else f"({self.fingerprint})"


@dataclass(frozen=True)
class StepRecord:
    """What one step of the sampler did to one image. L = grid height x width; ids up to V, where V means masked."""

    step: int  # 0 is the start state
    phase: str  # one of PHASES
    tokens: np.ndarray  # int32 [L], after the step
    committed: np.ndarray  # int32 [n], positions that this step unmasked
    edited: np.ndarray  # int32 [m, 3], rows (position, from, to); to == V for a remask
    confidence: np.ndarray  # float32 [L], p(token) at T=1; for a masked position p of the best candidate
    entropy: np.ndarray  # float32 [L], nats
    locked: np.ndarray  # bool [L]
    steps_planned: int  # unmasking steps asked for


@dataclass
class Trajectory:
    """All records of one run, with what is needed to understand and repeat it."""

    prompt: str
    settings: dict[str, Any]
    grid: tuple[int, int]
    vocab_size: int
    records: list[StepRecord] = field(default_factory=list)
    # tokens [h, w] -> PIL image
    decoder: Callable[[np.ndarray], Any] | None = field(default=None, repr=False, compare=False)
    made_by: MadeBy | None = None  # None: nobody wrote it down

    @property
    def tokens(self) -> np.ndarray:
        """Final token grid, int32 [h, w]."""
        if not self.records:
            raise ValueError("this trajectory has no steps yet")
        return self.records[-1].tokens.reshape(self.grid)

    @property
    def image(self) -> Image.Image:
        """The final picture (PIL); needs a decoder, which a trajectory from a pipeline has."""
        return self.image_at(-1)

    def image_at(self, index: int) -> Image.Image:
        """The picture as decoded after record `index`; masked cells in the neutral mask colour."""
        if self.decoder is None:
            raise ValueError(
                "this trajectory was loaded without a model: set .decoder = pipeline.decode to see pictures"
            )
        if not self.records:
            raise ValueError("this trajectory has no steps yet")
        return self.decoder(self.records[index].tokens.reshape(self.grid))

    @property
    def n_edits(self) -> int:
        return sum(len(r.edited) for r in self.records)

    def history(self, position: int) -> list[tuple[int, str, int, float]]:
        """All that happened to one position: (step, "set" | "edited" | "remasked", token, confidence)."""
        if not 0 <= position < self.grid[0] * self.grid[1]:
            raise ValueError(f"position must be 0..{self.grid[0] * self.grid[1] - 1}, got {position}")
        out = []
        for r in self.records:
            if position in r.committed:
                out.append((r.step, "set", int(r.tokens[position]), float(r.confidence[position])))
            for _, _, to in r.edited[r.edited[:, 0] == position]:
                kind = "remasked" if to == self.vocab_size else "edited"
                out.append((r.step, kind, int(to), float(r.confidence[position])))
        return out

    # ---- JSON -------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; arrays are base64 of little-endian bytes, so a 12-step run is about 60 kB."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "prompt": self.prompt,
            "settings": self.settings,
            "grid": list(self.grid),
            "vocab_size": self.vocab_size,
            **({} if self.made_by is None else {"made_by": list(self.made_by)}),
            "records": [
                {
                    "step": r.step,
                    "phase": r.phase,
                    "tokens": _pack(r.tokens, "<i4"),
                    "committed": _pack(r.committed, "<i4"),
                    "edited": _pack(r.edited, "<i4"),
                    "confidence": _pack(r.confidence, "<f4"),
                    "entropy": _pack(r.entropy, "<f4"),
                    "locked": _pack(r.locked, "<u1"),
                    "steps_planned": r.steps_planned,
                }
                for r in self.records
            ],
        }

    @classmethod
    def from_json(cls, data: Any) -> Trajectory:
        """Rebuild from `to_json`'s dict; ValueError with one sentence when anything is out of place."""
        try:
            if data["format"] != FORMAT or data["format_version"] != FORMAT_VERSION:
                raise ValueError(f"it is not a {FORMAT} of version {FORMAT_VERSION}")
            h, w = (_integer(n, 1, MAX_SIDE, "grid") for n in data["grid"])
            vocab = _integer(data["vocab_size"], 2, 2**24, "vocab_size")
            if not isinstance(data["prompt"], str) or not isinstance(data["settings"], dict):
                raise ValueError("prompt or settings have the wrong type")
            records = [_record(r, h * w, vocab) for r in data["records"]]
            made_by = MadeBy.told(data["made_by"]) if "made_by" in data else None
            return cls(data["prompt"], data["settings"], (h, w), vocab, records, made_by=made_by)
        except (KeyError, TypeError) as error:
            missing = (
                f"it has no “{error.args[0]}”"
                if isinstance(error, KeyError)
                else "a part of it is of the wrong kind"
            )
            raise ValueError(f"this is no usable trajectory: {missing}") from error

    def save(self, path: str | Path) -> None:
        """Write the trajectory as JSON."""
        located(path).write_text(json.dumps(self.to_json(), default=own))

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Read a saved trajectory; no model is needed."""
        path = located(path)
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"it is larger than {MAX_FILE_BYTES // 2**20} MiB")
            return cls.from_json(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be opened as a trajectory: {error}") from error


def given(tokens: Any) -> StepRecord:
    """The only record of a picture that was not carved here: its tokens int32 [L], all of them certain."""
    tokens = np.asarray(tokens, np.int32).reshape(-1)
    zeros = np.zeros(len(tokens), np.float32)
    none = np.zeros(0, np.int32)
    return StepRecord(
        0, "start", tokens, none, np.zeros((0, 3), np.int32), zeros + 1, zeros, zeros.astype(bool), 0
    )


def _pack(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array).astype(dtype).tobytes()).decode("ascii")


def _unpack(text: Any, dtype: str, shape: tuple[int, ...], name: str) -> np.ndarray:
    if not isinstance(text, str):
        raise ValueError(f"{name} is not text")
    array = np.frombuffer(base64.b64decode(text, validate=True), dtype=dtype)
    known = int(np.prod([n for n in shape if n >= 0]))
    if (-1 not in shape and array.size != known) or (-1 in shape and array.size % max(known, 1)):
        raise ValueError(f"{name} has {array.size} values, which does not fit {shape}")
    return array.reshape(shape)


def _integer(value: Any, low: int, high: int, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}")
    return value


def _record(r: dict[str, Any], length: int, vocab: int) -> StepRecord:
    tokens = _unpack(r["tokens"], "<i4", (length,), "tokens")
    committed = _unpack(r["committed"], "<i4", (-1,), "committed")
    edited = _unpack(r["edited"], "<i4", (-1, 3), "edited")
    if r["phase"] not in PHASES:
        raise ValueError(f"phase must be one of {PHASES}")
    for ids, top, name in (
        (tokens, vocab, "tokens"),
        (committed, length - 1, "committed"),
        (edited[:, 0], length - 1, "edited positions"),
        (edited[:, 1:], vocab, "edited tokens"),
    ):
        if ids.size and (ids.min() < 0 or ids.max() > top):
            raise ValueError(f"{name} must lie in 0..{top}")
    return StepRecord(
        step=_integer(r["step"], 0, 10**6, "step"),
        phase=r["phase"],
        tokens=tokens,
        committed=committed,
        edited=edited,
        confidence=_unpack(r["confidence"], "<f4", (length,), "confidence"),
        entropy=_unpack(r["entropy"], "<f4", (length,), "entropy"),
        locked=_unpack(r["locked"], "<u1", (length,), "locked").astype(bool),
        steps_planned=_integer(r["steps_planned"], 0, 10**6, "steps_planned"),
    )
