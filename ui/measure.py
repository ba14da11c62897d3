"""How fast the studio is on this machine, measured through a real browser and written down.

    python -m ui.measure --out assets/benchmarks/studio.json [--runs 10] [--model DIR]

Starts the app (process start to first answer), then presses Generate with the page's own defaults and a new
seed each time: click to the first frame painted, to the first carved step, to the last step; then scrubs
through the run and reads the memory of the server's process.
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

from ui.browser import NoBrowser, chromium, serving, settled

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
    """All figures of one running app."""
    page = browser.new_page(viewport={"width": 1320, "height": 900})
    page.goto(app.address)
    page.wait_for_function("() => window.chisel")
    times = []
    for _ in range(runs):
        page.locator("#generate:enabled").wait_for()
        before = page.evaluate("document.querySelector('.cz-canvas').dataset.run")
        times.append(page.evaluate(PRESS))
        settled(page, other_than=before)
    return {
        "start_to_page_s": round(app.seconds, 2),
        "click_to_first_frame": summary([t["first_frame"] for t in times]),
        "click_to_first_carved_step": summary([t["first_carved"] for t in times]),
        "click_to_last_step": summary([t["last_step"] for t in times]),
        "scrub_one_frame": summary(page.evaluate(SCRUB)),
        "server_resident_mib": resident_mib(app.pid),
    }


def main(argv: list[str] | None = None) -> int:
    """Measures and writes the record; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ui.measure", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("assets/benchmarks/studio.json"))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--model", help="folder with weights (default: the shipped ones)")
    args = parser.parse_args(argv)
    if args.runs < 1:
        parser.error("--runs must be 1 or more.")
    try:
        with chromium() as browser, serving(*(["--model", args.model] if args.model else [])) as app:
            record = {
                "command": "python -m ui.measure",
                "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "machine": {"cores": os.cpu_count(), "system": platform.system(), "arch": platform.machine()},
                "load_before": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
                "python": platform.python_version(),
                "runs": args.runs,
                **measure(browser, app, args.runs),
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
