"""Pictures from visitors: read from hostile bytes, turned into tokens, and kept as the ground under an edit.

The browser sends the file's bytes inside an event, so nothing is written to disk and no file name reaches the
server. Whatever arrives is read by `mdm_core.images.pictures` with the formats that browsers show and a cap on pixels,
and cut to the model's square.
"""

import base64
import binascii
import io
from typing import Any

import numpy as np
from PIL import Image

from mdm_core.images.pictures import WEB_FORMATS, Unreadable, read
from ui.server.form import Refused
from ui.server.guard import PICTURE_BYTES
from ui.server.picture import Ground

MAX_BYTES = PICTURE_BYTES
MAX_PIXELS = 25_000_000
MAX_JPEG_PIXELS = 80_000_000  # a camera's; one of one scan is decoded at a fraction of its size
MIN_SIDE = 8
READABLE = "PNG, JPEG, WebP, GIF or BMP"


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
    """An image file as upright RGB pixels and nothing else (see `mdm_core.images.pictures`); Refused in one sentence.

    The size is looked at before a pixel is decoded.
    """
    try:
        return read(
            data, formats=WEB_FORMATS, most=MAX_PIXELS, most_jpeg=MAX_JPEG_PIXELS, least=MIN_SIDE, hint=1024
        )
    except Unreadable as error:
        raise Refused(_sentence(error)) from None


def told(data: bytes) -> dict[str, str]:
    """What a PNG says of itself in text chunks, {} for other files and for damaged ones."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return {str(name): str(text) for name, text in image.info.items() if isinstance(text, str)}
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return {}


def _sentence(error: Unreadable) -> str:
    width, height = error.size
    if error.kind == "large":
        claims = f"has {width:,} x {height:,} pixels" if width else "is too large"
        return (
            f"The picture {claims}: make it smaller, up to {(error.most or MAX_PIXELS) // 10**6} million fit."
        )
    if error.kind == "small":
        return f"The picture is too small: both sides need {MIN_SIDE} pixels or more."
    if error.kind == "format":
        return f"This is {error.name}, which is not read here: save it as PNG or JPEG and choose that."
    if error.kind == "damaged":
        return "The picture is damaged or cut off: choose another file."
    return f"This file is no picture that can be read here: choose a {READABLE} file."


def ground(pipe: Any, data: bytes) -> Ground:
    """The ground made of an image file's bytes; Refused in one sentence."""
    image = pipe.fit(read_image(data))
    return Ground(image, np.asarray(pipe.encode(image), np.int32).reshape(-1))
