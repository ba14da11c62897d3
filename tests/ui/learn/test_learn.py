"""The Learn task's server side: look-ups of the inspector, the GCE explorer, the lab, palette and hints."""

import base64

import gradio as gr
import numpy as np
import pytest
from studio_hands import GOOD

from mdm_core.explain import outlook as core
from mdm_core.ops import linear_grouped_cross_entropy
from mdm_core.settings import HEAL
from ui.inspector import lookups as inspect
from ui.learn import explorer, lab
from ui.prompt import words
from ui.server import asks
from ui.server import form as limits
from ui.server.runs import FORGOTTEN, Request, Run
from ui.server.studio import Studio

import torch  # isort: skip


class Caller:
    """A stand-in for gr.Request."""

    session_hash = "tab"


def Event(data):
    """What Gradio hands to a handler that asks for the data of its event."""
    return gr.EventData(None, data)


@pytest.fixture(scope="module")
def studio(tiny):
    return Studio(lambda: tiny)


def carve(studio, **changes):
    """A finished run of the tiny model."""
    settings = limits.check_run(
        **{**GOOD, "text": "a cat", "steps": 5, "guidance": 1.5, "edit_threshold": 0.05, **changes}
    )
    out = list(studio.carve(asks.Ask((Request("generate", settings),)), "tab"))
    return studio.store.get(out[-1][0]["run"])


@pytest.fixture(scope="module")
def run(studio):
    return carve(studio)


@pytest.fixture
def look_up(studio):
    return inspect.functions(studio)[0]


def ask(run, **changes):
    return {"run": run.id, "step": 3, "cell": 5, **changes}


# ---- inspector --------------------------------------------------------------------------------------------


def test_a_look_up_tells_what_the_record_says_and_more(look_up, run):
    for step in range(1, len(run.records)):
        told = look_up(ask(run, step=step))
        record = run.records[step]
        assert told["token"] == record.tokens[5]
        assert told["p"] == pytest.approx(record.confidence[5], abs=2e-5)
        assert len(told["top"]) == 8 and told["top"] == sorted(told["top"], key=lambda t: -t[1])
        assert told["mass"] == pytest.approx(sum(p for _, p in told["group"]), abs=1e-5)
        for token in [t for t, _ in told["top"]] + [t for t, _ in told["group"]]:
            assert len(base64.b64decode(told["patches"][str(token)])) == 8 * 8 * 3


def test_what_names_no_run_step_or_cell_is_refused_in_one_sentence(look_up, run):
    assert look_up({"run": "guessed", "step": 1, "cell": 1}) == {"error": FORGOTTEN}
    wrong = [None, 7, "x", [], {}, {"run": run.id}, ask(run, step=99), ask(run, step=-1), ask(run, step="1")]
    wrong += [ask(run, cell=c) for c in (-1, 16, 1.0, True, "3", None, [5])] + [ask(run, step=True)]
    for data in wrong:
        told = look_up(data)
        assert set(told) == {"error"} and told["error"].endswith((".", "Generate.")), data


def test_the_first_steps_of_a_branch_are_looked_up_where_they_were_made(studio, look_up, run):
    """A branch keeps its parent's steps, which another guidance had decided."""
    settings = limits.check_run(**{**GOOD, "text": "a cat", "steps": 5, "guidance": 0, "seed": 9})
    start = run.records[3].tokens
    request = Request("branch", settings, start, None, None, (run.id, 3))
    out = list(studio.carve(asks.Ask((request,), "main", run), "tab"))
    branch = studio.store.get(out[-1][0]["run"])
    assert branch.prefix == 3
    for step in (1, 2, 4, len(branch.records) - 1):
        told = look_up(ask(branch, step=step))
        assert told["p"] == pytest.approx(branch.records[step].confidence[5], abs=2e-5)


def test_a_pass_is_computed_once_and_few_are_kept(studio, run, monkeypatch):
    made = []
    real = core.outlook
    monkeypatch.setattr(core, "outlook", lambda *a: made.append(a) or real(*a))
    lookups = inspect.Lookups(studio)
    one = lookups.outlook(run, 1).hidden.nbytes
    monkeypatch.setattr(inspect, "BYTES_KEPT", 3 * one + one // 2)
    made.clear()
    for cell in range(6):
        lookups.token(ask(run, step=2, cell=cell))
    assert len(made) == 1
    for step in range(1, 6):
        lookups.token(ask(run, step=step))
    assert len(lookups._passes) == 3
    monkeypatch.setattr(inspect, "BYTES_KEPT", one - 1)  # of a model whose single pass is larger than that
    made.clear()
    for cell in range(3):
        lookups.token(ask(run, step=1, cell=cell))
    assert len(made) == 1 and len(lookups._passes) == 1


def test_who_waits_too_long_is_told_so(studio, run, monkeypatch):
    lookups = inspect.Lookups(studio)
    monkeypatch.setattr(inspect, "WAIT_S", 0.01)
    with lookups._lock, pytest.raises(limits.Refused, match="try again"):
        lookups.token(ask(run))


def test_a_picture_of_another_model_cannot_be_looked_into(studio, run):
    other = studio.store.keep(Run(run.request, (4, 4), 99))
    other.records = run.records
    with pytest.raises(limits.Refused, match="another model"):
        inspect.of(studio).token(ask(other))


# ---- explorer ---------------------------------------------------------------------------------------------


def test_the_explorers_figures_are_the_training_operators(studio, run):
    _, explore, _ = explorer.functions(inspect.of(studio))
    told = explore(ask(run, token=None, size=4))
    token, pipe = told["token"], studio.pipe
    assert token == run.records[3].tokens[5] or run.records[3].tokens[5] == pipe.vocab_size
    # unguided, as in training
    seen = core.outlook(pipe, run.prompt, run.records[2].tokens.reshape(4, 4), 0.0)
    groups = core.code_groups(pipe, 4)
    z = seen.logits(5).double()[:, None].requires_grad_()
    loss = linear_grouped_cross_entropy(
        torch.ones(1, 1, dtype=torch.float64),
        z,
        torch.tensor([token]),
        groups,
        group_weight=0.2,
        reduction="sum",
    )
    loss.backward()
    weight, value, exact, rest, outside = told["pulls"][4]
    assert weight == 0.2 and value == pytest.approx(float(loss.detach()))
    assert exact == pytest.approx(-float(z.grad[token, 0]), abs=1e-9)
    assert exact + rest + outside == pytest.approx(0, abs=1e-9)
    assert len(told["pulls"]) == 21 and len(told["members"]) == 4 and told["sizes"] == [2, 4, 8]


def test_the_explorer_needs_no_picture(studio):
    handful, explore, _ = explorer.functions(inspect.of(studio))
    offered = handful({"run": None, "page": 0})
    assert len(set(offered["tokens"])) == len(offered["tokens"]) == 12
    assert handful({"run": None, "page": 1})["tokens"] != offered["tokens"]
    told = explore({"run": None})
    assert told["token"] == offered["tokens"][0] and told["step"] == 0
    assert 0 <= told["p"] <= told["mass"] <= 1 + 1e-6
    assert explore({"run": None, "token": 7, "size": 2})["token"] == 7


def test_the_explorer_offers_the_tokens_of_a_picture(studio, run):
    handful, _, _ = explorer.functions(inspect.of(studio))
    last = len(run.records) - 1
    offered = handful({"run": run.id, "step": last, "page": 1})["tokens"]
    assert set(offered) <= set(run.records[last].tokens.tolist())


def test_the_explorer_refuses_what_is_out_of_place(studio, run):
    handful, explore, _ = explorer.functions(inspect.of(studio))
    for data in (
        {"size": 5},
        {"size": True},
        {"size": "8"},
        {"token": 32},
        {"token": -1},
        {"token": 1.5},
        {"run": "x"},
    ):
        assert set(explore({"run": None, **data})) == {"error"}, data
    for data in (
        {"page": -1},
        {"page": "1"},
        {"page": 10**9},
        {"run": "x", "step": 0},
        {"run": run.id, "step": 77},
    ):
        assert set(handful({"run": None, **data})) == {"error"}, data


# ---- lab --------------------------------------------------------------------------------------------------


def heal(studio, **data):
    return list(lab.Lab(studio).heal(Event(data), Caller()))


def test_the_lab_counts_exactly(studio, run):
    tokens = run.records[-1].tokens
    last = heal(studio, run=run.id, share=20, seed=3)[-1]
    where, broken = lab.break_some(tokens.astype(np.int64), 20, 3, 32)
    assert last["state"] == "done" and last["broken"] == where.tolist() and len(where) == 3
    assert last["off"] == []  # what is set stays set
    settings = {**run.request.sampler(), **HEAL, "seed": 3}
    after = list(studio.pipe.stream("a cat", **settings, tokens=broken.reshape(4, 4)))[-1].tokens
    assert last["on"] == [int(c) for c in where if after[c] == tokens[c]]
    whole = [c for c in range(16) if c not in where]
    assert last["harmed"] == sum(after[c] != tokens[c] for c in whole)
    assert all(uri.startswith("data:image/jpeg") for uri in last["pictures"].values())


def test_breaking_always_changes_the_token_and_hits_the_share():
    tokens = np.arange(256)
    for share, count in ((5, 13), (10, 26), (20, 51)):
        where, broken = lab.break_some(tokens, share, 7, 300)
        assert len(set(where.tolist())) == count == int((broken != tokens).sum())
        assert broken.max() < 300 and (lab.break_some(tokens, share, 7, 300)[1] == broken).all()


def test_the_lab_refuses_what_is_out_of_place(studio, run):
    unfinished = studio.store.keep(Run(run.request, (4, 4), 32))
    unfinished.records = run.records[:2]
    unfinished.state = "stopped"
    for data in (
        {"share": 50},
        {"share": "10"},
        {"share": True},
        {"seed": -1},
        {"seed": 2**32},
        {"run": "x"},
        {"run": None},
        {"run": unfinished.id},
    ):
        (told,) = heal(studio, **{"run": run.id, "share": 10, "seed": 0, **data})
        assert set(told) == {"error"}, data
    assert list(lab.Lab(studio).heal(Event("nonsense"), Caller()))[0]["error"]


def test_the_lab_stands_in_the_line_and_leaves_it(studio, run):
    stream = lab.Lab(studio).heal(Event({"run": run.id, "share": 10, "seed": 1}), Caller())
    next(stream)
    assert studio.line.busy == 1
    stream.close()  # the tab was closed
    assert studio.line.busy == 0 and len(studio.line) == 0
    stream = lab.Lab(studio).heal(Event({"run": run.id, "share": 10, "seed": 1}), Caller())
    next(stream)
    studio.line.cancel("tab")  # Stop
    assert list(stream)[-1]["state"] == "stopped" and studio.line.busy == 0


# ---- words ------------------------------------------------------------------------------------------------


class Named:
    """A studio whose model's card names things."""

    class pipe:
        class facts:
            card = {"objects": ["panda", "cherry"], "words": {"objects": {"panda": "animal: pandas"}}}


def test_the_palette_lists_what_the_card_names():
    assert words.palette(Named())(None) == {"sections": [["animal", ["panda"]], ["object", ["cherry"]]]}


def test_the_palette_shows_what_the_shipped_weights_draw_for_each_thing_and_nothing_of_others(tiny):
    import base64
    import io

    from PIL import Image

    from mdm_core.pipeline import Pipeline
    from ui.server.studio import Studio

    assert "pictures" not in words.palette(Studio(lambda: tiny))(None)
    shipped = Studio(Pipeline.from_pretrained)
    told = words.palette(shipped)(None)
    things = [thing.name for thing in words.vocabulary(shipped).things]
    pictures = told["pictures"]
    assert pictures["names"] == things
    sheet = Image.open(io.BytesIO(base64.b64decode(pictures["sheet"].split(",")[1])))
    side, columns = pictures["side"], pictures["columns"]
    assert sheet.size == (columns * side, -(-len(things) // columns) * side)
    cells = {
        sheet.crop(
            (n % columns * side, n // columns * side, (n % columns + 1) * side, (n // columns + 1) * side)
        )
        .convert("RGB")
        .tobytes()
        for n in range(len(things))
    }
    assert len(cells) == len(things)  # a picture of its own for each
    assert len(pictures["sheet"]) < 400_000


def test_a_hint_says_what_is_near():
    understand = words.understand(Named())
    told = understand("a pandda and two cherries")
    word = {"start": 2, "end": 8, "word": "pandda", "near": ["panda"]}
    assert told == {"parts": ["I do not know “pandda”. Did you mean ", word, "?"], "nothing": False}
    assert understand("a panda") == {"parts": [], "nothing": False}
    assert understand("a pandda")["nothing"]


def test_a_prompt_of_slips_is_put_right_with_as_many_as_were_meant():
    understand = words.understand(Named())
    told = understand("two pnadas")
    assert told["nothing"] and told["mended"] == "two pandas"
    assert understand("pandda")["mended"] == "panda" and understand("pandda")["some"] is False
    assert understand("blorp zzz")["mended"] == ""


def test_a_hint_counts_letters_as_the_browser_does():
    prompt = "😀 a pandda"  # a sign of two units for JavaScript, of one for Python
    (word,) = [part for part in words.understand(Named())(prompt)["parts"] if isinstance(part, dict)]
    units = prompt.encode("utf-16-le")
    assert units[2 * word["start"] : 2 * word["end"]].decode("utf-16-le") == word["word"] == "pandda"


def test_a_word_said_thrice_takes_no_other_words_place():
    told = words.understand(Named())("pandda pandda Pandda cherrry")["parts"]
    assert [part["word"] for part in told if isinstance(part, dict)] == ["pandda", "cherrry"]
    assert told[1]["start"] == 0


def test_hints_take_prompts_and_nothing_else():
    understand = words.understand(Named())
    for data in (None, 3, ["a"], {"prompt": "x"}, "x" * 501):
        assert set(understand(data)) == {"error"}


def test_a_model_without_a_card_is_left_in_peace(studio):
    class Bare:
        pipe = object()

    assert words.understand(Bare())("a unicorn") == {"parts": [], "nothing": False}
    assert words.offers(Bare())(None) == {"offers": []}
    assert words.palette(Bare())(None) == {"sections": []}


def test_a_prompt_is_measured_in_text_tokens_where_the_model_counts_them(tiny):
    from ui.server.studio import Studio

    measure = words.measure(Studio(lambda: tiny))
    assert measure("a  cat") == {"tokens": tiny.prompts.count("a cat"), "most": tiny.prompts.length}
    assert measure("x" * 501).keys() == {"error"} and measure(None).keys() == {"error"}

    class Uncounted:
        class pipe:
            prompts = object()

    assert words.measure(Uncounted())("a cat") == {}


def test_three_pictures_are_offered_by_the_weights_that_drew_them_and_prompts_by_others(tiny):
    from mdm_core.pipeline import Pipeline
    from ui.server.studio import Studio

    told = words.offers(Studio(lambda: tiny))(None)["offers"]
    assert [one["prompt"] for one in told] == list(tiny.facts.examples[:3])
    assert not any(one["image"] for one in told)
    shipped = Pipeline.from_pretrained()
    told = words.offers(Studio(lambda: shipped))(None)["offers"]
    assert len(told) == 3 and all(one["image"].startswith("data:image/jpeg;base64,") for one in told)
    assert {one["prompt"] for one in told} <= set(shipped.facts.examples)
