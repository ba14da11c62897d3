"""The benchmark's instruments: what they measure, and that a record turns into a table and a plot."""

import json
from pathlib import Path

import pytest
import torch

from trainer import record
from trainer.bench import gce_peers, measure, sample

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[3]


def test_peak_counts_what_lived_in_between_and_not_what_is_returned():
    def run():
        scratch = torch.ones(1 << 18)  # 1 MiB
        return scratch[:4].clone()

    extra = measure.peak_bytes(run, CPU)
    assert 1 << 20 <= extra < (1 << 20) + 4096


def test_contenders_take_turns():
    turns = []
    taken = measure.times({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, CPU, seconds=0.0)
    assert turns == ["a", "b"] * 3 and set(taken) == {"a", "b"} and min(taken.values()) >= 0


def test_peers_give_the_loss_they_are_measured_for():
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(50, 8, generator=g), torch.randn(64, 8, generator=g)
    target = torch.randint(0, 64, (50,), generator=g)
    members = torch.arange(64)[:, None] // 8 * 8 + torch.arange(8)
    expected = gce_peers.eager(hidden, weight, target, members)
    torch.testing.assert_close(gce_peers.checkpointed(hidden, weight, target, members, rows=16), expected)

    def plain(h, w, y, reduction):
        return torch.nn.functional.cross_entropy(h @ w.t(), y, reduction=reduction)

    torch.testing.assert_close(gce_peers.cut_and_gather(plain, hidden, weight, target, members), expected)
    from mdm_core.groups import Groups

    ours = gce_peers.gce_peers(Groups.from_ids(torch.arange(64) // 8), members, CPU)["ours"]
    torch.testing.assert_close(ours(hidden, weight, target), expected)


def test_sampling_is_measured_beside_its_peers():
    rows = sample.bench_shape((8, 4, 64), CPU, seconds=0.0)
    names = ["ours", "ours, guidance folded before", "eager, guidance folded", "eager, batched guidance"]
    names += ["one product"]
    assert [row["name"] for row in rows] == names and rows[0]["ratio"] == 1
    assert all(row["ms"] > 0 and row["extra_mib"] >= 0 for row in rows)
    assert all(max(row["error"].values()) < 1e-5 for row in rows[:-1]) and rows[-1]["error"] is None


def test_a_record_becomes_a_table_and_a_plot(tmp_path):
    error = {"loss": 1e-7, "hidden": 2e-6, "weight": 1e-6}
    rows = [
        {
            "name": "ours",
            "shape": [4, 2, 8],
            "grouped": True,
            "ms": 1.0,
            "ratio": 1.0,
            "extra_mib": 3.0,
            "error": error,
        },
        {
            "name": "eager",
            "shape": [4, 2, 8],
            "grouped": True,
            "ms": 2.0,
            "ratio": 2.0,
            "extra_mib": None,
            "error": None,
        },
        {"name": "tile 4 MiB", "shape": [4, 2, 8], "ms": 2.0},
    ]
    path = record.save(tmp_path, "gce", CPU, rows)
    saved = json.loads(path.read_text())
    assert saved["rows"] == rows and saved["environment"]["versions"]["torch"] == torch.__version__
    assert path.with_suffix(".png").stat().st_size > 1000
    table = record.markdown(path)
    assert "| 4, 2, 8 | grouped | ours | 1 | 1.00 | 3 | 2e-06 |" in table and "tile" not in table
    assert "tile 4 MiB" in record.table(rows)


def test_a_record_is_kept_shape_by_shape(tmp_path):
    """Rows of other shapes stay if device and versions are the same; measured shapes are replaced."""
    row = {"name": "ours", "grouped": None, "ms": 1.0, "ratio": 1.0, "extra_mib": 1.0}
    rows = [row | {"shape": [4, 2, 8]}, row | {"shape": [8, 2, 8]}]
    now = record.environment(CPU, "abc")
    record.save(tmp_path, "gce", CPU, rows, now)
    assert json.loads((tmp_path / "gce_cpu.json").read_text())["environment"]["commit"] == "abc"
    assert record.others(tmp_path, "gce", CPU, now | {"commit": "new"}, [(4, 2, 8)]) == [
        rows[1] | {"commit": "abc"}
    ]
    assert record.others(tmp_path, "gce", CPU, now, None) == []
    assert record.others(tmp_path, "gce", CPU, now | {"device": "another"}, [(4, 2, 8)]) == []


def test_the_readme_shows_what_the_records_say():
    text = (ROOT / "README.md").read_text()
    assert record.block(text) == record.summary(ROOT / "assets" / "benchmarks"), (
        "run: python -m trainer bench table --readme README.md"
    )


def test_a_summary_names_peers_floors_and_notes(tmp_path):
    def row(name, ms, ratio, extra):
        return {
            "name": name,
            "shape": [4, 2, 8],
            "grouped": True,
            "ms": ms,
            "ratio": ratio,
            "extra_mib": extra,
        }

    rows = [
        row("ours", 2.0, 1.0, 3.0),
        row("ours, vocabulary", 3.0, 1.5, 3.0),
        row("eager", 4.0, 2.0, 96.0),
        row("compiled", 3.0, 1.5, 30.0),
        row("three products", 1.6, 0.8, None),
    ]
    record.save(tmp_path, "gce", CPU, rows, record.environment(CPU) | {"note": "A note."})
    text = record.summary(tmp_path)
    line = "| GCE | 4, 2, 8 | 2.00 ms, 3 MiB | eager 2.00x, 96 MiB; compiled 1.50x, 30 MiB | 1.25x |"
    assert line in text and "A note." in text
    assert record.replace_block("a\n" + record.BEGIN + "\nold\n" + record.END + "\nb", text) == (
        "a\n" + record.BEGIN + "\n" + text + "\n" + record.END + "\nb"
    )


@pytest.mark.parametrize("value, exact, expected", [([1.0, 2.0], [1.0, 4.0], 0.5), ([0.0], [0.0], 0.0)])
def test_relative_error_is_taken_of_the_largest_magnitude(value, exact, expected):
    assert measure.relative_error(torch.tensor(value), torch.tensor(exact)) == expected
