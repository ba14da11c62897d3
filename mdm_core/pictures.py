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

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from mdm_core.containers import JPEG, MOST_PROFILE, PNG, Parts, TooManyScans, named, orientation, take_apart

# Formats that Pillow decodes by itself: no PostScript, no plug-ins that start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
WEB_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .jif .jfi .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .pfm".split()
)
_UNREAD = {
    "AVIF": ".avif .avifs", "HEIC": ".heic .heif .hif", "JPEG XL": ".jxl", "SVG": ".svg .svgz",
    "Photoshop": ".psd .psb", "JPEG 2000": ".jp2 .j2k .jpf .jpx .jpc", "icon": ".ico .icns .cur",
    "PostScript": ".eps .ps .ai", "PDF": ".pdf", "OpenEXR": ".exr", "Radiance": ".hdr", "TGA": ".tga", "PCX": ".pcx",
    "raw camera": ".raw .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .pef .srw", "QOI": ".qoi", "DDS": ".dds",
    "GIMP": ".xcf", "Krita": ".kra", "JPEG XR": ".jxr .wdp .hdp", "BPG": ".bpg",
}  # fmt: skip


def unread(suffix: str) -> str | None:
    """Why files with this suffix (".avif") are not read, one sentence for people; None for what is no picture."""
    for name, suffixes in _UNREAD.items():
        if suffix.lower() in suffixes.split():
            return f"{name} files are not read: save it as PNG or JPEG"
    return None
