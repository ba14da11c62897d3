"""Runs kept on the server, and what the canvas may ask of them: no browser, a tiny pipeline with random weights."""

import base64

import numpy as np
import pytest
from studio_hands import GOOD, carve, form

from mdm_core.settings import HEAL
from ui.server import asks
from ui.server import form as limits
from ui.server.form import Refused
from ui.server.frames import pack_record
from ui.server.runs import Request, Run, Store
from ui.server.studio import Studio

SETTINGS = limits.check_run(**{**GOOD, "steps": 4, "guidance": 1})
GRID, V = (4, 4), 32


class Tab:
    """A stand-in for gr.Request."""

    def __init__(self, session="tab"):
        self.session_hash = session


def packed(values, dtype="<i4"):
    return base64.b64encode(np.asarray(values, dtype).tobytes()).decode()


def run_of(session="tab", records=()):
    run = Run(Request("generate", SETTINGS), GRID, V, session=session)
    run.records = list(records)
    return run


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


def ask(studio, asked=None, session="tab", **changes):
    """All outputs of one model event."""
    told = {"steps": 4, "guidance": 1, "text": "two dogs", **changes}
    return list(studio.generate(form(**told), asked, Tab(session)))


def made(studio, asked=None, **changes):
    """The run that an event made."""
    out = ask(studio, asked, **changes)
    assert out[-1][0]["state"] == "done", out[-1][1]
    return studio.store.get(out[-1][0]["run"])


def of(run, kind, step=-1, **more):
    """The ask for `kind` from a step of `run`."""
    step = step % len(run.records)
    tokens = more.pop("tokens", run.records[step].tokens)
    locked = more.pop("locked", None)
    locked = None if locked is None else packed(locked, "<u1")
    return {"kind": kind, "run": run.id, "step": step, "tokens": packed(tokens), "locked": locked, **more}


# ---- the store ------------------------------------------------------------------------------------------


def test_ids_cannot_be_guessed_and_unknown_ones_are_refused():
    store = Store()
    run = store.keep(run_of())
    assert store.get(run.id) is run
    assert len({run_of().id for _ in range(100)}) == 100
    assert len(base64.urlsafe_b64decode(run.id + "=" * (-len(run.id) % 4))) * 8 >= 96
    for wrong in (run.id[:-1], run.id + "A", "", None, 7, ["x"], {"a": 1}):
        with pytest.raises(Refused, match="no longer kept"):
            store.get(wrong)


def test_the_longest_unused_run_is_forgotten_first():
    store = Store(runs=3)
    first, second, third = (store.keep(run_of(session="")) for _ in range(3))
    store.get(first.id)
    store.keep(run_of(session=""))
    assert len(store) == 3
    assert store.get(first.id) and store.get(third.id)
    with pytest.raises(Refused):
        store.get(second.id)


def test_one_tab_cannot_push_out_the_others():
    store = Store(runs_a_tab=2)
    other = store.keep(run_of("another tab"))
    mine = [store.keep(run_of("tab")) for _ in range(5)]
    assert len(store) == 3 and store.get(other.id)
    assert [r for r in mine if r.id in store._runs] == mine[-2:]


def test_memory_is_bounded_and_the_newest_run_stays(studio):
    run = made(studio)
    store = Store(size=3 * run.size())
    for _ in range(10):
        store.keep(run_of(session="", records=run.records))
    assert len(store) <= 3
    large = Store(size=1)
    assert large.get(large.keep(run_of(records=run.records)).id)


def test_a_run_whose_pictures_wait_to_be_decoded_hinders_nobody(studio):
    """While it streams, what others bring is kept beside it."""
    run, store = made(studio), Store()
    store.keep(run)
    run.frames = [pack_record(run.records[0], "data:,", 0)]
    heavy = run.size()
    run.frames.append(pack_record(run.records[1], None, 0))
    assert run.size() == heavy
    other = store.keep(run_of("another tab", records=run.records))
    assert store.get(run.id) is run and store.get(other.id) is other


def test_a_step_that_is_not_there_is_refused(studio):
    run = made(studio)
    assert run.record(0).phase == "start"
    for step in (-1, len(run.records), 1.0, True, None, "0"):
        with pytest.raises(Refused, match="steps 0 to"):
            run.record(step)


# ---- asks -----------------------------------------------------------------------------------------------


def test_no_ask_is_a_new_picture(studio):
    assert asks.check(None, SETTINGS, GRID, V, Store()).requests == (Request("generate", SETTINGS),)


@pytest.mark.parametrize(
    "wrong",
    [
        "generate",
        [],
        {"kind": "upload"},
        {"kind": ["heal"]},
        {"kind": "heal", "role": "boss"},
        {"kind": "repaint", "tokens": packed([V + 1] + [0] * 15)},
        {"kind": "repaint", "tokens": packed([-1] + [0] * 15)},
        {"kind": "repaint", "tokens": packed([0] * 15)},
        {"kind": "repaint", "tokens": packed([0] * 16) + "!"},
        {"kind": "repaint", "tokens": "\u00e9" * 20},
        {"kind": "repaint", "tokens": "A" * 10**6},
        {"kind": "repaint", "tokens": [0] * 16},
        {"kind": "repaint", "tokens": packed([V] * 16), "locked": packed([1] * 15, "<u1")},
        {"kind": "repaint", "tokens": packed([V] * 16), "role": "variation", "count": 5},
        {"kind": "repaint", "tokens": packed([V] * 16), "role": "variation", "count": True},
        {"kind": "repaint", "tokens": packed([V] * 16), "run": "somebody-elses-id", "step": 0},
        {"kind": "heal"},
        {"kind": "branch", "locked": packed([1] * 16, "<u1")},
        {"kind": "generate", "locked": packed([1] * 16, "<u1")},
        {"kind": "heal", "tokens": packed([V] + [0] * 15)},
        {"kind": "repaint", "tokens": packed([0] * 16)},
        {"kind": "repaint", "tokens": packed([V] * 16), "locked": packed([1] * 16, "<u1")},
    ],
)
def test_what_is_out_of_place_is_refused_in_one_sentence(wrong, studio):
    with pytest.raises(Refused) as refused:
        asks.check(wrong, SETTINGS, GRID, V, Store())
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)
    (out,) = ask(studio, wrong)
    assert out[1] == str(refused.value) and studio.line.busy == 0


def test_a_run_of_another_model_is_refused(studio):
    run = studio.store.keep(Run(Request("generate", SETTINGS), (8, 8), V))
    run.records = made(studio).records
    (out,) = ask(studio, {"kind": "heal", "run": run.id, "step": 0, "tokens": packed([0] * 16)})
    assert "another model" in out[1]


# ---- what is done -----------------------------------------------------------------------------------------


def test_locks_and_context_never_change_at_any_step(studio):
    first = made(studio)
    tokens = first.records[-1].tokens.copy()
    tokens[[1, 2, 3, 9]] = V
    locked = np.arange(16) % 5 == 0
    run = made(studio, of(first, "repaint", tokens=tokens, locked=locked), seed=3, text="a cat")
    outside = np.setdiff1d(np.arange(16), [1, 2, 3, 9])
    for record in run.records:
        assert (record.tokens[outside] == tokens[outside]).all()
        assert (record.locked == locked).all()
    assert (run.records[-1].tokens != V).all()
    assert run.request.parent == (first.id, len(first.records) - 1)


def test_a_new_picture_keeps_locked_tokens_and_makes_the_rest(studio):
    first = made(studio)
    locked = np.arange(16) < 4
    run = made(studio, of(first, "generate", locked=locked), seed=11, text="a cat")
    assert (run.records[0].tokens[4:] == V).all()
    for record in run.records:
        assert (record.tokens[:4] == first.records[-1].tokens[:4]).all()
    assert made(studio, of(first, "generate")).request.tokens is None


def test_healing_edits_and_spares_the_locked(studio, tiny):
    first = made(studio)
    tokens = (first.records[-1].tokens + 1) % V
    locked = np.arange(16) < 8
    run = made(studio, of(first, "heal", tokens=tokens, locked=locked))
    assert {r.phase for r in run.records} <= {"start", "polish"} and run.planned == 0
    assert all((r.tokens[:8] == tokens[:8]).all() for r in run.records)
    asked = run.request.sampler()
    assert all(asked[name] == value for name, value in HEAL.items())
    again = tiny.heal(tokens.reshape(4, 4), "two dogs", seed=7, locked=locked, **SETTINGS_WITHOUT_HEALING)
    assert [r.tokens.tolist() for r in again.records] == [r.tokens.tolist() for r in run.records]


SETTINGS_WITHOUT_HEALING = {
    k: v for k, v in SETTINGS.sampler().items() if k not in HEAL and k not in ("seed", "edit")
}


def test_a_branch_shares_its_parents_first_steps(studio):
    first = made(studio)
    run = made(studio, of(first, "branch", step=2), seed=99)
    assert run.prefix == 2 and [r.step for r in run.records] == list(range(len(run.records)))
    for k in range(3):
        assert (run.records[k].tokens == first.records[k].tokens).all()
    assert (run.records[2].confidence == first.records[2].confidence).all()
    assert run.planned == 4 and (run.records[4].tokens != V).all()
    out = ask(studio, of(first, "branch", step=2), seed=99)[-1][0]
    assert out["prefix"] == 2 and out["frames"][0]["k"] == 2
    assert out["parent"] == [first.id, 2]


def test_a_request_alone_carves_the_same_again(studio, tiny):
    first = made(studio)
    tokens = first.records[-1].tokens.copy()
    tokens[5:9] = V
    run = made(studio, of(first, "repaint", tokens=tokens))
    again = list(run.request.stream(tiny))
    assert [r.tokens.tolist() for r in again] == [r.tokens.tolist() for r in run.records]


def test_variations_come_with_seeds_of_their_own_and_are_kept(studio):
    first = made(studio)
    tokens = first.records[-1].tokens.copy()
    tokens[:12] = V
    out = ask(studio, of(first, "repaint", tokens=tokens, role="variation", count=3), seed=20)
    told = [o[0] for o in out if isinstance(o[0], dict) and "variations" in o[0]]
    assert [len(m["variations"]) for m in told] == [0, 1, 2, 3, 3]
    last = told[-1]
    assert last["state"] == "done" and [m["seed"] for m in last["variations"]] == [20, 21, 22]
    runs = [studio.store.get(m["run"]) for m in last["variations"]]
    assert all((r.records[-1].tokens[12:] == tokens[12:]).all() for r in runs)
    assert all(not r.frames for r in runs)  # pictures are not held after they were sent


def test_stopped_variations_keep_the_finished_ones(studio):
    first = made(studio)
    tokens = np.full(16, V)
    asked = of(first, "repaint", tokens=tokens, role="variation", count=3)
    last = None
    for out in studio.generate(form(steps=4, guidance=1), asked, Tab()):
        if isinstance(out[0], dict):
            last = out[0]
            if len(last.get("variations", [])) == 1:
                studio.stop(Tab())
    assert last["state"] == "stopped" and len(last["variations"]) == 1
    assert studio.line.busy == 0 and len(studio.store) == 2


def test_a_preview_shows_given_tokens_and_refuses_strangers(studio, tiny):
    (preview,) = (f for f in studio.functions() if f.__name__ == "preview")
    run = made(studio)
    told = preview({"run": run.id, "tokens": packed(run.records[-1].tokens)})
    assert told["image"].startswith("data:image/jpeg;base64,")
    for wrong in (None, [], {"run": run.id}, {"run": "x", "tokens": packed([0] * 16)}):
        assert set(preview(wrong)) == {"error"}
    assert set(preview({"run": run.id, "tokens": packed([V + 1] * 16)})) == {"error"}


def test_a_run_of_before_a_reload_is_told_again(studio):
    run = carve(studio, Request("generate", SETTINGS))
    recall = next(call for call in studio.functions() if call.__name__ == "recall")
    told = recall({"run": run.id})["message"]
    assert (told["run"], told["state"], told["seed"], told["role"]) == (run.id, "done", run.seed, "main")
    assert [frame["k"] for frame in told["frames"]] == [record.step for record in run.records]
    assert told["frames"] == [
        {**pack_record(record, frame["image"], 0)}
        for record, frame in zip(run.records, told["frames"], strict=True)
    ]
    # the blank start has no picture, the last step brings its own, the others wait to be looked at
    images = [frame["image"] for frame in told["frames"]]
    assert images[0] == "" and images[-1].startswith("data:image/jpeg") and set(images[1:-1]) == {None}
    assert told["form"]["steps"] == 4
    assert recall({"run": "guess"})["error"] and recall(None)["error"] and recall({"run": []})["error"]


def test_a_run_that_was_left_in_the_middle_comes_back_as_stopped(studio):
    run = carve(studio, Request("generate", SETTINGS), stop_after=2)
    run.state = "running"  # its handler has not noticed yet that the tab is gone
    recall = next(call for call in studio.functions() if call.__name__ == "recall")
    told = recall({"run": run.id})["message"]
    assert told["state"] == "stopped" and len(told["frames"]) == len(run.records)
