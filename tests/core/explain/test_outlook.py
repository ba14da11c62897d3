"""Looking into a run: the recomputed distribution is the recorded one, and the explorer's numbers obey the formula."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from mdm_core.explain import outlook as core
from mdm_core.explain.gain import clearest_gain
from mdm_core.ops import linear_grouped_cross_entropy


@pytest.fixture(scope="module")
def run(tiny):
    return tiny.generate(
        "a cat", seed=4, steps=6, polish=2, edit_threshold=0.05, guidance=2.0, temperature=1.4
    )


@pytest.fixture(scope="module")
def groups(tiny):
    return core.code_groups(tiny, 8)


def test_the_recorded_confidence_is_found_again_at_every_step_and_cell(tiny, run):
    assert run.n_edits > 0  # edited cells are among them
    for index in range(1, len(run.records)):
        record, pass_ = run.records[index], core.look(tiny, run, index)
        for position in range(16):
            told = pass_.candidates(position, int(record.tokens[position]))
            assert told.p == pytest.approx(record.confidence[position], abs=2e-5)
            assert told.entropy == pytest.approx(record.entropy[position], abs=2e-4)


def test_guidance_and_the_step_before_matter(tiny, run):
    """The check above would fail with another guidance, or on the tokens after the step."""
    record = run.records[3]
    other = core.outlook(tiny, run.prompt, core.seen_at(run, 3), guidance=0.0)
    after = core.outlook(tiny, run.prompt, record.tokens.reshape(4, 4), guidance=2.0)
    for wrong in (other, after):
        off = [wrong.candidates(i, int(record.tokens[i])).p - record.confidence[i] for i in range(16)]
        assert np.abs(off).max() > 1e-3


def test_the_likeliest_come_first_and_the_group_adds_up(tiny, run, groups):
    told = core.candidates(tiny, run, 6, 5, k=8, groups=groups)
    p = core.look(tiny, run, 6).logits(5).softmax(0)
    assert (np.diff(told.probabilities) <= 0).all() and len(set(told.ids.tolist())) == 8
    assert told.probabilities == pytest.approx(p[torch.from_numpy(told.ids)].numpy())
    assert told.centre == told.token == run.records[6].tokens[5]
    assert sorted(told.group.tolist()) == sorted(groups.members(told.centre).tolist())
    assert told.group_mass == pytest.approx(float(p[groups.members(told.centre)].sum()), abs=1e-6)
    assert told.p <= told.group_mass <= 1 + 1e-6


def test_a_masked_cell_tells_of_its_likeliest_token(tiny, run, groups):
    position = int(np.flatnonzero(run.records[2].tokens == 32)[0])
    told = core.candidates(tiny, run, 2, position, groups=groups)
    assert told.token == 32 and told.centre == told.ids[0]
    assert told.p == pytest.approx(run.records[2].confidence[position], abs=2e-5)


def test_the_start_shows_the_pass_it_leads_to(tiny, run):
    assert torch.equal(core.look(tiny, run, 0).hidden, core.look(tiny, run, 1).hidden)


def test_what_cannot_be_asked_is_refused(tiny, run, groups):
    pass_ = core.look(tiny, run, 1)
    for call in (
        lambda: core.candidates(tiny, run, 99, 0),
        lambda: core.candidates(tiny, run, -1, 0),
        lambda: core.candidates(tiny, run, 1, 16),
        lambda: pass_.candidates(-1, 0),
        lambda: pass_.candidates(0, 33),
        lambda: pass_.candidates(0, 0, k=0),
        lambda: core.code_groups(tiny, 5),
        lambda: core.pulls(pass_.logits(0), 32, groups, [0.2]),
    ):
        with pytest.raises(ValueError):
            call()


def test_group_sizes_follow_the_lattice(tiny):
    assert core.group_sizes(tiny) == [2, 4, 8]  # 4 x 4 x 2 has no even cells of 64
    assert core.usual_size(tiny) == 4  # the middle one, where the card does not tell how it was trained
    for size in (2, 4, 8):
        assert len(core.code_groups(tiny, size).members(7)) == size
    assert core.trained_size(tiny) is None
    for card, size in (
        ({"recipe": {"group_factor": 2}}, 8),
        ({"recipe": {"group_factor": 3}}, None),
        ({"recipe": {"group_factor": "2"}}, None),
        ({"recipe": None}, None),
        ({}, None),
    ):
        carded = copy.copy(tiny)
        carded.facts = dataclasses.replace(tiny.facts, card=card)
        assert core.trained_size(carded) == size, card


def test_the_head_is_never_widened_as_a_whole(monkeypatch):
    """[V] logits of one cell over a bf16 head: in tiles, and what the operands say."""
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(301, 24, generator=g).bfloat16()
    pass_ = core.Outlook(torch.randn(6, 24, generator=g), weight)
    whole = weight.float() @ pass_.hidden[2].bfloat16().float()
    for tile in (24, 24 * 7, 2**21):
        monkeypatch.setattr(core, "TILE", tile)
        assert torch.allclose(pass_.logits(2), whole, atol=1e-5)


def test_patches_are_decoded_a_few_at_a_time(tiny, monkeypatch):
    wide = np.arange(16).reshape(4, 4)
    together = core.patches_in_place(tiny, wide, 5, range(32))
    monkeypatch.setattr(core, "PIXELS", 3000)
    few = core.patches_in_place(tiny, wide, 5, range(32))
    assert np.abs(together.astype(int) - few).max() <= 1  # bf16 products of another batch
    for position in (-1, 16):
        with pytest.raises(ValueError, match="position must be"):
            core.patches_in_place(tiny, wide, position, [1])


def test_pulls_are_minus_the_gradient_of_the_formula(groups):
    z = torch.randn(32, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    p, inside = z.softmax(0), groups.members(9)
    share = p[9] / p[inside].sum()
    weights = [0.0, 0.2, 1.0]
    for weight, pull in zip(weights, core.pulls(z, 9, groups, weights), strict=True):
        assert pull.exact == pytest.approx(float(1 + weight * share - (1 + weight) * p[9]))
        assert pull.outside == pytest.approx(float(-(1 + weight) * (1 - p[inside].sum())))
        assert pull.exact + pull.group + pull.outside == pytest.approx(0, abs=1e-12)
        args = (torch.ones(1, 1, dtype=torch.float64), z[:, None], torch.tensor([9]), groups)
        fused = linear_grouped_cross_entropy(*args, group_weight=weight, reduction="sum", backend="torch")
        assert pull.loss == pytest.approx(float(fused))


def test_the_group_term_lifts_neighbours_where_plain_cross_entropy_pushes_them_down(groups):
    z = torch.zeros(32)
    plain, grouped = core.pulls(z, 9, groups, [0.0, 1.0])
    assert plain.group < 0 < grouped.group
    assert plain.exact > 0 and plain.outside < 0 and grouped.outside < plain.outside


def test_patches_look_as_in_the_whole_picture(tiny, run):
    wide = np.arange(16).reshape(4, 4)
    for position in (0, 5, 15):
        patches = core.patches_in_place(tiny, wide, position, [3, 30])
        assert patches.shape == (2, 8, 8, 3)
        for token, patch in zip((3, 30), patches, strict=True):
            whole = wide.copy()
            whole.flat[position] = token
            y, x = divmod(position, 4)
            picture = np.asarray(tiny.decode(whole), int)[y * 8 : y * 8 + 8, x * 8 : x * 8 + 8]
            assert np.abs(picture - patch).mean() < 4
    assert core.patches_in_place(tiny, np.full((4, 4), 32), 3, [1]).shape == (1, 8, 8, 3)
    alone = core.patches_alone(tiny, [4, 4, 29])
    assert (alone[0] == alone[1]).all() and (alone[0] != alone[2]).any()
    assert core.patches_alone(tiny, []).shape == (0, 8, 8, 3)


def test_the_mass_of_tokens_is_the_sum_of_their_probabilities(tiny, run, groups):
    pass_ = core.look(tiny, run, 1)
    p = torch.stack([pass_.logits(i).softmax(0) for i in range(16)])  # [L, V]
    ids = groups.members(9)
    assert torch.allclose(pass_.mass(ids), p[:, ids].sum(1), atol=1e-5)
    each = p.argmax(1)[:, None]
    assert torch.allclose(pass_.mass(each), p.amax(1), atol=1e-5)


def test_tiles_over_the_vocabulary_change_nothing(tiny, run, groups, monkeypatch):
    whole = core.look(tiny, run, 1)
    lse, best = whole._summary
    logits = whole.hidden @ whole.weight.detach().t()
    assert torch.allclose(lse, logits.logsumexp(1), atol=1e-5) and torch.equal(best, logits.argmax(1))
    ids = torch.stack([groups.members(int(token)) for token in best])  # [L, m]
    for tile in (1, 16 * 5, 16 * 31):  # numbers at a time: tiles of 1, 5 and 31 of the 32 tokens
        monkeypatch.setattr(core, "TILE", tile)
        pass_ = core.look(tiny, run, 1)
        assert torch.allclose(pass_._summary[0], lse, atol=1e-5) and torch.equal(pass_._summary[1], best)
        assert torch.allclose(pass_.mass(ids), whole.mass(ids), atol=1e-6)


def test_a_large_vocabulary_is_never_held_against_all_cells():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Widest(TorchDispatchMode):
        most = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.most = max(self.most, out.numel())
            return out

    pass_ = core.Outlook(torch.randn(4096, 8), torch.randn(4096, 8))
    with Widest() as widest:
        pass_._summary  # noqa: B018
        pass_.mass(torch.zeros(4096, 512, dtype=torch.int64))
    assert widest.most <= core.TILE  # [L, V] would be eight times as much


def test_a_step_downhill_is_softmax_of_the_logits_minus_the_gradient(groups):
    """Against the gradient written out: [v = y] - p(v) + weight ([v in G] p(v) / P - p(v))."""
    z = torch.randn(32, generator=torch.Generator().manual_seed(3)) * 2
    p, inside = z.double().softmax(0), groups.members(9)
    one, near = torch.zeros(32, dtype=torch.float64), torch.zeros(32, dtype=torch.float64)
    one[9], near[inside] = 1, 1
    weights = [0.0, 0.2, 1.0]
    after = core.after_step(z, 9, groups, weights, rate=0.5)
    assert after.shape == (3, 32)
    for weight, row in zip(weights, after, strict=True):
        pushed = one - p + weight * (near * p / p[inside].sum() - p)
        assert torch.allclose(core.push(z, 9, groups, weight)[1], pushed, atol=1e-12)
        assert torch.allclose(row, (z.double() + 0.5 * pushed).softmax(0), atol=1e-12)
    favourite = int(p[inside].argmax())
    other = int(inside[(favourite + 1) % len(inside)])
    plain, grouped = core.after_step(z, other, groups, [0.0, 0.2])
    near_ones = inside[inside != other]
    assert grouped[near_ones].sum() > plain[near_ones].sum(), "neighbours are blamed less with the group term"
    for rate in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="rate"):
            core.after_step(z, 9, groups, [0.2], rate=rate)
    with pytest.raises(ValueError, match="target"):
        core.push(z, 32, groups, 0.2)


def test_a_token_s_group_holds_all_its_smaller_groups():
    class Pipe:
        class codec:
            levels = (8, 8, 8, 8, 4)

        vocab_size = 16_384

    assert core.group_sizes(Pipe) == [2, 4, 8, 16, 64]
    for token in (0, 5703, 9402, 16_383):
        inside: set[int] = set()
        for size in core.group_sizes(Pipe):
            members = set(core.code_groups(Pipe, size).members(token).tolist())
            assert len(members) == size and inside < members
            inside = members


def test_the_clearest_gain_is_that_of_the_case_whose_neighbours_gain_most(tiny, run, groups):
    pass_ = core.look(tiny, run, 1)
    targets = torch.arange(16)[:, None] * 7 % 32  # as many as are computed exactly
    gains = {}
    for cell in range(16):
        z = pass_.logits(cell)
        for token in targets[cell].tolist():
            near = [n for n in groups.members(token).tolist() if n != token]
            plain, grouped = core.after_step(z, token, groups, (0.0, 0.2))[:, near].sum(1).tolist()
            before = float(z.double().softmax(0)[near].sum())
            gains[cell, token] = grouped - max(plain, before)
    found = clearest_gain(pass_, targets, groups, 0.2)
    assert found == clearest_gain(pass_, targets, groups, 0.2)
    assert gains[found] == pytest.approx(max(gains.values()), abs=1e-9)
