"""One reader of pictures: wide values, transparent colours and colour profiles give the same pixels everywhere."""

import io

import numpy as np
import pytest
from picture_files import encoded, grey_profile, matrix_profile
from PIL import Image, ImageCms
from reader_hands import NOISE, alike, chunk, raw_png

from mdm_core.images.pictures import plain, read
from ui.bring.upload import read_image

# ---- values -----------------------------------------------------------------------------------------------


def test_wide_values_are_scaled_by_the_mode():
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    wanted = ((ramp.astype(int) + 128) // 257)[..., None].repeat(3, 2)
    assert np.array_equal(alike(encoded(Image.fromarray(ramp.astype(np.uint16)))), wanted)
    assert alike(encoded(Image.fromarray(np.full((64, 64), 200, np.uint16)))).max() == 1  # black stays black
    for kind in ("TIFF", "PNG"):
        grey = Image.fromarray(ramp.astype(np.uint16))
        assert np.array_equal(alike(encoded(grey, kind), page=kind == "PNG"), wanted)
    values = {
        "I;16B": Image.frombytes("I;16B", (64, 64), ramp.astype(">u2").tobytes()),
        "I": Image.fromarray(ramp.astype(np.int32)),
        "F": Image.fromarray((ramp / 65535).astype(np.float32)),
        "F of 255": Image.fromarray((ramp / 257).astype(np.float32)),
    }
    for mode, image in values.items():
        assert np.abs(np.asarray(plain(image), int) - wanted).max() <= 1, mode
    assert np.asarray(plain(Image.fromarray(np.full((9, 9), np.nan, np.float32)))).max() == 0


def test_float_files_and_portable_maps():
    ramp = (np.arange(32 * 32) / 1023).reshape(32, 32).astype("<f4")
    pfm = b"Pf\n32 32\n-1.0\n" + ramp[::-1].tobytes()  # bottom row first
    wanted = (ramp * 255).round().astype(int)
    for data in (pfm, encoded(Image.fromarray(ramp), "TIFF")):
        assert np.abs(alike(data, page=False)[..., 0] - wanted).max() <= 1
    grey = (
        b"P5\n32 32\n65535\n" + (ramp * 65535).astype(">u2").tobytes(),
        b"P5\n32 32\n100\n" + (ramp * 100).astype("u1").tobytes(),
    )
    for data in grey:
        assert np.abs(alike(data, page=False)[..., 0] - wanted).max() <= 3
    bits = b"P1\n32 32\n" + b"\n".join(b" ".join([b"1", b"0"] * 16) for _ in range(32))
    assert alike(bits, page=False)[0, :2, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    "depth,colour,row,clear,wanted",
    [
        (1, 0, b"\x0f", b"\0\1", [0, 0, 0, 0, 255, 255, 255, 255]),
        (1, 0, b"\x0f", b"\0\0", [255] * 8),
        (2, 0, b"\x1b\x1b", b"\0\1", [0, 255, 170, 255] * 2),
        (4, 0, b"\x3c" * 4, b"\0\3", [255, 204] * 4),
        (8, 0, b"\x3c\5" * 4, b"\0\5", [60, 255] * 4),
        (16, 0, b"\x3c\0\5\5" * 4, b"\5\5", [60, 255] * 4),
        (8, 2, b"\x3c\0\0\5\5\5" * 4, b"\0\5\0\5\0\5", [60, 255] * 4),
        (8, 3, bytes(8), b"\0", [255] * 8),
        (16, 2, b"\x3c\0\0\0\0\0\5\5\5\5\5\5" * 4, b"\5\5\5\5\5\5", [60, 255] * 4),
    ],
)
def test_a_transparent_colour_of_every_depth_is_white(depth, colour, row, clear, wanted):
    palette = (chunk(b"PLTE", b"\7\7\7\0\0\0"),) if colour == 3 else ()
    data = raw_png(depth, colour, row, *palette, chunk(b"tRNS", clear))
    for reader in (read_image, lambda d: read(d, least=8)):
        assert np.asarray(reader(data))[3, :, 0].tolist() == wanted


# ---- colour -----------------------------------------------------------------------------------------------


P3 = matrix_profile((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))


def in_srgb(image, icc):
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")


def test_colour_profiles_are_followed_and_alpha_is_kept():
    wanted = np.asarray(in_srgb(NOISE, P3), int)
    assert np.abs(wanted - np.asarray(NOISE, int)).max() > 20
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        assert np.array_equal(
            alike(encoded(NOISE, kind, icc_profile=P3, **options), page=kind != "TIFF"), wanted
        )
    jpeg = encoded(NOISE, "JPEG", quality=90, icc_profile=P3)
    bare = Image.open(io.BytesIO(encoded(NOISE, "JPEG", quality=90)))
    assert np.array_equal(alike(jpeg), np.asarray(in_srgb(bare, P3), int))
    layer = NOISE.copy()
    layer.putalpha(Image.linear_gradient("L").resize(NOISE.size))
    ground = Image.new("RGB", NOISE.size, "white")
    ground.paste(in_srgb(NOISE, P3), mask=layer.getchannel("A"))
    assert np.array_equal(alike(encoded(layer, icc_profile=P3)), np.asarray(ground, int))
    grey, icc = NOISE.convert("L"), grey_profile(1.0)
    assert np.array_equal(alike(encoded(grey, icc_profile=icc)), np.asarray(in_srgb(grey, icc), int))
    palette = NOISE.convert("P")
    wanted = np.asarray(in_srgb(palette.convert("RGB"), P3), int)
    assert np.array_equal(alike(encoded(palette, icc_profile=P3)), wanted)
    assert plain(NOISE).info == {} and read_image(jpeg).info == {}


def test_a_profile_that_cannot_be_used_counts_as_none():
    plain_pixels = np.asarray(NOISE, int)
    for icc in (
        b"x" * 200,
        P3[:150],
        P3[:300],
        grey_profile(1.0),
        b"",
        b"x" * 9_000_000,
        P3.replace(b"rXYZ", b"xxxx"),
    ):
        assert np.array_equal(np.asarray(read_image(encoded(NOISE, icc_profile=icc)), int), plain_pixels)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.abs(alike(encoded(NOISE, icc_profile=srgb)) - plain_pixels).max() == 0
    cmyk = NOISE.convert("CMYK")
    with_rgb = read_image(encoded(cmyk, "JPEG", icc_profile=P3, quality=95))
    assert np.array_equal(np.asarray(with_rgb), np.asarray(read_image(encoded(cmyk, "JPEG", quality=95))))
