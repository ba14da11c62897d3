"""How fast the studio is on this machine, measured through a real browser and written down.

    python -m ui.record.measure --out assets/benchmarks/studio.json [--runs 10] [--model DIR]

Starts the app (process start to first answer), then presses Generate with the page's own defaults and a new
seed each time: click to the first frame painted, to the first carved step, to the last step. Then, on a finished
run: choosing a cell, putting a token by hand (the new picture comes from the server, without the model), and
scrubbing. Then four visitors press at once: until each sees its place, its first carved step, its picture. Last
come many identical short runs, to see that the server's memory stays where it is.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from ui.record.browser import NoBrowser, arrived, chromium, serving, settled

# Milliseconds from the click until the canvas says what it has painted.
PRESS = """async () => {
    const canvas = document.querySelector(".cz-canvas");
    const before = canvas.dataset.run;
    const began = performance.now();
    const times = {};
    document.querySelector("#generate").click();
    await new Promise((done) => {
        const watcher = new MutationObserver(() => {
            const now = performance.now() - began;
            if (canvas.dataset.run === before) return;
            times.first_frame ??= now;
            if (Number(canvas.dataset.step) >= 1) times.first_carved ??= now;
            if (canvas.dataset.state !== "running" && canvas.dataset.step === canvas.dataset.last) {
                times.last_step = now;
                watcher.disconnect();
                done();
            }
        });
        watcher.observe(canvas, { attributes: true });
    });
    return times;
}"""

# Milliseconds of script to show each step of a finished run, the drawing itself included.
SCRUB = """async () => {
    const range = document.querySelector(".cz-range");
    const times = [];
    for (let k = 0; k <= Number(range.max); k++) {
        const began = performance.now();
        range.value = String(k);
        range.dispatchEvent(new Event("input"));
        const spent = performance.now() - began;
        await new Promise((done) => requestAnimationFrame(done));
        times.push(spent + window.chisel.painted);
    }
    return times;
}"""


# Milliseconds from choosing a cell, or putting a token into it by hand, until the canvas shows it.
HAND = """async (put) => {
    const canvas = document.querySelector(".cz-canvas");
    const times = [];
    for (let i = 0; i < 20; i++) {
        const cell = (i * 37) % window.chisel.run().cells;
        const began = performance.now();
        const shown = new Promise((done) => {
            const watcher = new MutationObserver(() => {
                const d = canvas.dataset;
                const there = put ? d.pending === "0" && Number(d.drafted) === i + 1 : d.cell === String(cell);
                if (!there) return;
                watcher.disconnect();
                done();
            });
            watcher.observe(canvas, { attributes: true });
        });
        if (put) window.chisel.put([[cell, (100 + i) % window.chisel.run().maskId]]);
        else window.chisel.select(cell);
        await shown;
        times.push(performance.now() - began);
    }
    return times;
}"""

# Presses Generate and notes when this tab learns its place in the line, sees its first step, and its last.
QUEUE = """() => {
    const canvas = document.querySelector(".cz-canvas");
    const notice = document.querySelector(".cz-notice");
    const times = (window.times = {});
    const began = performance.now();
    const look = () => {
        const now = performance.now() - began;
        if (notice.textContent.includes("ahead of you")) times.place ??= now;
        if (Number(canvas.dataset.step) >= 1) times.first_carved ??= now;
        if (canvas.dataset.state === "done" && canvas.dataset.step === canvas.dataset.last) times.done ??= now;
    };
    for (const node of [canvas, notice]) {
        const all = { attributes: true, childList: true, characterData: true, subtree: true };
        new MutationObserver(look).observe(node, all);
    }
    document.querySelector("#generate").click();
}"""


def summary(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest of some milliseconds."""
    return {
        "median_ms": round(statistics.median(values), 1),
        "min_ms": round(min(values), 1),
        "max_ms": round(max(values), 1),
    }


def resident_mib(pid: int) -> float | None:
    """Resident memory of a process in MiB, where the system tells (Linux); otherwise None."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024, 1)


def measure(browser: Any, app: Any, runs: int) -> dict[str, Any]:
    """All figures of one visitor at a running app."""
    page = _open(browser, app)
    times = []
    for _ in range(runs):
        page.locator("#generate:enabled").wait_for()
        before = page.evaluate("document.querySelector('.cz-canvas').dataset.run")
        times.append(page.evaluate(PRESS))
        settled(page, other_than=before)
    figures = {
        "start_to_page_s": round(app.seconds, 2),
        "click_to_first_frame": summary([t["first_frame"] for t in times]),
        "click_to_first_carved_step": summary([t["first_carved"] for t in times]),
        "click_to_last_step": summary([t["last_step"] for t in times]),
        "scrub_one_frame": summary(page.evaluate(SCRUB)),
        "choose_a_cell_to_painted": summary(page.evaluate(HAND, False)),
        "put_a_token_to_painted": summary(page.evaluate(HAND, True)),
        "server_resident_mib": resident_mib(app.pid),
    }
    page.close()
    return figures


def four_visitors(browser: Any, app: Any) -> dict[str, Any]:
    """Four tabs press Generate at the same moment: when each learns its place, sees a step, has its picture."""
    contexts = [browser.new_context(viewport={"width": 1000, "height": 800}) for _ in range(4)]
    pages = [_open(context, app) for context in contexts]
    for page in pages:
        page.evaluate(QUEUE)
    for page in pages:
        settled(page)
    times = [page.evaluate("window.times") for page in pages]
    for context in contexts:
        context.close()
    return {
        "place_seen": summary([t["place"] for t in times if "place" in t]),
        "who_waited": sum("place" in t for t in times),
        "first_carved_step_ms": sorted(round(t["first_carved"]) for t in times),
        "picture_ms": sorted(round(t["done"]) for t in times),
    }


def memory(app: Any, runs: int, steps: int = 2) -> dict[str, Any]:
    """The server's memory before and after `runs` identical runs, once what it keeps on purpose is full."""
    from gradio_client import Client

    from ui.server.runs import RUNS_A_TAB

    client = Client(app.address, verbose=False)

    def carve(n: int) -> float | None:
        for _ in range(n):
            sent = client.predict("a panda", 1, steps, polish=0, ask=None, api_name="/generate")[0]
            if sent["state"] != "done":
                raise RuntimeError("A run of the memory measurement did not finish.")
        return resident_mib(app.pid)

    before = carve(RUNS_A_TAB + 12)
    return {"runs": runs, "steps_each": steps, "before_mib": before, "after_mib": carve(runs)}


def _open(browser: Any, app: Any) -> Any:
    page = browser.new_page(
        **({"viewport": {"width": 1320, "height": 900}} if hasattr(browser, "new_context") else {})
    )
    page.goto(app.address)
    return arrived(page)


def main(argv: list[str] | None = None) -> int:
    """Measures and writes the record; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ui.record.measure", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("assets/benchmarks/studio.json"))
    parser.add_argument("--runs", type=int, default=10, help="pictures of the single visitor")
    parser.add_argument("--memory-runs", type=int, default=200, help="identical short runs for the memory")
    parser.add_argument("--model", help="folder with weights (default: the shipped ones)")
    args = parser.parse_args(argv)
    if args.runs < 1 or args.memory_runs < 1:
        parser.error("--runs and --memory-runs must be 1 or more.")
    try:
        with chromium() as browser, serving(*(["--model", args.model] if args.model else [])) as app:
            record = {
                "command": "python -m ui.record.measure",
                "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "machine": {"cores": os.cpu_count(), "system": platform.system(), "arch": platform.machine()},
                "load_before": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
                "python": platform.python_version(),
                "runs": args.runs,
                **measure(browser, app, args.runs),
                "four_visitors": four_visitors(browser, app),
                "memory": memory(app, args.memory_runs),
            }
    except (NoBrowser, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
