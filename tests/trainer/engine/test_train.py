"""Training from scenes: the loss falls, the run resumes, and the exported folder opens as a pipeline."""

import dataclasses

import pytest
import torch

from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.families.chisel.config import ModelConfig
from mdm_core.pipeline import SHIPPED, Pipeline
from trainer.data.source import batches
from trainer.engine.checkpoint import newest
from trainer.engine.loop import Trainer
from trainer.engine.optim import cosine, parameter_groups, trapezoid
from trainer.recipes.recipe import Recipe, load_recipe
from trainer.scenes.source import SceneDataConfig

SMALL = Recipe(
    model=ModelConfig(
        width=64,
        depth=1,
        heads=1,
        kv_heads=1,
        ffn=64,
        token_width=32,
        token_depth=1,
        token_heads=1,
        token_ffn=32,
    ),
    data=SceneDataConfig(n_objects=3, styles=("flat",), batch_size=8),
    corruption=CorruptionConfig(flip_uniform=0.5, flip_group=0.5),
    self_flip_steps=0.25,
    steps=12,
    lr=1e-2,
    matrix_lr=0.02,
    log_every=4,
    validate_every=12,
    ema=0.9,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    torch.manual_seed(0)
    run = Trainer(SMALL, SHIPPED, tmp_path_factory.mktemp("run"), torch.device("cpu"))
    run.run()
    return run


def test_the_loss_falls_and_is_logged(trained):
    losses = [entry["loss"] for entry in trained.log]
    assert len(losses) == 3 and losses[0] > losses[1] > losses[2] and losses[2] < 0.9 * losses[0], losses
    assert trained.samples == 96 and trained.log[-1]["masked_bits"] > 0


def test_the_exported_folder_opens_and_samples(trained, tmp_path):
    trained.export(tmp_path / "model")
    pipe = Pipeline.from_pretrained(tmp_path / "model")
    assert pipe.config.card["samples"] == 96 and len(pipe.config.card["objects"]) == 3
    assert pipe.generate("a strawberry", steps=2).image.size == (128, 128)


def test_a_nan_stops_the_run_before_it_is_saved(trained, tmp_path):
    (tmp_path / "text.json").write_bytes((trained.out / "text.json").read_bytes())
    run = Trainer(dataclasses.replace(SMALL, log_every=1), SHIPPED, tmp_path, torch.device("cpu"))
    run.model.head.weight.data.fill_(float("nan"))
    with pytest.raises(RuntimeError, match="loss is nan .* at step 1"):
        run.run()
    assert newest(tmp_path / "checkpoints") is None


def test_recipes_load_and_overrides_reach_every_part():
    for name in ("emoji_cpu", "emoji_gpu"):
        assert load_recipe(name, []).model.vocab_size == 16384
    r = load_recipe(
        "emoji_gpu", ["minutes=3", "data.batch_size=7", "corruption.schedule=linear", "compile=False"]
    )
    assert (r.minutes, r.data.batch_size, r.corruption.schedule, r.compile) == (3, 7, "linear", False)
    with pytest.raises(ValueError, match="no recipe"):
        load_recipe("nothing", [])
    with pytest.raises(ValueError, match="unknown recipe field"):
        load_recipe("emoji_cpu", ["data.colour=1"])
    both = load_recipe("emoji_cpu", ["model.vocab_size=32", "model.code_levels=(4, 4, 2)", "data.workers=3"])
    assert both.model.code_levels == (4, 4, 2) and both.data.workers == 3 and both.data.n_objects == 60
    for wrong in ("steps=0", "groups=some", "on_nan=hope", "accumulate=1.5", "model.width=wide"):
        with pytest.raises(ValueError):
            load_recipe("emoji_cpu", [wrong])
    with pytest.raises(ValueError, match="field=value"):
        load_recipe("emoji_cpu", ["minutes"])


@pytest.mark.parametrize(
    "override, says",
    [
        ("lr=fast", "lr must be a number, e.g. 0.5, got 'fast'"),
        ("steps=1e3", "steps must be a whole number, e.g. 4, got 1000.0"),
        ("compile=1", "compile must be True or False, got 1"),
        ("model.width=wide", "model.width must be a whole number"),
        ("data.styles=flat", r"data.styles must be a list, e.g. .*in quotes, got 'flat'"),
        ("data.batch_size=0", "data.batch_size must be 1 or more"),
        ("data.workers=-1", "data.workers 0 or more"),
        ("lr=-1", "lr must be 0 or more"),
        ("prompt_dropout=10", "prompt_dropout is a share from 0 to 1, got 10"),
    ],
)
def test_a_wrong_value_is_named(override, says):
    with pytest.raises(ValueError, match=says):
        load_recipe("emoji_cpu", [override])


def test_values_are_read_as_their_field_wants_them():
    r = load_recipe(
        "folder", ["data.path=2024", "lr=1", "schedule='cosine'", "model.code_levels=(8, 8, 8, 8, 4)"]
    )
    assert (r.data.path, r.lr, r.schedule, r.model.code_levels) == ("2024", 1, "cosine", (8, 8, 8, 8, 4))
    assert load_recipe("emoji_gpu", ["data.styles=None", "data.n_objects=None"]).data.styles is None


def test_learning_rate_rises_stays_and_falls():
    values = [trapezoid(x / 100, 0.1, 0.3) for x in range(101)]
    assert values[0] == 0 and values[50] == 1 and values[100] == pytest.approx(0)
    assert values[5] == pytest.approx(0.5) and values[85] == pytest.approx(0.5)


def test_the_cosine_rises_and_falls():
    values = [cosine(x / 100, 0.1) for x in range(101)]
    assert values[0] == 0 and values[5] == pytest.approx(0.5) and values[10] == 1
    assert (
        values[55] == pytest.approx(0.5)
        and values[100] == pytest.approx(0)
        and values == sorted(values[:11]) + sorted(values[11:], reverse=True)
    )


def test_scenes_are_the_same_with_any_number_of_workers(trained):
    streams = []
    for workers in (0, 1, 2):
        stream = batches(trained.source, 5, 2, workers)
        streams.append([next(stream) for _ in range(4)])
        del stream
    for other in streams[1:]:
        for a, b in zip(streams[0], other, strict=True):
            assert a.scenes.captions == b.scenes.captions and torch.equal(a.text, b.text)
            assert (a.scenes.sprite == b.scenes.sprite).all() and (a.scenes.xy == b.scenes.xy).all()
    assert streams[0][1].scenes.captions == trained.source.batch(7).scenes.captions
    assert streams[0][0].scenes.captions != streams[0][1].scenes.captions


def test_muon_gets_the_blocks_matrices_only(trained):
    body, rest = parameter_groups(trained.model)
    assert all(p.ndim == 2 for p in body) and len(body) == 8
    assert any(p is trained.model.head.weight for p in rest)


def test_a_run_can_start_from_the_weights_of_a_model_folder(trained, tmp_path):
    trained.export(tmp_path / "start", int8=True)
    more = dataclasses.replace(SMALL, data=dataclasses.replace(SMALL.data, n_objects=5))
    run = Trainer(more, SHIPPED, tmp_path / "run", torch.device("cpu"), init=tmp_path / "start")
    assert (tmp_path / "run" / "text.json").read_bytes() == (tmp_path / "start" / "text.json").read_bytes()
    for mine, theirs in zip(run.model.parameters(), trained.ema.shadow, strict=True):
        assert torch.allclose(mine, theirs, atol=float(theirs.abs().max()) / 200)  # int8 rows
    wide = dataclasses.replace(more, model=dataclasses.replace(SMALL.model, ffn=128))
    with pytest.raises(ValueError, match="cannot be used"):
        Trainer(wide, SHIPPED, tmp_path / "wide", torch.device("cpu"), init=tmp_path / "start")


def test_a_model_folder_is_written_during_the_run(trained, tmp_path, monkeypatch):
    (tmp_path / "text.json").write_bytes((trained.out / "text.json").read_bytes())
    recipe = dataclasses.replace(SMALL, steps=2, export_every=1e-6)
    run = Trainer(recipe, SHIPPED, tmp_path, torch.device("cpu"))
    written = []
    export = run.export
    monkeypatch.setattr(run, "export", lambda path: (export(path), written.append(run.step)))
    run.run()
    assert written == [1, 2]
    assert Pipeline.from_pretrained(tmp_path / "model").config.card["steps"] == 2
    assert not (tmp_path / ".model.tmp").exists()
