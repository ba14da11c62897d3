"""What is no link of ours, or a changed one, gets one sentence and carves nothing."""

import base64
import json
import zlib

import numpy as np
import pytest
from link_hands import change, family, opened
from studio_hands import carve, settings

from ui.export import envelope, sharelink
from ui.export.envelope import sealed
from ui.server.runs import Request
from ui.server.studio import Studio


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


def older(link):
    """The same link as it was written before settings had names."""
    data = envelope.opened(link.removeprefix(sharelink.PREFIX), 2, 10**6)
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
        told[sharelink.FIRST[field] if isinstance(told, dict) else field] = value

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
    for link in ("c5=abc", "#c12=A-_", change(plain, lambda d: d["r"][0][2].update(warmth=2))):
        assert opened(tiny, link)[2][0][1] == envelope.NEWER


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
