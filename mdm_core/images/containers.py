"""What a picture's file holds beside its pixels: JPEG and PNG are taken apart before a decoder sees them.

Metadata may be broken, or larger than a decoder's patience (Pillow refuses a PNG for one long text or colour
profile): that never costs the pixels. Only the parts that pixels are made of are handed on; of the rest two things
are looked at, the colour profile and tag 0x0112 of the EXIF, and what cannot be read there counts as absent.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

MOST_PROFILE = 4 * 2**20  # bytes of a colour profile; those of printers have up to 3 MiB
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4

# by their first bytes: (offset, bytes) -> what it is; a reader that has a format asks its decoder first
_KNOWN = (
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"\0\0\2\0", "a cursor"),
    (0, b"icns", "an icon"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance picture"),
    (0, b"FUJIFILMCCD-RAW", "a raw camera file"),
    (0, b"IIRO", "a raw camera file"),
    (0, b"IIU\0", "a raw camera file"),
    (8, b"CR\2\0", "a raw camera file"),
    (0, b"II\xbc\1", "a JPEG XR picture"),
    (0, b"qoif", "a QOI picture"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"PF\n", "a colour PFM picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"II+\0", "a TIFF picture"),
    (0, b"MM\0+", "a TIFF picture"),
    *((0, b"P%d%c" % (n, c), "a PNM picture") for n in range(1, 8) for c in b"\n\r\t "),
    (0, b"Pf\n", "a PFM picture"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"BPG\xfb", "a BPG picture"),
)
_BRANDS = {  # of ISO base media files, whose name stands in bytes 8 to 12
    b"avif": "an AVIF picture",
    b"avis": "an AVIF picture",
    b"crx ": "a raw camera file",
    b"qt  ": "a video",
    b"heic": "a HEIC picture",
    b"heix": "a HEIC picture",
    b"hevc": "a HEIC picture",
    b"hevx": "a HEIC picture",
    b"heim": "a HEIC picture",
    b"heis": "a HEIC picture",
    b"mif1": "a HEIC picture",
    b"msf1": "a HEIC picture",
    b"isom": "a video",
    b"mp41": "a video",
    b"mp42": "a video",
    b"M4V ": "a video",
}


@dataclass(frozen=True)
class Parts:
    """A picture file without its metadata, and the two things of it that change how the pixels are seen."""

    data: bytes  # what a decoder needs
    size: tuple[int, int] | None = None  # width, height as the header claims; None: it is not known here
    orientation: int = 1  # EXIF's, 1..8
    profile: bytes | None = None  # ICC
    scans: int = 0  # of a JPEG; with more than one its decoder holds all coefficients at once


def named(head: bytes) -> str | None:
    """What a file is that begins with `head` (256 bytes are enough), for people; None: nothing known."""
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), 64), 4))]
        # many HEIC and AVIF files call themselves by their general brand first
        order = sorted(brands, key=lambda b: b in (b"mif1", b"msf1"))
        return next((_BRANDS[b] for b in order if b in _BRANDS), None)
    for offset, magic, name in _KNOWN:
        if head[offset : offset + len(magic)] == magic:
            return name
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<svg") or (
        text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text
    ):
        return "an SVG drawing"
    return None


def take_apart(data: bytes) -> Parts:
    """`Parts` of a file's bytes. Never raises: what has another form than JPEG or PNG is handed on as it is."""
    try:
        if data.startswith(PNG):
            return _png(data)
        if data.startswith(JPEG):
            return _jpeg(data)
    except (struct.error, IndexError, ValueError):
        pass  # the decoder says what is wrong with the pixels, if anything is
    return Parts(data)


def orientation(exif: bytes) -> int:
    """Tag 0x0112 of a block of EXIF, 1..8, read alone; 1 where there is none or it cannot be read.

    Other tags are not looked at: a resolution written as text does not turn a picture.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for i in range(count):
            tag, kind = struct.unpack_from(order + "HH", exif, start + 2 + 12 * i)
            if tag == _ORIENTATION and kind in (_SHORT, _LONG):
                form = "H" if kind == _SHORT else "I"
                (value,) = struct.unpack_from(order + form, exif, start + 10 + 12 * i)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _png(data: bytes) -> Parts:
    """PNG: header, palette, transparency and pixels stay. An APNG becomes the still picture that it also is."""
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    kept, at, turn, profile = [PNG], 8, 1, None
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        whole, body = data[at : at + 12 + length], data[at + 8 : at + 8 + length]
        if not kind[0] & 0x20:  # a critical chunk; also those that nobody knows, at which a decoder must stop
            kept.append(whole)
        elif kind == b"tRNS" and len(body) in {0: (2,), 2: (6,), 3: range(1, 257)}.get(colour, ()):
            body = kind + _eight_bits(body, depth, colour)
            kept.append(struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body)))
        elif kind == b"eXIf":
            turn = orientation(body)
        elif kind == b"iCCP":
            profile = _unzipped(body.partition(b"\0")[2][1:])
        if kind == b"IEND":
            break
        at += 12 + length
    return Parts(b"".join(kept), (width, height), turn, profile)


def _eight_bits(value: bytes, depth: int, colour: int) -> bytes:
    """The transparent colour in the scale of the pixels that Pillow decodes to, which it is compared with."""
    if colour == 0 and depth in (2, 4):  # grey, widened to 8 bits
        return struct.pack(">H", struct.unpack(">H", value)[0] * 255 // (2**depth - 1))
    if colour == 2 and depth == 16:  # of which the high bytes are kept
        return struct.pack(">HHH", *(v >> 8 for v in struct.unpack(">HHH", value)))
    return value


def _unzipped(data: bytes) -> bytes | None:
    try:
        unzip = zlib.decompressobj()
        out = unzip.decompress(data, MOST_PROFILE)
    except zlib.error:
        return None
    return out if unzip.eof else None


def _jpeg(data: bytes) -> Parts:
    """JPEG: the segments that decode pixels stay, with JFIF's and Adobe's, which tell the colour space."""
    kept, at, turn, size, channels, progressive = [data[:2]], 2, None, None, 0, False
    profile: dict[int, bytes] = {}
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at += 1  # junk between segments, as decoders skip it
            continue
        marker = data[at + 1]
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xDA, 0xD9):  # the first scan: pixels from here on
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        body, end = data[at + 4 : at + 2 + length], at + 2 + length
        if marker == 0xE1 and body.startswith(b"Exif\0\0") and turn is None:
            turn = orientation(body)
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile.setdefault(body[12], body[14:])
        elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            kept.append(data[at:end])
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            kept.append(data[at:end])
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[at:end])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, channels = struct.unpack_from(">HHB", data, at + 5)
            size, progressive = (width, height), marker in (0xC2, 0xC6, 0xCA, 0xCE)
        at = end
    icc = b"".join(profile[i] for i in sorted(profile)) if profile else None
    if icc and len(icc) > MOST_PROFILE:
        icc = None
    pixels = data[at:]
    scans = 1
    # the first scan does not hold all channels
    if progressive or (len(pixels) > 4 and pixels[4] != channels):
        end = pixels.find(b"\xff\xd9")  # other pictures may follow; inside a scan no marker has these bytes
        scans = max(2, pixels.count(b"\xff\xda", 0, end if end > 0 else len(pixels)))
    return Parts(b"".join((*kept, pixels)), size, turn or 1, icc, scans)
