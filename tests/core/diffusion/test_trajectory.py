"""A run's record survives JSON, tells a token's history, and refuses what is not a trajectory."""

import copy
import json

import numpy as np
import pytest

from mdm_core.diffusion.trajectory import Trajectory


@pytest.fixture(scope="module")
def run(tiny):
    return tiny.generate("a cat", seed=3, steps=5, edit_threshold=0.0, edit_budget=0.3)


def test_saves_and_reloads_without_a_model(run, tmp_path):
    run.save(tmp_path / "run.json")
    back = Trajectory.load(tmp_path / "run.json")
    assert back.prompt == run.prompt and back.settings == json.loads(json.dumps(run.settings))
    assert len(back.records) == len(run.records)
    for a, b in zip(run.records, back.records, strict=True):
        for name in ("tokens", "committed", "edited", "confidence", "entropy", "locked"):
            x, y = getattr(a, name), getattr(b, name)
            assert x.dtype == y.dtype and np.array_equal(x, y), name
        assert (a.step, a.phase, a.steps_planned) == (b.step, b.phase, b.steps_planned)
    with pytest.raises(ValueError, match="without a model"):
        _ = back.image


def test_records_replay_to_the_final_tokens(run):
    state = run.records[0].tokens.copy()
    for r in run.records[1:]:
        state[r.committed] = r.tokens[r.committed]
        for position, old, new in r.edited:
            assert state[position] == old
            state[position] = new
        assert np.array_equal(state, r.tokens)
    assert np.array_equal(state.reshape(run.grid), run.tokens)


def test_history_tells_when_a_token_was_set_and_edited(run):
    assert run.n_edits > 0
    position = int(next(r for r in run.records if len(r.edited)).edited[0, 0])
    kinds = [kind for _, kind, _, _ in run.history(position)]
    assert kinds[0] == "set" and "edited" in kinds
    assert run.history(position)[-1][2] == run.tokens.reshape(-1)[position]
    with pytest.raises(ValueError, match="position must be"):
        run.history(10_000)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("records"),
        lambda d: d.update(format="other"),
        lambda d: d.update(format_version=99),
        lambda d: d.update(grid=[10**9, 1]),
        lambda d: d.update(vocab_size=-1),
        lambda d: d.update(prompt=5),
        lambda d: d["records"][0].update(tokens="AAAA"),
        lambda d: d["records"][0].update(tokens="not base64!"),
        lambda d: d["records"][0].update(phase="<script>"),
        lambda d: d["records"][1].update(step=1.5),
        lambda d: d.update(vocab_size=3),
        lambda d: d.update(records=7),
    ],
)
def test_hostile_files_get_a_value_error(run, change, tmp_path):
    data = copy.deepcopy(run.to_json())
    change(data)
    (tmp_path / "bad.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="bad.json cannot be opened as a trajectory"):
        Trajectory.load(tmp_path / "bad.json")


def test_missing_and_garbled_files(tmp_path):
    with pytest.raises(ValueError, match="cannot be opened"):
        Trajectory.load(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ValueError, match="cannot be opened"):
        Trajectory.load(tmp_path / "x.json")
