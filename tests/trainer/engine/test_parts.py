"""A checkpoint asks parts for their state and knows no trainer."""

import ast
from pathlib import Path

import pytest
import torch

from trainer.engine import checkpoint, state
from trainer.engine.optim import EMA
from trainer.engine.parallel import Parallel

ENGINE = Path(state.__file__).parent


class Counter:
    """A part that no module of ours has heard of."""

    def __init__(self):
        self.count, self.places = 0, torch.zeros(3)

    def state_dict(self):
        return {"count": self.count, "places": self.places}

    def load_state_dict(self, stored):
        self.count, self.places = stored["count"], stored["places"]


def parts(seed: int):
    """Parts of a small run whose weights follow from `seed`, after one step."""
    torch.manual_seed(seed)
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1 * seed)
    ema = EMA(model, 0.9)
    model(torch.randn(2, 4)).square().sum().backward()
    optimizer.step()
    ema.update(model)
    counter = Counter()
    counter.count, counter.places = seed, torch.full((3,), float(seed))
    return {
        "model": state.Weights(model),
        "ema": state.Averages(ema, model),
        "optimizer": state.Optimizers([optimizer], model),
        "mine": counter,
    }


def whole(found):
    tensors, numbers = state.split(found)
    return {k: v.clone() for k, v in tensors}, numbers


def test_parts_that_the_engine_has_not_heard_of_are_saved_and_come_back(tmp_path):
    parallel = Parallel(torch.device("cpu"), False, None)
    first, second = parts(1), parts(2)
    state.save(tmp_path, 7, first, parallel)
    assert checkpoint.newest(state.folder(tmp_path)).name == "step-000000007"
    (tensors, numbers), (others, _) = whole(first), whole(second)
    assert not torch.equal(tensors["model.weight"], others["model.weight"])
    assert state.load(tmp_path, second, parallel, print)
    loaded, values = whole(second)
    assert loaded.keys() == tensors.keys() and "optimizer.weight.exp_avg" in loaded
    assert all(torch.equal(v, tensors[k]) for k, v in loaded.items())
    assert values == numbers and values["count"] == 1 and values["lr"] == [[0.1]]


def test_a_part_that_the_checkpoint_lacks_is_named(tmp_path):
    parallel = Parallel(torch.device("cpu"), False, None)
    found = parts(1)
    del found["ema"]
    state.save(tmp_path, 1, found, parallel)
    with pytest.raises(ValueError, match="holds no 'ema.weight'"):
        state.load(tmp_path, parts(2), parallel, print)


@pytest.mark.parametrize("name", ["state", "reporter", "checkpoint", "step", "optim", "parallel"])
def test_nothing_below_the_loop_imports_it(name):
    tree = ast.parse((ENGINE / f"{name}.py").read_text("utf-8"))
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
    assert "trainer.engine.loop" not in modules | names and "loop" not in names
