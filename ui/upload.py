"""Pictures from visitors: read from hostile bytes, turned into tokens, and kept as the ground under an edit.

The browser sends the file's bytes inside an event, so nothing is written to disk and no file name reaches the
server. Whatever arrives is decoded by Pillow with an allow-list of formats and a cap on pixels, turned upright,
stripped of everything but its pixels, and cut to the model's square.
"""

import base64
import binascii
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mdm_core.regions import composite
from ui.limits import Refused

MAX_BYTES = 8 * 2**20
MAX_PIXELS = 24_000_000
MIN_SIDE = 8
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
READABLE = "PNG, JPEG, WebP, GIF or BMP"

# Pillow refuses decompression bombs only from twice its limit on; below that it warns, and a warning is not enough.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def bytes_of(value: Any, most: int = MAX_BYTES, what: str = "The picture") -> bytes:
    """The bytes of a base64 text or data URI; Refused when it is none or decodes to more than `most`."""
    if not isinstance(value, str):
        raise Refused(f"{what} did not arrive whole: choose the file again.")
    text = value.split(",", 1)[1] if value[:5] == "data:" and "," in value[:200] else value
    if len(text) > (most + 2) // 3 * 4 + 4:
        raise Refused(f"{what} is too large: files can have up to {most // 2**20} MiB.")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{what} did not arrive whole: choose the file again.") from None
    if len(data) > most:
        raise Refused(f"{what} is too large: files can have up to {most // 2**20} MiB.")
    if not data:
        raise Refused(f"{what} is an empty file: choose another.")
    return data


def read_image(data: bytes) -> Image.Image:
    """The first frame of an image file as upright RGB pixels and nothing else; Refused in one sentence.

    Transparency is laid on white. The size is looked at before a pixel is decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Refused(
                    f"The picture has {width:,} x {height:,} pixels: "
                    f"make it smaller, up to {MAX_PIXELS // 10**6} million fit."
                )
            if min(width, height) < MIN_SIDE:
                raise Refused(f"The picture is too small: both sides need {MIN_SIDE} pixels or more.")
            if image.format == "JPEG":  # decode large photographs at a fraction of their size
                image.draft("RGB", (1024, 1024))
            image.load()
            return _plain(_upright(image))
    except Refused:
        raise
    except UnidentifiedImageError:
        raise Refused(f"This file is no picture that can be read here: choose a {READABLE} file.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refused(f"The picture is too large: up to {MAX_PIXELS // 10**6} million pixels fit.") from None
    except Exception:  # Pillow's decoders raise anything from struct.error to SyntaxError on damaged files
        raise Refused("The picture is damaged or cut off: choose another file.") from None


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; a picture with broken EXIF stays as it is."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _plain(image: Image.Image) -> Image.Image:
    """A new RGB image with the pixels and none of the metadata."""
    if image.mode.startswith(("I", "F")):  # 16-bit grey and the like: scale to 8 bits before anything clips
        values = np.asarray(image, np.float32)
        span = 65535.0 if image.mode.startswith("I;16") or values.max(initial=0) > 255 else 255.0
        image = Image.fromarray(np.clip(values / span * 255, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return Image.fromarray(np.array(image.convert("RGB")))


@dataclass(frozen=True)
class Ground:
    """An uploaded picture under an edit: the model's square of it, and its own tokens int32 [L]."""

    image: Image.Image
    tokens: np.ndarray

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.image.height


def ground(pipe: Any, data: bytes) -> Ground:
    """The ground made of an image file's bytes; Refused in one sentence."""
    image = pipe.fit(read_image(data))
    return Ground(image, np.asarray(pipe.encode(image), np.int32).reshape(-1))


def picture(pipe: Any, tokens: Any, under: Ground | None) -> Image.Image:
    """The picture of `tokens` [L]; over an upload, the model draws only what was changed.

    Cells whose token differs from the upload's own are drawn from the tokens, with a seam feathered inwards.
    All other pixels are the upload's, unchanged: a repaint touches nothing outside its region.
    """
    shape = tuple(pipe.grid)
    tokens = np.array(tokens, np.int64).reshape(shape)  # a copy: torch wants arrays it may write to
    if under is None:
        return pipe.decode(tokens)
    changed = tokens != under.tokens.reshape(shape)
    if not changed.any():
        return under.image.copy()
    decoded, masked = pipe.decode(tokens), tokens == pipe.vocab_size
    painted = composite(under.image, decoded, changed & ~masked)
    # a masked cell is drawn whole: a feathered stone would show a rim of the photograph
    return composite(painted, decoded, masked, feather=0) if masked.any() else painted
