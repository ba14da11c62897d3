"""The README's pictures of the studio, taken from the real app.

    python -m ui.screenshots --out assets/screenshots [--prompt TEXT] [--seed N] [--model DIR]

Starts the app, generates one picture with a fixed seed, and saves light, dark and phone, each in the middle
of the run and at its end.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from ui.browser import NoBrowser, chromium, scrub, serving, settled
from ui.page import EXAMPLES

DESKTOP = {"viewport": {"width": 1320, "height": 860}, "device_scale_factor": 1.5}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
LOOKS = {
    "light": {**DESKTOP, "color_scheme": "light"},
    "dark": {**DESKTOP, "color_scheme": "dark"},
    "phone": {**PHONE, "color_scheme": "light"},
}


# The step in the middle of the run that edits most, and of its edited cells the one with the longest history;
# where nothing was edited, the middle step and the cell that it set nearest the centre.
TELLING = """() => {
    const run = window.chisel.run();
    const eventful = (cell) => run.history(cell).length;
    const central = (cell) => {
        const [x, y] = [cell % run.columns, Math.floor(cell / run.columns)];
        return -Math.hypot(x - run.columns / 2, y - run.rows / 2) / 100;
    };
    let best = { k: Math.round(run.planned * 0.6), score: 0 };
    for (let k = Math.floor(run.planned * 0.4); k <= Math.floor(run.planned * 0.75); k++) {
        const score = run.frames[k] ? run.frames[k].edited.length : 0;
        if (score > best.score) best = { k, score };
    }
    const frame = run.frames[best.k];
    const cells = best.score ? frame.edited.map((edit) => edit.at) : Array.from(frame.set);
    cells.sort((a, b) => eventful(b) + central(b) - eventful(a) - central(a));
    return [best.k, cells[0] ?? -1];
}"""


def take(browser: Any, address: str, look: str, out: Path, prompt: str, seed: int) -> list[Path]:
    """The two pictures of one look."""
    context = browser.new_context(**LOOKS[look])
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".cz-canvas")
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#seed input").fill(str(seed))
    page.locator("#generate").click()
    last = int(settled(page)["last"])
    middle, cell = page.evaluate(TELLING)
    paths = []
    for name, step, view in (("steps", middle, "changes"), ("done", last, "picture")):
        page.locator(f".cz-view[data-view={view}]").click()
        scrub(page, step)
        if look != "phone":
            page.evaluate("cell => window.chisel.select(cell)", cell if name == "steps" else -1)
        page.evaluate("() => document.activeElement.blur()")
        page.mouse.move(0, 0)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        paths.append(out / f"{look}_{name}.png")
        page.locator("#stage" if look == "phone" else "body").scroll_into_view_if_needed()
        page.screenshot(path=str(paths[-1]))
    context.close()
    return paths


def main(argv: list[str] | None = None) -> int:
    """Takes all of them; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ui.screenshots", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path("assets/screenshots"), help="folder for the pictures"
    )
    parser.add_argument("--prompt", default=EXAMPLES[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="folder with weights (default: the shipped ones)")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with chromium() as browser, serving(*(["--model", args.model] if args.model else [])) as app:
            for look in LOOKS:
                for path in take(browser, app.address, look, args.out, args.prompt, args.seed):
                    print(path)
    except (NoBrowser, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
