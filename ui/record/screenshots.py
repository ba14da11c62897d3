"""The README's pictures of the studio, taken from the real app.

    python -m ui.record.screenshots --out assets/screenshots [--prompt TEXT] [--seed N] [--model DIR]
        [--carve TEXT] [--repaint TEXT]

Starts the app, generates one picture with a fixed seed, and saves light, dark and phone, each in the middle
of the run and at its end; then the Retouch and the Learn task; then carving.webp, a short animation of a run and of
its left half being made anew with another prompt. Every frame is a screenshot of the page.
"""

import argparse
import io
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from ui.opened import examples, shipped
from ui.record.browser import NoBrowser, arrived, chromium, dataset, scrub, serving, settled

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
    arrived(page)
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


def tasks(browser: Any, address: str, out: Path, prompt: str, seed: int) -> list[Path]:
    """Retouch, with some cells masked again and some locked, and Learn, each on a finished picture."""
    context = browser.new_context(**LOOKS["light"])
    page = context.new_page()
    _generate(page, address, prompt, seed)
    paths = []
    page.evaluate(
        """() => {
            window.chisel.task("edit");
            window.chisel.tool("mask");
            const { rows, columns } = window.chisel.run();
            const cell = (x, y) => Math.round(y * rows) * columns + Math.round(x * columns);
            const block = (x, y, w, h) => Array.from({ length: w * h }, (_, i) => {
                return cell(x, y) + (i % w) + Math.floor(i / w) * columns;
            });
            window.chisel.remask(block(0.3125, 0.3125, 3, 3));
            window.chisel.lock(block(0.25, 0.1875, 3, 2));
            window.chisel.select(cell(0.375, 0.4375));
        }"""
    )
    page.wait_for_function("() => document.querySelector('.cz-canvas').dataset.pending === '0'")
    paths.append(_shot(page, out / "light_edit.png"))
    page.evaluate(
        "() => { window.chisel.undo(); window.chisel.undo(); window.chisel.select(-1); window.chisel.task('learn'); }"
    )
    paths.append(_shot(page, out / "light_learn.png"))
    context.close()
    return paths


def animation(browser: Any, address: str, out: Path, prompt: str, seed: int, repaint: str) -> Path:
    """carving.webp: a run step by step, then half of it remasked and painted anew."""
    context = browser.new_context(viewport={"width": 1240, "height": 940}, color_scheme="light")
    page = context.new_page()
    page.goto(address)
    arrived(page)
    frames: list[tuple[Image.Image, int]] = []

    def keep(milliseconds: int) -> None:
        page.mouse.move(0, 0)
        page.evaluate("() => document.activeElement.blur()")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        frames.append(
            (
                shot.resize((930, round(930 * shot.height / shot.width)), Image.Resampling.LANCZOS),
                milliseconds,
            )
        )

    def steps(each: int) -> None:
        for k in range(int(dataset(page)["last"]) + 1):
            scrub(page, k)
            keep(each)

    _generate(page, address, prompt, seed)
    page.locator(".cz-view[data-view=picture]").click()
    scrub(page, 0)
    keep(900)
    steps(200)
    keep(1500)
    before = dataset(page)["run"]
    page.evaluate(
        """() => {
            window.chisel.task("edit");
            window.chisel.tool("mask");
            const { cells, columns } = window.chisel.run();
            const all = Array.from({ length: cells }, (_, cell) => cell);
            window.chisel.remask(all.filter((cell) => cell % columns < columns / 2));
        }"""
    )
    page.locator("#prompt textarea").fill(repaint)
    page.wait_for_function("() => document.querySelector('.cz-canvas').dataset.pending === '0'")
    keep(1800)
    page.evaluate("() => window.chisel.ask({ kind: 'repaint' })")
    settled(page, other_than=before)
    steps(200)
    keep(2600)
    context.close()
    path = out / "carving.webp"
    images, times = [image for image, _ in frames], [time for _, time in frames]
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=times,
        loop=0,
        quality=72,
        method=6,
        minimize_size=True,
    )
    return path


def _generate(page: Any, address: str, prompt: str, seed: int) -> None:
    """A finished run of the page's defaults."""
    page.goto(address)
    arrived(page)
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#seed input").fill(str(seed))
    page.locator("#generate").click()
    settled(page)


def _shot(page: Any, path: Path) -> Path:
    page.evaluate("() => document.activeElement.blur()")
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)  # marks have faded, folding panels and look-ups of the inspector are at rest
    page.screenshot(path=str(path))
    return path


def main(argv: list[str] | None = None) -> int:
    """Takes all of them; returns the exit status."""
    first, second, *_ = examples(shipped())
    parser = argparse.ArgumentParser(
        prog="python -m ui.record.screenshots", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--out", type=Path, default=Path("assets/screenshots"), help="folder for the pictures"
    )
    parser.add_argument("--prompt", default=first)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--carve", default=second, help="prompt of the animation")
    parser.add_argument(
        "--repaint", default="a penguin left of an umbrella", help="prompt of the half made anew"
    )
    parser.add_argument("--model", help="folder with weights (default: the shipped ones)")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with chromium() as browser, serving(*(["--model", args.model] if args.model else [])) as app:
            for look in LOOKS:
                for path in take(browser, app.address, look, args.out, args.prompt, args.seed):
                    print(path)
            for path in tasks(browser, app.address, args.out, args.prompt, args.seed):
                print(path)
            print(animation(browser, app.address, args.out, args.carve, args.seed, args.repaint))
    except (NoBrowser, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
