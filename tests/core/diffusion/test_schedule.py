"""Mask-ratio schedules and the quota of each step."""

import pytest
import torch

from mdm_core.diffusion.sampler import commit_quota
from mdm_core.diffusion.schedule import mask_ratio
from mdm_core.settings import SCHEDULES, SampleConfig


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ratio_runs_from_clean_to_masked_without_turning_back(schedule):
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    r = mask_ratio(t, schedule)
    assert r[0].abs() < 1e-9 and (r[-1] - 1).abs() < 1e-9
    assert (r.diff() > 0).all()


def test_known_values():
    half = torch.tensor(0.5, dtype=torch.float64)
    assert mask_ratio(half, "cosine").item() == pytest.approx(0.5**0.5)
    assert mask_ratio(half, "linear").item() == 0.5
    assert mask_ratio(half, "shift").item() == pytest.approx(0.75)  # 3 * .5 / (1 + 2 * .5)


def counts(n: int, steps: int, schedule: str) -> list[int]:
    """How many of n masked tokens each step commits, where nothing is masked again."""
    config, out = SampleConfig(steps=steps, schedule=schedule), []
    for k in range(1, steps + 1):
        out.append(int(commit_quota(n - sum(out), n, k, config)))
    return out


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n,steps", [(256, 12), (256, 1), (256, 256), (7, 20), (0, 5), (1, 1)])
def test_counts_add_up_and_no_step_is_idle(schedule, n, steps):
    found = counts(n, steps, schedule)
    assert sum(found) == n
    # as long as there is something to commit
    assert all(c >= 1 for c in found[: min(n, steps)]) and not any(found[min(n, steps) :])


def test_cosine_commits_few_first():
    found = counts(256, 12, "cosine")
    assert found[0] < found[5] < found[-2]


def test_wrong_names_and_numbers_are_refused():
    with pytest.raises(ValueError, match="schedule must be one of"):
        mask_ratio(torch.tensor(0.5), "sine")
    with pytest.raises(ValueError, match="steps must be a whole number from 1"):
        SampleConfig(steps=0)
