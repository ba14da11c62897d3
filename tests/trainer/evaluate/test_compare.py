"""Two models beside each other: rows, paired gains, and what the table says."""

import pytest

from mdm_core.pipeline import Pipeline
from trainer.evaluate.compare import compare, table
from trainer.evaluate.prompts import load
from trainer.judge.detector import Verifier


@pytest.fixture(scope="module")
def rows():
    pipe = Pipeline.from_pretrained()
    other = Pipeline(pipe.codec, pipe.prompts, pipe.backbone, pipe.facts)
    other.backbone = type(pipe.backbone)(pipe.backbone.model)
    prompts = load(tags=("single_object",), limit=4)
    settings = {"steps": 4, "polish": 0, "guidance": 1.0}
    return compare({"against": pipe, "model": other}, prompts, Verifier.load(), **settings)


def test_the_same_model_gains_nothing_on_the_same_noise(rows):
    assert list(rows) == ["against", "model"]
    assert rows["model"]["gain"] == {"share": 0.0, "low": 0.0, "high": 0.0}
    assert rows["model"]["refused"] == rows["against"]["refused"] and len(rows["model"]["refused"]) < 4
    assert rows["model"]["passes"] == 4


def test_the_table_says_each_row_with_its_intervals(rows):
    said = table(rows).splitlines()
    assert len(said) == 3 and said[1].startswith("against") and "+0.0%" in said[2]
    assert len({len(line) for line in said}) == 1
