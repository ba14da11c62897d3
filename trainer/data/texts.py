"""Bytes of a text that some person's editor wrote -> the text, and what makes a text a caption.

Every file of captions passes through `text_of`: UTF-8 with or without a byte order mark, UTF-16 and UTF-32, and what
Windows calls ANSI (cp1252). What cannot be told becomes U+FFFD, and `lost` says so of any text that holds one: no
caption with such a character is trained on.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Container
from typing import Any

NAMES, CAPTIONS = ("file_name", "image", "filename", "file"), ("text", "caption", "prompt")
LONGEST_CAPTION = 2000  # characters; the rest is cut off
# the longer mark first: that of UTF-32 begins with that of UTF-16
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
UNKNOWN = (
    "its text is in no encoding that is read (UTF-8, UTF-16, UTF-32, Windows-1252), or characters of it are lost: "
    "save it anew as UTF-8"
)
# One character of UTF-8 that is longer than a byte; without the two bytes that are a capital and a quotation mark in
# cp1252 and seldom anything in UTF-8.
LONG = re.compile(
    rb"[\xc2-\xc6\xce-\xd5\xd7-\xdb][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
LOW = re.compile(rb"[\x00-\x07]")  # no text of one byte a letter holds these
HIGH = re.compile(rb"[\x80-\xff]+")
# A sign within a word: the bytes are letters of another alphabet, as of cp1250.
SIGN = re.compile(rb"[A-Za-z\xc0-\xff][\xa1\xa3\xa5\xaf\xb3\xb6\xb9\xbc\xbe\xbf][A-Za-z\xc0-\xff]")
SIGNS = frozenset(range(0xA1, 0xC0)) - frozenset("«»°·´".encode("cp1252"))

Caption = str | list[str]


def text_of(raw: bytes, cut: bool = False) -> str:
    """The text of a file's bytes, without byte order marks; U+FFFD stands where nothing can be told.

    cut: `raw` is the beginning of something longer, so that its last character may be incomplete.
    """
    encoding = encoding_of(raw, cut)
    raw = next((raw[len(mark) :] for mark, name in MARKS if name == encoding and raw.startswith(mark)), raw)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(raw, final=not cut)
    return text.replace("\ufeff", "")  # marks stand inside where files were put together


def encoding_of(raw: bytes, cut: bool = False) -> str:
    """The encoding of a text: by its mark, else UTF-16 or UTF-32 if clearly so, else UTF-8, else cp1252.

    "utf-8" as well where none of them fits.
    """
    for mark, name in MARKS:
        if raw.startswith(mark):
            return name
    if LOW.search(raw) and (wide := _wide(raw, cut)):
        return wide
    if _decodes(raw, "utf-8", cut) or not _western(raw):
        return "utf-8"
    return "cp1252"


def _wide(raw: bytes, cut: bool) -> str | None:
    """UTF-16 or UTF-32 without a mark: the zero bytes of its letters tell."""
    for name, size in (("utf-32-le", 4), ("utf-32-be", 4)):
        if len(raw) >= size and (cut or len(raw) % size == 0) and _decodes(raw, name, cut):
            if "\0" not in raw.decode(name, "ignore"):
                return name
    if len(raw) % 2 and not cut:
        return None
    # the upper half of a letter's two bytes: 0 in Latin, 3 in Greek, 4 in Cyrillic, 5 and 6 in Hebrew and Arabic
    upper, lower = len(LOW.findall(raw[1::2])), len(LOW.findall(raw[0::2]))
    plain = _decodes(raw, "utf-8", cut)
    for name, found, others in (("utf-16-le", upper, lower), ("utf-16-be", lower, upper)):
        if found and not others and (found * 2 >= len(raw) // 2 or not plain) and _decodes(raw, name, cut):
            text = raw.decode(name, "ignore")
            if not any(unicodedata.category(c) in ("Cn", "Co") or c < "\t" for c in text):
                return name
    return None


def _decodes(raw: bytes, encoding: str, cut: bool) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(raw, final=not cut)
    except UnicodeDecodeError:
        return False
    return True


def _western(raw: bytes) -> bool:
    """Whether bytes that are no UTF-8 look like cp1252, and not like broken UTF-8 or another alphabet."""
    if b"\0" in raw or not _decodes(raw, "cp1252", False):
        return False
    long = sum(1 if len(c) == 2 else 3 for c in LONG.findall(raw))
    if long > len(HIGH.findall(LONG.sub(b" ", raw))):  # UTF-8 with a broken place
        return False
    # letters with marks stand among plain ones in all languages of cp1252: whole words of them are cp1251, GBK, ...
    runs = HIGH.findall(raw)
    odd = [
        run for run in runs if len(run) >= 4 and (_many(run, range(0xC0, 0x100), 3) or _many(run, SIGNS, 2))
    ]
    # people make slips, so few of many prove nothing
    return 10 * (len(odd) + len(SIGN.findall(raw))) <= len(runs)


def _many(run: bytes, kind: Container[int], count: int) -> bool:
    return sum(c in kind for c in run) >= count


def lost(text: Any) -> str:
    """Why a text (or a list of texts) must not be trained on although it is one: "" or a reason."""
    if isinstance(text, list):
        return next((why for t in text if (why := lost(t))), "")
    if not isinstance(text, str):
        return ""
    if "\ufffd" in text:
        return UNKNOWN
    if any("\ud800" <= c <= "\udfff" for c in text):
        return "its text holds half of a character (a lone surrogate): save it anew as UTF-8"
    return ""


def clean(caption: Any) -> Caption | None:
    """A caption as training uses it: one line, valid Unicode, not endless; None when it is no text.

    A list of strings stays a list without its empty ones.
    """
    if isinstance(caption, list):
        texts = [clean(c) for c in caption]
        if not all(isinstance(t, str) for t in texts):
            return None
        return [t for t in texts if isinstance(t, str) and t] or ""
    if not isinstance(caption, str):
        return None
    text = caption[:LONGEST_CAPTION].encode("utf-8", "replace").decode("utf-8")
    return " ".join(text.replace("\0", " ").split())


def caption_in(row: Any) -> Caption:
    """The caption of an object with a column `text`, `caption` or `prompt`; ValueError says why there is none."""
    column = next((k for k in CAPTIONS if k in row), None) if isinstance(row, dict) else None
    if column is None:
        raise ValueError("it has no text")
    return usable(row[column])


def usable(text: Any) -> Caption:
    """`clean`, or ValueError with the reason why a value is no caption to train on."""
    if isinstance(text, bytes):
        text = text_of(text)
    if why := lost(text):
        raise ValueError(why)
    caption = clean(text)
    if caption is None:
        raise ValueError(f"its text is {type(text).__name__}, not a string")
    if not caption:
        raise ValueError("its text is empty")
    return caption


def shown(name: str) -> str:
    """A file name as it may be printed and logged: no control characters, no bytes that are no text."""
    return "".join(c if c.isprintable() else "?" for c in name[:300])
