"""How many stages of a product a card has shared memory for, and what happens where that was foreseen wrongly.

What the compiler really takes is compared with it in test_ops_compile.py.
"""

import pytest
import torch

from mdm_core.ops import shared_memory_triton as shared_memory
from mdm_core.ops.shared_memory_triton import fit, launch, needed

pytest.importorskip("triton")
# numpy's logarithm of zero, interpreted
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

# card -> (compute capability, bytes of shared memory that a program may have), as CUDA's programming guide has them
CARDS = {
    "V100": (7, 98304),
    "A100": (8, 166912),
    "RTX 3090, 4090": (8, 101376),
    "H100, H200": (9, 232448),
    "B200": (10, 232448),
    "RTX 5090": (12, 101376),
}


@pytest.mark.parametrize("card", CARDS)
def test_every_sampling_kernel_fits(card):
    from mdm_core.ops.sample import sample_triton

    for size in (2, 4):
        question = sample_triton.needs(size)
        tile = fit(*question, *CARDS[card])
        assert needed(tile, *question[1:], CARDS[card][0]) <= CARDS[card][1]
        assert tile[:4] == question[0][:4] and 1 <= tile[4] <= question[0][4]


@pytest.mark.parametrize("card", CARDS)
def test_the_products_of_cross_entropy_and_muon_fit(card):
    from mdm_core.ops.gce import stream_triton
    from trainer.engine import muon_triton

    for tile, size in ((stream_triton.TILE_HALF, 2), (stream_triton.TILE_FULL, 4), (muon_triton.TILE, 2)):
        assert needed(fit(tile, size, 0, *CARDS[card]), size, 0, CARDS[card][0]) <= CARDS[card][1]


def test_cards_with_enough_keep_their_stages():
    from mdm_core.ops.sample import sample_triton

    question = sample_triton.needs(2)
    stages = {card: fit(*question, *CARDS[card])[4] for card in CARDS}
    assert stages["A100"] == stages["H100, H200"] == stages["B200"] == 3
    assert stages["RTX 3090, 4090"] == stages["RTX 5090"] == stages["V100"] == 2


def test_a_whole_tile_behind_the_product_did_not_fit():
    """What a picture with top-k asked of an H200: 278,552 bytes, of 232,448."""
    tile = (128, 256, 64, 8, 3)
    assert 278_552 <= needed(tile, 2, 128 * 256 * 4, 9) <= 279_000
    assert fit(tile, 2, 128 * 256 * 4, 9, 232_448)[4] == 2
    assert fit(tile, 2, 128 * 256 * 4, 9, 1000)[4] == 1  # nothing does: the smallest


@pytest.mark.parametrize("positions, dim, card, taken", [
    (128, 128, "A100", True),
    (128, 128, "RTX 3090, 4090", False),
    (65, 128, "RTX 5090", False),
    (64, 128, "RTX 5090", True),
    (128, 64, "RTX 3090, 4090", True),
    (129, 64, "H100, H200", False),
])  # fmt: skip
def test_attention_takes_the_heads_that_fit(positions, dim, card, taken):
    from mdm_core.ops.block import attention_triton

    assert attention_triton.takes(positions, dim, 4, 4, CARDS[card][1]) is taken
    assert not attention_triton.takes(positions, dim, 4, 2, CARDS[card][1])


class Kernel:
    """Is refused with more stages than it has room for."""

    def __init__(self, most):
        self.most, self.asked = most, []

    def __getitem__(self, grid):
        assert grid == (3,)
        return self.run

    def run(self, *arguments, num_stages, **options):
        from triton.runtime.errors import OutOfResources

        assert (arguments, options) == (("a",), {"D": 8, "KIND": None})
        self.asked.append(num_stages)
        if num_stages > self.most:
            raise OutOfResources(300_000, 200_000, "shared memory")


def test_a_kernel_that_is_refused_is_launched_with_fewer_stages(monkeypatch):
    monkeypatch.setattr(shared_memory, "_most", {})
    kernel, other = Kernel(1), Kernel(3)
    for _ in range(2):
        launch(kernel, (3,), 3, "a", D=8, KIND=None)
    assert kernel.asked == [3, 2, 1, 1]  # and begins there the next time
    launch(other, (3,), 3, "a", D=8, KIND=None)
    assert other.asked == [3]


def test_a_kernel_that_has_no_room_at_all_says_so(monkeypatch):
    from triton.runtime.errors import OutOfResources

    monkeypatch.setattr(shared_memory, "_most", {})
    kernel = Kernel(0)
    with pytest.raises(OutOfResources, match="shared memory"):
        launch(kernel, (3,), 2, "a", D=8, KIND=None)
    assert kernel.asked == [2, 1]


def test_a_card_with_less_draws_the_same_tokens(monkeypatch):
    """The stages are all that changes."""
    from mdm_core.ops import sample_step

    device = "cuda" if torch.cuda.is_available() else "cpu"
    g = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 8, generator=g).to(device) for n in (3, 130))
    current = torch.zeros(3, dtype=torch.long, device=device)
    options = dict(seed=1, step=0, top_k=5, backend="triton")
    whole = sample_step(hidden, weight, current, **options)
    monkeypatch.setattr(shared_memory, "available", lambda _: 1)
    for a, b in zip(whole, sample_step(hidden, weight, current, **options), strict=True):
        assert torch.equal(a, b)


def test_where_the_kernels_have_no_room_at_all_pytorch_draws(monkeypatch, caplog):
    """Unless they were asked for by name."""
    from triton.runtime.errors import OutOfResources

    from mdm_core.ops import sample_step
    from mdm_core.ops.sample import sample_triton, step

    def refused(*_):
        raise OutOfResources(262_144, 232_448, "shared memory")

    step._warn_once.cache_clear()
    monkeypatch.setattr(sample_triton, "sample_rows", refused)
    monkeypatch.setattr(step, "choose_backend", lambda *_: "triton")
    g = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 8, generator=g) for n in (3, 130))
    given = (hidden, weight, torch.zeros(3, dtype=torch.long))
    options = dict(seed=1, step=0, top_k=5)
    drawn = sample_step(*given, **options)
    assert "PyTorch draws instead" in caplog.text and "262144" in caplog.text
    with pytest.raises(OutOfResources):
        sample_step(*given, backend="triton", **options)
    monkeypatch.undo()
    for a, b in zip(drawn, sample_step(*given, backend="torch", **options), strict=True):
        assert torch.equal(a, b)


def test_the_compiler_takes_what_a_device_has_for_a_number():
    def f(x):
        return x + 1 if shared_memory.available(x.device) > 1000 else x

    compiled = torch.compile(f, backend="eager", fullgraph=True)
    assert compiled(torch.zeros(2)).tolist() == [1.0, 1.0]
