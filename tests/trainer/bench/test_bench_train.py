"""The instrument of the training benchmark: its naive losses compute what the fused one computes."""

import dataclasses

import pytest
import torch
from tiny_run import CPU, codec_folder, tiny_run

from trainer.bench import train
from trainer.engine.plan import work_per_sample


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    return tiny_run(codec_folder(folder / "codec"), folder / "run")


def gradients(run, objective, groups):
    run.net.objective, run.net.groups = objective, groups
    for p in run.model.parameters():
        p.grad = None
    batch = run.source.batch(0)
    loss = run.net(batch.tokens, batch.text, 7)
    loss.backward()
    return loss.item(), [p.grad.clone() for p in run.model.parameters()]


@pytest.mark.parametrize("grouped", [False, True])
def test_naive_and_fused_losses_agree(run, grouped):
    names = ("fused, CE + GCE", "naive, CE + GCE") if grouped else ("fused, CE", "naive, CE")
    run.net.recipe = dataclasses.replace(
        run.recipe, corruption=dataclasses.replace(run.recipe.corruption, flip_group=0.0)
    )
    if "contenders" not in vars(run):
        run.contenders = train.contenders(run)
    (loss, mine), (naive, theirs) = (gradients(run, *run.contenders[name]) for name in names)
    assert loss == pytest.approx(naive, rel=1e-5)
    for a, b in zip(mine, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_small_benchmark_fills_every_column(monkeypatch):
    small = train.cpu_recipe(2)
    model = dataclasses.replace(
        small.model,
        vocab_size=256,
        code_levels=(4, 4, 4, 4),
        width=32,
        depth=1,
        heads=2,
        kv_heads=2,
        ffn=32,
        token_width=32,
        token_heads=2,
        token_ffn=32,
    )
    data = dataclasses.replace(small.data, vocab_size=256)
    recipe = dataclasses.replace(small, model=model, data=data, precision="fp32")
    monkeypatch.setattr(train, "cpu_recipe", lambda batch: recipe)
    rows = train.bench(CPU, 2, 0.1)
    assert [r["name"] for r in rows] == ["fused, CE + GCE", "fused, CE", "naive, CE", "naive, CE + GCE"]
    for r in rows:
        assert r["samples_per_second"] > 0 and r["peak_mib"] > r["standing_mib"] > 0 and r["rounds"] >= 2
        assert r["flops_per_second"] == pytest.approx(work_per_sample(model).total * r["samples_per_second"])
        assert r["mfu"] is None
    assert "naive, CE + GCE" in train.table(rows)


def test_the_gpu_model_has_300_million_parameters():
    from mdm_core.families.chisel.transformer import count_parameters
    from trainer.engine.plan import build_on_meta

    assert count_parameters(build_on_meta(train.gpu_recipe(512).model)) == pytest.approx(3e8, rel=0.05)
