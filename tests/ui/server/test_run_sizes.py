"""How much a saved run may weigh: what the studio saves it opens, on every grid, and the page is told the limit."""

import base64
import dataclasses
import json
import re
from html import unescape

import numpy as np
import pytest
from fake_family import told as told_facts
from studio_hands import GOOD

from mdm_core.diffusion.trajectory import StepRecord, Trajectory, most_bytes
from ui import page
from ui.bring import opening
from ui.export import export
from ui.server import form as limits
from ui.server.guard import MAX_BODY, Guard, many, shape
from ui.server.runs import LEAST_JSON, MAX_RECORDS, MOST_JSON, Request, Run, largest_body, largest_run
from ui.server.studio import Studio

V = 65_536


def full(grid, records):
    """A run that weighs as much as one can: every cell committed and edited at every step."""
    cells = grid[0] * grid[1]
    random = np.random.default_rng(5)
    edited = np.stack([np.arange(cells), random.integers(0, V, cells), random.integers(0, V, cells)], 1)
    step = StepRecord(
        0,
        "start",
        random.integers(0, V, cells).astype(np.int32),
        np.arange(cells, dtype=np.int32),
        edited.astype(np.int32),
        random.random(cells).astype(np.float32),
        random.random(cells).astype(np.float32),
        np.zeros(cells, bool),
        64,
    )
    run = Run(Request("generate", limits.check_run(**{**GOOD, "text": "猫" * 500})), grid, V, state="done")
    phases = ["start", *["unmask"] * (records - 1)]
    run.records += [dataclasses.replace(step, step=k, phase=phase) for k, phase in enumerate(phases)]
    return run


class Model:
    """All that opening a saved run asks of a pipeline; the picture of tokens is a grey one."""

    def __init__(self, grid):
        self.grid, self.vocab_size = grid, V

    def decode(self, tokens):
        from PIL import Image

        return Image.new("RGB", (8 * tokens.shape[1], 8 * tokens.shape[0]), (99, 99, 99))


@pytest.mark.parametrize(
    ("grid", "records"), [((64, 64), 65), ((64, 64), MAX_RECORDS), ((16, 40), MAX_RECORDS), ((4, 4), 3)]
)
def test_what_the_studio_saves_it_opens(grid, records):
    """Through the request that brings it as well: its length, and the count of its values."""
    run = full(grid, records)
    data = export.as_json(run)
    assert len(data) <= most_bytes(grid[0] * grid[1], records) and len(data) <= largest_run(grid)
    file = base64.b64encode(data).decode()
    body = json.dumps({"component_id": 3, "fn_name": "open_run", "data": {"file": file}}).encode()
    assert len(body) <= largest_body(grid) and many(body) == shape(body) == ""
    opened = opening.read_trajectory(data, grid, V)
    assert len(opened.records) == records and opened.prompt == run.prompt
    for a, b in zip(opened.records, run.records, strict=True):
        assert np.array_equal(a.tokens, b.tokens) and np.array_equal(a.edited, b.edited)


def test_a_long_run_on_a_large_grid_is_saved_and_opened_by_the_buttons():
    """64 x 64 cells, far past the 4 MiB that were once the limit, whatever the grid."""
    grid = (64, 64)
    studio = Studio(lambda: Model(grid))
    run = studio.store.keep(full(grid, 65))
    told = export.Exports(studio).make({"run": run.id, "as": "json"})
    assert len(base64.b64decode(told["data"])) > LEAST_JSON
    (open_run,) = (f for f in opening.Opening(studio).functions() if f.__name__ == "open_run")
    answer = open_run({"file": told["data"]})
    assert "error" not in answer and answer["message"]["grid"] == list(grid)
    assert len(studio.store.get(answer["message"]["run"]).records) == 65


def test_what_would_be_too_large_to_open_is_not_saved(monkeypatch):
    monkeypatch.setattr(export, "largest_run", lambda grid: 1000)
    with pytest.raises(limits.Refused, match="too large for one file: save it as a picture or an animation"):
        export.as_json(full((4, 4), 3))


@pytest.mark.parametrize("grid", [(1, 1), (16, 16), (8, 24), (64, 64), (256, 256)])
def test_the_page_and_the_guard_are_told_the_limit_of_the_opened_grid(grid):
    told = page.launch_arguments(facts=told_facts(grid=grid))
    facts = json.loads(unescape(re.match(r'<meta name="chisel" content="(.*?)">', told["head"])[1]))
    longest = min(max(most_bytes(grid[0] * grid[1], MAX_RECORDS), LEAST_JSON), MOST_JSON)
    assert facts["runBytes"] == largest_run(grid) == longest
    middleware, _ = told["app_kwargs"]["middleware"]
    assert middleware.cls is Guard and middleware.kwargs["largest"] == largest_body(grid)
    assert Guard(None, **middleware.kwargs).largest >= max(MAX_BODY, -(-longest // 3) * 4)


def test_the_weight_of_a_run_is_bounded_by_its_cells_and_records_alone():
    for grid, records in (((4, 4), 1), ((16, 16), 13), ((40, 7), 160)):
        run = full(grid, records)
        told = Trajectory(run.prompt, export.settings_of(run), grid, V, run.records).to_json()
        assert len(json.dumps(told)) <= most_bytes(grid[0] * grid[1], records)
