"""Hands for the browser tests: a short run, cells under mouse and finger, and what the canvas shows, cell by cell."""

from typing import Any

from ui.record.browser import CANVAS, dataset, settled

TOLERANCE = 12  # of 255, between two readings of the middle of a cell

# The colour in the middle of every cell [L x 3], after the motion of a step has come to rest.
CENTRES = """async () => {
    const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    await drawn();
    const { rows, columns } = window.chisel.run();
    const canvas = document.querySelector(".cz-canvas"), side = canvas.width / columns;
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const out = [];
    for (let cell = 0; cell < rows * columns; cell++) {
        const x = Math.floor((cell % columns + 0.5) * side), y = Math.floor((Math.floor(cell / columns) + 0.5) * side);
        const at = (y * canvas.width + x) * 4;
        out.push([data[at], data[at + 1], data[at + 2]]);
    }
    return out;
}"""
TOKENS = "() => Array.from(window.chisel.tokens())"
FRAMES = "() => window.chisel.run().frames.map((frame) => Array.from(frame.tokens))"


def make(page: Any, steps: int = 3, seed: int = 1, editing: bool = True, prompt: str = "a cat") -> str:
    """A finished run in as few steps as a test needs; returns its id."""
    before = dataset(page)["run"]
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#steps input[type=number]").fill(str(steps))
    page.locator("#seed input").fill(str(seed))
    page.locator("#editing input").set_checked(editing)
    page.locator("#generate:enabled").click()
    return settled(page, other_than=before)["run"]


def hold(page: Any) -> None:
    """Keeps the model busy for longer than any test here takes, until Stop: four runs of the most steps."""
    page.evaluate("""() => {
        window.chisel.remask(Array.from({ length: window.chisel.tokens().length }, (_, cell) => cell));
        const change = { steps: 64, polish: 8 };
        window.chisel.ask({ kind: "repaint", role: "variation", count: 4, change });
    }""")
    page.locator(".cz-variations-title").filter(has_text="variation 1 of 4").wait_for()


def edit(page: Any, tool: str = "", size: int | str = "") -> None:
    """Chooses Retouch, a tool and a brush."""
    page.locator("#tasks [data-task=edit]").click()
    if tool:
        page.locator(f"button[data-tool={tool}]").click()
    if size:
        page.locator(f"[data-size='{size}']").click()


def press(page: Any, name: str) -> str:
    """Presses a button of Retouch that makes a run; returns the run's id once it is done."""
    before = dataset(page)["run"]
    page.locator(f"[data-press={name}]:enabled").click()
    return settled(page, other_than=before)["run"]


def point(page: Any, cell: int) -> tuple[float, float]:
    """The middle of a cell on screen."""
    box = page.locator(".cz-canvas").bounding_box()
    columns = page.evaluate("() => JSON.parse(document.querySelector('meta[name=chisel]').content).grid[1]")
    side = box["width"] / columns
    return box["x"] + (cell % columns + 0.5) * side, box["y"] + (cell // columns + 0.5) * side


def drag(page: Any, start: int, end: int, steps: int = 3) -> None:
    """The mouse pressed on one cell and let go on another; then it leaves."""
    page.mouse.move(*point(page, start))
    page.mouse.down()
    page.mouse.move(*point(page, end), steps=steps)
    page.mouse.up()
    page.mouse.move(0, 0)


def until(page: Any, **told: str) -> dict[str, str]:
    """Waits until the canvas says all of `told`; returns its dataset."""
    page.wait_for_function(
        f"told => Object.entries(told).every(([name, value]) => {CANVAS}[name] === value)", arg=told
    )
    return dataset(page)


def centres(page: Any) -> list[list[int]]:
    """The colour in the middle of every cell, nothing hovered or moving."""
    page.mouse.move(0, 0)
    page.wait_for_function("() => window.chisel.still()")
    return page.evaluate(CENTRES)


def apart(one: list[list[int]], other: list[list[int]]) -> set[int]:
    """The cells whose middle differs."""
    pairs = enumerate(zip(one, other, strict=True))
    return {i for i, (a, b) in pairs if max(abs(p - q) for p, q in zip(a, b, strict=True)) > TOLERANCE}


def block(start: int, end: int, wide: int = 16) -> set[int]:
    """The cells of the rectangle between two corners, on a grid so many cells wide."""
    rows = sorted((start // wide, end // wide))
    columns = sorted((start % wide, end % wide))
    return {y * wide + x for y in range(rows[0], rows[1] + 1) for x in range(columns[0], columns[1] + 1)}


def inner(cells: set[int], wide: int = 16) -> set[int]:
    """Cells whose eight neighbours are in the set too: the decoder smooths the seams of the others."""
    around = [dy * wide + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return {c for c in cells if all(c + d in cells for d in around)}
