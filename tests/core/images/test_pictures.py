"""Pictures of unknown origin: read as a person would see them, or refused in a few words."""

import numpy as np
import pytest
from picture_files import bomb, disc, encoded
from PIL import Image

from trainer.data.pictures import Framing, read_picture, square


def centre(image: Image.Image) -> tuple[int, ...]:
    return image.getpixel((image.width // 2, image.height // 2))


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "CMYK", {"quality": 95}),
        ("JPEG", "RGB", {"quality": 95}),
        ("PNG", "P", {}),
        ("PNG", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("GIF", "P", {}),
        ("BMP", "RGB", {}),
        ("TIFF", "RGB", {}),
    ],
)
def test_formats_and_modes_are_read_alike(kind, mode, options):
    image = read_picture(encoded(disc("red", kind=mode), kind, **options))
    assert image.mode == "RGB"
    assert np.abs(np.subtract(centre(image), (200, 30, 30))).max() <= 25  # a web palette has 6 levels
    assert min(image.getpixel((1, 1))) >= 245


def test_grey_two_bit_and_sixteen_bit_pictures():
    grey = np.full((32, 32), 30_000, np.uint16)
    assert centre(read_picture(encoded(Image.fromarray(grey)))) == (117, 117, 117)
    assert centre(read_picture(encoded(Image.new("L", (32, 32), 77)))) == (77, 77, 77)
    assert centre(read_picture(encoded(Image.new("1", (32, 32), 1)))) == (255, 255, 255)


def test_transparency_stands_on_white_and_first_frames_count():
    assert centre(read_picture(encoded(Image.new("RGBA", (32, 32), (9, 9, 9, 0))))) == (255, 255, 255)
    palette = Image.new("P", (32, 32), 0)
    assert centre(read_picture(encoded(palette, "PNG", transparency=0))) == (255, 255, 255)
    frames = [disc("red"), disc("blue")]
    animated = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert centre(read_picture(animated))[0] > 150


def test_cameras_turn_their_pictures_by_a_note():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    image = Image.new("RGB", (64, 32), "white")
    image.paste((255, 0, 0), (0, 0, 32, 32))
    turned = read_picture(encoded(image, "JPEG", exif=exif, quality=95))
    assert turned.size == (32, 64) and turned.getpixel((16, 8))[1] < 80


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no picture"),
        (b"<svg/>", "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "no picture"),
        (bomb(), "80,000,000 pixels"),
        (bomb(12_000, 12_000), "80,000,000 pixels"),
        (bomb(100, 100), "cannot be read"),
        (encoded(disc("red"), "PNG")[:-60], "cannot be read"),
        (encoded(disc("red"), "JPEG")[:300], "cannot be read"),
        (encoded(Image.new("RGB", (1, 1))), "too few"),
        (encoded(Image.new("RGB", (4000, 2))), "too few"),
    ],
)
def test_what_is_no_usable_picture_is_refused_in_a_few_words(data, says):
    with pytest.raises(ValueError, match=says) as error:
        read_picture(data)
    assert len(str(error.value)) < 200


def test_a_missing_file_and_a_directory(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_picture(tmp_path / "nothing.png")
    with pytest.raises(ValueError, match="cannot be read"):
        read_picture(tmp_path)


def test_square_takes_the_centre_unless_it_may_choose():
    image = Image.new("RGB", (96, 32), "black")
    image.paste((255, 255, 255), (32, 0, 64, 32))
    assert square(image, Framing(16)).min() > 230  # the filter rings a little at the edge
    # no rng, no choice
    assert np.array_equal(square(image, Framing(16, 0.5, True)), square(image, Framing(16)))
    drawn = [square(image, Framing(16, 0.5), np.random.default_rng(s)) for s in range(40)]
    assert {d.shape for d in drawn} == {(16, 16, 3)} and len({d.tobytes() for d in drawn}) > 10


def test_flip_mirrors_half():
    image = Image.new("RGB", (32, 32), "black")
    image.paste((255, 255, 255), (0, 0, 16, 32))
    left = [square(image, Framing(16, 1.0, True), np.random.default_rng(s))[0, 0, 0] > 128 for s in range(60)]
    assert 15 < sum(left) < 45


@pytest.mark.parametrize("wrong", [{"crop": 0.0}, {"crop": 1.5}, {"side": 2}])
def test_framing_refuses_nonsense(wrong):
    with pytest.raises(ValueError):
        Framing(**wrong)
