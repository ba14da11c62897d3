"""A device is usable or refused in one sentence, wherever it is named; nothing picks one in its own way."""

import re
from pathlib import Path

import pytest
import torch

from mdm_core.device import default, fast_dtype, precision, usable

ROOT = Path(__file__).parents[2]


def test_a_device_that_is_there_comes_back_and_none_is_the_default():
    assert usable("cpu") == torch.device("cpu")
    assert usable(torch.device("cpu")) == torch.device("cpu")
    assert usable(None) == default() == torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "nowhere", "", "cuda:99", "meta", "cpu cpu"])
def test_another_is_refused_in_one_sentence(name):
    with pytest.raises(ValueError) as refused:
        usable(name)
    said = str(refused.value)
    assert said.startswith(f"the device {name!r} cannot be used here; try cpu (") and "\n" not in said


def test_products_run_in_the_type_that_the_device_is_fast_in():
    a, cpu = torch.ones(2, 2), torch.device("cpu")
    with precision(cpu):
        assert (a @ a).dtype == fast_dtype(cpu)
    assert (a @ a).dtype == torch.float32


def test_the_default_is_chosen_in_one_place():
    choice = re.compile(r"""["']cuda["'] if torch\.cuda\.is_available\(\)""")
    found = [
        str(path.relative_to(ROOT))
        for package in ("mdm_core", "trainer", "ui")
        for path in sorted((ROOT / package).rglob("*.py"))
        if choice.search(path.read_text("utf-8"))
    ]
    assert found == ["mdm_core/device.py"]
