"""A benchmark's record: one JSON file with everything that explains the figures, and a plot of it."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import torch

BEGIN, END = "<!-- fused operators: table -->", "<!-- fused operators: end -->"  # around the README's table
FLOORS = ("three products", "one product")
ALONE = "ours, loss alone"  # its ratio is to one product, not to our time


def environment(device: torch.device, commit: str | None = None, note: str | None = None) -> dict:
    """Device, versions, commit and date; `commit` for a copy of the code without its history."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
        model = next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
            platform.machine(),
        )
        name = f"{model}, {torch.get_num_threads()} threads"
    versions: dict[str, str | None] = {"python": platform.python_version(), "torch": torch.__version__}
    for package in ("triton", "cut_cross_entropy", "liger_kernel"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    commit = commit or commit_of_the_code()
    return {
        "device": name,
        "versions": versions,
        "commit": commit,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        **({"note": note} if note else {}),
    }


def commit_of_the_code() -> str | None:
    """The commit that this clone stands at; None for a wheel, whatever repository it is used in, or without git."""
    clone = Path(__file__).resolve().parents[1]
    if not (clone / ".git").exists():
        return None
    try:
        asked = subprocess.run(
            ["git", "-C", str(clone), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        )
    except OSError:  # no git on this machine
        return None
    return asked.stdout.strip() or None


def others(folder: Path, name: str, device: torch.device, now: dict, shapes: list | None) -> list[dict]:
    """Rows of the record's shapes that are not measured anew, if device and versions are the same."""
    path = folder / f"{name}_{device.type}.json"
    if not shapes or not path.exists():
        return []
    record = json.loads(path.read_text())
    then = record["environment"]
    if any(then[key] != now[key] for key in ("device", "versions")):
        return []
    kept = [row for row in record["rows"] if tuple(row["shape"]) not in shapes]
    return [{**row, "commit": row.get("commit") or then["commit"]} for row in kept]


def save(folder: Path, name: str, device: torch.device, rows: list[dict], info: dict | None = None) -> Path:
    """Write `<name>_<device>.json`, and the plot beside it where matplotlib is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_{device.type}.json"
    path.write_text(json.dumps({"environment": info or environment(device), "rows": rows}, indent=1) + "\n")
    try:
        plot(path)
    except ImportError:
        print("no plot: matplotlib is not installed")
    return path


def plot(path: Path) -> Path:
    """Two bars per contender and shape, time and extra memory, from a record."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    record = json.loads(path.read_text())
    rows = [row for row in record["rows"] if row.get("ratio") is not None]
    panels = list(dict.fromkeys((tuple(row["shape"]), row.get("grouped", False)) for row in rows))
    figure, axes = pyplot.subplots(len(panels), 2, figsize=(11, 1 + 2.4 * len(panels)), squeeze=False)
    for (shape, grouped), (left, right) in zip(panels, axes, strict=True):
        mine = [row for row in rows if tuple(row["shape"]) == shape and row.get("grouped", False) == grouped][
            ::-1
        ]
        names = [row["name"] for row in mine]
        colours = ["#c8553d" if name.startswith("ours") else "#8d99ae" for name in names]
        left.barh(names, [row["ms"] for row in mine], color=colours)
        right.barh(names, [row["extra_mib"] or 0 for row in mine], color=colours)
        left.set_title(
            f"N, D, V = {', '.join(map(str, shape))}{', grouped' if grouped else ''}", fontsize=9, loc="left"
        )
        left.set_xlabel("milliseconds", fontsize=8)
        right.set_xlabel("MiB beyond inputs and outputs", fontsize=8)
        right.set_yticklabels([])
        for axis in (left, right):
            axis.tick_params(labelsize=8)
            axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{record['environment']['device']}, PyTorch {record['environment']['versions']['torch']}", fontsize=9
    )
    figure.tight_layout()
    target = path.with_suffix(".png")
    figure.savefig(target, dpi=110)
    pyplot.close(figure)
    return target


def table(rows: list[dict]) -> str:
    """The rows as aligned text for the terminal."""
    lines = [f"{'N, D, V':>24}  {'':<33} {'ms':>9} {'x ours':>7} {'MiB':>9}  error"]
    for row in rows:
        error = max(row["error"].values()) if row.get("error") else None
        lines.append(
            f"{', '.join(map(str, row['shape'])):>24}  {row['name']:<32} {row['ms']:9.2f} "
            + (f"{row['ratio']:7.2f}" if row.get("ratio") is not None else " " * 7)
            + (f" {row['extra_mib']:9.1f}" if row.get("extra_mib") is not None else " " * 10)
            + (f"  {error:.1e}" if error is not None else "")
        )
    return "\n".join(lines)


def markdown(path: Path) -> str:
    """A record as the README's table: each contender's time as a ratio to ours, and its extra memory."""
    record = json.loads(path.read_text())
    info = record["environment"]
    lines = [
        f"{info['device']}, PyTorch {info['versions']['torch']}, commit {info['commit']}, {info['date']}",
        "",
        "| N, D, V | objective | contender | ms | x ours | extra MiB | largest relative error |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        if row.get("ratio") is None:
            continue
        objective = {True: "grouped", False: "plain", None: "sampling"}[row.get("grouped")]
        extra = "" if row["extra_mib"] is None else f"{row['extra_mib']:.0f}"
        error = f"{max(row['error'].values()):.0e}" if row.get("error") else ""
        shape = ", ".join(map(str, row["shape"]))
        name, ratio = row["name"], f"{row['ratio']:.2f}"
        if name == ALONE:
            name, ratio = f"{name} ({ratio} x one product)", ""
        lines.append(f"| {shape} | {objective} | {name} | {row['ms']:.4g} | {ratio} | {extra} | {error} |")
    return "\n".join(lines)


def summary(folder: Path) -> str:
    """The README's table: of every shape in the records, ours beside each contender and the bare products."""
    lines = []
    for path in sorted(folder.glob("gce_*.json")) + sorted(folder.glob("sample_*.json")):
        record = json.loads(path.read_text())
        info = record["environment"]
        commits = sorted({row.get("commit") or info["commit"] or "unknown" for row in record["rows"]})
        lines += [
            "",
            f"{info['device']}, PyTorch {info['versions']['torch']}, {info['date']}, commit {', '.join(commits)}"
            f" (`assets/benchmarks/{path.name}`)",
            "",
            "| what | N, D, V | ours: time, extra memory | contenders: x our time, extra memory | ours / products |",
            "|---|---|---|---|---|",
        ]
        lines += [_summary_line(rows) for rows in _panels(record["rows"])]
        if info.get("note"):
            lines += ["", info["note"]]
    return "\n".join(lines).strip()


def _panels(rows: list[dict]) -> list[list[dict]]:
    """Rows with a ratio, by shape and objective."""
    panels: dict[tuple, list[dict]] = {}
    for row in rows:
        if row.get("ratio") is not None and row["name"] != ALONE:
            panels.setdefault((*row["shape"], row.get("grouped")), []).append(row)
    return list(panels.values())


def _summary_line(rows: list[dict]) -> str:
    ours = next(row for row in rows if row["name"] == "ours")
    floor = next((row for row in rows if row["name"] in FLOORS), None)
    others = [
        f"{row['name']} {row['ratio']:.2f}x, {row['extra_mib']:.0f} MiB"
        for row in rows
        if not row["name"].startswith("ours") and row["name"] not in (*FLOORS, "torch backend")
    ]
    what = {True: "GCE", False: "plain CE", None: "sampling step"}[ours.get("grouped")]
    above = f"{1 / floor['ratio']:.2f}x" if floor else ""
    return (
        f"| {what} | {', '.join(map(str, ours['shape']))} | {_time(ours['ms'])}, {ours['extra_mib']:.0f} MiB "
        f"| {'; '.join(others)} | {above} |"
    )


def _time(ms: float) -> str:
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.3g} ms" if ms < 1 else f"{ms:.2f} ms"


def block(text: str) -> str:
    """What stands between the markers."""
    return text.split(BEGIN, 1)[1].split(END, 1)[0].strip()


def replace_block(text: str, new: str) -> str:
    """`text` with `new` between the markers."""
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{new}\n{END}{rest.split(END, 1)[1]}"
