"""Mask-ratio schedules and the quota of each step."""

import pytest
import torch

from mdm_core.diffusion.schedule import commit_counts, mask_ratio
from mdm_core.settings import SCHEDULES


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


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n,steps", [(256, 12), (256, 1), (256, 256), (7, 20), (0, 5), (1, 1)])
def test_counts_add_up_and_no_step_is_idle(schedule, n, steps):
    counts = commit_counts(n, steps, schedule)
    assert sum(counts) == n and len(counts) <= steps
    assert all(c >= 1 for c in counts)


def test_cosine_commits_few_first():
    counts = commit_counts(256, 12, "cosine")
    assert counts[0] < counts[5] < counts[-2]


def test_wrong_names_and_numbers_are_refused():
    with pytest.raises(ValueError, match="schedule must be one of"):
        mask_ratio(torch.tensor(0.5), "sine")
    with pytest.raises(ValueError, match="steps must be 1 or more"):
        commit_counts(10, 0)
