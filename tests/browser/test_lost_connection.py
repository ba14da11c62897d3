"""What a lost connection leaves, as visitors meet it in the browser."""

from browser_hands import TOKENS, generate

from ui.record.browser import CANVAS, arrived, dataset, settled


def lose_the_connection(page, button="#generate"):
    """The next press finds no server; the page loads itself anew once the server answers."""
    page.route("**/queue/join*", lambda route: route.abort())
    with page.expect_navigation():
        page.locator(f"{button}:enabled").click()
    page.unroute("**/queue/join*")
    arrived(page)


def test_a_picture_outlives_a_lost_connection(studio):
    tokens = generate(studio, steps=3, seed=8)
    run = dataset(studio)["run"]
    studio.locator("#prompt textarea").fill("two mushrooms on yellow")
    lose_the_connection(studio)
    settled(studio)
    assert dataset(studio)["run"] == run and studio.evaluate(TOKENS) == tokens
    studio.locator(".cz-notice").filter(has_text="The connection was lost").wait_for()
    assert studio.locator("#prompt textarea").input_value() == "two mushrooms on yellow"
    generate(studio, steps=2)
    assert studio.locator(".cz-notice").inner_text() == ""
    run = dataset(studio)["run"]
    studio.reload()  # by hand it is there again too, and nothing is said of a connection
    studio.wait_for_function(f"run => window.chisel && {CANVAS}.run === run", arg=run)
    assert studio.locator(".cz-notice").inner_text() == ""


OTHER_WORDS = """() => new MutationObserver(() => {
    for (const toast of document.querySelectorAll(".toast-body")) {
        const walker = document.createTreeWalker(toast, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const text = walker.currentNode;
            if (text.data.includes("Connection to the server")) text.data = "Verbindung verloren";
        }
    }
}).observe(document.body, { childList: true, subtree: true, characterData: true })"""


def test_a_lost_connection_is_known_whatever_gradio_calls_it(studio):
    """That a script reloads the page is enough; a reload by hand is still none."""
    tokens = generate(studio, steps=2, seed=8)
    studio.evaluate(OTHER_WORDS)
    lose_the_connection(studio)
    settled(studio)
    assert studio.evaluate(TOKENS) == tokens
    studio.locator(".cz-notice").filter(has_text="The connection was lost").wait_for()


def test_where_nothing_tells_of_a_lost_connection_it_is_a_reload_like_any(visit):
    """Neither Gradio's words as we know them nor a browser with the Navigation API."""
    page = visit()
    page.add_init_script(
        "Object.defineProperty(window, 'navigation', { value: undefined, configurable: true })"
    )
    page.reload()
    arrived(page)
    page.wait_for_function(f"() => {CANVAS}.state === 'idle'")
    tokens = generate(page, steps=2, seed=8)
    page.evaluate(OTHER_WORDS)
    lose_the_connection(page)
    settled(page)
    assert page.evaluate(TOKENS) == tokens and page.locator(".cz-notice").inner_text() == ""
    page.locator("#generate:enabled").wait_for()
    generate(page, steps=2)


def test_gradios_words_alone_are_enough_too(visit):
    """In a browser without the Navigation API."""
    page = visit()
    page.add_init_script(
        "Object.defineProperty(window, 'navigation', { value: undefined, configurable: true })"
    )
    page.reload()
    arrived(page)
    page.wait_for_function(f"() => {CANVAS}.state === 'idle'")
    tokens = generate(page, steps=2, seed=8)
    lose_the_connection(page)
    settled(page)
    assert page.evaluate(TOKENS) == tokens


def test_locks_and_hand_edits_outlive_a_lost_connection(studio):
    """Also those on a branch, whose first steps the new page does not have."""
    generate(studio, steps=4, seed=8)
    studio.evaluate("() => { window.chisel.go(2); window.chisel.task('edit'); }")
    studio.wait_for_function(f"() => {CANVAS}.step === '2'")
    before = dataset(studio)["run"]
    studio.evaluate("() => window.chisel.press('branch')")
    branch = settled(studio, other_than=before)["run"]
    studio.evaluate("""() => {
        window.chisel.lock([17, 18]);
        window.chisel.put([[30, 7], [31, 9]]);
        window.chisel.remask([200, 201, 202]);
    }""")
    studio.wait_for_function(f"() => {CANVAS}.drafted === '5' && {CANVAS}.pending === '0'")
    tokens = studio.evaluate("() => Array.from(window.chisel.tokens())")
    lose_the_connection(studio, "[data-press=repaint]")
    studio.wait_for_function(f"() => {CANVAS}.drafted === '5' && {CANVAS}.pending === '0'")
    told = dataset(studio)
    assert (told["run"], told["locked"], told["masked"]) == (branch, "2", "3")
    assert studio.evaluate("() => Array.from(window.chisel.tokens())") == tokens
    # and work goes on from there: the masked cells are carved, all others stay
    studio.evaluate("() => { window.chisel.task('edit'); window.chisel.press('repaint'); }")
    settled(studio, other_than=branch)
    after = studio.evaluate("() => Array.from(window.chisel.tokens())")
    assert [i for i, (a, b) in enumerate(zip(tokens, after, strict=True)) if a != b] == [200, 201, 202]
    assert dataset(studio)["locked"] == "2"
