"""Groups: every constructor gives the groups it promises; the patch holds each special token once."""

import pytest
import torch

from mdm_core.groups import Groups


def test_lattice_cells_merge_neighbouring_codes_of_the_first_three_dimensions():
    levels = (8, 8, 8, 8, 4)
    groups = Groups.lattice(levels)
    assert groups.vocab_size == 16384 and groups.n_groups == 2048
    assert torch.bincount(groups.group_of).unique().tolist() == [8]
    token, index = 5000, []
    for n in levels:  # first dimension fastest
        index.append(token % n)
        token //= n
    for member in groups.members(5000).tolist():
        for n, f, mine in zip(levels, (2, 2, 2, 1, 1), index, strict=True):
            assert member % n // f == mine // f
            member //= n


@pytest.mark.parametrize("levels, factor", [((3, 5), 2), ((7,), 3), ((4, 3, 2), (1, 1, 1)), ((2, 2), (2, 2))])
def test_lattice_cells_of_ragged_lattices_partition_the_codes(levels, factor):
    groups = Groups.lattice(levels, factor)
    seen = torch.cat(
        [groups.members(int((groups.group_of == g).nonzero()[0])) for g in range(groups.n_groups)]
    )
    assert seen.sort().values.tolist() == list(range(groups.vocab_size))


@pytest.mark.parametrize("size, count", [(1, 1), (5, 5), (5, 1), (100, 7), (257, 32)])
def test_kmeans_is_balanced_and_deterministic(size, count):
    points = torch.randn(size, 3, generator=torch.Generator().manual_seed(0))
    groups = Groups.kmeans(points, count, seed=3)
    sizes = torch.bincount(groups.group_of, minlength=count)
    assert groups.n_groups == count and sizes.max() - sizes.min() <= 1
    assert torch.equal(groups.group_of, Groups.kmeans(points, count, seed=3).group_of)


def test_kmeans_finds_well_separated_clusters():
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(64).repeat(8)
    centres = torch.stack([truth % 8, truth // 8], 1) * 10.0
    groups = Groups.kmeans(centres + torch.rand(512, 2, generator=generator), 64)
    assert all(truth[groups.members(token)].unique().numel() == 1 for token in range(64))


def test_knn_puts_the_code_first_and_settles_ties_by_lowest_id():
    line = torch.arange(9.0)[:, None]
    groups = Groups.knn(line, k=3, chunk_bytes=1)
    assert groups.members(4).tolist() == [4, 3, 5] and groups.members(0).tolist() == [0, 1, 2]
    copies = Groups.knn(torch.zeros(6, 2), k=2)
    assert [copies.members(t).tolist() for t in (0, 1, 5)] == [[0, 1], [1, 1 - 1], [5, 0]]


def test_patch_counts_every_token_once_and_knows_its_levels():
    generator = torch.Generator().manual_seed(1)
    groups = (
        Groups.from_ids(torch.randint(0, 9, (60,), generator=generator))
        + Groups.knn(torch.randn(60, 2, generator=generator), 7)
        + Groups.lattice((5, 4, 3))
    )
    target = torch.arange(60)
    patch = groups.patch(target)
    for y in range(60):
        expected = [{y}, *(set(groups.members(y, j).tolist()) for j in range(3))]
        kept = patch.ids[y][patch.keep[y]].tolist()
        assert len(kept) == len(set(kept)) and set(kept) == set.union(*expected)
        for token, inside in zip(patch.ids[y].tolist(), patch.inside[y].tolist(), strict=True):
            assert inside == [token in level for level in expected]


def test_groups_survive_a_round_trip_through_plain_tensors():
    groups = Groups.lattice((4, 4, 2)) + Groups.knn(
        torch.randn(32, 2, generator=torch.Generator().manual_seed(0)), 4
    )
    again = Groups.from_state_dict({**groups.state_dict(), "head.weight": torch.zeros(3)})
    target = torch.arange(32)
    assert torch.equal(groups.patch(target).ids, again.patch(target).ids)
    assert again.to("cpu") is again and repr(again) == repr(groups)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Groups.from_ids(torch.zeros(3)),
        lambda: Groups.lattice((4, 0)),
        lambda: Groups.lattice((4, 4), (2,)),
        lambda: Groups.kmeans(torch.zeros(4, 2), 5),
        lambda: Groups.knn(torch.zeros(4, 2), 5),
        lambda: Groups.from_neighbours(torch.tensor([[0, 0], [1, 0]])),
        lambda: Groups.from_neighbours(torch.tensor([[0, 2], [1, 0]])),
        lambda: Groups.lattice((4, 4)) + Groups.lattice((4, 2)),
        lambda: Groups.knn(torch.zeros(4, 2), 2).group_of,
        lambda: Groups.lattice((4, 4)).members(16),
        lambda: Groups.from_state_dict({}),
    ],
)
def test_wrong_arguments_are_named_in_one_sentence(build):
    with pytest.raises(ValueError, match=r"\.$"):
        build()
