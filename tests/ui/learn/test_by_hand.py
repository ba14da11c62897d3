"""You are the sampler, its server side: decisions as a browser sends them, whole runs, and what is refused."""

import gradio as gr
import numpy as np
import pytest
from fake_family import fake_pipeline
from studio_hands import Tab, form, unpack

from ui.export import sharelink
from ui.inspector import lookups as inspect
from ui.learn.sampler import game as by_hand
from ui.server import form as limits
from ui.server.runs import FORGOTTEN
from ui.server.studio import Studio

SETTINGS = {"steps": 5, "guidance": 1.5, "edit_threshold": 0.05, "edit_budget": 0.3, "polish": 2}


@pytest.fixture(scope="module")
def studio(tiny):
    return Studio(lambda: tiny)


@pytest.fixture
def game(studio):
    return by_hand.Game(studio)


def asked(**changes):
    """A form as the page sends it with Begin."""
    return {**limits.shown(limits.allowed({})), **form(**{"text": "a cat", **SETTINGS, **changes})}


def sent(game, tab="tab", **data):
    """All that one event is answered with."""
    return list(game.decide(gr.EventData(None, data), Tab(tab)))


def begun(game, **changes):
    (said,) = sent(game, form=asked(**changes))
    assert said["state"] == "turn", said
    return said


def decide(game, said, **more):
    """The step that was offered, with what the sampler would do unless `more` says otherwise."""
    edits = unpack(said["edits"], "<i4").reshape(-1, 3)[:, 0].tolist()
    data = {"run": said["run"], "step": said["k"] - 1, "set": unpack(said["commits"], "<u2").tolist()}
    return sent(game, **{**data, "edit": edits, **more})


def as_the_sampler(game, said):
    while said["state"] == "turn":
        (said,) = decide(game, said)
    return said


@pytest.mark.parametrize("family", ["own", "stripes"])
def test_who_decides_as_the_sampler_gets_its_run(tiny, family):
    pipe = tiny if family == "own" else fake_pipeline()
    studio = Studio(lambda: pipe)
    game = by_hand.Game(studio)
    said = begun(game, text="a tree", order="halton")
    assert said["form"]["order"] == "confidence"  # the surest first, whatever the form says
    over = as_the_sampler(game, said)
    run = studio.store.get(over["run"])
    own = list(pipe.stream("a tree", **run.request.sampler()))
    assert [r.tokens.tolist() for r in run.records] == [r.tokens.tolist() for r in own]
    assert over["state"] == "over" and run.state == "done" and run.request.kind == "hand"
    message = over["message"]
    assert message["state"] == "done" and len(message["frames"]) == len(own)
    assert np.array_equal(unpack(message["frames"][-1]["tokens"], "<i4"), own[-1].tokens)
    assert message["frames"][-1]["image"]


def test_the_offer_holds_what_the_page_draws(game, tiny):
    said = begun(game, edit_mode="overwrite")
    assert said["grid"] == [4, 4] and said["vocab"] == 32 and (said["k"], said["phase"]) == (1, "unmask")
    assert said["image"] == "" and said["guess"].startswith("data:image/jpeg;base64,")
    assert unpack(said["tokens"], "<i4").tolist() == [32] * 16
    drawn, p = unpack(said["drawn"], "<i4"), unpack(said["p"], "<u2")
    assert drawn.max() < 32 and len(drawn) == len(p) == 16
    order, chance = unpack(said["order"], "<u2"), unpack(said["chance"], "<u2")
    assert sorted(order) == sorted(chance) == list(range(16)) and order.tolist() != chance.tolist()
    commits = unpack(said["commits"], "<u2")
    assert set(commits) == set(order[: len(commits)])


def test_going_back_and_deciding_anew_leaves_the_other_run_as_it_was(game, studio):
    first = begun(game)
    (second,) = decide(game, first)
    (third,) = decide(game, second)
    assert first["run"] == second["run"] == third["run"] and third["k"] == 3
    before = studio.store.get(third["run"]).records
    (other,) = decide(
        game, {**second, "run": third["run"]}, set=[int(unpack(second["order"], "<u2")[-1])], edit=[]
    )
    assert other["run"] != third["run"] and other["k"] == 3
    kept = studio.store.get(third["run"]).records
    assert [a is b for a, b in zip(before, kept, strict=True)] == [True] * 3
    new = studio.store.get(other["run"]).records
    assert new[1] is kept[1] and not np.array_equal(new[2].tokens, kept[2].tokens)
    assert studio.store.get(other["run"]).session == "tab"


def test_a_cell_goes_back_and_is_told_as_an_edit(game, studio):
    said = begun(game, editing=False)
    (said,) = decide(game, said, set=[2, 7], edit=[])
    (said,) = decide(game, said, set=[], edit=[], back=[7])
    record = studio.store.get(said["run"]).records[2]
    assert record.edited.tolist() == [[7, int(studio.store.get(said["run"]).records[1].tokens[7]), 32]]
    assert unpack(said["tokens"], "<i4")[7] == 32 and unpack(said["tokens"], "<i4")[2] < 32


def test_another_temperature_costs_no_pass_and_is_what_is_then_carried_out(game, studio, monkeypatch):
    said = begun(game, temperature=0.3)
    made = []
    real = studio.pipe.forward.hidden
    monkeypatch.setattr(studio.pipe.forward, "hidden", lambda *a: made.append(a) or real(*a))
    hot = game.again({"run": said["run"], "step": 0, "temperature": 1.9})
    assert not made and hot["temperature"] == 1.9 and "image" not in hot
    assert hot["drawn"] != said["drawn"]
    same = game.again({"run": said["run"], "step": 0, "temperature": 0.3})
    assert same["drawn"] == said["drawn"] and same["order"] == said["order"] and not made
    (after,) = decide(game, hot, temperature=1.9)
    where = unpack(hot["commits"], "<u2")
    assert np.array_equal(unpack(after["tokens"], "<i4")[where], unpack(hot["drawn"], "<i4")[where])
    assert len(made) == 1  # the pass of the next step alone


def test_the_inspector_sees_the_pass_that_was_decided_on(game, studio):
    over = as_the_sampler(game, begun(game))
    look_up = inspect.functions(studio)[0]
    run = studio.store.get(over["run"])
    for step in range(1, len(run.records)):
        told = look_up({"run": run.id, "step": step, "cell": 5})
        assert told["p"] == pytest.approx(run.records[step].confidence[5], abs=2e-5)
    assert sharelink.encode(run, studio.store).startswith(sharelink.PREFIX)  # the tokens as they are


def test_what_cannot_be_decided_is_refused_in_one_sentence_and_costs_nothing(game, studio, monkeypatch):
    said = begun(game)
    run, n = said["run"], len(studio.store)
    looked = []
    monkeypatch.setattr(by_hand.Game, "carried_out", lambda *a: looked.append(a) or iter(()))
    wrong = [
        {"run": "guessed", "step": 0, "set": [1]},
        {"run": run, "step": 1, "set": [1]},
        {"run": run, "step": -1, "set": [1]},
        {"run": run, "step": True, "set": [1]},
        {"run": run, "set": [1]},
        {"run": run, "step": 0, "set": []},
        {"run": run, "step": 0, "set": "12"},
        {"run": run, "step": 0, "set": {"0": 1}},
        {"run": run, "step": 0, "set": [16]},
        {"run": run, "step": 0, "set": [-1]},
        {"run": run, "step": 0, "set": [1.0]},
        {"run": run, "step": 0, "set": [[1]]},
        {"run": run, "step": 0, "set": [True]},
        {"run": run, "step": 0, "set": [10**400]},
        {"run": run, "step": 0, "set": [1] * 17},
        {"run": run, "step": 0, "set": [1], "temperature": "hot"},
        {"run": run, "step": 0, "set": [1], "temperature": 99},
        {"run": run, "step": 0, "set": [1], "temperature": float("nan")},
        {},
        {"form": None},
        {"form": "x"},
        {"form": asked(text="")},
        {"form": asked(steps=10**6)},
        {"form": {**asked(), "unknown": 1}},
        {"form": {**asked(), "seed": "7"}},
    ]
    for data in wrong:
        (answer,) = sent(game, **data)
        assert set(answer) == {"error"} and answer["error"].endswith("."), data
        assert answer["error"].count("\n") == 0 and "Traceback" not in answer["error"]
    assert not looked and len(studio.store) == n and len(studio.line) == 0


def test_what_only_the_core_can_refuse_is_refused_as_well_and_the_game_goes_on(game, studio):
    said = begun(game)
    (after,) = decide(game, said, set=[3], edit=[])
    for more, words in (
        ({"set": [3]}, "Only masked"),
        ({"set": [4, 4]}, "once"),
        ({"set": [4], "back": [4]}, "once"),
        ({"set": [4], "edit": [5]}, "would change"),
        ({"set": [4], "back": [5]}, "sent back"),
    ):
        (answer,) = decide(game, after, **{"edit": [], **more})
        assert words in answer["error"], answer
    assert len(studio.store.get(said["run"]).records) == 2
    (on,) = decide(game, after)
    assert on["k"] == 3


def test_what_is_over_is_over_and_others_runs_are_not_played(game, studio):
    over = as_the_sampler(game, begun(game, steps=1, polish=0))
    last = over["k"] - 1
    (answer,) = sent(game, run=over["run"], step=last, set=[1])
    assert answer["error"] == by_hand.OVER
    assert game_error(game, {"run": over["run"], "step": last}) == by_hand.OVER
    out = list(studio.generate(form(text="a cat", steps=2), None, Tab()))
    other = out[-1][0]["run"]
    (answer,) = sent(game, run=other, step=0, set=[1])
    assert "not decided by hand" in answer["error"]
    assert game_error(game, {"run": "guessed", "step": 0}) == FORGOTTEN
    for data in (None, 7, [], "x"):
        assert game_error(game, data) == FORGOTTEN


def game_error(game, data):
    with pytest.raises(limits.Refused) as refused:
        game.again(data)
    return str(refused.value)


def test_a_tab_keeps_as_many_of_them_as_of_other_runs(studio, tiny):
    studio = Studio(lambda: tiny)
    studio.store.most_a_tab = 5
    game = by_hand.Game(studio)
    for _ in range(9):
        begun(game)
    assert len(studio.store) == 5
    said = begun(game)
    for _ in range(9):  # going back again and again
        (said_again,) = decide(game, {**said, "k": 1}, set=[1], edit=[])
        said = {**said, "run": said_again["run"]}
    assert len(studio.store) == 5


def test_a_run_that_takes_too_long_is_refused_before_it_takes_room(game, studio, monkeypatch):
    monkeypatch.setattr(by_hand, "MAX_RECORDS", 6)
    n = len(studio.store)
    (answer,) = sent(game, form=asked(steps=20))
    assert answer["error"] == by_hand.FULL and len(studio.store) == n
    said = begun(game, steps=3, polish=0, editing=False)
    for step in range(5):
        (said,) = decide(game, said, set=[step], edit=[])
    (answer,) = decide(game, said, set=[9], edit=[])
    assert answer["error"] == by_hand.FULL


def test_it_waits_in_line_and_can_be_left(game, studio):
    said = begun(game)
    with studio.line.join("another"):
        event = game.decide(
            gr.EventData(None, {"run": said["run"], "step": 0, "set": [1], "edit": [], "back": []}),
            Tab("tab"),
        )
        assert next(event) == {"state": "waiting", "ahead": 1}
        studio.line.cancel("tab")
        assert next(event) == {"state": "stopped"}
        event.close()
    assert len(studio.store.get(said["run"]).records) == 1
