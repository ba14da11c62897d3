"""Stop may come a moment late: a run that had come to its end by itself is whole, and is not called stopped."""

import base64

import gradio as gr
import numpy as np
import pytest
from studio_hands import Pipe, Tab, carve, form, settings

from ui.bring.opening import Opening
from ui.export import sharelink
from ui.learn.lab import Lab
from ui.server.runs import Request
from ui.server.studio import Studio


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


def stopped_at(studio, stream, n):
    """The messages of an event whose visitor presses Stop once n steps have come."""
    told = []
    for out in stream:
        message = out[0] if isinstance(out, tuple) else out
        if isinstance(message, dict) and "state" in message:
            told.append(message)
            if len(told) == n:
                studio.stop(Tab())
    return told


def whole(studio, **changes):
    return len(carve(studio, Request("generate", settings(steps=4, **changes))).records)


@pytest.mark.parametrize("polish", [0, 2])
def test_stop_after_the_last_step_stops_nothing(studio, polish):
    values = form(text="a cat", steps=4, polish=polish)
    n = whole(studio, polish=polish)
    last = stopped_at(studio, studio.generate(values, None, Tab()), n)[-1]
    assert last["state"] == "done" and len(last["frames"]) == n
    assert studio.store.get(last["run"]).state == "done"


def test_stop_before_the_last_step_stops_there(studio):
    n = whole(studio, polish=2)
    assert n > 6  # of this model every polish pass edits something
    for at in range(1, n):
        values = form(text="a cat", steps=4, polish=2)
        last = stopped_at(studio, studio.generate(values, None, Tab()), at)[-1]
        assert last["state"] == "stopped" and len(last["frames"]) == at


def test_of_a_run_without_polish_nothing_is_asked_after_its_last_token():
    pipe = Pipe()
    studio = Studio(lambda: pipe)
    told = stopped_at(studio, studio.generate(form(), None, Tab()), 3)
    assert told[-1]["state"] == "done" and pipe.closed and studio.line.busy == 0


def test_a_variation_that_was_whole_is_offered(studio):
    first = carve(studio, Request("generate", settings(steps=4)))
    tokens = base64.b64encode(np.full(16, 32, "<i4").tobytes()).decode()
    asked = {"kind": "repaint", "run": first.id, "step": 0, "tokens": tokens, "locked": None}
    asked |= {"role": "variation", "count": 2}
    stream = studio.generate(form(text="a cat", steps=4, polish=0), asked, Tab())
    for count, out in enumerate(stream):
        if count == 5:  # after the answer that opens the panel, start and four steps of the first variation
            studio.stop(Tab())
        last = out[0]
    assert last["state"] == "stopped" and len(last["variations"]) == 1


def test_a_link_that_was_carved_to_its_end_is_done(studio, tiny):
    run = carve(studio, Request("generate", settings(steps=4)))
    other = Studio(lambda: tiny)
    stream = Opening(other).link(sharelink.encode(run, studio.store), Tab())
    last = stopped_at(other, stream, len(run.records))[-1]
    assert last["state"] == "done" and len(last["frames"]) == len(run.records)


def test_the_lab_that_had_healed_to_the_end_is_done(studio):
    run = carve(studio, Request("generate", settings(steps=4)))
    event = gr.EventData(None, {"run": run.id, "share": 10, "seed": 1})
    passes = [m["passes"] for m in Lab(studio).heal(event, Tab()) if m.get("state") == "healing"]
    told = stopped_at(studio, Lab(studio).heal(event, Tab()), len(passes))
    assert told[-1]["state"] == "done" and told[-1]["passes"] == passes[-1]
