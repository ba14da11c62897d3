"""Saving, sharing, opening, and what a lost connection leaves, as visitors meet them in the browser."""

import base64
import io
import json
import re

import numpy as np
import pytest
from browser_hands import TOKENS, generate
from picture_files import saved
from PIL import Image
from studio_hands import XSS

from ui.record.browser import CANVAS, dataset, scrub, settled


def download(page, kind):
    """(name, bytes) of a file saved with its button."""
    with page.expect_download() as waiting:
        page.locator(f".ex-button[data-as={kind}]:enabled").click()
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def link_of(page):
    """The hash that Copy link puts into the address."""
    page.locator(".ex-link:enabled").click()
    page.locator(".ex-say").filter(has_text="link").and_(page.locator(":not(:has-text('Making'))")).wait_for()
    page.wait_for_function("() => location.hash.startsWith('#c2=')")
    return page.evaluate("location.hash")


def bring(page, kind, name, data, mime):
    """Chooses a file for one of the two hidden file fields."""
    page.locator(f".up-{kind}-file").set_input_files({"name": name, "mimeType": mime, "buffer": data})


def photo(side=160):
    """A picture that no model draws: smooth noise, as PNG bytes and as pixels."""
    noise = np.random.default_rng(3).integers(0, 255, (side // 8, side // 8, 3)).astype(np.uint8)
    image = Image.fromarray(noise).resize((side, side), Image.BICUBIC)
    return saved(image), image


# ---- save --------------------------------------------------------------------------------------------------


def test_every_kind_of_file_is_saved_under_a_plain_name(studio):
    generate(studio, prompt="a cat <b>&/..\\ on red")
    for kind, start in (
        ("png", b"\x89PNG"),
        ("webp", b"RIFF"),
        ("gif", b"GIF89a"),
        ("json", b"{"),
        ("html", b"<!doctype"),
    ):
        name, data = download(studio, kind)
        assert re.fullmatch(rf"chisel-a-cat-b-on-red-1-[0-9a-f]{{8}}\.{kind}", name)
        assert data.startswith(start)
    assert studio.locator(".ex-say").inner_text().startswith("Saved chisel-")


def test_the_png_is_the_step_on_screen(studio):
    generate(studio)
    scrub(studio, 2)
    step = Image.open(io.BytesIO(download(studio, "png")[1]))
    assert step.text["step"].startswith("2 of ") and step.text["prompt"] == "a cat"


def test_a_saved_run_opens_again_with_every_token(visit):
    page = visit()
    tokens = generate(page, steps=5)
    _, data = download(page, "json")
    other = visit()
    bring(other, "run", "run.json", data, "application/json")
    told = settled(other)
    assert told["kind"] == "opened" and other.evaluate(TOKENS) == tokens
    history = "() => JSON.stringify(window.chisel.run().history(40))"
    assert json.loads(other.evaluate(history))[-1]["to"] == json.loads(page.evaluate(history))[-1]["to"]


def test_a_replay_page_plays_offline_from_the_disk(studio, chrome, tmp_path):
    tokens = generate(studio, prompt=XSS[1], steps=5)
    (tmp_path / "replay.html").write_bytes(download(studio, "html")[1])
    context = chrome.new_context(offline=True)
    page = context.new_page()
    asked, errors = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(f"file://{tmp_path}/replay.html")
    page.wait_for_function("() => document.body.dataset.ready === 'yes'")
    page.wait_for_function(f"() => {CANVAS}.step === '{len(tokens) - 1}'")
    assert page.locator(".rp-prompt").inner_text() == XSS[1]
    page.locator(".cz-range").fill("0")
    page.wait_for_function(f"() => {CANVAS}.step === '0' && {CANVAS}.masked === '256'")
    page.locator(".cz-canvas").press("]")
    page.wait_for_function(f"() => {CANVAS}.step === '1'")
    page.locator(".cz-play").click()
    page.wait_for_function(f"() => {CANVAS}.step === {CANVAS}.last")
    page.locator(".cz-canvas").click(position={"x": 100, "y": 100})
    assert "set to" in page.locator(".rp-history").inner_text()
    page.get_by_role("button", name="Confidence").click()
    page.wait_for_function(f"() => {CANVAS}.overlay === 'confidence'")
    assert page.evaluate("window.hacked") is None and not errors
    assert all(url.startswith(("file://", "data:")) for url in asked)
    context.close()


# ---- share -------------------------------------------------------------------------------------------------


def test_a_link_rebuilds_the_run_token_by_token(visit):
    page = visit()
    page.locator("#editing input").set_checked(False)
    tokens = generate(page, prompt="two cats on teal", steps=6, seed=77)
    link = link_of(page)
    other = visit(at=f"/{link}")
    settled(other)
    assert other.evaluate(TOKENS) == tokens
    assert other.locator("#prompt textarea").input_value() == "two cats on teal"
    assert other.locator("#seed input").input_value() == "77"
    assert not other.locator("#editing input").is_checked()
    assert link_of(other) == link


def test_a_link_to_an_edited_branch_rebuilds_it_too(visit):
    page = visit()
    generate(page, steps=5)
    scrub(page, 3)
    page.evaluate("() => { window.chisel.task('edit'); window.chisel.put([[10, 1400], [77, 123]]); }")
    before = dataset(page)["run"]
    page.evaluate("() => window.chisel.ask({ kind: 'branch' })")
    settled(page, other_than=before)
    tokens = page.evaluate(TOKENS)
    assert tokens[3][10] == 1400
    other = visit(at=f"/{link_of(page)}")
    settled(other)
    assert other.evaluate(TOKENS) == tokens


def test_a_link_pasted_into_an_open_page_is_followed(visit):
    page = visit()
    tokens = generate(page, seed=5)
    link = link_of(page)
    generate(page, seed=6)
    before = dataset(page)["run"]
    page.evaluate("link => { location.hash = ''; location.hash = link; }", link)
    settled(page, other_than=before)
    assert page.evaluate(TOKENS) == tokens


COPIED = """() => {
    window.copied = "";
    const clipboard = { writeText: async (text) => { window.copied = text; } };
    Object.defineProperty(navigator, "clipboard", { value: clipboard, configurable: true });
}"""


@pytest.mark.parametrize(("query", "kept"), [("", ""), ("class=1&", "?class=1")])
def test_a_copied_link_carries_only_what_is_ours(visit, address, query, kept):
    """What others hung onto the address stays there, where a Space's signature is needed, and out of the link."""
    foreign = f"?utm_source=mail&{query}__theme=light&__sign=a.b.c"
    page = visit(at=f"/{foreign}")
    # which hides the fields that are filled in here
    page.evaluate("() => document.body.classList.remove('cz-class')")
    tokens = generate(page, steps=2, seed=4)
    page.evaluate(COPIED)
    link = link_of(page)
    copied = page.evaluate("window.copied")
    assert copied == f"{address}/{kept}{link}"
    assert page.evaluate("location.search") == foreign
    # what a mail program or a network adds on the way changes nothing
    way = f"{copied.removeprefix(address).split('#')[0]}{'&' if kept else '?'}fbclid=Iw&utm_campaign=x#{link[1:]}"
    other = visit(at=way)
    settled(other)
    assert other.evaluate(TOKENS) == tokens
    assert other.evaluate("document.body.classList.contains('cz-class')") == bool(kept)


def test_the_address_stands_for_the_picture_on_the_canvas_or_for_none(visit):
    page = visit()
    generate(page, seed=5, steps=2)
    link = link_of(page)
    generate(page, seed=6, steps=2)
    assert page.evaluate("location.hash") == ""
    other = visit(at=f"/{link}")
    settled(other)
    assert other.evaluate("location.hash") == link
    generate(other, seed=7, steps=2)
    assert other.evaluate("location.hash") == ""


def test_what_was_changed_by_hand_is_saved_or_said_to_be_left_out(studio):
    generate(studio, steps=2)
    plain = download(studio, "png")[1]
    studio.evaluate("() => { window.chisel.task('edit'); window.chisel.put([[10, 1400], [11, 77]]); }")
    studio.wait_for_function(f"() => {CANVAS}.drafted === '2' && {CANVAS}.pending === '0'")
    assert re.search("2 (changed )?by hand$", studio.locator(".cz-status").inner_text())
    before, after = (
        np.asarray(Image.open(io.BytesIO(d)).convert("RGB"), int) for d in (plain, download(studio, "png")[1])
    )
    changed = np.abs(before - after).max(-1)
    assert changed[:32, 320:384].max() > 8 and changed[160:].max() <= 4  # smoothing ends
    download(studio, "gif")
    studio.locator(".ex-say").filter(has_text="without what was changed by hand").wait_for()
    studio.locator(".ex-link:enabled").click()
    studio.locator(".ex-say").filter(has_text="ink").filter(has_text="as it stands by hand").wait_for()


def test_the_prompt_follows_the_run_unless_something_else_was_written(studio):
    prompt = studio.locator("#prompt textarea")
    generate(studio, prompt="a blue car", steps=2)
    saved_run = download(studio, "json")[1]
    generate(studio, prompt="a green frog", steps=2)
    studio.locator(".cz-thumb").nth(1).click()
    studio.wait_for_function("() => window.chisel.run().prompt === 'a blue car'")
    assert prompt.input_value() == "a blue car"
    prompt.fill("something else")
    studio.locator(".cz-thumb").nth(0).click()
    studio.wait_for_function("() => window.chisel.run().prompt === 'a green frog'")
    assert prompt.input_value() == "something else"
    prompt.fill("a green frog")
    before = dataset(studio)["run"]
    bring(studio, "run", "car.json", saved_run, "application/json")
    settled(studio, other_than=before)
    assert prompt.input_value() == "a blue car"


def test_a_broken_link_gets_one_sentence_and_the_page_works_on(visit):
    page = visit(at="/#c1=broken")
    page.locator(".cz-notice").filter(has_text="This link is damaged").wait_for()
    generate(page, steps=2)
    assert page.locator(".cz-notice").inner_text() == ""
    for link in ("c1=" + "A" * 7000, "c1=<img src=x onerror=window.hacked=1>"):
        page.evaluate("link => { location.hash = link; }", link)
        page.locator(".cz-notice").filter(has_text="This link is damaged").wait_for()
        generate(page, steps=2)
    assert page.evaluate("window.hacked") is None


# ---- bring your own ------------------------------------------------------------------------------------------


def test_an_uploaded_photo_keeps_its_pixels_outside_what_is_repainted(studio):
    data, image = photo()
    bring(studio, "picture", "holiday.png", data, "image/png")
    assert settled(studio)["kind"] == "upload"
    assert dataset(studio)["masked"] == "0" and studio.evaluate("document.body.dataset.task") == "edit"
    studio.evaluate("() => window.chisel.remask([102, 103, 118, 119, 134, 135])")
    before = dataset(studio)["run"]
    studio.locator("#prompt textarea").fill("a cat on a red background")
    studio.evaluate("() => window.chisel.ask({ kind: 'repaint' })")
    settled(studio, other_than=before)
    shown = Image.open(io.BytesIO(download(studio, "png")[1])).convert("RGB").resize((128, 128), Image.BOX)
    wanted = image.resize((128, 128), Image.LANCZOS)
    error = np.abs(np.asarray(shown, int) - np.asarray(wanted, int)).max(-1)
    inside = np.zeros((16, 16), bool)
    inside.reshape(-1)[[102, 103, 118, 119, 134, 135]] = True
    apart = ~np.kron(inside, np.ones((8, 8), bool))
    # the file is four times as wide as the picture: away from the seam, scaling there and back is all that differs
    far = ~np.kron(inside, np.ones((8, 8), bool))
    for _ in range(4):
        far[1:] &= far[:-1]
        far[:-1] &= far[1:]
        far[:, 1:] &= far[:, :-1]
        far[:, :-1] &= far[:, 1:]
    assert error[far].max() <= 12
    assert error[~apart].mean() > 12, "the region was not repainted"


NOTHING = (
    (
        "picture",
        "<img src=x onerror=window.hacked=1>.png",
        b"<svg onload=window.hacked=1>",
        "an SVG drawing, which is not read here",
    ),
    ("picture", "noise.png", b"\x00window.hacked=1" * 9, "no picture that can be"),
    ("picture", "photo.png", saved(Image.new("RGB", (1, 1))), "too small"),
    ("picture", "cut.png", saved(Image.new("RGB", (300, 300), "red"))[:80], "damaged or cut off"),
    ("run", "</script>.json", b'{"format": "<script>window.hacked=1</script>"}', "no saved run"),
    ("run", "deep.json", b"[" * 100_000, "no saved run"),
    ("run", "large.json", b" " * (4 * 2**20 + 1), "too large"),
)


def test_files_that_are_nothing_get_one_sentence(studio):
    for kind, name, data, sentence in NOTHING:
        bring(studio, kind, name, data, "application/octet-stream")
        studio.locator(".up-say").filter(has_text=sentence).wait_for()
    assert studio.evaluate("window.hacked") is None
    assert dataset(studio)["state"] == "idle"


def test_markup_stays_text_in_prompts_and_in_opened_runs(studio):
    generate(studio, steps=2)
    told = json.loads(download(studio, "json")[1])
    for words in XSS[:7]:
        before = dataset(studio)["run"]
        hostile = {**told, "prompt": words, "settings": {**told["settings"], "order": words, "kind": words}}
        bring(studio, "run", "x.json", json.dumps(hostile).encode(), "application/json")
        settled(studio, other_than=before)
        assert studio.evaluate("window.chisel.run().prompt") == words
        studio.locator(".cz-canvas").click(position={"x": 90, "y": 90})
        assert studio.evaluate("window.hacked") is None
        assert words in studio.locator(".cz-canvas").get_attribute("aria-label")


def test_no_file_of_a_visitor_is_left_on_the_server(studio, address):
    data, _ = photo()
    answer = studio.request.post(
        f"{address}/gradio_api/upload",
        multipart={"files": {"name": "a.png", "mimeType": "image/png", "buffer": data}},
    )
    assert answer.status == 404
    assert base64.b64encode(data)[:8] not in answer.body()
