"""Bytes of a mail as text, whatever character set they claim to be in."""

from __future__ import annotations

import codecs
import re

# Decoders that take quadratic time, or that are no character sets.
REFUSED = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"}
REPLACED = {"us-ascii": "utf-8", "ascii": "utf-8", "iso-8859-1": "cp1252", "latin-1": "cp1252", "gb2312": "gb18030"}
UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ud800-\udfff]")


def decode_text(given: bytes, charset: str | None) -> str:
    """The text without control characters, its lines ended by LF. Bytes that fit no character set become U+FFFD."""
    for name in (_known(charset), "utf-8", "cp1252"):
        try:
            return _clean(given.decode(name))
        except (UnicodeError, LookupError, ValueError):
            continue
    return _clean(given.decode("utf-8", "replace"))


def header_text(given: str) -> str:
    """The raw value of a header as the parser gives it, its bytes beyond ASCII decoded, its lines joined."""
    if given.isascii():
        return UNWANTED.sub("", given.replace("\r", " ").replace("\n", " "))
    return decode_text(given.encode("utf-8", "surrogateescape"), None).replace("\n", " ")


def _known(charset: str | None) -> str:
    name = (charset or "utf-8").strip().strip("\"'").lower()
    try:
        is_refused = codecs.lookup(name).name.replace("-", "_") in REFUSED
    except (LookupError, ValueError, UnicodeError):
        return "utf-8"
    return "utf-8" if is_refused else REPLACED.get(name, name)


def _clean(text: str) -> str:
    return UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
