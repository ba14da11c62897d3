"""One picture file of unknown origin -> a square of pixels, or one sentence about what is wrong with it."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainer import checks

# Formats that Pillow reads by itself: no PostScript, no plug-ins that start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
MOST_PIXELS = 80_000_000  # a decompression bomb claims more; a camera's picture has 10 to 60 millions
LEAST_SIDE = 16  # pixels
MOST_SIDE = 8192  # of the squares


@dataclass(frozen=True)
class Framing:
    """How a square is cut from a picture.

    side: pixels of the result. crop: smallest share of the shorter side that a random square keeps; 1.0 takes
    the centre square. flip: mirror half of the pictures.
    """

    side: int = 128
    crop: float = 1.0
    flip: bool = False

    def __post_init__(self):
        checks.numbers(self, ("crop",), 0.1, 1.0)
        checks.wholes(self, ("side",), 8, MOST_SIDE)
        checks.flags(self, "flip")


def read_picture(source: bytes | Path, hint: int = 0) -> Image.Image:
    """Any readable picture as RGB: turned as its camera held it, transparency on white, the first frame.

    hint: pixels a side that will be needed; a larger JPEG is decoded at a fraction of its size.
    ValueError says in a few words why a file is no usable picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _read(source, hint)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"it claims more than {MOST_PIXELS:,} pixels") from None
    except Image.UnidentifiedImageError:
        raise ValueError("it is no picture of a known format") from None
    except FileNotFoundError:
        raise ValueError("it does not exist") from None
    except Exception as error:  # Pillow's decoders raise nearly every kind on broken files
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise ValueError(f"it cannot be read ({reason[:120]})") from None


def _read(source: bytes | Path, hint: int) -> Image.Image:
    image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    with image:
        if image.width * image.height > MOST_PIXELS:
            raise Image.DecompressionBombError
        if min(image.size) < LEAST_SIDE:
            raise ValueError(f"{image.width} x {image.height} pixels are too few")
        if hint and image.format == "JPEG":
            image.draft(None, (hint, hint))
        image.load()
        picture = ImageOps.exif_transpose(image)
        if picture.mode.startswith(("I", "F")):  # 16 and 32 bits a channel
            values = np.asarray(picture, np.float32)
            values = values / 257 if values.max(initial=0) > 255 else values
            return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")
        if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
            rgba = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return picture.convert("RGB")


def square(image: Image.Image, framing: Framing, rng: np.random.Generator | None = None) -> np.ndarray:
    """Cut and scale a square, uint8 [side, side, 3]; without rng the centre square, never mirrored."""
    short, side = min(image.size), framing.side
    cut = float(short)
    if rng is not None and framing.crop < 1:
        cut = short * rng.uniform(framing.crop, 1)
        x, y = rng.uniform(0, image.width - cut), rng.uniform(0, image.height - cut)
    else:
        x, y = (image.width - short) // 2, (image.height - short) // 2
    pixels = np.array(image.resize((side, side), Image.LANCZOS, box=(x, y, x + cut, y + cut)))
    if rng is not None and framing.flip and rng.random() < 0.5:
        pixels = pixels[:, ::-1].copy()
    return pixels
