"""The kernels' noise is that of noise.py: the same words bit for bit, on a GPU if there is one, else interpreted."""

import pytest
import torch

from mdm_core.ops import noise

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton")
import triton  # noqa: E402
import triton.language as tl  # noqa: E402

from mdm_core.ops import noise_triton  # noqa: E402

philox, gumbel = noise_triton._philox, noise_triton.gumbel
SEEDS = [0, 7, -1, -(2**40) + 3, 2**63 - 1, -(2**63)]
ROWS = [0, 3, 2**31, 2**32 + 5, 2**40, 12345]


@triton.jit
def _words_kernel(counter, key, out):
    i = tl.arange(0, 8)
    c0, c1, c2, c3 = (
        tl.load(counter + i).to(tl.uint32),
        tl.load(counter + 8 + i).to(tl.uint32),
        tl.load(counter + 16 + i).to(tl.uint32),
        tl.load(counter + 24 + i).to(tl.uint32),
    )
    c0, c1, c2, c3 = philox(
        c0, c1, c2, c3, tl.load(key + i).to(tl.uint32), tl.load(key + 8 + i).to(tl.uint32)
    )
    tl.store(out + i, c0.to(tl.int64))
    tl.store(out + 8 + i, c1.to(tl.int64))
    tl.store(out + 16 + i, c2.to(tl.int64))
    tl.store(out + 24 + i, c3.to(tl.int64))


@triton.jit
def _gumbel_kernel(seed, row, out, step, first, BASE: tl.constexpr):
    n = tl.program_id(0)
    i = tl.arange(0, 64)
    value = gumbel(tl.load(seed + n), tl.load(row + n), step, (first + i).to(tl.int64), BASE)
    tl.store(out + n * 64 + i, value)


def test_words_are_those_of_the_definition():
    g = torch.Generator().manual_seed(0)
    words = torch.randint(
        0, 2**32, (6, 8), generator=g
    )  # four of the counter and two of the key, eight times
    words[:, 0], words[:, 1] = 0, 2**32 - 1
    out = torch.zeros(4, 8, dtype=torch.long, device=DEVICE)
    _words_kernel[(1,)](words[:4].contiguous().to(DEVICE), words[4:].contiguous().to(DEVICE), out)
    expected = noise.philox(tuple(words[:4]), tuple(words[4:]))
    assert torch.equal(out.cpu(), torch.stack(expected))


@pytest.mark.parametrize("base, start", [(0, 0), (0x80000000, noise.TOKEN_NOISE)], ids=["blocks", "tokens"])
@pytest.mark.parametrize("step, first", [(0, 0), (5, 64), (999, 192)])
def test_noise_is_that_of_the_definition(base, start, step, first):
    """Of blocks and of tokens, for seeds of both signs and rows beyond 32 bits; logarithms may round differently."""
    seed, row = torch.tensor(SEEDS), torch.tensor(ROWS)
    out = torch.zeros(len(SEEDS), 64, device=DEVICE)
    _gumbel_kernel[(len(SEEDS),)](seed.to(DEVICE), row.to(DEVICE), out, step, first, BASE=base)
    expected = noise.gumbel(seed, row, step, torch.tensor(start + first), 64)
    torch.testing.assert_close(out.cpu(), expected, rtol=2e-6, atol=2e-6)
