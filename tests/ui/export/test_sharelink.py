"""Links rebuild runs token by token, after a restart too; what is no link of ours gets one sentence."""

import base64
import dataclasses
import json
import zlib

import numpy as np
import pytest
from studio_hands import Tab, carve, edited, settings

from mdm_core.diffusion.trajectory import Trajectory
from ui.bring.opening import ROUNDED, Opening, given
from ui.bring.upload import Ground
from ui.export import sharelink
from ui.export.sharelink import sealed
from ui.server import form as limits
from ui.server.form import Refused
from ui.server.runs import Request, Run
from ui.server.studio import Studio

GRID, V, CELLS = (4, 4), 32, 16


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


def family(studio):
    """One run of each kind, each grown from one before it."""
    runs = {"generate": carve(studio, Request("generate", settings(seed=7, polish=1)))}
    root = runs["generate"]
    locked = np.zeros(CELLS, bool)
    locked[[2, 9]] = True
    branch = Request("branch", settings(seed=8, steps=6), edited(root, 2, [1], 5), None, None, (root.id, 2))
    runs["branch"] = carve(studio, branch, root)
    hole = edited(runs["branch"], -1, [4, 5, 6], V)
    last = len(runs["branch"].records) - 1
    repaint = Request(
        "repaint", settings(text="two dogs", seed=9), hole, locked, None, (runs["branch"].id, last)
    )
    runs["repaint"] = carve(studio, repaint, runs["branch"])
    last = len(runs["repaint"].records) - 1
    broken = Request(
        "heal", settings(), edited(runs["repaint"], -1, [0, 3], 11), None, None, (runs["repaint"].id, last)
    )
    runs["heal"] = carve(studio, broken, runs["repaint"])
    around = Request("generate", settings(seed=3), runs["heal"].records[-1].tokens, locked)
    runs["around locks"] = carve(studio, around)
    runs["stopped"] = carve(studio, Request("generate", settings(steps=8)), stop_after=3)
    return runs


def opened(tiny, link):
    """(studio, last message, last notice) of a new program that opens `link`."""
    other = Studio(lambda: tiny)
    out = list(Opening(other).link(link, Tab()))
    messages = [o[0] for o in out if isinstance(o[0], dict) and "frames" in o[0]]
    return other, messages, out


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
    assert limits.check_run(*form) == run.request.settings


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


# ---- hostile links -------------------------------------------------------------------------------------------


def change(link, how):
    """The link with its JSON changed."""
    data = sharelink.opened(link.removeprefix(sharelink.PREFIX), 2)
    how(data)
    return sealed(json.dumps(data).encode())


def older(link):
    """The same link as it was written before settings had names."""
    data = sharelink.opened(link.removeprefix(sharelink.PREFIX), 2)
    for entry in data["r"]:
        told = [(entry[2][name], table) for name, table in sharelink.C1]
        entry[2] = [value if table is None else table.index(value) for value, table in told]
    return data


def sealed_1(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(json.dumps(data).encode()) + packer.flush()
    return "c1=" + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def first(field, value):
    return lambda d: d["r"][0].__setitem__(field, value)


def number(field, value):
    """A setting changed, by its place in the older format."""

    def change(data):
        told = data["r"][0][2]
        told[sharelink.NAMES[field] if isinstance(told, dict) else field] = value

    return change


B64 = base64.urlsafe_b64encode
PAIR = B64(np.array([1, 5], "<u2").tobytes()).decode()
HOSTILE = [
    lambda d: d.pop("r"),
    lambda d: d.update(r=[]),
    lambda d: d.update(r=d["r"] * 13),
    lambda d: d.update(r={}),
    lambda d: d.update(m=[4, 4, 33]),
    lambda d: d.update(m="4"),
    lambda d: d.update(f=5),
    lambda d: d.update(f=""),
    first(0, "upload"),
    first(0, "<script>"),
    first(0, None),
    first(0, ["generate"]),
    first(0, "given"),
    first(1, ""),
    first(1, "x" * 501),
    first(1, 5),
    first(1, "\ud800"),
    first(1, None),
    number(0, -1),
    number(0, 2**32),
    number(0, 1.5),
    number(0, "7"),
    number(1, 0),
    number(1, 65),
    number(2, 1e9),
    number(2, float("nan")),
    number(3, 0),
    number(4, -1),
    number(4, 99),
    number(4, "0"),
    number(5, True),
    number(6, None),
    number(7, 3),
    number(8, 2),
    number(9, -1),
    number(10, []),
    number(11, 10_000),
    first(2, []),
    first(2, [1] * 13),
    first(2, "text"),
    first(3, -1),
    first(3, 1e9),
    first(3, "0"),
    first(3, True),
    first(4, "d"),
    first(4, ["d"]),
    first(4, ["x", PAIR]),
    first(4, ["d", 5]),
    first(4, ["d", "é"]),
    first(4, ["d", PAIR[:3]]),
    first(4, ["d", ""]),
    first(4, ["t", PAIR]),
    first(4, [["d"], PAIR]),
    first(4, ["d", B64(np.array([16, 5], "<u2").tobytes()).decode()]),
    first(4, ["d", B64(np.array([1, 33], "<u2").tobytes()).decode()]),
    first(4, ["d", B64(np.array([1, 5, 1, 6], "<u2").tobytes()).decode()]),
    first(4, ["t", B64(np.full(16, 33, "<u2").tobytes()).decode()]),
    first(5, 5),
    first(5, "AA=="),
    first(5, "A" * 400),
    first(6, -1),
    first(6, "3"),
    first(6, 10_000),
    lambda d: d["r"][0].append(1),
    lambda d: d["r"].__setitem__(0, None),
    lambda d: d["r"].append(["given", *d["r"][0][1:]]),
    lambda d: (number(1, 64)(d), d.update(r=d["r"] * 12)),
]
NAMED = [
    lambda d: d["r"][0][2].pop("polish"),
    lambda d: d["r"][0][2].update(order=0),
    number(5, "cosines"),
    number(4, ["halton"]),
    number(7, "on"),
    number(7, None),
    lambda d: d["r"][0].__setitem__(2, [1] * 12),
]


@pytest.fixture(scope="module")
def plain(tiny):
    """The link of one short run."""
    studio = Studio(lambda: tiny)
    return sharelink.encode(carve(studio, Request("generate", settings())), studio.store)


def refused(tiny, link):
    out = opened(tiny, link)[2]
    assert len(out) == 1
    assert out[0][1].endswith(".") and "\n" not in out[0][1] and len(out[0][1]) < 170


@pytest.mark.parametrize("how", HOSTILE + NAMED)
def test_a_changed_link_is_refused_in_one_sentence(tiny, plain, how):
    refused(tiny, change(plain, how))


@pytest.mark.parametrize("how", HOSTILE)
def test_a_changed_link_of_the_older_format_is_refused_too(tiny, plain, how):
    data = older(plain)
    assert opened(tiny, sealed_1(data))[1][-1]["state"] == "done"
    how(data)
    refused(tiny, sealed_1(data))


def test_a_link_of_a_newer_version_says_so(tiny, plain):
    for link in ("c3=abc", "#c12=A-_", change(plain, lambda d: d["r"][0][2].update(warmth=2))):
        assert opened(tiny, link)[2][0][1] == sharelink.NEWER


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "#{}",
        "https://x.hf.space/?__theme=dark&utm_source=mail#{}",
        "http://[::1]:7860/chisel/#{}",
        "  #{}\n",
    ]
    + [
        "#{}&utm_source=newsletter&fbclid=IwAR0x",
        "#{}?utm_medium=social",
        "#{}#top",
        "#{}.",
        "<https://a.b/#{}>",
        "#{}=",
    ],
)
def test_what_others_hang_onto_a_link_is_left_aside(tiny, plain, around):
    for link in (plain, plain.replace("=", "%3D")):
        assert opened(tiny, around.format(link))[1][-1]["state"] == "done"


@pytest.mark.parametrize(
    "text",
    [None, 5, [], {}, "", "#", "c1=", "#c1=%%%", "c2=abc", "javascript:alert(1)", "c1=" + "A" * 7000, "#c1=é"]
    + ["c2=", "#c2=%%%", "c2=" + "A" * 7000, "c2=" + "#" * 10**6, "c=1", "c99999", "#" * 10**6, "c1=&" * 9000]
    + [
        sealed(b"[" * 40_000),
        sealed(b"{" + b" " * 10**6 + b"}"),
        sealed(b"null"),
        sealed(b"[]"),
        sealed(b"\xff"),
    ],
)
def test_what_is_no_link_is_refused_in_one_sentence(tiny, text):
    out = opened(tiny, text)[2]
    assert len(out) == 1 and out[0][1].endswith(".")


def test_a_step_that_the_parent_lacks_is_refused(tiny, studio):
    runs = family(studio)
    link = change(sharelink.encode(runs["branch"], studio.store), lambda d: d["r"][1].__setitem__(3, 200))
    assert opened(tiny, link)[2][-1][1].startswith("This picture has the steps 0 to")


def test_masked_and_locked_cannot_come_together(tiny, studio):
    run = family(studio)["generate"]
    held = B64(np.packbits(np.ones(16, bool)).tobytes()).decode()
    link = change(sharelink.encode(run, studio.store), first(5, held))
    assert opened(tiny, link)[2][-1][1].startswith("Locks need the tokens that they hold")


# ---- saved runs ------------------------------------------------------------------------------------------------


def sent(data):
    return {"file": base64.b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).decode()}


@pytest.fixture
def saved(tiny):
    return tiny.generate("a cat", seed=3, steps=5).to_json()


def test_a_saved_run_opens_with_all_its_steps(tiny, studio, saved):
    message = Opening(studio).trajectory(sent(saved))["message"]
    run = studio.store.get(message["run"])
    assert message["state"] == "done" and message["kind"] == "opened" and message["prompt"] == "a cat"
    assert run.request.settings.seed == 3 and run.request.settings.steps == 5
    for a, b in zip(Trajectory.from_json(saved).records, run.records, strict=True):
        assert np.array_equal(a.tokens, b.tokens) and np.array_equal(a.edited, b.edited)


@pytest.mark.parametrize(
    "how",
    [
        lambda d: d.update(format_version=2),
        lambda d: d.update(grid=[16, 16]),
        lambda d: d.update(vocab_size=33),
        lambda d: d.update(records=[]),
        lambda d: d.update(records=d["records"] * 60),
        lambda d: d.update(records=d["records"][1:]),
        lambda d: d.update(prompt=""),
        lambda d: d.update(prompt=[1]),
        lambda d: d.update(prompt="x" * 501),
        lambda d: d["records"][2].update(step=10**30),
        lambda d: d["records"][2].update(step=True),
        lambda d: d["records"][1].update(tokens="////" * 30),
        lambda d: d["records"][1].update(phase="<img src=x onerror=alert(1)>"),
        lambda d: d.update(records=None),
        lambda d: d["records"][1].update(edited=5),
        lambda d: d["records"].append("x"),
        lambda d: d.clear(),
        lambda d: d.update(settings="x"),
        lambda d: d.update(grid=4),
        lambda d: d.update(grid=[4]),
    ],
)
def test_hostile_saved_runs_are_refused_in_one_sentence(studio, saved, how):
    how(saved)
    with pytest.raises(Refused) as refused:
        Opening(studio).trajectory(sent(saved))
    assert str(refused.value).endswith(".") and len(str(refused.value)) < 200 and len(studio.store) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"5",
        b"\xff\xfe",
        b"[" * 10**5,
        b"{" * 10**5,
        b'{"format": NaN}',
        b" " * (4 * 2**20 + 1),
    ],
)
def test_what_is_no_saved_run_is_refused(studio, data):
    with pytest.raises(Refused):
        Opening(studio).trajectory(sent(data))


def test_settings_out_of_range_open_with_defaults(studio, saved):
    saved["settings"] = {
        "seed": -5,
        "steps": 10**9,
        "order": ["x"],
        "edit": "<b>",
        "guidance": float("nan"),
        "x": {},
    }
    message = Opening(studio).trajectory(sent(saved))["message"]
    assert message["seed"] == 0 and message["settings"]["steps"] == limits.STEPS.default


# ---- uploads -----------------------------------------------------------------------------------------------------


def test_an_upload_becomes_a_run_of_one_step(tiny, studio):
    from picture_files import gradient
    from picture_files import saved as as_file

    opening = Opening(studio)
    message = opening.upload({"file": base64.b64encode(as_file(gradient())).decode()})["message"]
    assert message["ground"] and message["kind"] == "upload" and len(message["frames"]) == 1
    run = studio.store.get(message["run"])
    assert run.ground is not None and np.array_equal(run.records[0].tokens, run.ground.tokens)
    answer = opening.functions()[0]({"file": "garbage"})
    assert answer == {"error": "The picture did not arrive whole: choose the file again."}
    for wrong in (None, [], 5, {"file": None}, {}):
        assert set(opening.functions()[0](wrong)) == {"error"}
    assert len(studio.store) == 1


def test_a_repaint_of_an_upload_keeps_its_ground(tiny, studio):
    from picture_files import gradient
    from picture_files import saved as as_file

    message = Opening(studio).upload({"file": base64.b64encode(as_file(gradient())).decode()})["message"]
    photo = studio.store.get(message["run"])
    hole = edited(photo, 0, [5, 6], V)
    run = carve(studio, Request("repaint", settings(), hole, None, None, (photo.id, 0)), photo)
    assert run.ground is photo.ground
    assert dataclasses.is_dataclass(run.ground)
