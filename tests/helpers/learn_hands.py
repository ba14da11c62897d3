"""What the browser tests of Learn do: open a chapter, and ask what lies at a place of the window."""

from ui.record.browser import settled

SIZES = {"laptop": (1280, 720), "desk": (1920, 1080), "phone": (390, 844)}

# of the lab's four pictures: nothing has healed yet
ALIKE = """() => {
    const [broken, on] = ["broken", "on"].map((name) => document.querySelector(`[data-picture=${name}]`).toDataURL());
    return broken === on;
}"""


def window(name, **more):
    """Options of a visitor's browser with a window of that size."""
    width, height = SIZES[name]
    touch = {"has_touch": True, "is_mobile": True} if name == "phone" else {}
    return {"viewport": {"width": width, "height": height}, **touch, **more}


def carved(page):
    """A finished picture of the form as it stands."""
    page.locator("#generate").click()
    return settled(page)


def chapter(page, name):
    """Opens a chapter of Learn and waits until it is the one on the page."""
    if page.evaluate("document.body.dataset.task") != "learn":
        page.locator("button[data-task=learn]").click()
    page.locator(f"[data-open={name}]").click()
    page.wait_for_function(
        "name => document.querySelector('#place [data-chapter]').dataset.chapter === name", arg=name
    )


def lies_on_top(node):
    """Scrolls to an element as far as a reader would, and tells whether it is what lies at its own place.

    Asked at its middle and near both ends of its first line; what a sticky stage or another panel covers is not read.
    """
    return node.evaluate(
        """(node) => {
            node.scrollIntoView({ block: "end" });
            const box = node.getBoundingClientRect();
            const y = box.top + Math.min(box.height / 2, 12);
            const places = [box.left + 3, box.left + Math.min(box.width, 60) / 2];
            return places.every((x) => {
                const found = document.elementFromPoint(x, y);
                return found !== null && (node.contains(found) || found.contains(node) && !found.closest(".cz-stage"));
            }) && box.top >= 0 && box.bottom <= window.innerHeight + 1;
        }"""
    )


def apart(page, one, other):
    """True where two elements share no pixel."""
    a, b = (page.locator(name).first.bounding_box() for name in (one, other))
    return (
        a["x"] + a["width"] <= b["x"] + 0.5
        or b["x"] + b["width"] <= a["x"] + 0.5
        or a["y"] + a["height"] <= b["y"] + 0.5
        or b["y"] + b["height"] <= a["y"] + 0.5
    )


def cell_colour(page, cell, canvas=".cz-canvas"):
    """[red, green, blue] in the middle of a cell as the canvas shows it."""
    return page.evaluate(
        """([name, cell]) => {
            const canvas = document.querySelector(name);
            const { rows, columns } = (window.chisel ?? window.chiselFile.stage).run instanceof Function
                ? window.chisel.run() : window.chiselFile.stage.run;
            const [w, h] = [canvas.width / columns, canvas.height / rows];
            const x = Math.floor((cell % columns + 0.5) * w), y = Math.floor((Math.floor(cell / columns) + 0.5) * h);
            return Array.from(canvas.getContext("2d").getImageData(x, y, 1, 1).data).slice(0, 3);
        }""",
        [canvas, cell],
    )


def painted(page):
    """Waits until nothing moves on the stage any more."""
    page.wait_for_function("() => window.chisel.still()")
