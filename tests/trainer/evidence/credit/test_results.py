"""What comes of the runs: ratios, gains, tables, plots, and the page about one run."""

import json
import math
import random

import pytest
from PIL import Image

from trainer.evidence.credit import healthy
from trainer.evidence.credit.crossing import (
    T_975,
    monotone,
    one_ratio,
    over_seeds,
    ratios,
    reached,
)
from trainer.evidence.credit.pages import credit_pages
from trainer.evidence.credit.plots import draw_credit
from trainer.evidence.credit.sides import MODES, gains
from trainer.settings.credit import STUDIES


def curve(speed, to=12, noise=0.0, seed=0):
    """A score that is log(steps) for CE, and reached `1 / speed` times sooner."""
    rng = random.Random(seed)
    return [(100 * k, math.log(speed * 100 * k) + noise * rng.gauss(0, 1)) for k in range(1, to + 1)]


def test_steps_are_read_between_the_points_over_log_steps():
    assert reached(curve(1), math.log(250)) == pytest.approx(250)
    assert reached(curve(1), math.log(100)) == 100 and reached(curve(1), math.log(50)) == 100
    assert reached(curve(1), 99.0) is None
    for speed in (0.5, 0.8, 1.0, 1.5, 3.0):
        assert one_ratio(curve(1), curve(speed), True) == pytest.approx(1 / speed)
        falling = [[(x, -y) for x, y in curve(s)] for s in (1, speed)]
        assert one_ratio(*falling, False) == pytest.approx(1 / speed)
    with pytest.raises(ValueError, match="without points"):
        one_ratio([], curve(1), True)


def test_a_curve_is_made_monotone_by_means_of_neighbours():
    found = monotone([(1, 1.0), (2, 3.0), (3, 2.0), (4, 2.2), (5, 5.0)])
    assert [x for x, _ in found] == [1, 2, 3, 4, 5]
    assert [y for _, y in found] == pytest.approx([1.0, 2.4, 2.4, 2.4, 5.0])
    assert monotone(curve(1)) == curve(1)


def test_the_interval_is_that_of_students_t():
    stats = pytest.importorskip("scipy.stats")
    for n, t in enumerate(T_975, 1):
        assert t == pytest.approx(stats.t.ppf(0.975, n), abs=1e-4)
    each = [0.6, 0.7, 0.65]
    found = over_seeds(each)
    low, high = stats.t.interval(
        0.95, 2, loc=sum(map(math.log, each)) / 3, scale=stats.sem([math.log(e) for e in each])
    )
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)), rel=1e-4)
    many = over_seeds([1 + 0.1 * math.sin(k) for k in range(20)])
    low, high = stats.t.interval(0.95, 19, *_of_logs(many.each, stats))
    assert (many.low, many.high) == pytest.approx((math.exp(low), math.exp(high)), rel=2e-3)
    alone = over_seeds([0.5])
    assert (alone.ratio, alone.low, str(alone)) == (pytest.approx(0.5), None, "0.50")


def _of_logs(each, stats):
    logs = [math.log(e) for e in each]
    return sum(logs) / len(logs), stats.sem(logs)


def test_the_ratio_comes_out_of_noise_and_covers_the_truth():
    inside = 0
    for lot in range(40):
        each = [
            one_ratio(
                curve(1, noise=0.03, seed=10 * lot + s),
                curve(1.5, noise=0.03, seed=5000 + 10 * lot + s),
                True,
            )
            for s in range(3)
        ]
        found = over_seeds(each)
        inside += found.low <= 1 / 1.5 <= found.high
        assert found.ratio == pytest.approx(1 / 1.5, rel=0.12)
    assert inside >= 34


def row(arm, seed, speed=1.0, **more):
    points = [
        {
            "step": 100 * k,
            "masked_bits": 9 - math.log(speed * 100 * k),
            "flipped_bits": 3.0,
            "accuracy": 0.1 * math.log(speed * 100 * k),
            "group_8_bits": 1.0,
            "group_64_bits": 0.5,
            "p_target": 0.3,
            "p_group_8": 0.5,
            "p_group_64": 0.7,
            "entropy_bits": 2.0,
            **(
                {"accepted": 0.1 * math.log(speed * k), "frechet": 5 - 0.5 * math.log(speed * k)}
                if k % 2 == 0
                else {}
            ),
        }
        for k in range(1, 13)
    ]
    return {
        "arm": arm,
        "seed": seed,
        "done": True,
        "step": 1200,
        "seconds_per_step": 0.1,
        "curve": points,
        **more,
    }


def record(rows, size=131072):
    info = {"device": "a machine", "versions": {"torch": "2.11"}, "commit": "abc", "date": "2026-11-27"}
    ground = {
        "world": "world_256",
        "objects": ["cat"] * 40,
        "styles": ["3d"],
        "vocab_size": size,
        "tokens": 256,
        "codec": {"levels": [], "codebook": size},
        "fidelity": {"psnr_db": 30.0, "codes_used": 1000},
        "controls": {"real renders": {"mean": {"share": 0.99, "low": 0.98, "high": 1.0}}},
        "snapped": 0.0,
        "scenes": 262144,
    }
    return {
        "environment": info,
        "conditions": {"steps": 1200, "batch": 512},
        "ground": ground,
        "prompts": 240,
        "runs": rows,
    }


def test_only_runs_that_have_ended_are_compared_and_each_with_its_own_seed():
    rows = [row("ce", 0), row("ce", 1), row("gce8", 0, 1.5), {**row("gce8", 1, 9.0), "done": False}]
    found = ratios(rows)
    assert list(found) == ["gce8"] and found["gce8"]["masked_bits"].ratio == pytest.approx(1 / 1.5)
    assert found["gce8"]["accepted"].each == (pytest.approx(1 / 1.5),)
    assert ratios([row("gce8", 0)]) == {}


def side(right, passes=15.0):
    return {"mean": {"share": right.count("1") / len(right)}, "right": right, "passes": passes}


def test_gains_are_paired_with_the_bare_model_sampled_plainly():
    rows = [
        row("bare", 0, sides={m: side("0011") for m in MODES}),
        row("edits", 0, sides={"off": side("0111"), "remask": side("0111"), "overwrite": side("1111")}),
        row("own", 1, sides={m: side("1111") for m in MODES}),
    ]
    found = gains(rows)
    assert found["bare", "off"] == (0, 0, 0) and found["edits", "off"][0] == 0.25
    assert found["edits", "overwrite"][0] == 0.5 and ("own", "off") not in found
    low, high = found["edits", "overwrite"][1:]
    assert 0 <= low <= 0.5 <= high <= 1


def test_pages_and_plots_come_from_records(tmp_path):
    pytest.importorskip("matplotlib")
    arms = list(enumerate(STUDIES["objective"]))
    a = record([row(arm, s, 1 + (0.1 * k + 0.01 * s) * (k > 0)) for k, arm in arms for s in range(3)])
    e = record(
        [
            row(arm, s, sides={m: side("0110" if m == "off" else "0111") for m in MODES})
            for arm in STUDIES["editing"]
            for s in range(2)
        ]
    )
    small = record([row(arm, 0) for arm in ("ce", "gce8")], 4096)
    twin = {"neighbours": 16, "tokens_with_twin": 0.3, **{f"within_{n}": 0.1 for n in (1, 2, 4, 8)}}
    truth = {
        **record([]),
        "twins": {"16 nearest": twin},
        "models": {"ce": {"entropy_bits": 2.0, "masked_bits": 2.1}},
    }
    for name, value in (("credit_a", a), ("credit_e", e), ("credit_4096", small), ("ambiguity", truth)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    text = "\n".join(credit_pages(tmp_path))
    assert "0.9" in text and "CE + 0.2 GCE, groups of 8" in text and "30.0" in text
    # 1.1, 1.11 and 1.12 times as fast
    assert "0.90 [0.88, 0.92]" in text
    assert "surely below 1: " in text and "(goal: 0.67 or less)" in text
    assert "+25.0 [" in text and "| 4,096" in text and "16 nearest" in text
    made = {p.name for p in draw_credit(tmp_path)}
    assert made == {
        "credit_4096_curves.png",
        "credit_4096_steps.png",
        "credit_a_curves.png",
        "credit_a_steps.png",
        "credit_e_curves.png",
        "credit_e_sides.png",
        "credit_vocabulary.png",
    }
    assert credit_pages(tmp_path / "nothing") == []


def log_of(n=30, **changes):
    lines = []
    for k in range(1, n + 1):
        line = {"step": 10 * k, "samples": 640 * k, "seconds": 2.0 * k, "loss": 9 / k**0.5}
        if k % 3 == 0:
            line |= {"masked_bits": 12 / k**0.4, "flipped_bits": 12 / k**0.4, "accuracy": 0.4}
            line |= {f"accuracy_{q}": 0.9 - 0.006 * q for q in (25, 50, 75, 100)}
        lines.append(line | {name: f(k) for name, f in changes.items() if name in line})
    return lines


def test_signs_of_a_healthy_run_and_of_sick_ones():
    assert [s.ok for s in healthy.signs(log_of(), 16384)] == [True] * 5
    sick = {
        0: {"loss": lambda k: 5 + 0.1 * k},
        1: {"loss": lambda k: 9 / k**0.5 * (3 if k == 20 else 1)},
        2: {"masked_bits": lambda k: 5 + 0.1 * k},
        3: {"flipped_bits": lambda k: 13.9},
        4: {"accuracy_25": lambda k: 0.1},
    }
    for place, change in sick.items():
        told = healthy.signs(log_of(**change), 16384)
        assert told[place].ok is False, told[place]
    old = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}]
    assert {s.ok for s in healthy.signs(old)} == {None}


def test_the_page_of_a_run_is_made_from_its_log(tmp_path):
    pytest.importorskip("matplotlib")
    run, out = tmp_path / "run", tmp_path / "out"
    (run / "sheets").mkdir(parents=True)
    out.mkdir()
    for step in range(10, 100, 10):
        Image.new("RGB", (40, 30)).save(run / "sheets" / f"step-{step:09d}.webp")
    (run / "log.json").write_text(json.dumps(log_of()))
    text = healthy.page(run, out, 16384)
    assert "300 steps, 19,200 samples, 1.0 minutes" in text and "of 14.0 (log2 V)" in text
    shown = sorted(p.name for p in out.glob("*.webp"))
    assert shown[0].endswith("010.webp") and shown[-1].endswith("090.webp") and len(shown) == 4
    assert (out / "healthy.md").read_text() == text and (out / "healthy.png").stat().st_size > 5000
    assert healthy.page(run, run, None)  # beside the run, its sheets are not copied onto themselves
    (run / "log.json").write_text(json.dumps(log_of(3)[:2]))
    assert "too few" in healthy.page(run, out)
    for broken in ("{", "[1]", "{}", "[]"):
        (run / "log.json").write_text(broken)
        with pytest.raises(ValueError, match="log"):
            healthy.read_log(run)
