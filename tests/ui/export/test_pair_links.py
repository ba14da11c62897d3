"""Links of two runs side by side, and of games: both rebuild every token, and what was changed is refused."""

import base64
import json

import gradio as gr
import numpy as np
import pytest
from link_hands import CELLS, V, family
from studio_hands import Tab, carve, edited, form, settings, unpack

from ui.bring.opening import Opening
from ui.export import envelope, export, gamelink, sharelink
from ui.learn.sampler.game import UNFIT, Game
from ui.server import form as limits
from ui.server.form import Refused
from ui.server.runs import Request
from ui.server.studio import Studio

SEEN = ("wipe", 2)


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


def changed(link, how):
    """The link with its JSON changed."""
    kind, text = link.split("=", 1)
    data = envelope.opened(text, 3, 10**6)
    how(data)
    return envelope.sealed(json.dumps(data).encode(), f"{kind}=")


def arrived(tiny, link, beside=False, studio=None):
    """(studio, messages, all that was sent) of a program that opens one of the two runs of a link."""
    studio = studio or Studio(lambda: tiny)
    out = list(Opening(studio).link(link, Tab(), beside=beside))
    return studio, [o[0] for o in out if isinstance(o[0], dict) and "frames" in o[0]], out


# ---- two runs ----------------------------------------------------------------------------------------------


def two(studio, kind):
    """(run, the run beside it) of a kind of `family`, the second with editing switched off."""
    runs = family(studio)
    run = runs[kind]
    off = run.request.settings.having(edit="off")
    parent = studio.store.get(run.request.parent[0]) if run.request.parent else None
    if kind == "branch":  # its steps are counted from the start
        off = off.having(steps=6)
    request = Request(kind, off, run.request.tokens, run.request.locked, None, run.request.parent)
    return run, carve(studio, request, parent)


@pytest.mark.parametrize("kind", ["generate", "branch", "repaint"])
def test_a_link_of_two_rebuilds_every_token_of_both(tiny, studio, kind):
    pair = two(studio, kind)
    link = sharelink.encode_pair(*pair, SEEN, studio.store)
    assert link.startswith("c3=") and len(link) < 1500
    for beside, run in enumerate(pair):
        other, messages, out = arrived(tiny, link, bool(beside))
        last = messages[-1]
        again = other.store.get(last["run"])
        assert [r.tokens.tolist() for r in again.records] == [r.tokens.tolist() for r in run.records]
        assert last["state"] == "done" and last["role"] == ("beside" if beside else "main")
        assert last.get("seen") == (None if beside else list(SEEN))
        assert all(m["role"] == last["role"] for m in messages)
        # the form is that of the first and stays so
        assert sum(isinstance(o[4], str) for o in out) == (0 if beside else 1)
        assert out[-1][1] == "" and len(other.line) == other.line.busy == 0


def test_a_link_of_two_is_shared_again_as_it_came(tiny, studio):
    link = sharelink.encode_pair(*two(studio, "generate"), SEEN, studio.store)
    other, first, _ = arrived(tiny, link)
    _, second, _ = arrived(tiny, link, True, other)
    asked = {"run": first[-1]["run"], "beside": second[-1]["run"], "way": SEEN[0], "step": SEEN[1]}
    assert export.Exports(other).link(asked) == {"hash": link}


def test_what_was_changed_by_hand_stands_beside_the_other_run(tiny, studio):
    run, beside = two(studio, "generate")
    tokens = edited(run, -1, [3], 7)
    asked = {"run": run.id, "beside": beside.id, "way": "side", "step": 0}
    packed = base64.b64encode(np.ascontiguousarray(tokens, "<i4").tobytes()).decode()
    link = export.Exports(studio).link({**asked, "tokens": packed})["hash"]
    other, messages, _ = arrived(tiny, link)
    assert other.store.get(messages[-1]["run"]).records[-1].tokens.tolist() == tokens.tolist()
    assert messages[-1]["seen"] == ["side", 0]
    for wrong in ({"way": "upside"}, {"way": ["side"]}, {"step": -1}, {"step": 10**6}, {"beside": "guessed"}):
        with pytest.raises(Refused):
            export.Exports(studio).link({**asked, **wrong})


PAIR_CHANGES = [
    lambda d: d.pop("b"),
    lambda d: d.pop("g"),
    lambda d: d.pop("w"),
    lambda d: d.pop("r"),
    lambda d: d.update(b=[]),
    lambda d: d.update(b=d["b"] * 13),
    lambda d: d.update(b="text"),
    lambda d: d["b"][0].__setitem__(0, "upload"),
    lambda d: d["b"][0][2].update(steps=10**6),
    lambda d: d.update(g=5),
    lambda d: d.update(w="si"),
    lambda d: d.update(w=["side"]),
    lambda d: d.update(w=["upside", 1]),
    lambda d: d.update(w=[["side"], 1]),
    lambda d: d.update(w=["side", -1]),
    lambda d: d.update(w=["side", True]),
    lambda d: d.update(w=["side", 1, 2]),
    lambda d: d.update(w={"way": "side"}),
    lambda d: d.update(m=[4, 4, 33]),
]


@pytest.fixture(scope="module")
def pair_link(tiny):
    studio = Studio(lambda: tiny)
    return sharelink.encode_pair(*two(studio, "generate"), SEEN, studio.store)


@pytest.mark.parametrize("how", PAIR_CHANGES)
def test_a_changed_link_of_two_is_refused_in_one_sentence(tiny, pair_link, how):
    for beside in (False, True):
        _, _, out = arrived(tiny, changed(pair_link, how), beside)
        assert len(out) == 1 and out[0][1].endswith(".") and "\n" not in out[0][1]


def test_a_link_of_one_run_has_nothing_beside_it(tiny, studio):
    link = sharelink.encode(carve(studio, Request("generate", settings())), studio.store)
    assert arrived(tiny, link, True)[2][0][1] == envelope.BROKEN


# ---- games -------------------------------------------------------------------------------------------------


def sent(game, **data):
    """All that one event of the chapter is answered with."""
    return list(game.decide(gr.EventData(None, data), Tab("tab")))


def played(studio, whole=True):
    """(game, its last answer) after the surest, the least sure at another temperature, some sent back, and the rest."""
    game = Game(studio)
    asked = {**limits.shown(limits.allowed({})), **form(text="a cat", steps=5, edit_threshold=0.05, polish=2)}
    (said,) = sent(game, form=asked)
    for k in range(40):
        if said["state"] == "over" or (k == 3 and not whole):
            return game, said
        order, edits = unpack(said["order"], "<u2").tolist(), unpack(said["edits"], "<i4").reshape(-1, 3)
        data = {"run": said["run"], "step": said["k"] - 1, "set": unpack(said["commits"], "<u2").tolist()}
        if k == 1:
            data |= {"set": order[-3:], "temperature": 1.7}
        elif k == 2:
            tokens = unpack(said["tokens"], "<i4")
            data["back"] = [int(np.flatnonzero(tokens != V)[0])]
        data["edit"] = [int(row[0]) for row in edits if row[0] not in data.get("back", [])]
        if k == 1:
            data["edit"] = []
        (said,) = sent(game, **data)
        assert "error" not in said, said
    raise AssertionError("it never ended")


@pytest.mark.parametrize("whole", [True, False])
def test_a_link_of_a_game_plays_every_choice_again(tiny, studio, whole):
    game, said = played(studio, whole)
    run = studio.store.get(said["run"])
    link = game.share({"run": run.id, "step": len(run.records) - 1})["hash"]
    assert link.startswith("c4=") and len(link) < 700
    other = Game(Studio(lambda: tiny))
    answers = sent(other, link=f"https://a.b/?x=1#{link}")
    again = other.studio.store.get(answers[-1]["run"])
    assert [a["k"] for a in answers] == [*range(1, len(run.records)), said["k"]]
    assert [a.get("more", False) for a in answers] == [True] * (len(answers) - 1) + [False]
    assert answers[1]["temperature"] == 1.7 and "words" not in answers[-1]
    assert answers[-1]["state"] == said["state"] and answers[-1]["form"] == said["form"]
    for a, b in zip(run.records, again.records, strict=True):
        for name in ("tokens", "committed", "edited", "confidence"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert other.share({"run": again.id, "step": len(again.records) - 1})["hash"] == link
    assert len(other.studio.line) == other.studio.line.busy == 0
    if whole:  # the picture on the stage is shared as the game that led to it
        assert export.Exports(studio).link({"run": run.id}) == {"hash": link}
    # and as far as an earlier step
    early = sent(Game(Studio(lambda: tiny)), link=game.share({"run": run.id, "step": 2})["hash"])
    assert early[-1]["state"] == "turn" and early[-1]["k"] == 3


@pytest.fixture(scope="module")
def game_link(tiny):
    game, said = played(Studio(lambda: tiny), whole=False)
    return game.share({"run": said["run"], "step": 3})["hash"]


def cells(*numbers):
    return base64.urlsafe_b64encode(np.array(numbers, "<u2").tobytes()).decode()


GAME_CHANGES = [
    lambda d: d.pop("p"),
    lambda d: d.pop("s"),
    lambda d: d.pop("c"),
    lambda d: d.pop("f"),
    lambda d: d.update(p=""),
    lambda d: d.update(p="x" * 501),
    lambda d: d.update(s=[1] * 12),
    lambda d: d["s"].update(seed=-1),
    lambda d: d["s"].update(steps=10**6),
    lambda d: d["s"].update(guidance=1e9),
    lambda d: d.update(f=7),
    lambda d: d.update(c={}),
    lambda d: d.update(c=[["", "", ""]] * 200),
    lambda d: d["c"].__setitem__(0, "abc"),
    lambda d: d["c"].__setitem__(0, ["", ""]),
    lambda d: d["c"].__setitem__(0, [5, "", ""]),
    lambda d: d["c"].__setitem__(0, ["A", "", ""]),
    lambda d: d["c"].__setitem__(0, [cells(CELLS), "", ""]),
    lambda d: d["c"].__setitem__(0, [cells(1, 1), "", ""]),
    lambda d: d["c"].__setitem__(0, [cells(1), "", "", "hot"]),
    lambda d: d["c"].__setitem__(0, [cells(1), "", "", 99]),
    lambda d: d["c"].__setitem__(0, [cells(1), "", "", float("nan")]),
    lambda d: d["c"].__setitem__(0, [cells(1), "", "", 1, 1]),
    lambda d: d.update(m=[4, 4, 33]),
]


@pytest.mark.parametrize("how", GAME_CHANGES)
def test_a_changed_link_of_a_game_is_refused_in_one_sentence_and_costs_nothing(tiny, game_link, how):
    game = Game(Studio(lambda: tiny))
    (answer,) = sent(game, link=changed(game_link, how))
    assert set(answer) == {"error"} and answer["error"].endswith(".") and "\n" not in answer["error"]
    assert len(game.studio.store) == len(game.studio.line) == 0


def test_choices_that_do_not_fit_leave_the_game_where_it_stands(tiny, game_link):
    game = Game(Studio(lambda: tiny))
    twice = changed(game_link, lambda d: d["c"].__setitem__(1, d["c"][0]))  # those cells are set already
    *before, answer = sent(game, link=twice)
    assert answer == {"error": UNFIT} and [a["k"] for a in before] == [1, 2]
    assert len(game.studio.store.get(before[-1]["run"]).records) == 2
    nothing = changed(game_link, lambda d: d["c"].__setitem__(1, ["", "", ""]))
    assert sent(game, link=nothing)[-1] == {"error": envelope.BROKEN}
    bent = changed(game_link, lambda d: d.update(f="00000000"))
    assert sent(game, link=bent)[-1]["words"] == envelope.ROUNDED


def test_each_kind_of_link_is_opened_where_it_belongs(tiny, studio, game_link, pair_link):
    game = Game(studio)
    for link in (pair_link, "c2=abc", "c4=", "c5=abc", None, 7, [], "#", "c4=" + "A" * 7000):
        (answer,) = sent(game, link=link)
        assert set(answer) == {"error"} and answer["error"].endswith("."), link
    assert arrived(tiny, game_link)[2][0][1] == "This link holds a game and no run: open it in the page."
    with pytest.raises(Refused, match="holds no game"):
        gamelink.decode(pair_link, (4, 4), V)
