"""What a visitor found cut, covered or left behind: words have the room they need, and lie beside what they tell of."""

import pytest
from hands import edit, make, press, until

from ui.record.browser import dataset, scrub, settled

SIZES = [(390, 844), (1280, 720), (1920, 1080)]
BOX = "node => { const b = node.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; }"


def at(visit, size, where="", **options):
    """The page in a window of that size, under a finger where it is a phone's."""
    phone = {"has_touch": True, "is_mobile": True} if size[0] < 500 else {}
    return visit(where, viewport=dict(zip(("width", "height"), size, strict=True)), **phone, **options)


def overlap(a, b):
    """Whether two boxes share more than an edge."""
    return a[0] < b[2] - 1 and b[0] < a[2] - 1 and a[1] < b[3] - 1 and b[1] < a[3] - 1


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_whose_half_it_is_stands_below_the_picture(visit, size):
    page = at(visit, size)
    make(page, steps=2)
    page.locator(".cz-without").click()
    until(page, besideState="done")
    page.locator("button[data-compare=wipe]").click()
    page.wait_for_timeout(100)
    captions = [page.locator(name) for name in (".cz-caption:not(.cz-caption-beside)", ".cz-caption-beside")]
    # also where both have much to say
    for note in captions:
        note.locator("span").evaluate("n => { n.textContent += ' · decided by hand · branch from step 12'; }")
    page.wait_for_timeout(100)
    # all at once: a page that has grown scrolls
    picture = page.locator(".cz-canvas").evaluate(BOX)
    boxes = [note.evaluate(BOX) for note in captions]
    dock = page.locator(".cz-dock").evaluate(BOX)
    for note, box in zip(captions, boxes, strict=True):
        assert note.is_visible() and not overlap(box, picture) and not overlap(box, dock)
        assert box[1] >= picture[3] and box[0] >= picture[0] - 1 and box[2] <= picture[2] + 1
        assert note.evaluate("n => n.scrollWidth <= n.clientWidth")
    assert not overlap(*boxes) and "editing off" in captions[1].inner_text()
    # the second picture lies over the first, from the line on
    beside = page.locator(".cz-canvas-beside").evaluate(BOX)
    assert all(abs(a - b) < 1.5 for a, b in zip(picture, beside, strict=True))


@pytest.mark.parametrize("size", SIZES[1:], ids=str)
def test_another_token_is_read_from_its_top(visit, size):
    page = at(visit, size)
    make(page, steps=3)
    panel = page.locator(".cz-inspector")
    page.evaluate("() => window.chisel.select(100)")
    page.locator(".cz-group .cz-tile").first.wait_for()
    # as long as it is in a low window
    panel.evaluate("n => { n.style.maxHeight = '200px'; n.scrollTop = 150; }")
    assert panel.evaluate("n => n.scrollTop") == 150
    page.evaluate("() => window.chisel.go(2)")  # the same token at another step stays where it is read
    assert panel.evaluate("n => n.scrollTop") == 150
    page.evaluate("() => window.chisel.select(37)")
    page.wait_for_function("() => document.querySelector('.cz-inspector').dataset.cell === '37'")
    assert panel.evaluate("n => n.scrollTop") == 0
    where, top = page.locator(".cz-where"), panel.evaluate(BOX)[1]
    assert top <= where.evaluate(BOX)[1] <= top + 40


@pytest.mark.parametrize("width", [861, 1024, 1280, 1920])
def test_the_licence_in_the_header_is_read_whole(visit, width):
    page = visit(viewport={"width": width, "height": 720})
    line, header = page.locator(".cz-header .cz-model"), page.locator(".cz-header").evaluate(BOX)
    # of another model, with more to say
    for words in (
        line.inner_text(),
        "A model of somebody's · CC-BY-NC-SA-4.0; " + "the pictures keep theirs; " * 4,
    ):
        line.evaluate("(n, words) => { n.textContent = words; }", words)
        left, top, right, bottom = line.evaluate(BOX)
        assert line.evaluate("n => n.scrollWidth <= n.clientWidth && n.scrollHeight <= n.clientHeight + 1")
        assert (
            header[1] <= top and bottom <= header[3] and right <= page.locator(".cz-help").evaluate(BOX)[0]
        ), words
        tagline = page.locator(".cz-header p").first
        assert not tagline.is_visible() or tagline.evaluate(BOX)[2] < left


# what of a text is not to be seen: cut at the edge of its own box, or lying outside of the window or of the dock
LINES = """() => {
    const [dock, ways] = [".cz-dock", ".cz-ways"].map((name) => document.querySelector(name).getBoundingClientRect());
    return [...document.querySelectorAll(".cz-status, .cz-outcome, .cz-caption")]
        .filter((n) => n.checkVisibility({ visibilityProperty: true }) && n.textContent.trim()).flatMap((n) => {
            const range = document.createRange();
            range.selectNodeContents(n);
            const text = range.getBoundingClientRect();
            const own = n.scrollWidth <= n.clientWidth + 1 && n.scrollHeight <= n.clientHeight + 6;
            const inside = text.right <= innerWidth && (n.matches(".cz-caption") || text.bottom <= dock.bottom + 10);
            const beside = text.right <= ways.left + 1 || text.bottom <= ways.top + 1 || text.top >= ways.bottom - 1;
            return own && inside && beside ? [] : [[n.className, n.textContent, own, inside, beside]];
        });
}"""


@pytest.mark.parametrize("where", ["", "/?class=1"])
@pytest.mark.parametrize("size", [*SIZES, (1024, 768)], ids=str)
def test_no_status_is_cut(visit, size, where):
    page = at(visit, size, where)
    looked = []

    def look():
        page.wait_for_timeout(60)
        looked.append(page.locator(".cz-status").inner_text())
        assert page.evaluate(LINES) == []

    if where:
        page.locator("#generate").click()
        settled(page)
    else:
        make(page, steps=4, prompt="three strawberries on a teal background")
    look()
    for task in ("edit", "learn", "create"):
        page.evaluate("name => window.chisel.task(name)", task)
        look()
    edit(page)
    page.locator("[data-press=break-some]").click()
    until(page, drafted="26")
    look()
    assert "26 changed by hand" in looked[-1] or "26 by hand" in looked[-1]
    press(page, "heal")
    look()
    assert "came back exactly" in page.locator(".cz-outcome").inner_text()
    page.evaluate("() => window.chisel.task('create')")
    before = dataset(page)["run"]
    page.locator("#generate:enabled").click()
    before = settled(page, other_than=before)["run"]
    scrub(page, 2)
    look()
    page.locator("[data-press=branch]:enabled").click()
    settled(page, other_than=before)
    look()
    told = page.locator(".cz-outcome" if size[0] > 860 else ".cz-caption").first.inner_text()
    assert "branch from step" in told and "seed" in told and "step" in told.split("·")[-1]
    page.locator(".cz-without").click()
    until(page, besideState="done")
    for way in ("side", "difference", "wipe"):
        page.locator(f"button[data-compare={way}]").click()
        look()


def test_a_long_prompt_gives_way_by_words(visit):
    page = at(visit, (1280, 720))
    prompt = (
        "three red strawberries and two green pears and a yellow banana and a teapot on a teal background"
    )
    make(page, steps=2, prompt=prompt)
    line = page.locator(".cz-outcome")
    told = line.inner_text()
    assert told.endswith("· seed 1 · 2 steps") and line.get_attribute("title").startswith(prompt)
    shown = told.split(" · ")[0]
    assert shown == prompt or (shown.endswith("…") and prompt.startswith(shown[:-1] + " "))
    assert page.evaluate(LINES) == []


# what can be seen of the page's sentence, and what lies under it or its box
COVERED = """() => {
    const line = document.querySelector(".cz-notice"), box = line.getBoundingClientRect();
    const shown = (n) => n.checkVisibility({ visibilityProperty: true });
    const others = [...document.querySelectorAll("summary, button, input, textarea, p, canvas, li, label, h2, h3")];
    return others.filter((n) => shown(n) && !line.contains(n) && !n.contains(line)).filter((n) => {
        const b = n.getBoundingClientRect();
        return b.left < box.right - 1 && box.left < b.right - 1 && b.top < box.bottom - 1 && box.top < b.bottom - 1;
    }).map((n) => n.outerHTML.slice(0, 90));
}"""


@pytest.mark.parametrize("where", ["", "/?class=1"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_sentence_of_the_page_covers_nothing_and_moves_nothing(visit, size, where):
    page = at(visit, size, where)
    places = ["#generate", ".cz-twin summary", ".cz-canvas", "#prompt textarea"]
    page.locator("#prompt textarea").fill("")
    page.wait_for_timeout(200)  # an empty box may be a line lower
    before = [page.locator(name).evaluate(BOX) for name in places]
    page.locator("#generate").click()
    line = page.locator(".cz-notice")
    line.filter(has_text="Type what you would like to see first.").wait_for()
    page.wait_for_timeout(100)
    assert page.evaluate(COVERED) == []
    assert line.evaluate("n => n.scrollHeight <= n.clientHeight + 1")
    top, bottom = line.evaluate(BOX)[1::2]
    assert page.locator("#prompt textarea").evaluate(BOX)[3] <= top < bottom <= min(size[1], before[0][1])
    assert [page.locator(name).evaluate(BOX) for name in places] == before
    page.locator("#prompt textarea").fill("a cat")
    page.wait_for_function("() => document.querySelector('.cz-notice').textContent === ''")
    assert page.locator("#chips .chip").first.is_visible()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_hint_without_a_suggestion_leaves_no_gap(visit, size):
    page = at(visit, size)
    generate = page.locator("#generate").evaluate(BOX)
    page.locator("#prompt textarea").fill("a xqzzt on teal")
    hint = page.locator(".cz-prompt-hint")
    hint.filter(has_text="I do not know “xqzzt”").wait_for()
    page.wait_for_timeout(100)
    assert page.locator("#generate").evaluate(BOX) == generate
    assert hint.evaluate("n => n.scrollHeight <= n.clientHeight + 1")  # all of it is seen
    bottom = hint.evaluate(BOX)[3]
    chips = [c.evaluate(BOX) for c in page.locator("#chips .chip").all() if c.is_visible()]
    assert all(not overlap(c, hint.evaluate(BOX)) for c in chips)
    # what stands below the hint is as near as a line of chips is high
    below = min([c[1] for c in chips] + [generate[1]])
    assert below - bottom <= 52, (below, bottom)
