"""Learn as a place, on the server's side: its chapters, what stands behind them, and the file that one is saved as."""

import base64
import html
import re
from types import SimpleNamespace

import numpy as np
import pytest
from fake_family import told as told_facts
from studio_hands import GOOD, XSS

from mdm_core.diffusion.schedule import mask_ratio
from mdm_core.explain import outlook as core
from ui import assemble, opened
from ui.inspector import lookups as inspect
from ui.learn import chapters, explorer, learn
from ui.learn.forward import forward
from ui.learn.lesson import lesson
from ui.learn.one_token import one_token as token
from ui.learn.onestep import onestep
from ui.learn.place import place
from ui.server import asks
from ui.server import form as limits
from ui.server.runs import FORGOTTEN, Request
from ui.server.studio import Studio

import torch  # isort: skip


@pytest.fixture(scope="module")
def studio(tiny):
    return Studio(lambda: tiny)


@pytest.fixture(scope="module")
def run(studio):
    settings = limits.check_run(**{**GOOD, "text": "a cat", "steps": 5, "guidance": 1.5})
    out = list(studio.carve(asks.Ask((Request("generate", settings),)), "tab"))
    return studio.store.get(out[-1][0]["run"])


def unpacked(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


# ---- the place ----------------------------------------------------------------------------------------------


def test_another_family_is_told_no_chapter_that_means_nothing_there():
    ours = [c.name for c in chapters.suiting(opened.shipped())]
    assert ours[:3] == ["token", "forward", "step"] and ours[-2:] == ["editing", "neighbours"]
    theirs = [c.name for c in chapters.suiting(told_facts(revises=False))]
    assert "editing" not in theirs and set(theirs) < set(ours)


def test_every_chapter_is_a_section_of_its_name_with_a_script():
    names = [c.name for c in chapters.CHAPTERS]
    assert len(set(names)) == len(names)
    for chapter in chapters.CHAPTERS:
        assert re.fullmatch("[a-z]+", chapter.name) and chapter.title and chapter.short
        if chapter.formula:
            assert "<math" in assemble.markup(chapter.formula)


def test_the_tabs_count_the_chapters_and_end_with_the_lessons():
    suiting = chapters.suiting(opened.shipped())
    page = place.template(suiting, lessons=True)
    assert re.findall(r'data-open="(\w+)"', page) == [*(c.name for c in suiting), "lessons"]
    assert re.findall(r"<i>(\d)</i>", page) == [str(n) for n in range(1, len(suiting) + 1)]
    assert "lessons" not in place.template(suiting, lessons=False)


def test_behind_a_chapter_stand_its_code_and_the_model_card(studio):
    suiting = chapters.suiting(opened.shipped())
    code = place.told(studio, suiting, {"chapter": "forward", "what": "code"})["code"]
    assert code[0][0] == "mdm_core/diffusion/corruption.py: corrupt" and "def corrupt(" in code[0][1]
    lines = dict(place.told(studio, suiting, {"chapter": "token", "what": "card"})["card"])
    assert lines["codebook"] == "32 tokens"
    for data in (
        None,
        {},
        {"what": "code"},
        {"chapter": "nonsense", "what": "code"},
        {"chapter": ["token"], "what": "code"},
    ):
        with pytest.raises(limits.Refused):
            place.told(studio, suiting, data)


def test_the_card_of_the_shipped_weights_leaves_the_palette_out_and_stays_short():
    card = dict(place.card(opened.shipped()))
    assert "words" not in card and card["name"] == "Chisel's emoji world"
    assert max(map(len, card.values())) <= place.LONGEST


def test_the_lessons_links_stand_where_the_text_says_show():
    text = learn.LESSONS.read_text(encoding="utf-8")
    linked = learn.linked(text)
    assert linked.count("[Show me](#show:") == text.count("<!-- show:") >= 8 and "<!--" not in linked
    for chapter in re.findall(r"chapter=(\w+)", text):
        assert chapter in [c.name for c in chapters.CHAPTERS]


# ---- token, noise, one step ---------------------------------------------------------------------------------


def test_a_token_is_the_mixed_radix_number_of_its_dials(studio):
    levels = (8, 8, 8, 8, 4)
    assert token.digits(1340, levels) == [4, 7, 4, 2, 0] and 4 + 7 * 8 + 4 * 64 + 2 * 512 == 1340
    for d in range(5):
        turn = token.turned(1340, levels, d)
        assert turn[token.digits(1340, levels)[d]] == 1340 and len(set(turn)) == levels[d]
        assert all(token.digits(t, levels)[:d] == token.digits(1340, levels)[:d] for t in turn)
    told = token.look(studio, {"token": 9})
    assert told["code"] == [1, 2, 0] and [len(t) for t in told["turns"]] == [4, 4, 2]
    assert len(told["patches"]) == 1 + 3 + 3 + 1
    for wrong in (32, -1, None, True, "9"):
        with pytest.raises(limits.Refused):
            token.look(studio, {"token": wrong})


def test_a_codec_without_a_lattice_has_no_dials():
    class Codec:
        vocab_size, grid, patch = 27, (2, 8), 4

        def decode(self, ids):
            return torch.zeros(len(ids), 8, 32, 3, dtype=torch.uint8)

    pipe = SimpleNamespace(codec=Codec(), vocab_size=27, grid=(2, 8), patch=4, device=torch.device("cpu"))
    told = token.look(SimpleNamespace(pipe=pipe), {"token": 5})
    assert told["code"] == told["turns"] == [] and list(told["patches"]) == ["5"]


def test_the_noise_is_the_same_for_the_same_seed_and_wrong_everywhere(studio, run):
    ask = {"run": run.id, "step": len(run.records) - 1, "seed": 7}
    told = forward.spoil(studio, ask)
    assert told == forward.spoil(studio, ask) != forward.spoil(studio, {**ask, "seed": 8})
    assert sorted(unpacked(told["rank"], "<u2")) == list(range(16))
    tokens, other = run.records[-1].tokens.reshape(-1), unpacked(told["wrong"], "<i4")
    assert (other != tokens).all() and other.min() >= 0 and other.max() < 32
    t = torch.linspace(0, 1, 101).double()
    assert told["ratio"] == [round(float(r), 4) for r in mask_ratio(t, told["schedule"])]
    assert told["ratio"][0] == 0 and told["ratio"][-1] == 1
    with pytest.raises(limits.Refused, match="not finished"):
        forward.spoil(studio, {**ask, "step": 1})
    with pytest.raises(limits.Refused, match=FORGOTTEN[:20]):
        forward.spoil(studio, {**ask, "run": "guess"})


def test_what_a_model_was_trained_with_is_only_told_where_its_card_does():
    config, told = forward.noise_of(opened.shipped())
    assert told and (config.schedule, config.flip) == ("cosine", 0.2)
    for recipe in (
        None,
        3,
        {},
        {"corruption": {"schedule": "cosine"}},
        {"corruption": {"schedule": "x", "flip": 0.1}},
    ):
        assert forward.noise_of(SimpleNamespace(card={"recipe": recipe}))[1] is False


def test_the_chances_with_guidance_are_the_samplers_and_without_the_trainings(studio, run):
    bound = onestep.OneStep(inspect.of(studio))
    told = bound.chances({"run": run.id, "step": 3, "cell": 5})
    tokens = run.records[2].tokens.reshape(4, 4)
    for name, guidance in (("with", 1.5), ("without", 0.0)):
        p = core.outlook(studio.pipe, run.prompt, tokens, guidance).logits(5).softmax(0)
        best = p.topk(6)
        assert [i for i, _ in told[name]] == best.indices.tolist()
        assert [x for _, x in told[name]] == pytest.approx(best.values.tolist(), abs=1e-6)
        assert {str(i) for i, _ in told[name]} <= set(told["patches"])
    about = bound.about({"run": run.id})
    assert "".join(about["pieces"]).strip() == "a cat"


# ---- neighbours ---------------------------------------------------------------------------------------------


def test_before_and_after_are_the_distribution_and_one_step_of_it(studio, run):
    _, explore, _ = explorer.functions(inspect.of(studio))
    told = explore({"run": run.id, "step": 3, "cell": 5, "token": None, "size": 4})
    seen = core.outlook(studio.pipe, run.prompt, run.records[2].tokens.reshape(4, 4), 0.0)
    groups, after = core.code_groups(studio.pipe, 4), told["after"]
    z, ids = seen.logits(5), after["ids"]
    assert ids[0] == told["token"] and set(ids[: after["inside"]]) == set(
        groups.members(told["token"]).tolist()
    )
    assert after["p"] == pytest.approx(z.double().softmax(0)[ids].tolist(), abs=1e-6)
    for i in (0, 4, 20):
        step = core.after_step(z, told["token"], groups, [explorer.WEIGHTS[i]])[0]
        assert after["by"][i] == pytest.approx(step[ids].tolist(), abs=1e-6)
    assert {str(i) for i in ids} <= set(told["patches"])


def test_another_token_can_be_supposed_right_at_the_cell_of_the_first_look(studio):
    _, explore, _ = explorer.functions(inspect.of(studio))
    told = explore({"run": None})
    other = explore(
        {"run": None, "at": told["cell"], "token": (told["token"] + 1) % 32, "size": told["size"]}
    )
    assert other["cell"] == told["cell"] and other["token"] != told["token"]
    assert set(explore({"run": None, "at": 16, "token": 1})) == {"error"}


def test_another_size_is_another_group_of_the_same_token_at_the_same_cell(studio, run):
    handful, explore, _ = explorer.functions(inspect.of(studio))
    for of in (None, run.id):
        for chosen in [None, *handful({"run": of, "step": len(run.records) - 1})["tokens"][:4]]:
            told = [explore({"run": of, "token": chosen, "size": size}) for size in (2, 4, 8)]
            assert len({(one["token"], one["cell"], round(one["p"], 6)) for one in told}) == 1
            assert told[0]["mass"] <= told[1]["mass"] <= told[2]["mass"]


def test_the_first_example_is_one_of_the_picture_whose_neighbours_gain_by_the_group(studio, run):
    _, explore, _ = explorer.functions(inspect.of(studio))
    told = explore({"run": run.id})
    assert told["token"] == run.records[-1].tokens.reshape(-1)[told["cell"]]
    after = told["after"]
    plain, grouped = (sum(after["by"][i][1 : after["inside"]]) for i in (0, 4))
    assert grouped > plain
    assert explore({"run": run.id, "token": told["token"], "size": told["size"]}) == explore({"run": run.id})


def test_a_plane_of_the_codebook_goes_through_its_token(studio):
    *_, lattice = explorer.functions(inspect.of(studio))
    told = lattice({"token": 9, "size": 8, "along": [1, 0]})
    assert told["levels"] == [4, 4, 2] and told["place"] == [1, 2, 0]
    assert told["rows"][1][2] == 9 and len(told["rows"]) == 4 and len(told["rows"][0]) == 4
    assert 9 in told["inside"] and len(told["inside"]) == 4  # 2 x 2 x 2 codes, of which half lie in the plane
    for wrong in (
        {"token": 99},
        {"along": [0, 0]},
        {"along": [0, 3]},
        {"along": [0]},
        {"along": "01"},
        {"size": 3},
    ):
        assert set(lattice({"token": 9, "size": 8, "along": [0, 1], **wrong})) == {"error"}, wrong


# ---- a lesson as one file -----------------------------------------------------------------------------------


def test_a_lesson_file_asks_for_nothing_and_holds_its_place_for_the_data(studio):
    chapter = chapters.suiting(opened.shipped())[0]
    section = assemble.markup("learn/one_token/token.html")
    told = lesson.told(studio, {"token": (chapter, (("token", section),))}, {"chapter": "token"})
    page = told["page"]
    assert told["name"] == "chisel-lesson-token.html"
    assert page.count(lesson.DATA) == 1 and page.count(section) == 1
    assert "default-src 'none'" in page and not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert re.findall(r'data-piece="([^"]+)"', page) == ["token"]
    assert len(page.encode()) < 500_000, "there is room for the runs"
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert "chisel/learn/lesson/lesson.js" in scripts[-1] and not any("fetch(" in one for one in scripts)
    for data in (None, {}, {"chapter": "x"}, {"chapter": ["token"]}):
        with pytest.raises(limits.Refused):
            lesson.told(studio, {"token": (chapter, ())}, data)


@pytest.mark.parametrize("text", XSS)
def test_nothing_told_by_a_model_becomes_markup_in_a_lesson(text):
    chapter = chapters.suiting(opened.shipped())[0]
    page = lesson.page(chapter, (), [[text, text]], [["name", text]])
    plain = lesson.page(chapter, (), [["", ""]], [["name", ""]])
    assert page.count("<script") == plain.count("<script") and html.escape(text) in page
