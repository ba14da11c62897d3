"""Where a cell looks, on the server: shares as the core tells them, of the pass that a step was decided on."""

import numpy as np
import pytest
from fake_family import fake_pipeline
from studio_hands import Tab, carve, form, settings, unpack

from mdm_core.explain import attention as core
from ui import opened
from ui.inspector import lookups as inspect
from ui.server import asks
from ui.server.form import Refused
from ui.server.runs import FORGOTTEN, Request
from ui.server.studio import Studio


@pytest.fixture(scope="module")
def studio(tiny):
    return Studio(lambda: tiny)


@pytest.fixture(scope="module")
def run(studio):
    return carve(studio, Request("generate", settings(steps=5)))


def rows(told):
    """Shares of words, rest and cells, [n, m], [n] and [n, L], as the page unpacks them."""
    most = np.array(told["most"])[:, None]
    n = len(most)
    words, rest, cells = (
        unpack(told[name], "<u2").reshape(n, -1) / 65535 * most for name in ("words", "rest", "cells")
    )
    return words, rest[:, 0], cells


@pytest.mark.parametrize("step", [0, 1, 3, 5])
def test_the_shares_are_those_of_the_pass_behind_the_step(studio, run, step):
    told = inspect.of(studio).attention({"run": run.id, "step": step, "cell": 6})
    seen = run.records[max(step - 1, 0)].tokens.reshape(4, 4)
    guidance = run.request.sampler()["guidance"]
    real = core.attention(studio.pipe, run.prompt, seen, 6, guidance)
    assert told["names"] == ["a", "cat"]
    for mine, its in zip(rows(told), (real.words, real.rest, real.cells), strict=True):
        assert np.abs(mine - its).max() < 2e-5
    words, rest, cells = rows(told)
    assert words.sum(1) + rest + cells.sum(1) == pytest.approx(np.ones(len(rest)), abs=6e-3)


def test_the_first_steps_of_a_branch_looked_where_they_were_made(studio, run):
    start = run.records[3].tokens
    request = Request("branch", settings(steps=5, text="two dogs"), start, None, None, (run.id, 3))
    out = list(studio.carve(asks.Ask((request,), "main", run), "tab"))
    branch = out[-1][0]["run"]
    of = inspect.of(studio).attention
    own = of({"run": run.id, "step": 2, "cell": 6})
    told = of({"run": branch, "step": 2, "cell": 6})
    assert told["names"] == own["names"] == ["a", "cat"] and told["cells"] == own["cells"]
    assert of({"run": branch, "step": 4, "cell": 6})["names"] == ["two", "dogs"]


def test_what_names_no_run_step_or_cell_is_refused(studio, run):
    of = inspect.of(studio).attention
    for data, words in (
        (None, FORGOTTEN),
        ({"run": "guessed"}, FORGOTTEN),
        ({"run": run.id, "step": 99, "cell": 1}, "steps 0 to"),
        ({"run": run.id, "step": 1, "cell": 16}, "whole number from 0 to 15"),
        ({"run": run.id, "step": 1, "cell": True}, "whole number from 0 to 15"),
        ({"run": run.id, "step": 1}, "whole number from 0 to 15"),
    ):
        with pytest.raises(Refused, match=words.replace("(", r"\(")):
            of(data)


def test_a_family_that_cannot_tell_shows_nothing_and_says_so(tiny):
    pipe = fake_pipeline()
    studio = Studio(lambda: pipe)
    out = list(studio.generate(form(text="a tree", steps=3), None, Tab()))
    with pytest.raises(Refused, match="does not tell where it looks"):
        inspect.of(studio).attention({"run": out[-1][0]["run"], "step": 1, "cell": 1})
    assert opened.told(pipe.facts)["looks"] is False and opened.told(opened.shipped())["looks"] is True


def test_an_answer_is_bounded(studio, run, monkeypatch):
    monkeypatch.setattr(inspect, "MOST_SHARES", 31)
    with pytest.raises(Refused, match="too large"):
        inspect.of(studio).attention({"run": run.id, "step": 1, "cell": 1})
