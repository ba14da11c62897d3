"""Grouped cross-entropy: the chunked backend against the plain formula, at the edges a trainer meets."""

import pytest
import torch
import torch.nn.functional as F

from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy
from mdm_core.ops.gce import schedules as gce_schedules
from mdm_core.ops.gce.autograd import witness_of

SCHEDULES = [
    ("mean", "rows"),
    ("sum", "rows"),
    ("mean", "vocabulary"),
    ("sum", "vocabulary"),
    ("none", "vocabulary"),
]


def problem(n=33, d=7, v=96, dtype=torch.float64, seed=0, spread=1.0):
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, d, generator=g, dtype=torch.float64).mul(spread).to(dtype).requires_grad_()
    weight = torch.randn(v, d, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(0, v, (n,), generator=g)


def some_groups(v, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Groups.from_ids(torch.randint(0, max(1, v // 8), (v,), generator=g)) + Groups.knn(
        torch.randn(v, 3, generator=g), min(5, v)
    )


def run(hidden, weight, target, groups=None, upstream=None, **options):
    """Loss and the gradients by hidden and weight, on fresh leaves."""
    hidden, weight = hidden.detach().clone().requires_grad_(), weight.detach().clone().requires_grad_()
    loss = linear_grouped_cross_entropy(hidden, weight, target, groups, **options)
    loss.backward(torch.ones_like(loss) if upstream is None else upstream.to(loss.dtype))
    return loss.detach(), hidden.grad, weight.grad


@pytest.mark.parametrize("reduction, schedule", SCHEDULES)
def test_every_schedule_equals_the_formula(reduction, schedule):
    hidden, weight, target = problem()
    target[::5] = -100
    upstream = torch.linspace(-1, 2, 33) if reduction == "none" else torch.tensor(1.7)
    options = dict(
        groups=some_groups(96),
        upstream=upstream,
        reduction=reduction,
        group_weight=(0.3, 0.2),
        z_loss=0.01,
        ce_weight=0.8,
        row_weight=torch.rand(33, generator=torch.Generator().manual_seed(5)),
        schedule=schedule,
    )
    for expected, *got in zip(
        run(hidden, weight, target, backend="reference", **options),
        run(hidden, weight, target, backend="torch", **options),
        run(hidden, weight, target, backend="torch", tile_bytes=9000, **options),
        strict=True,
    ):
        for value in got:
            torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)


def test_no_group_weight_is_plain_cross_entropy():
    hidden, weight, target = problem()
    expected = F.cross_entropy(hidden @ weight.t(), target)
    loss = linear_grouped_cross_entropy(hidden, weight, target, some_groups(96), group_weight=0.0)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(
        torch.autograd.grad(loss, (hidden, weight)),
        torch.autograd.grad(expected, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("schedule", ["rows", "vocabulary"])
def test_gradcheck_in_fp64(schedule):
    hidden, weight, target = problem(9, 4, 14)
    groups = some_groups(14)

    def loss(h, w):
        return linear_grouped_cross_entropy(
            h, w, target, groups, group_weight=(0.4, 0.3), z_loss=0.02, schedule=schedule, tile_bytes=300
        )

    assert torch.autograd.gradcheck(loss, (hidden, weight))


@pytest.mark.parametrize("n, d, v", [(1, 1, 1), (7, 123, 7), (123, 7, 257), (257, 1, 123)])
@pytest.mark.parametrize("reduction, schedule", SCHEDULES)
def test_odd_sizes(n, d, v, reduction, schedule):
    hidden, weight, target = problem(n, d, v)
    options = dict(groups=some_groups(v), reduction=reduction, schedule=schedule, tile_bytes=2000)
    for got, expected in zip(
        run(hidden, weight, target, **options),
        run(hidden, weight, target, backend="reference", **options),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def test_groups_of_one_and_groups_of_everything():
    hidden, weight, target = problem()
    ce = run(hidden, weight, target)
    alone, everything = Groups.from_ids(torch.arange(96)), Groups.from_ids(torch.zeros(96).int())
    for schedule in ("rows", "vocabulary"):
        options = dict(group_weight=0.5, schedule=schedule)
        # A group of one is the target itself, and the group of all has probability one.
        torch.testing.assert_close(
            run(hidden, weight, target, alone, **options), tuple(1.5 * value for value in ce)
        )
        torch.testing.assert_close(run(hidden, weight, target, everything, **options), ce)


def test_a_partition_equals_the_knn_list_of_its_members():
    hidden, weight, target = problem(v=64)
    partition = Groups.lattice((4, 4, 4))
    lists = Groups.from_neighbours(torch.stack([partition.members(t) for t in range(64)]))
    for a, b in zip(run(hidden, weight, target, partition), run(hidden, weight, target, lists), strict=True):
        torch.testing.assert_close(a, b)


def test_ignored_rows_have_no_part_in_anything():
    hidden, weight, target = problem()
    groups = some_groups(96)
    some = target.clone()
    some[::3] = -100
    kept = some != -100
    expected = run(hidden[kept], weight, target[kept], groups)
    loss, dh, dw = run(hidden, weight, some, groups)
    torch.testing.assert_close((loss, dh[kept], dw), expected)
    assert not dh[~kept].any()
    for reduction in ("mean", "sum", "none"):
        loss, dh, dw = run(
            hidden, weight, torch.full_like(target, 7), groups, ignore_index=7, reduction=reduction
        )
        assert not loss.any() and not dh.any() and not dw.any()
        loss, dh, dw = run(hidden[:0], weight, target[:0], groups, reduction=reduction)
        assert not loss.any() and dh.shape == (0, 7) and not dw.any()


@pytest.mark.parametrize("schedule", ["rows", "vocabulary"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_logits_lose_nothing(dtype, schedule):
    """Logits of +-1e4: losses up to 2e4, and losses far below fp32's epsilon where the row is sure."""
    hidden, weight, target = problem(64, 5, 40, torch.float64, spread=2000.0)
    target[:32] = (hidden @ weight.t()).argmax(1)[:32]
    groups = Groups.from_ids(torch.arange(40) // 4)
    exact = run(hidden, weight, target, groups, backend="reference", schedule="rows")
    h, w = hidden.to(dtype), weight.to(dtype)
    got = run(h, w, target, groups, schedule=schedule)
    torch.testing.assert_close(got[0].double(), exact[0], rtol=1e-5, atol=0)
    for a, b in zip(got[1:], exact[1:], strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))


def test_a_sure_row_keeps_its_tiny_loss_and_gradient():
    """loss = log1p(exp(-30)): fp32's LSE - logit would round it, and its gradient, to nothing."""
    hidden = torch.ones(1, 1, requires_grad=True)
    weight = torch.tensor([[60.0], [30.0]], requires_grad=True)
    loss, _, dw = run(hidden, weight, torch.tensor([0]))
    torch.testing.assert_close(loss, torch.tensor(9.3576e-14), rtol=1e-4, atol=0)
    torch.testing.assert_close(dw, torch.tensor([[-9.3576e-14], [9.3576e-14]]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_infinite_and_undefined_logits_are_reported(reduction):
    for bad in (torch.nan, torch.inf):
        weight = torch.ones(12, 2)
        weight[5] = bad
        loss = linear_grouped_cross_entropy(
            torch.ones(3, 2), weight, torch.tensor([0, 1, 5]), reduction=reduction
        )
        assert not loss.isfinite().any()
    weight = torch.ones(12, 2)
    weight[5] = -torch.inf  # a token that can never be chosen: no harm to others, infinite loss as a target
    groups = Groups.from_ids(torch.arange(12) // 4)
    losses = linear_grouped_cross_entropy(
        torch.ones(2, 2), weight, torch.tensor([4, 5]), groups, reduction="none"
    )
    expected = linear_grouped_cross_entropy(
        torch.ones(2, 2), weight, torch.tensor([4, 5]), groups, reduction="none", backend="reference"
    )
    torch.testing.assert_close(losses, expected)
    assert losses[0].isfinite() and losses[1] == torch.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("reduction, schedule", SCHEDULES)
@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_error_is_at_most_that_of_plain_pytorch(dtype, reduction, schedule, spread):
    """1.5 times its error over the whole result; for the worst number alone, or one unit in the last place.

    spread 0.3: the early training. 2: logits of 30 and more, every second row right and sure.
    """
    hidden, weight, target = problem(200, 32, 500, dtype, spread=spread)
    target[::2] = (hidden.float() @ weight.float().t()).argmax(1)[::2]
    groups = some_groups(500)
    upstream = torch.linspace(-1, 2, 200) if reduction == "none" else None
    options = dict(groups=groups, reduction=reduction, upstream=upstream)
    exact = run(hidden.double(), weight.double(), target, backend="reference", **options)
    plain = run(hidden, weight, target, backend="reference", **options)
    ours = run(hidden, weight, target, schedule=schedule, tile_bytes=2**17, **options)
    for name, a, b, c in zip(("loss", "hidden", "weight"), ours, plain, exact, strict=True):
        assert a.dtype == (torch.float32 if name == "loss" else dtype)
        assert (a.double() - c).norm() <= 1.5 * (b.double() - c).norm(), name
        mine, theirs = (float((x.double() - c).abs().max() / c.abs().max()) for x in (a, b))
        assert mine <= max(1.5 * theirs, torch.finfo(a.dtype).eps), (name, mine, theirs)


@pytest.mark.parametrize("reduction, schedule", SCHEDULES)
def test_a_rerun_is_bitwise_equal(reduction, schedule):
    hidden, weight, target = problem(100, 16, 300, torch.float32)
    options = dict(groups=some_groups(300), reduction=reduction, schedule=schedule, tile_bytes=40000)
    for a, b in zip(
        run(hidden, weight, target, **options), run(hidden, weight, target, **options), strict=True
    ):
        assert torch.equal(a, b)


def test_a_small_budget_takes_the_vocabulary_schedule(monkeypatch):
    taken = []
    for name in ("rows", "vocabulary"):
        schedule = getattr(gce_schedules, name)
        monkeypatch.setattr(gce_schedules, name, lambda *a, n=name, f=schedule: (taken.append(n), f(*a))[1])
    hidden, weight, target = problem(100, 4, 200, torch.float32)
    row = 200 * 4 + 64  # bytes of a row's logits and of its patch, the target alone
    for reduction, tile_bytes in (("mean", None), ("mean", 90 * row), ("sum", 70 * row), ("none", None)):
        run(hidden, weight, target, reduction=reduction, tile_bytes=tile_bytes)
    run(hidden[:60], weight, target[:60], tile_bytes=60 * row)  # few, but all there are
    assert taken == ["rows", "rows", "vocabulary", "vocabulary", "rows"]


@pytest.mark.parametrize("size, rows", [(4096, 896), (16384, 384), (65536, 256), (131072, 128), (262144, 71)])
def test_a_tile_holds_as_many_rows_as_do_good_on_a_cpu(size, rows):
    assert gce_schedules.rows_per_tile(size, 0, torch.device("cpu"), 4, 64 * 9) in range(
        rows * 7 // 8, rows + 1
    )


def test_gradient_only_where_it_is_asked_for():
    hidden, weight, target = problem()
    for reduction in ("sum", "none"):
        for h, w in ((hidden.detach(), weight), (hidden, weight.detach())):
            loss = linear_grouped_cross_entropy(h, w, target, reduction=reduction).sum()
            (got,) = torch.autograd.grad(loss, [x for x in (h, w) if x.requires_grad])
            both = torch.autograd.grad(
                F.cross_entropy(hidden @ weight.t(), target, reduction="sum"), (hidden, weight)
            )
            torch.testing.assert_close(got, both[0 if h.requires_grad else 1])
    with torch.no_grad():
        assert not linear_grouped_cross_entropy(hidden, weight, target).requires_grad


def test_a_second_backward_is_refused_rather_than_wrong():
    hidden, weight, target = problem(dtype=torch.float32)
    loss = linear_grouped_cross_entropy(hidden, weight, target)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError):
        loss.backward()


def test_non_contiguous_inputs_and_lse():
    hidden, weight, target = problem(20, 6, 50)
    wide_hidden, wide_weight = hidden.detach().repeat(1, 2)[:, ::2], weight.detach().t().contiguous().t()
    loss, lse = linear_grouped_cross_entropy(wide_hidden, wide_weight, target, return_lse=True)
    logits = wide_hidden @ wide_weight.t()
    torch.testing.assert_close(lse, logits.logsumexp(1))
    torch.testing.assert_close(loss, F.cross_entropy(logits, target))


def test_autocast_multiplies_in_bf16_and_keeps_the_weight_gradient_in_fp32():
    hidden, weight, target = problem(64, 32, 200, torch.float32)
    groups = some_groups(200)
    with torch.autocast("cpu", torch.bfloat16):
        loss, dh, dw = run(hidden, weight, target, groups)
    expected = run(hidden.bfloat16(), weight.bfloat16(), target, groups)
    assert dh.dtype == dw.dtype == loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected[0])
    torch.testing.assert_close(dw.bfloat16(), expected[2], rtol=0.02, atol=1e-6)
    assert not torch.equal(dw, dw.bfloat16().float())  # the sum was not rounded


def test_extra_memory_is_the_tile():
    from trainer.bench.measure import peak_bytes

    hidden, weight, target = problem(512, 8, 4096, torch.float32)
    groups, tile = Groups.from_ids(torch.arange(4096) // 8), 1 << 20
    for options in (dict(schedule="rows"), dict(schedule="vocabulary")):
        extra = peak_bytes(
            lambda options=options: torch.autograd.grad(
                linear_grouped_cross_entropy(hidden, weight, target, groups, tile_bytes=tile, **options),
                (hidden, weight),
            ),
            torch.device("cpu"),
        )
        assert tile / 2 < extra < 2 * tile < 512 * 4096 * 4 / 3, extra


def test_compiles_without_a_graph_break():
    hidden, weight, target = problem(24, 6, 64, torch.float32)
    groups = Groups.lattice((4, 4, 4))

    def step(h, w, y, reduction):
        loss = linear_grouped_cross_entropy(h * 2.0, w, y, groups, reduction=reduction)
        return loss.square().sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for reduction in ("mean", "none"):
        expected = torch.autograd.grad(step(hidden, weight, target, reduction), (hidden, weight))
        got = torch.autograd.grad(compiled(hidden, weight, target, reduction), (hidden, weight))
        torch.testing.assert_close(got, expected)


def test_compiles_for_any_number_of_rows():
    groups = Groups.lattice((4, 4, 4))

    def loss(h, w, y):
        return linear_grouped_cross_entropy(h * 2.0, w, y, groups)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=True)
    for count in (24, 40, 41):
        hidden, weight, target = problem(count, 6, 64, torch.float32)
        expected = torch.autograd.grad(loss(hidden, weight, target), (hidden, weight))
        got = torch.autograd.grad(compiled(hidden, weight, target), (hidden, weight))
        torch.testing.assert_close(got, expected)


def test_custom_operators_pass_opcheck():
    hidden, weight, target = problem(6, 3, 16, torch.float32)
    groups = Groups.lattice((4, 2, 2))
    tables, widths = (
        [t for level in groups.levels for t in level.tensors()],
        [level.width for level in groups.levels],
    )
    scale, witness = torch.full((6,), 1 / 6), witness_of(hidden, weight)
    common = (tables, widths, [1.0, 0.2], 0.0, torch.float32, 1 << 20)
    torch.library.opcheck(
        torch.ops.chisel.gce_rows,
        (hidden, weight, target, scale, witness, *common, True, True, "torch"),
        # Not the check of compiled code: it also returns the gradients that the backward overwrites, which nobody
        # does here. The compiled steps above stand for it.
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )
    torch.library.opcheck(torch.ops.chisel.gce_forward, (hidden, weight, target, *common, True, "torch"))
    h, w = hidden.detach(), weight.detach()
    _, _, top, slot, rest = torch.ops.chisel.gce_forward(h, w, target, *common, True, "torch")
    arguments = (h, w, target, scale, tables, widths, top, slot, rest, torch.float32, 1 << 20, True, True)
    torch.library.opcheck(torch.ops.chisel.gce_backward, (*arguments, "torch"))
    factors = torch.tensor([0.5, -2.0])
    torch.library.opcheck(torch.ops.chisel.gce_scale_, ([h.clone(), w.clone()], factors, "torch"))
    torch.library.opcheck(torch.ops.chisel.gce_scale, (h, w, factors, witness.detach(), "torch"))


@pytest.mark.parametrize(
    "change",
    [
        dict(target=torch.zeros(32, dtype=torch.long)),
        dict(target=torch.zeros(33)),
        dict(target=torch.full((33,), 96)),
        dict(target=torch.full((33,), -1)),
        dict(weight=torch.zeros(96, 8)),
        dict(weight=torch.zeros(96, 7, dtype=torch.int32)),
        dict(groups=Groups.lattice((4, 4))),
        dict(groups=Groups.lattice((4, 4, 6)), group_weight=(0.1, 0.2)),
        dict(reduction="avg"),
        dict(reduction="none", schedule="rows"),
        dict(row_weight=torch.ones(3)),
        dict(backend="cuda"),
    ],
)
def test_wrong_arguments_are_named_in_one_sentence(change):
    hidden, weight, target = (x.detach() for x in problem())
    with pytest.raises(ValueError, match=r"\.$"):
        linear_grouped_cross_entropy(**{"hidden": hidden, "weight": weight, "target": target, **change})
