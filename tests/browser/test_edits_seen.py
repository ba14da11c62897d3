"""Token editing is visible: frames on every step but the last, however it was reached, and each edit told in words."""

import re

from hands import make, until

from ui.record.browser import dataset, scrub

PROMPT = "three strawberries on a teal background"
VIEWS = ("picture", "changes", "mask", "confidence", "entropy", "age", "edits")
# how many cells have pixels of the edits' colour on their four edges
FRAMED = """async () => {
    const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    await drawn();
    const run = window.chisel.run(), canvas = document.querySelector(".cz-canvas"), side = canvas.width / run.columns;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const orange = (x, y) => {
        const at = (Math.round(y) * canvas.width + Math.round(x)) * 4;
        return [232, 103, 27].every((value, i) => Math.abs(data[at + i] - value) <= 16);
    };
    const out = [];
    for (let cell = 0; cell < run.cells; cell++) {
        const [x, y] = [(cell % run.columns) * side, Math.floor(cell / run.columns) * side];
        const near = (at) => [0.03, 0.05, 0.08, 0.11].some((t) => at(t * side));
        const edges = [
            near((t) => orange(x + t, y + side / 2)), near((t) => orange(x + side - 1 - t, y + side / 2)),
            near((t) => orange(x + side / 2, y + t)), near((t) => orange(x + side / 2, y + side - 1 - t)),
        ];
        if (edges.every(Boolean)) out.push(cell);
    }
    return out;
}"""


def framed(page):
    page.mouse.move(0, 0)
    page.wait_for_function("() => window.chisel.still()")
    return set(page.evaluate(FRAMED))


def edited(page, k):
    return set(page.evaluate("k => window.chisel.run().frames[k].edited.map((edit) => edit.at)", k))


def busiest(page):
    """The step before the last that edited most."""
    counts = page.evaluate(
        "() => window.chisel.run().frames.slice(0, -1).map((frame) => frame.edited.length)"
    )
    assert max(counts) > 0, "this run was chosen because it edits"
    return counts.index(max(counts))


def test_frames_stay_on_every_settled_step_but_the_last_however_it_was_reached(studio):
    make(studio, steps=12, prompt=PROMPT, seed=0)
    last = int(dataset(studio)["last"])
    k = busiest(studio)
    wanted = edited(studio, k)

    def there():
        until(studio, step=str(k))
        studio.wait_for_timeout(1300)  # longer than the frames of a played step once took to fade
        assert wanted <= framed(studio)

    assert not framed(studio)  # the last step is the picture itself
    scrub(studio, k)
    there()
    scrub(studio, k - 1)
    studio.locator(".cz-next").click()
    there()
    scrub(studio, k + 1)
    studio.locator(".cz-canvas").press("[")
    there()
    cell = min(wanted)
    studio.evaluate("cell => window.chisel.select(cell)", cell)
    scrub(studio, last)
    studio.locator(".cz-history .is-edit").first.click()
    studio.wait_for_timeout(1300)
    at = int(dataset(studio)["step"])
    assert edited(studio, at) - {cell} <= framed(studio) | {cell}  # the chosen cell has an outline of its own
    studio.locator(".cz-close").click()
    scrub(studio, k)
    for view in VIEWS:
        studio.locator(f".cz-view[data-view={view}]").click()
        until(studio, overlay=view)
        assert wanted <= framed(studio), view


def test_an_edit_tells_itself_with_both_patches_and_both_numbers(studio):
    make(studio, steps=12, prompt=PROMPT, seed=0)
    total = int(dataset(studio)["edits"])
    title = studio.locator(".cz-edits-title")
    title.filter(has_text=f"{total} edits in ").wait_for()
    k = busiest(studio)
    studio.get_by_role("button", name=f"Step {k}: ").click()
    until(studio, step=str(k))
    edits = studio.evaluate("k => window.chisel.run().frames[k].edited", k)
    title.filter(has_text=f"Step {k}: {len(edits)} edit").wait_for()
    told = studio.locator(".cz-edit-told")
    assert told.count() == len(edits)
    for edit, words in zip(edits, told.all_inner_texts(), strict=True):
        pattern = (
            rf"was #{edit['from']} \([<>\s]*[\d.]+\s% a step before\), now #{edit['to']} \([<>\s]*[\d.]+\s%\)"
        )
        assert re.search(pattern, words), words
    # two patches with pixels, and not the same ones
    both = told.first.locator("canvas").evaluate_all(
        "(all) => all.map((c) => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data))"
    )
    assert len(both) == 2 and both[0] != both[1] and all(any(one) for one in both)
    # the panel of a cell says it too, and its history shows both patches
    told.first.click()
    changed = studio.locator(".cz-changed")
    assert f"Edited at step {k}" in changed.inner_text() and f"now #{edits[0]['to']}" in changed.inner_text()
    assert studio.locator(".cz-history .is-edit canvas").count() % 2 == 0
    # so does the line under the mouse
    studio.locator(".cz-close").click()
    box = studio.locator(".cz-canvas").bounding_box()
    columns = studio.evaluate("() => window.chisel.run().columns")
    side = box["width"] / columns
    at = edits[0]["at"]
    studio.mouse.move(box["x"] + (at % columns + 0.5) * side, box["y"] + (at // columns + 0.5) * side)
    studio.locator(".cz-status").filter(has_text="edited at this step: was #").wait_for()
