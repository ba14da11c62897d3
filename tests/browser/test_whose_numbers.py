"""The inspector's numbers say whose they are: the model's own token, one put by hand, one that was given."""

import io
import re

from hands import make, until
from PIL import Image

from ui.record.browser import scrub, settled

PROMPT = "three strawberries on a teal background"


def look(page, cell):
    page.evaluate("cell => window.chisel.select(cell)", cell)
    page.wait_for_function(
        """cell => {
            const told = document.querySelector(".cz-lookup");
            return !told.hidden && !told.classList.contains("is-old") && told.dataset.cell === String(cell);
        }""",
        arg=cell,
    )


def tiles_apart(page):
    """Pairs of labels under the candidates that lie over each other."""
    return page.evaluate(
        """() => {
            const boxes = Array.from(document.querySelectorAll(".cz-tile span")).map((node) => {
                const range = document.createRange();
                range.selectNodeContents(node);
                return range.getBoundingClientRect();
            }).filter((box) => box.width);
            const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
            return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => over(a, b)).map(() => i));
        }"""
    )


def test_history_comes_first_and_the_group_is_that_of_the_undecided_cell(studio):
    make(studio, steps=8, prompt=PROMPT, seed=0)
    cell, chosen = studio.evaluate(
        """() => {
            const run = window.chisel.run();
            const k = 4, cell = run.frames[k].set[0];
            return [cell, run.frames[run.last].tokens[cell]];
        }"""
    )
    look(studio, cell)
    tops = [
        studio.locator(name).bounding_box()["y"] for name in (".cz-history", ".cz-candidates", ".cz-near")
    ]
    assert tops == sorted(tops)
    title = studio.locator(".cz-near-title").inner_text()
    assert re.search(r"at step 4, when the cell was undecided", title), title
    # the figures below the title are the token's that it names
    label, own = studio.locator(".cz-exact-label").inner_text(), re.search(r"#(\d+)", title)[1]
    assert label == f"Exactly #{own}"
    told = studio.evaluate(
        "([run, cell]) => window.chisel.server.look_up({ run, step: 4, cell })",
        [studio.evaluate("() => window.chisel.run().id"), cell],
    )
    assert str(told["centre"]) == own and chosen >= 0
    exact = studio.evaluate("() => parseFloat(document.querySelector('.cz-mass-exact').style.width)")
    assert abs(exact - 100 * told["p"]) < 0.1
    assert not tiles_apart(studio)
    key = studio.locator(".cz-near-key")
    assert key.is_hidden() or re.fullmatch(r"of the same group as #\d+", key.inner_text().strip())
    # where the cell is undecided on screen, it is this step's
    scrub(studio, 2)
    look(studio, cell)
    studio.locator(".cz-near-title").filter(has_text="at this step").wait_for()


def test_a_token_put_by_hand_is_told_apart_from_the_models_own(studio):
    make(studio, steps=6, prompt=PROMPT, seed=0)
    look(studio, 100)
    own = int(studio.locator(".cz-inspector").get_attribute("data-token"))
    likely = studio.locator(f".cz-candidates .cz-tile:not([data-token='{own}'])").first
    likely.click()
    until(studio, drafted="1", pending="0")
    label = studio.locator(".cz-p-label")
    label.filter(has_text=f"put here by hand, the model gives it this; its own was #{own}").wait_for()
    assert f"Exactly #{own}" in studio.locator(".cz-exact-label").inner_text()
    # one that the model never thought of has no figure rather than another token's
    known = studio.evaluate(
        "() => Array.from(document.querySelectorAll('.cz-inspector [data-token]'), (node) => node.dataset.token)"
    )
    strange = next(token for token in range(5, 60) if str(token) not in known)
    studio.evaluate("token => window.chisel.put([[100, token]])", strange)
    label.filter(has_text="not among the model's likeliest").wait_for()
    assert studio.locator(".cz-p").inner_text() == "–"


def test_a_token_of_an_uploaded_picture_was_given_and_not_chosen(studio):
    buffer = io.BytesIO()
    Image.effect_mandelbrot((128, 128), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(buffer, "PNG")
    studio.locator("[data-task=edit]").click()
    file = {"name": "a.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    studio.locator(".up-picture-file").set_input_files(file)
    settled(studio)
    look(studio, 120)
    studio.locator(".cz-p-label").filter(has_text="given; what the model thinks of it, seeing it").wait_for()
    held = studio.locator(".cz-inspector").get_attribute("data-token")
    assert studio.locator(".cz-exact-label").inner_text() == f"Exactly #{held}"
    # both figures are of the same token in the same pass
    assert studio.locator(".cz-p").inner_text() == studio.locator(".cz-exact").inner_text()
    assert "given as #" in studio.locator(".cz-history").inner_text()
