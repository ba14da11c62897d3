"""The optimiser: batched Muon computes what torch.optim.Muon computes, and nothing else."""

import pytest
import torch

from trainer.engine.muon import Muon, orthogonalise, same_shape
from trainer.engine.optim import build_optimizers, parameter_groups

SHAPES = [(24, 8), (8, 24), (24, 8), (16, 16), (24, 8)]


def parameters(seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(*shape, generator=g)) for shape in SHAPES]


def train(optimizer, params, steps, seed=1):
    g = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=g)
        optimizer.step()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch brought Muon with 2.9")
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_equals_the_muon_of_pytorch(weight_decay):
    mine, theirs = parameters(), parameters()
    train(Muon(mine, lr=0.02, weight_decay=weight_decay), mine, 5)
    train(torch.optim.Muon(theirs, lr=0.02, weight_decay=weight_decay, momentum=0.95), theirs, 5)
    for a, b, start in zip(mine, theirs, parameters(), strict=True):
        moved = (b - start).abs().max()
        assert moved > 0.01
        assert (a - b).abs().max() < 0.03 * moved  # bf16 products, summed in another order


def test_singular_values_come_out_near_one():
    g = torch.Generator().manual_seed(0)
    for shape in [(3, 40, 12), (3, 12, 40)]:
        values = torch.linalg.svdvals(orthogonalise(torch.randn(*shape, generator=g)).float())
        assert values.min() > 0.6 and values.max() < 1.3


def test_lots_hold_equal_shapes_and_stay_small():
    params = parameters()
    lots = list(same_shape(params, most=2 * 24 * 8))
    assert sorted(i for _, _, members in lots for i in members) == [0, 1, 2, 3, 4]
    assert [members for rows, columns, members in lots if (rows, columns) == (24, 8)] == [[0, 2], [4]]


def test_a_parameter_without_a_gradient_stays_and_others_resume_exactly():
    params, again = parameters(), parameters()
    one = Muon(params, lr=0.02)
    train(one, params, 4)
    two = Muon(again, lr=0.02)
    train(two, again, 2)
    state = two.state_dict()
    three = Muon(again, lr=0.02)
    three.load_state_dict(state)
    g = torch.Generator().manual_seed(1)
    gradients = [[torch.randn(p.shape, generator=g) for p in again] for _ in range(4)]
    for row in gradients[2:]:
        for p, value in zip(again, row, strict=True):
            p.grad = value
        three.step()
    assert all(torch.equal(a, b) for a, b in zip(params, again, strict=True))
    before = params[0].clone()
    params[0].grad = None
    one.step()
    assert torch.equal(params[0], before) and not torch.equal(params[1], again[1])


def test_an_older_pytorch_trains_with_muon_too(tmp_path, monkeypatch):
    """The Muon here needs nothing of PyTorch's, which 2.9 brought: neither the trainer nor table A leaves it out."""
    from tiny_arm import tiny_arm

    from trainer.evidence.arms import Arm
    from trainer.recipes.recipe import Recipe

    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    run = tiny_arm(tmp_path, Arm())
    model, optimizers = run.model, run.optimizers
    assert [type(o) for o in optimizers] == [Muon, torch.optim.AdamW]
    assert len(optimizers[0].param_groups[0]["params"]) == len(parameter_groups(model)[0]) > 0
    recipe = Recipe()
    made = build_optimizers(model, lr=recipe.lr, matrix_lr=recipe.matrix_lr)
    assert [type(o) for o in made] == [Muon, torch.optim.AdamW]


def test_only_matrices():
    with pytest.raises(ValueError, match="matrices only"):
        Muon([torch.nn.Parameter(torch.zeros(3))])
