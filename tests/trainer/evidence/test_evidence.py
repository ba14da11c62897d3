"""Tables, plots, exports: the machinery behind the evidence, on tiny models and made-up records."""

import copy
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mdm_core.diffusion.corruption import Corrupted
from mdm_core.families.chisel.config import load_config
from mdm_core.groups import Groups
from mdm_core.pipeline import SHIPPED
from trainer.evaluate.generate import decode, encode, generate
from trainer.evaluate.prompts import load
from trainer.evaluate.scoring import summary
from trainer.evidence import editing
from trainer.evidence.arms import ARMS, cells, smoothing
from trainer.evidence.editing import HEAL, heal
from trainer.evidence.failures import CAUSES, cause, write
from trainer.evidence.geneval_export import export, read
from trainer.evidence.model_card import card
from trainer.evidence.pages import differences, page
from trainer.evidence.plots import draw_all
from trainer.judge.detector import Detection

INFO = {"device": "a machine", "versions": {"torch": "2.11"}, "commit": "abc", "date": "2026-11-23"}


def test_cells_have_the_asked_number_of_codes():
    for size in (2, 8, 64, 512):
        groups = cells((8, 8, 8, 8, 4, 4), size)
        assert groups.n_groups == 65536 // size and len(groups.members(12345)) == size
    assert torch.equal(cells((8, 8, 8, 8, 4, 4), 8).group_of, Groups.lattice((8, 8, 8, 8, 4, 4), 2).group_of)
    assert all(arm.group == 1 or arm.weight > 0 for arm in ARMS.values())
    with pytest.raises(ValueError, match="no cells of 64 codes"):
        cells((4, 4, 2), 64)


def test_smoothing_is_label_smoothing():
    g = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(2, 6, 8, generator=g), torch.randn(32, 8, generator=g)
    x0 = torch.randint(0, 32, (2, 6), generator=g)
    masked = torch.rand(2, 6, generator=g) < 0.5
    rows = masked.flatten() / masked.sum() + ~masked.flatten() * (0.2 / (~masked).sum())
    logits, y = (hidden @ weight.T).flatten(0, 1), x0.flatten()

    def loss(eps):
        return (F.cross_entropy(logits, y, label_smoothing=eps, reduction="none") * rows).sum()

    extra = smoothing(hidden, weight, x0, Corrupted(x0, masked, masked, masked), 0.2)
    assert torch.allclose(loss(0.0) + 0.1 * extra, loss(0.1), atol=1e-5)


def test_pictures_remember_passes_edits_and_first_values(tiny):
    settings = {"steps": 4, "edit_threshold": 0.0, "edit_budget": 0.5, "edit_cooldown": 0, "polish": 2}
    made = generate(tiny, ["a cat", "two dogs"], [3, 4], quiet=True, **settings)
    again = tiny.generate("a cat", seed=3, **settings)
    assert np.array_equal(made.tokens[0], again.tokens)
    assert made.passes[0] == len(again.records) - 1
    assert made.edits[0] == sum(len(r.edited) for r in again.records) > 0
    first = again.tokens.copy().reshape(-1)
    for position in {int(p) for r in again.records for p, _, _ in r.edited}:
        first[position] = next(b for r in again.records for p, b, _ in r.edited if p == position)
    assert np.array_equal(made.unedited[0].reshape(-1), first)
    assert made.images.shape == (2, 32, 32, 3) and made.images.dtype == torch.uint8
    plain = generate(tiny, ["a cat"], [3], quiet=True, **{**settings, "edit": "off"})
    assert plain.edits == [0] and np.array_equal(plain.unedited, plain.tokens)


def test_the_round_trip_helpers_agree_with_the_pipeline(tiny):
    made = generate(tiny, ["a cat"], [1], quiet=True, steps=2)
    assert np.array_equal(np.asarray(tiny.decode(made.tokens[0])), decode(tiny, made.tokens)[0].numpy())
    assert np.array_equal(encode(tiny, made.images)[0], tiny.encode(tiny.decode(made.tokens[0])))


def test_healing_a_batch_is_healing_each(tiny):
    tokens = generate(tiny, ["a cat", "two dogs"], [1, 2], quiet=True, steps=3).tokens
    broken = (tokens + (np.random.default_rng(0).random(tokens.shape) < 0.3)) % tiny.vocab_size
    together, passes = heal(tiny, broken, ["a cat", "two dogs"], [1, 2], **HEAL)
    for b, (prompt, seed) in enumerate((("a cat", 1), ("two dogs", 2))):
        assert np.array_equal(together[b], tiny.heal(broken[b], prompt, seed=seed).tokens)
    assert 1 <= passes <= HEAL["polish"]


class Fickle:
    """A stand-in for the judge: what a picture's pixels happen to add up to decides what it sees."""

    def __init__(self, prompts):
        self.scenes = [p.scene for p in prompts]
        self.turn = 0

    def detect(self, images):
        out = []
        for image in images:
            scene = self.scenes[self.turn % len(self.scenes)]
            self.turn += 1
            boxes = [(o.x, o.y, o.x + o.size, o.y + o.size) for o in scene.objects]
            found = [Detection(o.name, o.colour, b, 1, 1) for o, b in zip(scene.objects, boxes, strict=True)]
            out.append(found if int(image.long().sum()) % 3 else [])
        return out


def test_editing_steps_and_repair_are_measured(tiny, capsys, monkeypatch):
    monkeypatch.setattr(editing, "STEPS", (2, 4))
    tiny = copy.copy(tiny)
    tiny.facts = dataclasses.replace(tiny.facts, defaults={**tiny.facts.defaults, "steps": 4})
    # its own would be too long for `tiny`
    prompts = [dataclasses.replace(p, prompt="a cat") for p in load(limit=2)]
    rows = editing.modes(tiny, prompts, Fickle(prompts))
    assert rows["off"]["edits_per_picture"] == 0 and "gain_over_off" not in rows["off"]
    assert rows["off, equal passes"]["forward_passes"] == pytest.approx(
        rows["edit (T2T)"]["forward_passes"], abs=0.51
    )
    assert all(r["gain_over_off"]["low"] <= r["gain_over_off"]["high"] for n, r in rows.items() if n != "off")
    by_steps = editing.steps(tiny, prompts, Fickle(prompts))
    assert [by_steps[f"{n} off"]["forward_passes"] for n in editing.STEPS] == list(editing.STEPS)
    result = editing.repair(tiny, prompts, Fickle(prompts))
    assert result["pictures"] > 0 and [level["broken_share"] for level in result["levels"]] == list(
        editing.BROKEN
    )
    for level in result["levels"]:
        healed = level["on, as healing has it"]
        assert healed["n"] == level["off"]["n"] == result["pictures"]
        assert 0 <= healed["broken_tokens_restored"] <= healed["broken_tokens_changed"] <= 1
    capsys.readouterr()


def score(right):
    prompts = load(limit=4)
    return summary(prompts, [i % 3 < right for i in range(len(prompts))])


def records(folder):
    """Made-up records of every kind."""
    runs = [
        {
            "arm": arm,
            "seed": s,
            "steps": 10,
            "score": score(right),
            **dict.fromkeys(("masked_bits", "cell_bits", "flipped_bits"), 5 - right + 0.1 * s),
            "frechet": 3.0 + s,
        }
        for arm, right in (("ce", 1), ("gce8", 2))
        for s in (0, 1)
    ]
    alone = {a: {"seconds_per_step": 0.02, "peak_mib": 900} for a in ("ce", "gce8")}
    setup = {
        "environment": INFO,
        "parameters": 9_000_000,
        "vocab_size": 65536,
        "objects": 30,
        "styles": ["flat"],
        "batch": 8,
        "prompts": 24,
        "controls": {"real renders": score(3)},
        "alone": alone,
        "runs": runs,
    }
    row = {
        "score": score(2),
        "forward_passes": 12.5,
        "edits_per_picture": 3.0,
        "seconds_per_picture": 0.1,
        "settings": {"steps": 12},
        "gain_over_off": {"share": 0.02, "low": -0.01, "high": 0.05},
        "pictures_changed_by_edits": 9,
        "made_right_by_edits": 2,
        "made_wrong_by_edits": 1,
    }
    plain = {
        k: row[k] for k in ("score", "forward_passes", "edits_per_picture", "seconds_per_picture", "settings")
    }
    healed = {
        "share": 0.9,
        "broken_tokens_restored": 0.7,
        "broken_tokens_changed": 0.8,
        "sound_tokens_changed": 0.01,
        "passes": 4,
    }
    level = {
        "broken_share": 0.1,
        "off": {"share": 0.2},
        "on, as the sampler has it": healed,
        "on, as healing has it": healed,
    }
    for name, rows in (
        ("editing", {"off": plain, "edit (T2T)": row}),
        ("steps", {"4 off": plain, "4 overwrite": row}),
        ("repair", {"pictures": 20, "levels": [level]}),
    ):
        (folder / f"{name}.json").write_text(json.dumps({"environment": INFO, "prompts": 24, "rows": rows}))
    (folder / "ablation.json").write_text(json.dumps(setup))
    return setup


def test_tables_and_plots_come_from_records(tmp_path):
    pytest.importorskip("matplotlib")
    setup = records(tmp_path)
    text = page(tmp_path, tmp_path)
    for heading in ("## A. Objective, V = 65,536", "## B. Editing", "## C. Steps", "## Self-correction"):
        assert heading in text
    assert "+2.0 [-1.0, +5.0]" in text and "2 of 9" in text
    assert "-1.000 ± 0.000" in differences(setup, ["ce", "gce8"]), "bits of each seed against CE's"
    made = draw_all(tmp_path)
    assert {p.name for p in made} == {"ablation.png", "steps.png", "repair.png"}
    assert all(p.stat().st_size > 4000 for p in made)


def test_a_failure_is_blamed_on_the_first_that_fails():
    record = {"refused_controls": {"real renders": [1], "round trip": [1, 2]}}
    assert cause(1, ["colour"], record) == "the judge"
    assert cause(2, ["colour"], record) == "the image tokenizer"
    assert cause(3, ["colour", "broken object"], record) == "broken object"
    assert set(CAUSES) >= {"missing", "too many", "unasked object", "position"}


def test_the_page_of_failures(tmp_path):
    prompts = load(limit=2)
    pictures = [[p.index, ["missing"] if k % 2 else [], ["cat"]] for k, p in enumerate(prompts)]
    record = {"refused_controls": {"real renders": [], "round trip": []}, "pictures": pictures}
    tokens = {p.index: np.zeros((4, 4), np.int64) for p in prompts}
    codec = SimpleNamespace(decode=lambda ids: torch.zeros(len(ids), 128, 128, 3, dtype=torch.uint8))
    write(record, tokens, SimpleNamespace(codec=codec, device=torch.device("cpu")), tmp_path)
    text = (tmp_path / "failures.md").read_text()
    assert f"{len(prompts) // 2} of {len(prompts)} pictures were refused" in text
    assert prompts[1].prompt in text and prompts[0].prompt not in text
    assert (tmp_path / "failures.webp").exists()


def test_geneval_export_writes_its_layout(tiny, tmp_path):
    lines = [
        {"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a bench"},
        {"tag": "counting", "include": [{"class": "dog", "count": 2}], "prompt": "two dogs"},
    ]
    source = tmp_path / "evaluation_metadata.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    export(tiny, read(source), tmp_path / "out", samples=2, batch=3, steps=2)
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert found == [
        f"0000{i}/{name}"
        for i in (0, 1)
        for name in ("metadata.jsonl", "samples/0000.png", "samples/0001.png")
    ]
    assert json.loads((tmp_path / "out/00001/metadata.jsonl").read_text()) == lines[1]
    source.write_text('{"prompt": "a"}\n{"tag": 1}\n')
    with pytest.raises(ValueError, match="line 2 .* no GenEval record"):
        read(source)


def test_the_model_card_tells_what_the_records_hold(tmp_path):
    text = card(SHIPPED, tmp_path)
    told = load_config(SHIPPED / "config.json").card
    assert f"{len(told['objects'])} objects in {len(told['styles'])} styles" in text
    assert f"{told['samples']:,} scenes" in text and "CC BY 4.0" in text
    assert "## Scores" not in text, "no record, no figure"
    rows = {n: score(k) for k, n in enumerate(("shuffled prompts", "model", "round trip", "real renders"))}
    record = {"rows": rows, "environment": INFO, "date": "2026-11-24", "verifier_sha256": "0" * 64}
    (tmp_path / "emojieval.json").write_text(json.dumps(record))
    assert "## Scores" in card(SHIPPED, tmp_path) and "| model " in card(SHIPPED, tmp_path)
