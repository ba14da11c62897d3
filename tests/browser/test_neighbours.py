"""The chapter of neighbours, as a pupil reads it: one cell throughout, an example that shows what is claimed."""

import re

from learn_hands import carved, chapter

PLACE = re.compile(
    r"row (\d+), column (\d+), the model gives this token (\S+) % and its group of (\d+) together (\S+) %"
)


def begun(page, prompt):
    page.locator("#prompt textarea").fill(prompt)
    carved(page)
    chapter(page, "neighbours")
    return shown(page)


def shown(page):
    host = page.locator("#explorer [data-now]")
    host.wait_for(timeout=60_000)
    return host


def told(page, size):
    """(row, column, the token's chance, the group's) as they are said."""
    said = page.locator(".cz-explore-say", has_text=f"its group of {size} ")
    said.wait_for()
    row, column, p, _, mass = PLACE.search(said.inner_text().replace("< ", "")).groups()
    return row, column, p, float(mass)


def test_the_size_of_the_group_changes_the_group_and_nothing_else(studio):
    host = begun(studio, "a penguin above a pizza")
    start = [host.get_attribute(f"data-{name}") for name in ("token", "cell")]
    rows = []
    for size in (2, 4, 8, 16, 64, 8):
        studio.get_by_label(re.compile(f"^Groups of {size} codes")).click()
        rows.append(told(studio, size))
        assert [host.get_attribute(f"data-{name}") for name in ("token", "cell")] == start
    assert len({row[:3] for row in rows}) == 1
    masses = [row[3] for row in rows[:5]]
    assert masses == sorted(masses) and rows[5] == rows[2]
    # a token that was chosen stays at its cell too, and a neighbour is shown where its chance was read
    for choose in (".cz-handful button >> nth=2", ".cz-members button >> nth=3"):
        old = host.get_attribute("data-token")
        studio.locator(choose).click()
        studio.wait_for_function(
            "old => document.querySelector('#explorer [data-now]').dataset.token !== old", arg=old
        )
        at = [host.get_attribute(f"data-{name}") for name in ("token", "cell")]
        for size in (64, 8):
            studio.get_by_label(re.compile(f"^Groups of {size} codes")).click()
            told(studio, size)
            assert [host.get_attribute(f"data-{name}") for name in ("token", "cell")] == at


def test_the_first_example_shows_neighbours_that_gain(studio):
    for prompt in ("three strawberries on a teal background", "a penguin above a pizza"):
        host = begun(studio, prompt)
        studio.wait_for_function(
            "() => document.querySelector('.cz-from').textContent === 'Tokens of this picture'"
        )
        studio.locator(".cz-explore-say", has_text=prompt).wait_for()
        before, then, now = (float(host.get_attribute(f"data-{name}")) for name in ("before", "then", "now"))
        assert now > then > 0 and now > before
        cell, token = (int(host.get_attribute(f"data-{name}")) for name in ("cell", "token"))
        assert studio.evaluate("c => window.chisel.run().frames.at(-1).tokens[c]", cell) == token
    said = studio.locator(".ex-when").inner_text()
    assert re.search(r"less than λ / \(1 \+ λ\), here 17 %. It gives [\d.]+ %: they are lifted\.", said), said
    studio.locator(".cz-explorer .cz-slider input").fill("0")
    studio.locator(".ex-when", has_text="lifts no neighbour").wait_for()
    letters = studio.locator(".ex-letters").inner_text()
    assert "y is the right token" in letters and "G(y) its group" in letters


def test_the_example_is_ringed_and_told_apart_from_the_inspected_cell(studio):
    host = begun(studio, "a penguin above a pizza")
    cell = int(host.get_attribute("data-cell"))
    other = (cell + 40) % 256
    studio.evaluate("c => window.chisel.select(c)", other)
    words = studio.locator(".ex-whose")
    said = " ".join(words.inner_text().split())
    assert said == "On the stage, the ring marks this cell and the square the cell that you inspect."
    studio.wait_for_function("() => window.chisel.still()")
    corners = studio.evaluate(
        """(cells) => { const c = document.querySelector(".cz-canvas"), side = c.width / 16;
            return cells.map((cell) => {
                const x = Math.round((cell % 16) * side), y = Math.round(Math.floor(cell / 16) * side);
                const d = c.getContext("2d").getImageData(Math.max(x - 2, 0), Math.max(y - 2, 0), 5, 5).data;
                for (let i = 0; i < d.length; i += 4) if (Math.max(d[i], d[i + 1], d[i + 2]) < 60) return true;
                return false;
            }); }""",
        [other, cell],
    )
    assert corners == [True, False], "a square frame has a corner in ink, a ring has none"
    studio.evaluate("c => window.chisel.select(c)", cell)
    studio.locator(".ex-whose-other").wait_for(state="hidden")


def test_what_is_chosen_while_the_tokens_of_a_picture_come_stays_chosen(studio):
    carved(studio)
    studio.evaluate("() => window.chisel.select(70)")

    # the tokens to choose from come after the visitor has chosen the inspected cell
    studio.evaluate("""() => {
        const ask = window.fetch;
        window.fetch = async (url, options) => {
            const answer = await ask(url, options);
            if (String(options?.body).includes("handful")) await new Promise((done) => setTimeout(done, 2000));
            return answer;
        };
    }""")
    chapter(studio, "neighbours")
    studio.locator("[data-explore=cell]").click()
    said = studio.locator(".cz-explore-say")
    said.filter(has_text="At row 5, column 7, step ").wait_for()
    studio.locator(".cz-from", has_text="Tokens of this picture").wait_for()
    studio.wait_for_timeout(1000)
    assert "At row 5, column 7, step " in said.inner_text()
