"""Reads the addresses of a header such as `From` or `To`."""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import getaddresses
from typing import NamedTuple

from pipeline_engine.domain.mail.decode_text import decode_text

MAX_ADDRESSES = 1_000
MAX_ADDRESS_CHARS = 254
MAX_NAME_CHARS = 300
ADDRESS = re.compile(r"[^\s<>()\[\],;:\"@]{1,100}@[^\s<>()\[\],;:\"@]{1,190}")


class MailAddress(NamedTuple):
    """An address in lower case, and the name beside it; both are empty where the mail has none."""

    address: str
    name: str = ""


def read_addresses(header: str) -> tuple[MailAddress, ...]:
    """The addresses of a raw header. A name is decoded after it was cut out, so that a comma in it cuts nothing."""
    try:
        pairs = getaddresses([header])
    except (RecursionError, ValueError, IndexError, TypeError):  # nested comments
        pairs = []
    found = [MailAddress(one, words(name)[:MAX_NAME_CHARS]) for name, raw in pairs if (one := _address(raw))]
    # Some servers write an address that the standard parser refuses; it still stands there.
    return tuple(found or [MailAddress(one.lower()) for one in ADDRESS.findall(header)])[:MAX_ADDRESSES]


def words(header: str) -> str:
    """The text of a raw header on one line, its encoded words decoded."""
    try:
        parts = decode_header(header) if "=?" in header else [(header, None)]
    except (HeaderParseError, ValueError):
        parts = [(header, None)]
    texts = (decode_text(text, charset) if isinstance(text, bytes) else text for text, charset in parts)
    return " ".join("".join(texts).split())


def _address(raw: str) -> str | None:
    found = ADDRESS.fullmatch(raw.strip().strip("'"))
    return found.group().lower() if found and len(raw) <= MAX_ADDRESS_CHARS else None
