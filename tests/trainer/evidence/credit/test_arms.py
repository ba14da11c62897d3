"""Arms: what differs between them, and that nothing else does."""

import dataclasses

import pytest
import tiny_ground
import torch
import torch.nn.functional as F

from mdm_core.diffusion.corruption import Corrupted
from mdm_core.groups import Groups
from trainer.engine.state import split
from trainer.evidence.credit import training
from trainer.evidence.credit.arms import soft_share, softening
from trainer.evidence.credit.figures import gradient_share, token_figures
from trainer.evidence.credit.training import ArmTrainer
from trainer.settings.credit import ARMS, STUDIES


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    torch.set_num_threads(1)
    # 128 codes, so that there are groups of 64
    config = dataclasses.replace(tiny_ground.LATTICE, levels=(8, 4, 4))
    return tiny_ground.tiny_ground(tmp_path_factory.mktemp("ground"), config, per_tag=0)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setitem(training.BODIES, "small", tiny_ground.BODY)


def arm_of(ground, name, out, seed=0, leaves=lambda: False, **changes):
    settings = dataclasses.replace(tiny_ground.RUN, **changes)
    return ArmTrainer(ground, name, ARMS[name], seed, settings, out, torch.device("cpu"), leaves)


def test_soft_targets_are_those_of_the_formula():
    g = torch.Generator().manual_seed(0)
    book = torch.randn(20, 3, generator=g)
    near = Groups.knn(book, 4).levels[0].neighbours.long()
    share = soft_share(book, near, 0.5)
    distance = torch.cdist(book, book).gather(1, near)
    expected = torch.exp(-distance / (0.5 * distance[:, 1].mean()))
    torch.testing.assert_close(share, expected / expected.sum(1, keepdim=True))
    assert (soft_share(book, near, 0.01)[:, 0] > share[:, 0]).all()

    hidden, weight = torch.randn(1, 6, 8, generator=g), torch.randn(20, 8, generator=g)
    x0 = torch.randint(0, 20, (1, 6), generator=g)
    masked = torch.tensor([[True, False, True, True, False, False]])
    rows = masked.flatten() / 3 + ~masked.flatten() * 0.2 / 3
    target = torch.zeros(6, 20).scatter_add_(1, near[x0[0]], share[x0[0]])
    logits = hidden[0] @ weight.T
    soft = -(target * logits.log_softmax(1)).sum(1) @ rows
    hard = F.cross_entropy(logits, x0[0], reduction="none") @ rows
    extra = softening(hidden, weight, x0, Corrupted(x0, masked, masked, masked), 0.2, near, share)
    torch.testing.assert_close(hard + extra, soft)


def test_all_arms_of_a_study_begin_alike_and_differ_in_their_loss_alone(ground, tmp_path):
    runs = {name: arm_of(ground, name, tmp_path / name, seed=1) for name in STUDIES["objective"]}
    weights = [r.model.state_dict() for r in runs.values()]
    assert all(torch.equal(w[k], weights[0][k]) for w in weights for k in weights[0])
    x0 = ground.tensors["x0"][:4].long()
    text = ground.tensors["text"][:4].long()
    seen, losses = {}, {}
    for name, run in runs.items():
        part = run.arm_objective.part

        def spy(hidden, weight, x0, c, *rest, name=name, part=part):
            seen[name] = c
            return part(hidden, weight, x0, c, *rest)

        run.arm_objective.objective = spy
        losses[name] = run.net(x0, text, 77).item()
    assert all(torch.equal(c.zt, seen["ce"].zt) for c in seen.values())
    assert len({round(v, 5) for v in losses.values()}) == len(losses)
    assert losses["gce8"] > losses["ce"] < losses["smooth"]
    other = arm_of(ground, "ce", tmp_path / "other", seed=2).model.state_dict()
    assert not torch.equal(other["head.weight"], weights[0]["head.weight"])


def test_the_loss_of_a_share_of_the_tokens_is_that_of_these_tokens(ground, tmp_path):
    x0, text = ground.tensors["x0"][:4].long(), ground.tensors["text"][:4].long()
    whole, half = (arm_of(ground, "gce8", tmp_path / str(r), rows=r) for r in (1.0, 0.5))
    assert whole.net(x0, text, 5).item() == whole.net(x0, text, 5).item()
    means = [sum(half.net(x0, text, s).item() for s in range(24)) / 24]
    means.append(sum(whole.net(x0, text, s).item() for s in range(24)) / 24)
    assert means[0] == pytest.approx(means[1], rel=0.02)


def test_a_weight_that_fades_is_gone_where_it_says(ground, tmp_path):
    faded, found = arm_of(ground, "gce64_fades", tmp_path).arm_objective, []
    for progress in (0.0, 0.25, 0.5, 0.9):
        faded.progress = progress
        found.append(faded.fading())
    assert found == [1.0, 0.5, 0.0, 0.0]


def test_a_resumed_run_equals_an_unbroken_one_and_its_row_tells_what_it_did(ground, tmp_path):
    whole = arm_of(ground, "gce8", tmp_path / "whole")
    whole.run()
    row = whole.row()
    assert row["done"] and row["step"] == 4 == row["steps"] and row["arm"] == "gce8" and row["samples"] == 16
    assert [e["step"] for e in row["curve"]] == [2, 4] and row["curve"][-1]["accuracy"] >= 0
    cut = arm_of(ground, "gce8", tmp_path / "cut", leaves=lambda: cut.step == 3)
    cut.run()
    assert cut.step == 3 and not cut.ended
    again = arm_of(ground, "gce8", tmp_path / "cut")
    assert again.resume() and again.step == 3
    again.run()
    a, b = (dict(split(r.parts)[0]) for r in (whole, again))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert [e["masked_bits"] for e in again.row()["curve"]] == [e["masked_bits"] for e in row["curve"]]


@pytest.mark.parametrize("name", ["bare", "own", "soft8", "knn8"])
def test_other_arms_train(ground, tmp_path, name):
    run = arm_of(ground, name, tmp_path, steps=2, checks=1)
    run.run()
    assert run.ended and run.row()["curve"][-1]["masked_bits"] > 0


def test_token_figures_are_those_of_plain_pytorch(ground, tmp_path):
    model = arm_of(ground, "ce", tmp_path).model.eval()
    with torch.no_grad():
        model.head.weight.mul_(30)
    x0, text = ground.tensors["unseen_x0"], ground.tensors["unseen_text"]
    found = token_figures(model, x0, text, {8: ground.groups(8)})
    again = token_figures(model, x0, text, {8: ground.groups(8)}, batch=64)
    assert found == again and found["accuracy"] > 0
    assert found["group_8_bits"] < found["masked_bits"] and found["p_group_8"] > found["p_target"]
    quarters = [found[f"accuracy_{q}"] for q in (25, 50, 75, 100) if f"accuracy_{q}" in found]
    assert min(quarters) <= found["accuracy"] <= max(quarters)
    # an untrained head knows nothing: every token costs log2 V, and the entropy says so
    with torch.no_grad():
        model.head.weight.zero_()
    none = token_figures(model, x0, text, {})
    assert none["masked_bits"] == pytest.approx(7.0, abs=1e-3) and none["entropy_bits"] == pytest.approx(
        7.0, abs=1e-3
    )
    assert none["p_target"] == pytest.approx(1 / 128) and none["sure"] == 0
    share = gradient_share({"p_target": 0.2, "p_group_8": 0.6}, 8, 0.2)
    assert share == pytest.approx(0.08 / 0.88)
