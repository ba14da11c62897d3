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


def telling_cell(page: Any) -> int:
    """The cell with the most eventful history, nearest the middle: the one worth showing in the inspector."""
    return page.evaluate(
        """() => {
            const run = window.chisel.run();
            let best = 0, most = -1;
            for (let cell = 0; cell < run.cells; cell++) {
                const x = cell % run.columns - run.columns / 2;
                const y = Math.floor(cell / run.columns) - run.rows / 2;
                const score = run.history(cell).length - Math.hypot(x, y) / 100;
                if (score > most) [best, most] = [cell, score];
            }
            return best;
        }"""
    )


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
    paths = []
    for name, step, view in (("steps", round(last * 0.55), "changes"), ("done", last, "picture")):
        page.locator(f".cz-view[data-view={view}]").click()
        scrub(page, step)
        if look != "phone":
            page.evaluate("cell => window.chisel.select(cell)", telling_cell(page) if name == "steps" else -1)
        page.evaluate("() => document.activeElement.blur()")
        page.mouse.move(0, 0)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        paths.append(out / f"{look}_{name}.png")
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
        with chromium() as browser, serving(*(["--model", args.model] if args.model else [])) as address:
            for look in LOOKS:
                for path in take(browser, address, look, args.out, args.prompt, args.seed):
                    print(path)
    except (NoBrowser, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
