"""The studio without a browser, for tests: good input, a pipeline of three steps, a tab, runs carved and edited."""

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ui.server import asks
from ui.server import form as limits

VOCAB = 16384

GOOD = {
    "text": "a panda",
    "seed": 7,
    "steps": 12,
    "guidance": 3,
    "editing": True,
    "temperature": 1,
    "order": "confidence",
    "schedule": "cosine",
    "gumbel": 4,
    "edit_mode": "overwrite",
    "edit_threshold": 0.6,
    "edit_margin": 0,
    "edit_budget": 0.05,
    "polish": 2,
}


XSS = (
    "<script>window.hacked=1</script>",
    "</script><img src=x onerror='window.hacked=1'>",
    '"><svg onload=window.hacked=1>',
    "javascript:window.hacked=1",
    "${window.hacked=1} {{window.hacked=1}}",
    "<!-- run --> /* scripts */ <!-- title -->",
    "]]>--><script>window.hacked=1</script>",
    "&lt;script&gt; \u2028\u2029 \u202e",
    "../../etc/passwd\\..\\con .png",
)


@dataclass
class Record:
    """A stand-in for mdm_core's StepRecord with the fields that the page reads."""

    step: int
    phase: str
    tokens: np.ndarray
    committed: np.ndarray
    edited: np.ndarray
    confidence: np.ndarray
    entropy: np.ndarray
    locked: np.ndarray
    steps_planned: int = 2


def record(step: int, masked: int) -> Record:
    """A record of 256 tokens with the first `masked` of them masked."""
    tokens = np.arange(256, dtype=np.int32)
    tokens[:masked] = VOCAB
    edited = np.array([[250, 3, 9]], dtype=np.int32) if step else np.zeros((0, 3), np.int32)
    return Record(
        step,
        "unmask" if step else "start",
        tokens,
        np.arange(step * 3, dtype=np.int32),
        edited,
        np.linspace(0, 1, 256, dtype=np.float32),
        np.linspace(0, 9, 256, dtype=np.float32),
        np.zeros(256, bool),
    )


class Pipe:
    """A pipeline of three steps; `fail` is raised by the second."""

    grid = (16, 16)
    vocab_size = VOCAB

    def __init__(self, fail: Exception | None = None):
        self.fail = fail
        self.asked: tuple[str, dict[str, Any]] | None = None
        self.closed = False

    def stream(self, prompt, **settings):
        self.asked = (prompt, settings)
        try:
            for step, masked in enumerate((256, 100, 0)):
                if self.fail and step == 1:
                    raise self.fail
                yield record(step, masked)
        finally:
            self.closed = True

    def decode(self, tokens):
        assert tokens.shape == (16, 16)
        return Image.new("RGB", (128, 128), (40, 150, 146))


class Tab(gr.Request):
    """Of gr.Request the page uses the session of a tab and nothing else."""

    def __init__(self, session="tab"):
        super().__init__(session_hash=session)


def form(**changes):
    """The form's values by name, as the page's endpoint hands them on; `text` is the prompt."""
    told = {**GOOD, **changes}
    return {"prompt": told.pop("text"), **told}


def sent(**changes):
    """The form's values as a browser sends them: all fields in their order, those that are not named as they start."""
    told = {**limits.shown(limits.allowed({})), **form(**changes)}
    return [told[name] for name in limits.FIELDS]


def messages(studio, **changes):
    """All yields of one Generate."""
    return list(studio.generate(form(**changes), None, Tab()))


def within_a_loop(call, *args):
    """call(*args) inside an event loop: outside one, Gradio opens a loop of its own and never closes it.

    In a thread of its own, because the browser tests keep a loop running in this one.
    """

    async def run():
        return call(*args)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()


def unpack(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def settings(**changes):
    return limits.check_run(**{**GOOD, "text": "a cat", "steps": 4, **changes})


def carve(studio, request, parent=None, stop_after=None):
    """A finished run of `request`."""
    request = asks.checked(request, studio.pipe.vocab_size)
    with studio.line.join("test") as ticket:
        assert list(ticket.places()) == []
        run = studio.begin(request, asks.Ask((request,), "main", parent), "test")
        for n, _ in enumerate(studio.steps(run, parent, ticket), start=1):
            if n == stop_after:
                break
        studio.close(run, "stopped" if stop_after else "done")
    return run


def edited(run, step, cells, token):
    tokens = np.array(run.records[step].tokens)
    tokens[list(cells)] = token
    return tokens
