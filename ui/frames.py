"""Step records packed for the browser, and the registry that lets Stop reach a run.

Wire format (version 1), one JSON message per yield of the generate event:

    {"v": 1, "run": id, "state": "running" | "done" | "stopped" | "failed", "seed": int, "prompt": str,
     "grid": [h, w], "vocab": V, "planned": steps, "frames": [frame, ...]}

    frame = {"k": index, "phase": "start" | "unmask" | "polish", "ms": elapsed, "image": data URI or "",
             "tokens": i32 [L], "set": u16 [n], "edited": i32 [m * 3], "p": u16 [L], "h": u16 [L],
             "locked": u8 [L]}

Arrays are base64 of little-endian values. `p` is a probability times 65,535, `h` an entropy in thousandths of
a nat, both clipped. A masked token is the value V. A running message carries its new frame and the few before
it (WINDOW in all), because a busy browser may merge two messages into one; the last message of a run repeats
all of them, so that a tab which slept through most of a run still ends with the whole.
"""

import base64
import io
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VERSION = 1
JPEG_QUALITY = 96
WINDOW = 3


def pack(values: Any, dtype: str) -> str:
    """Base64 of `values` as a flat little-endian array of `dtype`."""
    array = np.ascontiguousarray(np.asarray(values).reshape(-1), dtype=dtype)
    return base64.b64encode(array.tobytes()).decode("ascii")


def fixed_point(values: Any, scale: float) -> np.ndarray:
    """`values` times `scale`, rounded and clipped to 16 bits; anything that is not a number becomes 0."""
    array = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=65535.0, neginf=0.0)
    return np.clip(np.rint(array * scale), 0, 65535).astype(np.uint16)


def jpeg_uri(image: Any) -> str:
    """A PIL image as a JPEG data URI.

    Colour keeps its full resolution: flat art shows every smear, and JPEG's 8x8 blocks then are exactly the
    patches of the tokens, so the noise of one token never reaches the next.
    """
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def pack_record(record: Any, image_uri: str, elapsed_ms: int) -> dict[str, Any]:
    """One frame of the wire format from a StepRecord (arrays [L]) and the picture decoded at that step."""
    return {
        "k": int(record.step),
        "phase": str(record.phase),
        "ms": int(elapsed_ms),
        "image": image_uri,
        "tokens": pack(record.tokens, "<i4"),
        "set": pack(record.committed, "<u2"),
        "edited": pack(record.edited, "<i4"),
        "p": pack(fixed_point(record.confidence, 65535.0), "<u2"),
        "h": pack(fixed_point(record.entropy, 1000.0), "<u2"),
        "locked": pack(record.locked, "<u1"),
    }


@dataclass
class Run:
    """One run as the server sees it: its unguessable id, its frames so far, and the flag that Stop raises."""

    prompt: str
    seed: int
    planned: int
    grid: tuple[int, int]
    vocab: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    started: float = field(default_factory=time.perf_counter)
    frames: list[dict[str, Any]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def elapsed_ms(self) -> int:
        """Milliseconds since the run was accepted."""
        return round((time.perf_counter() - self.started) * 1000)

    def message(self, state: str) -> dict[str, Any]:
        """The message to send now: the newest frames while running, every frame in the last message."""
        return {
            "v": VERSION,
            "run": self.id,
            "state": state,
            "seed": self.seed,
            "prompt": self.prompt,
            "grid": list(self.grid),
            "vocab": self.vocab,
            "planned": self.planned,
            "frames": self.frames[-WINDOW:] if state == "running" else list(self.frames),
        }


class Registry:
    """Which run belongs to which tab. A tab has at most one; its entry leaves with the run."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._runs)

    def begin(self, session: str, run: Run) -> None:
        """Registers `run` for the tab `session`; a run of the same tab still going is told to stop."""
        with self._lock:
            before = self._runs.get(session)
            self._runs[session] = run
        if before is not None:
            before.stop.set()

    def stop(self, session: str) -> bool:
        """Raises the stop flag of the tab's run; False when it has none."""
        with self._lock:
            run = self._runs.get(session)
        if run is not None:
            run.stop.set()
        return run is not None

    def end(self, session: str, run: Run) -> None:
        """Forgets `run`; a newer run of the same tab is left alone."""
        with self._lock:
            if self._runs.get(session) is run:
                del self._runs[session]
