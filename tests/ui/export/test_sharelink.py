"""Links rebuild runs token by token, after a restart too; and they say which model they were made with."""

import numpy as np
import pytest
from link_hands import CELLS, GRID, V, change, family, opened
from studio_hands import Tab, carve, edited, settings

from mdm_core.settings import SETTINGS
from ui.bring.opening import ROUNDED, Opening, given
from ui.export import sharelink
from ui.server import form as limits
from ui.server.picture import Ground
from ui.server.runs import Request, Run
from ui.server.studio import Studio


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


@pytest.mark.parametrize("kind", ["generate", "branch", "repaint", "heal", "around locks", "stopped"])
def test_a_link_rebuilds_every_token_of_every_step(tiny, studio, kind):
    run = family(studio)[kind]
    link = sharelink.encode(run, studio.store)
    assert len(link) < 900 and "\n" not in link
    other, messages, out = opened(tiny, link)
    assert [o[1] for o in out if o[1]] == [o[1] for o in out if str(o[1]).startswith("Rebuilding")]
    again = other.store.get(messages[-1]["run"])
    assert len(again.records) == len(run.records)
    for a, b in zip(run.records, again.records, strict=True):
        for name in ("tokens", "committed", "edited", "locked", "confidence"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert [f["k"] for f in messages[-1]["frames"]] == list(range(len(run.records)))
    assert messages[-1]["state"] == run.state and messages[-1]["prefix"] == 0
    assert sharelink.encode(again, other.store) == link  # and can be shared again
    assert len(other.line) == other.line.busy == 0


def test_the_form_shows_what_the_link_was_made_with(tiny, studio):
    run = carve(studio, Request("generate", settings(seed=70, editing=False, guidance=2.5)))
    out = opened(tiny, sharelink.encode(run, studio.store))[2]
    form = next(o[4:] for o in out if isinstance(o[4], str))
    told = dict(zip(limits.FIELDS, form, strict=True))
    told = limits.check_run(told.pop("prompt"), **told).sampler()
    assert run.request.settings.sampler().items() <= told.items() and told.keys() == {"seed", *SETTINGS}


def test_pictures_from_elsewhere_keep_their_tokens(tiny, studio):
    tokens = np.arange(CELLS, dtype=np.int32)
    photo = Run(Request("upload", settings(), tokens), GRID, V)
    photo.records, photo.ground = [given(tokens)], Ground(tiny.decode(tokens.reshape(GRID)), tokens)
    studio.show(photo)
    hole = tokens.copy()
    hole[:4] = V
    run = carve(studio, Request("repaint", settings(), hole, None, None, (photo.id, 0)), photo)
    for one in (photo, run):
        other, messages, _ = opened(tiny, sharelink.encode(one, studio.store))
        again = other.store.get(messages[-1]["run"])
        assert np.array_equal(again.records[-1].tokens, one.records[-1].tokens)
        assert again.ground is None  # the photograph itself stays with who uploaded it


def test_a_forgotten_ancestor_is_replaced_by_its_tokens(tiny, studio):
    runs = family(studio)
    for name in ("generate", "branch"):
        studio.store.forget(runs[name])
    _, messages, _ = opened(tiny, sharelink.encode(runs["repaint"], studio.store))
    assert messages[-1]["state"] == "done"
    entries = sharelink.decode(sharelink.encode(runs["repaint"], studio.store), GRID, V).entries
    assert len(entries) == 1 and entries[0].tokens is not None


def test_long_chains_stay_affordable(studio):
    run = carve(studio, Request("generate", settings(steps=1, polish=0)))
    for _ in range(sharelink.MAX_ENTRIES + 2):
        here = (run.id, len(run.records) - 1)
        request = Request("repaint", settings(steps=1, polish=0), edited(run, -1, [3], V), None, None, here)
        run = carve(studio, request, run)
    link = sharelink.decode(sharelink.encode(run, studio.store), GRID, V)
    assert len(link.entries) == sharelink.MAX_ENTRIES
    run.records *= sharelink.MAX_STEPS  # as if it had been a very long one
    assert len(sharelink.decode(sharelink.encode(run, studio.store), GRID, V).entries) == 1


def test_a_computer_that_rounds_differently_says_so(tiny, studio):
    link = change(
        sharelink.encode(family(studio)["generate"], studio.store), lambda d: d.update(f="00000000")
    )
    out = opened(tiny, link)[2]
    assert out[-1][1] == ROUNDED


def test_a_cancelled_wait_carves_nothing(tiny, studio):
    link = sharelink.encode(family(studio)["generate"], studio.store)
    other = Studio(lambda: tiny)
    with other.line.join("somebody else"):
        stream = Opening(other).link(link, Tab())
        assert next(stream)[0] == {"v": 1, "state": "waiting", "ahead": 1}
        other.stop(Tab())
        assert [o[0] for o in stream] == [{"v": 1, "state": "left"}]
    assert len(other.store) == 0
