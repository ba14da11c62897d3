"""Training guidance into the weights: what the loss sees, what has a gradient, and that a tiny model learns it."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from tiny_run import codec_folder, tiny_recipe, tiny_run

from mdm_core.pipeline import Pipeline
from trainer.data.source import Batch
from trainer.engine import step
from trainer.engine.loop import Trainer
from trainer.engine.step import draw_beta


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return codec_folder(tmp_path_factory.mktemp("codec"))


def batch(run):
    run.stream = (run.source.batch(i) for i in range(1000))
    return run.draw()


def test_beta_covers_the_slider_and_is_mostly_near_its_middle():
    drop = torch.arange(20_000) % 10 == 0
    beta = draw_beta(drop, torch.Generator().manual_seed(0))
    assert (beta[drop] == 1).all()
    g = 1 / beta[~drop] - 1
    assert -1e-5 <= g.min() < 0.05 and 4.9 < g.max() <= 5 + 1e-5
    share = [float(((g >= a) & (g < b)).float().mean()) for a, b in ((0, 0.5), (1, 2), (4, 5))]
    assert share[0] > 0.05 and share[1] > 0.35 and 0.05 < share[2] < 0.15


def test_the_loss_sees_both_branches_mixed_and_dropped_prompts_as_they_are(codec, tmp_path, monkeypatch):
    run = tiny_run(codec, tmp_path, guided=True, prompt_dropout=0.5)
    with torch.no_grad():
        run.model.guide.shift.weight.normal_()
        run.model.guide.scale.weight.normal_(std=0.1)
    x0, text, _ = batch(run)
    x0, text = x0.repeat(4, 1), text.repeat(4, 1)
    seen, drawn = [], []
    monkeypatch.setattr(step, "draw_beta", lambda *a: drawn.append((a[0], draw_beta(*a))) or drawn[-1][1])
    monkeypatch.setattr(run.net, "objective", lambda *a: seen.append((a[0], a[3].zt)) or a[0].sum())
    run.net(x0, text, 3)
    (hidden, zt), (drop, beta) = seen[0], drawn[0]
    assert drop.any() and not drop.all()
    with torch.no_grad():
        alone = run.model(zt, text, drop, beta)
        free = run.model(zt, text, torch.ones_like(drop))
        part = beta[:, None, None]
        assert torch.equal(hidden, part * alone + (1 - part) * free)
        assert torch.equal(hidden[drop], free[drop])
        assert not torch.allclose(hidden[~drop], alone[~drop], atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_free_pass_has_no_gradient_and_takes_none_away(codec, tmp_path, precision):
    """In one autocast region the weights that the free pass cast to bf16 would have been lost to the other pass."""
    run = tiny_run(codec, tmp_path, guided=True, precision=precision, prompt_dropout=0.0)
    with torch.no_grad():  # what begins at zero keeps gradients from the rest
        for p in run.model.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    x0, text, _ = batch(run)
    calls = []
    run.model.register_forward_hook(lambda m, a, out: calls.append(out.requires_grad))
    run.net(x0, text, 3).backward()
    assert calls == [False, True]
    without = {name for name, p in run.model.named_parameters() if p.grad is None or not p.grad.any()}
    # nobody's prompt was dropped, and the embedding of none is part of the free pass alone
    assert without == {"no_text"}


def test_a_run_without_it_computes_what_it_did(codec, tmp_path):
    run = tiny_run(codec, tmp_path)
    assert run.model.guide is None and not [k for k in run.model.state_dict() if k.startswith("guide")]


def test_tuning_begins_with_old_weights_and_says_where_it_cannot(codec, tmp_path):
    def begin(init, name, **changes):
        torch.set_num_threads(1)
        return Trainer(tiny_recipe(**changes), codec, tmp_path / name, torch.device("cpu"), init)

    run = begin(codec, "tuned", guided=True, steps=2)
    old = Pipeline.from_pretrained(codec, "cpu").backbone.model
    ours = run.model.state_dict()
    assert all(torch.equal(ours[k], v) for k, v in old.state_dict().items())
    assert not ours["guide.shift.weight"].any()
    run.run()
    run.export(run.out / "model")
    pipe = Pipeline.from_pretrained(run.out / "model", "cpu")
    assert pipe.facts.trained_guidance == 5 and pipe.backbone.one_pass
    assert pipe.generate("3 cats", steps=2, guidance=2.0).image.size == (32, 32)
    with pytest.raises(ValueError, match="go on from them with model.guided=True"):
        begin(run.out / "model", "back")
    again = begin(run.out / "model", "on", guided=True)
    assert again.model.guide.shift.weight.any()


def nearness(model, zt, text, g):
    """How far one pass at g is from two passes, as a share of how far an unguided pass is (total variation)."""

    def states(*branch):
        return model(zt, text, *branch)

    with torch.no_grad():
        two = (1 + g) * states() - g * states(torch.ones(len(zt), dtype=torch.bool))
        made = (two, states(None, torch.full((len(zt),), 1 / (1 + g))), states())
        two, one, none = (model.logits(h).softmax(-1)[zt == model.config.mask_id] for h in made)
    return float((one - two).abs().sum() / (none - two).abs().sum())


@dataclass(frozen=True)
class Chances:
    """Four prompts, each with chances of its own for the 32 tokens: nothing to remember, and something to guide by."""

    batch_size: int = 24
    workers: int = 0
    seed: int = 0

    def open(self, text, split="train", rank=0, world=1):
        return _Dice(self, text)


class _Dice:
    def __init__(self, config, text):
        self.config, self.text = config, text
        self.chance = (1.5 * torch.randn(4, 32, generator=torch.Generator().manual_seed(8))).softmax(1)

    def batch(self, index):
        g = torch.Generator().manual_seed(100 + index)
        which = torch.randint(4, (self.config.batch_size,), generator=g)
        tokens = self.chance[which].multinomial(16, replacement=True, generator=g)
        return Batch(self.text.encode([f"{i} cats" for i in which.tolist()]), tokens=tokens)

    def captions(self, count):
        return iter([f"{i % 4} cats" for i in range(count)])

    def card(self):
        return {"objects": ["cat"]}


def test_a_tiny_model_learns_to_guide_in_one_pass(codec, tmp_path):
    """First as ever, then tuned: the loss goes on falling, and one pass says nearly what two do."""
    recipe = tiny_recipe(
        data=Chances(),
        steps=150,
        ema=0.0,
        self_flip_steps=0.0,
        prompt_dropout=0.2,
        log_every=50,
        save_every=10_000,
    )
    torch.set_num_threads(1)
    first = Trainer(recipe, codec, tmp_path / "first", torch.device("cpu"))
    first.run()
    first.export(first.out / "model", int8=False)
    guided = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, guided=True), steps=250)
    tuned = Trainer(guided, codec, tmp_path / "tuned", torch.device("cpu"), first.out / "model")
    x0, text, _ = batch(tuned)
    zt = torch.full_like(
        x0, 32
    )  # tokens that are visible would tell the prompt too, and leave little to guide by
    before = {g: nearness(tuned.model, zt, text, g) for g in (1.5, 4.0)}
    tuned.run()
    after = {g: nearness(tuned.model, zt, text, g) for g in before}
    assert first.log[-1]["loss"] < 0.95 * first.log[0]["loss"]
    assert tuned.log[-1]["loss"] < first.log[-1]["loss"]
    assert before == dict.fromkeys(before, 1.0) and max(after.values()) < 0.85, after
