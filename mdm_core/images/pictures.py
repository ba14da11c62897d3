"""One reader of pictures: hostile bytes, or a PIL image of any mode, become upright RGB pixels as a viewer shows them.

Who reads what:
    FORMATS       the trainer and whoever calls `read`: JPEG, PNG, WebP, GIF, BMP, TIFF, PPM (with PGM, PBM, PFM)
    WEB_FORMATS   the studio, from strangers: the same without TIFF and PPM, which browsers do not show and whose
                  decoder (libtiff) takes sizes from the file that no cap on pixels covers
    any           `Pipeline.fit`, `encode`, `repaint`: a PIL image, which the caller has opened as he liked

The picture is turned by EXIF tag 0x0112 alone. Values are scaled by the mode, never by the content: 16 bits by
1/257, floats from 0..1. A colour profile (RGB, grey, CMYK) is followed to sRGB; one that cannot be used counts as
none. Transparency lies on white. Of an animation the first frame counts. Metadata never costs the pixels.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from mdm_core.images.containers import MOST_PROFILE, named, orientation, take_apart
from mdm_core.paths import located

# Formats that Pillow decodes by itself: no PostScript, no plug-ins that start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
WEB_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .jif .jfi .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .pfm".split()
)
MOST_BYTES = 2**30  # of a file
MOST_SCANS = 100  # of a progressive JPEG: encoders write 10 to 60, and each costs a pass over all its pixels
LARGE = 16_000_000  # pixels from which a picture is averaged down before anything else is done with it
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF")
_OF_FORMAT = {"TIFF": ("a TIFF picture",), "PPM": ("a PNM picture", "a PFM picture")}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # mode -> colour space of a profile that fits it
_UNREAD = {
    "AVIF": ".avif .avifs",
    "HEIC": ".heic .heif .hif",
    "JPEG XL": ".jxl",
    "SVG": ".svg .svgz",
    "Photoshop": ".psd .psb",
    "JPEG 2000": ".jp2 .j2k .jpf .jpx .jpc",
    "icon": ".ico .icns .cur",
    "PostScript": ".eps .ps .ai",
    "PDF": ".pdf",
    "OpenEXR": ".exr",
    "Radiance": ".hdr",
    "TGA": ".tga",
    "PCX": ".pcx",
    "raw camera": ".raw .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .pef .srw",
    "QOI": ".qoi",
    "DDS": ".dds",
    "GIMP": ".xcf",
    "Krita": ".kra",
    "JPEG XR": ".jxr .wdp .hdp",
    "BPG": ".bpg",
}


def unread(suffix: str) -> str | None:
    """Why files with this suffix (".avif") are not read, one sentence for people; None for what is no picture."""
    for name, suffixes in _UNREAD.items():
        if suffix.lower() in suffixes.split():
            return f"{name} files are not read: save it as PNG or JPEG"
    return None


class Unreadable(ValueError):
    """Why a file is no usable picture, in a few words that continue "this file is skipped:".

    kind: "empty", "unknown" (no picture as far as anybody knows), "format" (another format; `name` says which),
    "large" or "small" (`size` as the file claims; `most` pixels can be read), "damaged" or "absent".
    """

    def __init__(self, kind: str, text: str, name: str = "", size: tuple[int, int] = (0, 0), most: int = 0):
        super().__init__(text)
        self.kind, self.name, self.size, self.most = kind, name, size, most


def read(
    source: bytes | str | Path,
    *,
    formats: tuple[str, ...] = FORMATS,
    most: int = 80_000_000,
    most_jpeg: int | None = None,
    least: int = 1,
    hint: int = 0,
) -> Image.Image:
    """A picture file as upright RGB pixels and nothing else.

    Args:
        formats: some of FORMATS.
        most: pixels above which a file is refused by its header, before any memory is taken.
        most_jpeg: the same for JPEGs of one scan with `hint`, of which only a fraction is ever decoded.
        least: pixels that either side needs.
        hint: pixels a side that will be needed: a larger JPEG is decoded at 1/2, 1/4 or 1/8, and any picture of
            more than LARGE pixels is averaged down to no less than this.
    Raises:
        Unreadable: a ValueError of one sentence.
    """
    data = source if isinstance(source, bytes) else _bytes(Path(source))
    if not data:
        raise Unreadable("empty", "it is an empty file, no picture")
    parts, name = take_apart(data), named(data[:256])
    if name == "a raw camera file":  # some are TIFFs too, with a small preview in the first place
        raise _other(name)
    fraction = bool(hint) and parts.scans == 1
    cap = max(most, most_jpeg or 0) if fraction else most
    if parts.size:
        _measure(parts.size, cap, least)
    if parts.scans > MOST_SCANS:
        raise Unreadable("damaged", f"it cannot be read (a JPEG of {parts.scans:,} scans)")
    try:
        # only TIFF warns of what does not cost pixels; it is not read where threads share the filters
        with warnings.catch_warnings() if "TIFF" in formats else contextlib.nullcontext():
            if "TIFF" in formats:
                warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(parts.data), formats=formats) as image:
                _measure(image.size, cap, least)
                if hint and parts.scans:
                    image.draft(None, (hint, hint))
                image.load()
                if parts.size:
                    return _plain(image, parts.orientation, parts.profile, hint)
                return plain(image, hint)
    except Unreadable:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable("large", f"it claims more than {most:,} pixels", most=most) from None
    except Image.UnidentifiedImageError:
        if name and not any(name in _OF_FORMAT.get(f, ()) for f in formats):
            raise _other(name) from None
        if name or data.startswith(_BEGINNINGS):
            raise Unreadable("damaged", "it cannot be read (it is damaged or cut off)") from None
        raise Unreadable("unknown", "it is no picture of a known format") from None
    except Exception as error:  # Pillow's decoders raise nearly every kind on broken files
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise Unreadable("damaged", f"it cannot be read ({reason[:120]})") from None


def _bytes(path: Path) -> bytes:
    try:
        with open(located(path), "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise Unreadable("absent", "it does not exist") from None
    except (OSError, ValueError) as error:
        raise Unreadable("absent", f"it cannot be read ({error})"[:160]) from None
    if len(data) > MOST_BYTES:
        raise Unreadable("large", f"it is larger than {MOST_BYTES // 2**20:,} MiB")
    return data


def _other(name: str) -> Unreadable:
    text = f"it is {name}, no picture of a format that is read: save it as PNG or JPEG"
    return Unreadable("format", text, name)


def _measure(size: tuple[int, int], most: int, least: int) -> None:
    width, height = size
    if width * height > most:
        raise Unreadable(
            "large", f"it claims more than {most:,} pixels ({width:,} x {height:,})", "", size, most
        )
    if min(size) < least:
        raise Unreadable("small", f"{width} x {height} pixels are too few", size=size)


# ---- pixels -----------------------------------------------------------------------------------------------


def plain(image: Image.Image, hint: int = 0) -> Image.Image:
    """Any PIL image as a new RGB image without metadata: upright, in sRGB, transparency on white."""
    return _plain(loaded(image), turn_of(image), image.info.get("icc_profile"), hint)


def loaded(image: Image.Image) -> Image.Image:
    """`image` with its pixels in memory; Unreadable where its file is damaged or cut off."""
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise nearly every kind on broken files
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise Unreadable("damaged", f"the picture cannot be read ({reason[:120]})") from None
    return image


def turn_of(image: Image.Image) -> int:
    """EXIF's orientation 1..8 of a loaded image; 1 where it has none that can be read."""
    exif = image.info.get("exif")
    if isinstance(exif, bytes):
        return orientation(exif)
    # a TIFF is turned by newer Pillows while it is loaded, and has no tag then
    if not hasattr(image, "tag_v2"):
        return 1
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:
        return 1


def upright(image: Image.Image, turn: int) -> Image.Image:
    """`image` turned as its camera held it."""
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def _plain(image: Image.Image, turn: int, profile: bytes | None, hint: int) -> Image.Image:
    factor = min(image.size) // hint if hint and image.width * image.height > LARGE else 1
    if factor > 1:
        image = _smaller(image, factor)
    colour, alpha = split(image)
    colour = _to_srgb(colour, profile)
    if alpha is not None:
        ground = Image.new("RGB", colour.size, "white")
        ground.paste(colour, mask=alpha)
        colour = ground
    out = upright(colour, turn)
    out = out.copy() if out is image else out
    out.info = {}
    return out


def _smaller(image: Image.Image, factor: int) -> Image.Image:
    """A large image averaged over squares of `factor` pixels; hidden colours do not shine through."""
    if image.mode not in ("L", "RGB", "CMYK", "LA", "RGBA") or "transparency" in image.info:
        colour, alpha = split(image)
        image = colour if alpha is None else Image.merge("RGBA", (*colour.convert("RGB").split(), alpha))
        image.info = {}
    return image.reduce(factor)


def split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """A loaded image as (colour, of mode L, RGB or CMYK; opacity, of mode L, or None where all is opaque)."""
    clear = image.info.get("transparency")
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image if image.mode != "I;16N" else image.convert("I"))
        alpha = (
            None if not isinstance(clear, int) else Image.fromarray((values != clear).astype(np.uint8) * 255)
        )
        return Image.fromarray(_bytes_of(values, image.mode)), alpha
    if image.mode in ("1", "L"):
        grey = image.convert("L")
        if not isinstance(clear, int):
            return grey, None
        clear = 255 * bool(clear) if image.mode == "1" else clear
        return grey, grey.point([0 if v == clear else 255 for v in range(256)])
    if image.mode in ("LA", "La"):
        image = image.convert("LA")
        return image.getchannel("L"), image.getchannel("A")
    if image.mode in ("RGBA", "PA", "RGBa") or clear is not None:
        # of 16 bits a channel, of which the high bytes are kept
        if isinstance(clear, tuple) and max(clear) > 255:
            image = image.copy()
            image.info["transparency"] = tuple(v >> 8 for v in clear)
        image = image.convert("RGBA")
        return image.convert("RGB"), image.getchannel("A")
    return image if image.mode in _SPACES else image.convert("RGB"), None


def _bytes_of(values: np.ndarray, mode: str) -> np.ndarray:
    """Wide grey values as uint8. The scale follows the mode: an almost black picture stays almost black.

    Floats have no scale of their own: they are 0..1 (with a little that a filter overshot), else 0..255, else 0..65535.
    """
    if mode == "F":
        values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        top = values.max(initial=0)
        values = values * (255 if top <= 1.5 else 1 if top <= 255 else 1 / 257)
        return values.round().clip(0, 255).astype(np.uint8)
    return ((values.clip(0, 65535).astype(np.uint32) + 128) // 257).astype(np.uint8)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB as sRGB has it; a profile of another colour space, or that cannot be used, counts as none."""
    if isinstance(profile, bytes) and 128 <= len(profile) <= MOST_PROFILE:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if source.profile.xcolor_space.strip() == _SPACES[image.mode]:
                own = ImageCms.createProfile("sRGB")
                turned = ImageCms.profileToProfile(image, source, own, outputMode="RGB")
                if turned is not None:
                    return turned
        except Exception:  # littleCMS has many complaints, and may be missing altogether
            pass
    return image.convert("RGB")
