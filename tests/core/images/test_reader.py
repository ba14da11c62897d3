"""One reader of pictures for library, page and trainer: the same file gives the same pixels everywhere."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from picture_files import bomb, encoded
from PIL import Image, ImageOps, PngImagePlugin
from reader_hands import NOISE, alike, chunk, library, with_chunk, with_segment

from mdm_core.images.containers import orientation, take_apart
from mdm_core.images.pictures import FORMATS, SUFFIXES, WEB_FORMATS, Unreadable, read, unread
from trainer.data.pictures import read_picture
from ui.bring.upload import read_image

# ---- orientation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    "kind,options",
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("JPEG", {"quality": 98, "subsampling": 0}),
    ],
)
def test_every_orientation_in_every_format(kind, options, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    flat = library(encoded(NOISE, kind, **options))
    flat.getexif()[0x0112] = turn
    wanted = np.asarray(ImageOps.exif_transpose(flat), int)
    assert np.array_equal(alike(encoded(NOISE, kind, exif=exif, **options), page=kind != "TIFF"), wanted)


def entry(tag, kind, count, value):
    return struct.pack("<HHI", tag, kind, count) + value


BROKEN = b"\x00\x08\x00\x02\x01\x12\x00\x03"
TEXT = (
    b"II*\0\x08\0\0\0"
    + struct.pack("<H", 2)
    + entry(0x112, 3, 1, b"\6\0\0\0")
    + entry(0x11A, 2, 5, struct.pack("<I", 38))
    + b"\0\0\0\0"
    + b"72/1\0"
)


def test_only_the_orientation_is_read_and_broken_exif_counts_as_none():
    upright, turned = np.asarray(NOISE, int), np.asarray(NOISE.transpose(Image.Transpose.ROTATE_270), int)
    png, webp = encoded(NOISE), encoded(NOISE, "WEBP", lossless=True, exif=BROKEN)
    assert np.array_equal(alike(with_chunk(png, chunk(b"eXIf", BROKEN))), upright)
    assert np.array_equal(alike(webp), upright)
    assert np.array_equal(alike(with_chunk(png, chunk(b"eXIf", TEXT))), turned)  # a resolution as text
    jpeg = encoded(NOISE, "JPEG", quality=100, subsampling=0)
    assert alike(with_segment(jpeg, 0xE1, b"Exif\0\0" + TEXT)).shape == turned.shape
    for garbage in (
        b"",
        b"Exif\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff",
        TEXT[:17],
        b"\xff" * 90,
    ):
        assert orientation(garbage) == 1
        assert np.array_equal(np.asarray(read_image(with_chunk(png, chunk(b"eXIf", garbage)))), upright)
        assert read_picture(with_segment(jpeg, 0xE1, b"Exif\0\0" + garbage)).size == NOISE.size
    for value in (0, 9, 65535):
        assert orientation(b"II*\0\x08\0\0\0\1\0" + entry(0x112, 3, 1, struct.pack("<I", value))) == 1
    assert orientation(b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x112, 3, 1, 8, 0)) == 8


# ---- metadata, damage, sizes ------------------------------------------------------------------------------


def test_metadata_never_costs_the_pixels():
    png, jpeg = encoded(NOISE), encoded(NOISE, "JPEG", quality=90)
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "x" * 5_000_000, zip=True)
    info.add_itxt("b", "y" * 5_000_000, zip=True)
    for _ in range(80):
        info.add_itxt("c", "z" * 1_000_000, zip=True)
    many = [
        encoded(NOISE, pnginfo=info),
        with_chunk(png, chunk(b"tEXt", b"no end", crc=1)),
        with_chunk(png, chunk(b"iCCP", b"name\0\0not zipped")),
        with_chunk(png, chunk(b"iCCP", b"")),
        with_chunk(png, chunk(b"iCCP", b"n\0\0" + zlib.compress(bytes(50_000_000)))),
        with_chunk(png, chunk(b"pHYs", b"1")),
        with_chunk(png, chunk(b"gAMA", b"")),
        with_chunk(png, chunk(b"zTXt", b"\0")),
        with_chunk(png, chunk(b"acTL", b"\0")),
        with_chunk(png, chunk(b"cHRM", b"123")),
        png + b"trailing",
    ]
    for i, data in enumerate(many):
        assert np.array_equal(np.asarray(read_image(data)), np.asarray(NOISE)), i
    pixels = np.asarray(read_image(jpeg))
    for marker, body in [
        (0xE0, b"JFIF"),
        (0xE0, b"JFIF\0\1"),
        (0xE1, b"Exif\0\0"),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 60_000),
        (0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        (0xE2, b"ICC_PROFILE\0\1\2half"),
        (0xED, b"Photoshop 3.0\0" + b"8BIM\xff" * 9),
        (0xEE, b"Adobe"),
        (0xFE, b"a comment \xff\xda"),
        (0xE4, b""),
    ]:
        data = with_segment(jpeg, marker, body)
        assert np.array_equal(np.asarray(read_image(data)), pixels), (marker, body[:9])
        assert np.array_equal(np.asarray(read_picture(data)), pixels)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_a_file_that_is_cut_off_is_refused_as_that(kind, share):
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(Unreadable, match="cannot be read") as error:
        read(data[: int(len(data) * share)])
    assert error.value.kind == "damaged"
    if kind in WEB_FORMATS:
        with pytest.raises(ValueError, match="damaged or cut off"):
            read_image(data[: int(len(data) * share)])


OTHERS = {
    "an AVIF picture": b"\0\0\0\x1cftypavif\0\0\0\0mif1avif",
    "a HEIC picture": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
    "a JPEG XL picture": b"\xff\x0a\x00\x10",
    "an SVG drawing": b"<?xml version='1.0'?>\n<svg/>",
    "a Photoshop file": b"8BPS\0\1",
    "a JPEG 2000 picture": b"\0\0\0\x0cjP  \r\n\x87\n",
    "an icon": b"\0\0\1\0\1\0",
    "a PDF file": b"%PDF-1.7",
    "a raw camera file": b"II*\0\x10\0\0\0CR\2\0",
    "a PostScript file": b"%!PS-Adobe-3.0",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_read_is_called_by_its_name(name):
    with pytest.raises(
        ValueError, match=f"it is {name}, no picture of a format that is read: save it as PNG or JPEG"
    ):
        read_picture(OTHERS[name] + bytes(200))
    with pytest.raises(ValueError, match=f"This is {name}, which is not read here: save it as PNG or JPEG"):
        read_image(OTHERS[name] + bytes(200))


def test_a_real_tiff_and_a_real_avif_are_called_by_their_names_on_the_page():
    with pytest.raises(ValueError, match="This is a TIFF picture"):
        read_image(encoded(NOISE, "TIFF"))
    with pytest.raises(ValueError, match="This is a PNM picture"):
        read_image(encoded(NOISE, "PPM"))
    if ".avif" in Image.registered_extensions():
        with pytest.raises(ValueError, match="it is an AVIF picture"):
            read_picture(encoded(NOISE, "AVIF"))


def test_suffixes():
    read_by_pillow = {s for s, kind in Image.registered_extensions().items() if kind in FORMATS}
    assert read_by_pillow <= SUFFIXES and {".jfif", ".jpe", ".apng", ".pnm", ".pfm", ".tif"} <= SUFFIXES
    for suffix in (".avif", ".HEIC", ".jxl", ".svg", ".psd", ".dng"):
        assert (
            unread(suffix).endswith("files are not read: save it as PNG or JPEG") and suffix not in SUFFIXES
        )
    assert not any(unread(s) for s in (*SUFFIXES, ".txt", ".json", ""))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (32, 32), c) for c in ("red", "green", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert alike(data)[16, 16].tolist() == [255, 0, 0]


def test_several_pictures_in_one_jpeg():
    """What phones with two lenses write: the first one counts, at a fraction of its size where it is large."""
    data = encoded(NOISE.resize((4096, 3072)), "MPO", save_all=True, append_images=[NOISE], quality=70)
    assert read_image(data).size == (2048, 1536)
    assert take_apart(data).scans == 1


def test_a_progressive_jpeg_of_endless_scans_is_refused():
    data = encoded(NOISE, "JPEG", progressive=True)
    assert read_image(data).size == NOISE.size and 2 <= take_apart(data).scans <= 20
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    endless = data[:end] + data[start:end] * 200 + data[end:]
    with pytest.raises(Unreadable, match="a JPEG of 2.. scans"):
        read(endless)


SIZES = [
    ("JPEG", (5712, 4284)),
    ("JPEG", (6048, 4024)),
    ("JPEG", (8064, 6048)),
    ("JPEG", (8160, 6120)),
    ("JPEG", (9504, 6336)),
    ("PNG", (5712, 4284)),
]


@pytest.mark.parametrize("kind,size", SIZES)
def test_the_photographs_of_phones_and_cameras_fit(kind, size):
    data = encoded(Image.linear_gradient("L").resize(size).convert("RGB"), kind)
    got = read_image(data)
    assert min(got.size) >= 1024 and got.width * got.height < 8_000_000  # and never whole
    assert got.width / got.height == pytest.approx(size[0] / size[1], rel=2e-3)


MEMORY = """
import resource, sys
from ui.bring.upload import read_image
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        data = file.read()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        said = read_image(data).size
    except ValueError as error:
        said = error
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, said)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB there")
def test_memory(tmp_path):
    """A bomb is refused before it costs memory, and a photograph of 48 million pixels costs little."""
    small, gif = encoded(NOISE, "JPEG", progressive=True), encoded(NOISE.convert("P"), "GIF")
    at = small.index(b"\xff\xc2")
    photograph = encoded(Image.linear_gradient("L").resize((8064, 6048)).convert("RGB"), "JPEG")
    files = {  # MiB that may be taken; the peak only rises, so the largest comes last
        "bomb": (bomb(), 10),
        "small bomb": (bomb(9_000, 9_000), 10),
        "progressive": (small[: at + 5] + struct.pack(">HH", 8_000, 8_000) + small[at + 9 :], 10),
        "gif": (gif[:6] + struct.pack("<HH", 60_000, 60_000) + gif[10:], 10),
        "webp": (encoded(Image.new("RGB", (7_000, 7_000)), "WEBP", method=0, quality=1), 30),
        "photograph": (photograph, 80),
    }
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", MEMORY, *(str(tmp_path / name) for name in files)]
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    for (name, (_, most)), line in zip(files.items(), run.stdout.splitlines(), strict=True):
        taken, _, said = line.partition(" ")
        assert int(taken) <= most * 1024, (name, line)
        assert ("make it smaller" in said) == (name != "photograph"), line
