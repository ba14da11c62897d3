"""Handlers closed from outside: what a lost connection leaves behind is no finished run, and its link says so.

Gradio closes the generator of a tab that is gone at whichever answer it stands. Every generator of the page is closed
here at each of its answers.
"""

import base64
import itertools
import json

import gradio as gr
import numpy as np
import pytest
from studio_hands import Tab, carve, edited, form, settings

from ui.bring.opening import Opening
from ui.export import sharelink
from ui.learn.lab import Lab
from ui.server import asks
from ui.server.frames import pack
from ui.server.runs import Request
from ui.server.studio import Studio

V = 32


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


def left_after(n, stream):
    """The first n answers of a handler, which is then closed; None where it has no more than that."""
    answers = list(itertools.islice(stream, n))
    stream.close()
    return answers if len(answers) == n else None


def newest(studio):
    return list(studio.store._runs.values())[-1]


def cut(studio, start):
    """Closes start() at each of its answers in turn; yields (n, the newest run or None) after each."""
    for n in range(1, 60):
        before = set(studio.store._runs)
        if left_after(n, start()) is None:
            assert n > 3
            return
        assert studio.line.busy == len(studio.line) == 0
        for run in studio.store._runs.values():
            assert run.frames == [] and run.state != "running"
        added = [run for run_id, run in studio.store._runs.items() if run_id not in before]
        yield n, added[-1] if added else None


def tells_the_truth(tiny, studio, run):
    """A link of the run carves again just what is there, and not one step more."""
    other = Studio(lambda: tiny)
    out = list(Opening(other).link(sharelink.encode(run, studio.store), Tab()))
    assert not [o[1] for o in out if isinstance(o[1], str) and o[1] and not o[1].startswith("Rebuilding")]
    last = [o[0] for o in out if isinstance(o[0], dict) and o[0].get("frames")][-1]
    again = other.store.get(last["run"])
    assert last["state"] == run.state and len(again.records) == len(run.records)
    assert np.array_equal(again.records[-1].tokens, run.records[-1].tokens)


def test_a_picture_whose_tab_is_gone_is_not_done(tiny, studio):
    whole = len(carve(studio, Request("generate", settings(steps=5, polish=1))).records)
    values = form(text="a cat", steps=5, polish=1)
    for n, run in cut(studio, lambda: studio.generate(values, None, Tab())):
        if n <= whole:
            assert run.state == "stopped" and len(run.records) == n
        else:
            assert run.state == "done" and len(run.records) == whole  # its last message was on the way
        tells_the_truth(tiny, studio, run)


def test_a_branch_whose_tab_is_gone_is_not_done(tiny, studio):
    root = carve(studio, Request("generate", settings(seed=7, polish=1)))
    request = Request("branch", settings(seed=8, steps=6), edited(root, 2, [1], 5), None, None, (root.id, 2))
    ask = asks.Ask((asks.checked(request, V),), "main", root)
    for _, run in cut(studio, lambda: studio.carve(ask, "tab")):
        tells_the_truth(tiny, studio, run)


@pytest.mark.parametrize("kind", ["repaint", "heal"])
def test_a_repaint_or_healing_whose_tab_is_gone_is_not_done(tiny, studio, kind):
    root = carve(studio, Request("generate", settings(seed=7, polish=1)))
    last = len(root.records) - 1
    tokens = edited(root, last, [4, 5, 6], V if kind == "repaint" else 11)
    request = asks.checked(Request(kind, settings(seed=8), tokens, None, None, (root.id, last)), V)
    for _, run in cut(studio, lambda: studio.carve(asks.Ask((request,), "main", root), "tab")):
        tells_the_truth(tiny, studio, run)


def test_variations_that_are_not_whole_are_forgotten(studio):
    root = carve(studio, Request("generate", settings(seed=7)))
    tokens = pack(edited(root, -1, [4, 5, 6], V), "<i4")
    told = {"kind": "repaint", "role": "variation", "count": 3, "run": root.id, "step": 3, "tokens": tokens}
    ask = asks.check(told, settings(steps=3), (4, 4), V, studio.store)
    for _, run in cut(studio, lambda: studio.carve(ask, "tab")):
        assert run is None or run.state == "done"


def test_a_link_whose_tab_is_gone_leaves_no_run_that_says_done(tiny, studio):
    root = carve(studio, Request("generate", settings(seed=7, polish=1)))
    request = Request("branch", settings(seed=8, steps=6), edited(root, 2, [1], 5), None, None, (root.id, 2))
    link = sharelink.encode(carve(studio, request, root), studio.store)
    other = Studio(lambda: tiny)
    for _, run in cut(other, lambda: Opening(other).link(link, Tab())):
        if run is not None:
            tells_the_truth(tiny, other, run)


def test_a_lab_whose_tab_is_gone_holds_nobody_up(studio):
    root = carve(studio, Request("generate", settings(seed=7)))
    event = gr.EventData(None, {"run": root.id, "share": 20, "seed": 3})
    for _, run in cut(studio, lambda: Lab(studio).heal(event, Tab())):
        assert run is None
    assert root.state == "done"


def test_a_run_that_failed_shares_what_was_there_to_see(tiny, studio, monkeypatch):
    real = tiny.stream

    def breaks(*words, **given):
        for n, record in enumerate(real(*words, **given)):
            if n == 3:
                raise RuntimeError("out of memory")
            yield record

    monkeypatch.setattr(tiny, "stream", breaks, raising=False)
    values = form(text="a cat", steps=5)
    last = list(studio.generate(values, None, Tab()))[-1]
    run = studio.store.get(last[0]["run"])
    assert last[0]["state"] == run.state == "failed" and len(run.records) == 3 and run.frames == []
    monkeypatch.undo()
    entry = sharelink.decode(sharelink.encode(run, studio.store), (4, 4), V).entries[-1]
    assert entry.shown == 3


def test_what_is_opened_and_uploaded_keeps_no_frames(studio, tiny):
    saved = tiny.generate("a cat", seed=3, steps=5).to_json()
    data = base64.b64encode(json.dumps(saved).encode()).decode()
    Opening(studio).trajectory({"file": data})
    assert newest(studio).frames == [] and newest(studio).state == "done"
