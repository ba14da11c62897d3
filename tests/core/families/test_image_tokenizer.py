"""Quantiser arithmetic, patch locality, and the round trip of the shipped tokenizer."""

import pytest
import torch

from mdm_core.families.chisel.config import ImageTokenizerConfig
from mdm_core.families.chisel.image_tokenizer import FSQ, ImageTokenizer, psnr, to_float, to_uint8


def test_ids_and_lattice_places_are_inverse_and_first_dimension_is_fastest():
    fsq = FSQ((4, 3, 2))
    ids = torch.arange(24)
    index = fsq.to_index(ids)
    assert (fsq.to_ids(index) == ids).all()
    assert index[:5].tolist() == [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [0, 1, 0]]
    assert fsq.codebook().shape == (24, 3)
    assert fsq.codebook().unique(dim=0).shape == (24, 3)


def test_quantised_values_are_fixed_points():
    fsq = FSQ((8, 8, 4))
    z = torch.randn(1000, 3) * 2
    q = fsq(z)
    assert torch.allclose(q, fsq.value(fsq.index(z)))
    assert q.abs().max() < 1
    back = torch.logit((q + 1) / 2)  # the value seen as a feature again
    assert (fsq.index(back) == fsq.index(z)).all()


def test_gradient_passes_the_rounding():
    z = torch.randn(5, 3, requires_grad=True)
    FSQ((8, 8, 4))(z).sum().backward()
    assert (z.grad > 0).all()


def test_a_token_depends_on_its_patch_alone():
    codec = ImageTokenizer(ImageTokenizerConfig(encoder_width=32, decoder_width=16, decoder_depth=1)).eval()
    g = torch.Generator().manual_seed(0)
    a = torch.randint(0, 256, (1, 128, 128, 3), generator=g).to(torch.uint8)
    b = torch.randint(0, 256, (1, 128, 128, 3), generator=g).to(torch.uint8)
    b[:, 40:48, 64:72] = a[:, 40:48, 64:72]
    b[:, 0:8, 0:8] = a[:, 40:48, 64:72]  # the same patch elsewhere
    ia, ib = codec.encode(a), codec.encode(b)
    assert ia[0, 5, 8] == ib[0, 5, 8] == ib[0, 0, 0]


def test_float_and_back():
    x = torch.randint(0, 256, (2, 8, 8, 3)).to(torch.uint8)
    assert (to_uint8(to_float(x)) == x).all()


def test_wrong_input_is_named():
    codec = ImageTokenizer(ImageTokenizerConfig(encoder_width=8, decoder_width=8, decoder_depth=1))
    with pytest.raises(ValueError, match="uint8 images"):
        codec.encode(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    with pytest.raises(ValueError, match="token ids must lie"):
        codec.decode(torch.full((1, 16, 16), 16384))
    with pytest.raises(ValueError, match="multiple of patch"):
        ImageTokenizerConfig(image_size=100)


def test_psnr_of_a_known_error():
    a = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    assert psnr(a, a + 255).item() == pytest.approx(0.0)
