"""E-mail addresses as people keep them in a cell."""

from __future__ import annotations

import re

from pipeline_engine.domain.imports.csv.values.cell import NotAValue, Noted, plain

MAX_CHARS = 254
MAX_PLAIN_CHARS = 64
"""No part of such an address can be too long."""
MAX_CELL_CHARS = 4096
NOT_AN_EMAIL, MORE_ADDRESSES = "not_an_email", "more_addresses"
PLAIN = re.compile(
    r"(?!['=])[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9_+-]++)*+@(?:[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+\.)++[A-Za-z]++",
    re.ASCII,
)
# Letters of any script; the way out makes `xn--…` of such a domain.
WIDE_ATOM, WIDE_LABEL = r"(?:[\w!#$%&'*+/=?^`{|}~-])+", r"\w(?:[\w-]{0,61}\w)?"
WIDE_ADDRESS = re.compile(rf"{WIDE_ATOM}(?:\.{WIDE_ATOM})*@(?:{WIDE_LABEL}\.)+{WIDE_LABEL}")
BETWEEN = re.compile(r"[;,|\n\r\t]+|\s+/\s+|\s+")
NAMED = re.compile(r"[^<>]*<\s*([^<>\s]+)\s*>")
LINK = re.compile(r"^mailto:|\?(?:subject|body|b?cc)=.*", re.IGNORECASE)
"""What a link to an address has around it."""


def read_email(cell: str) -> str | Noted:
    """Return the address in small letters; of several the first, noted as `more_addresses`.

    A name around it, a link to it, invisible marks and the guards of spreadsheets are left out.
    Raises: NotAValue `not_an_email`.
    """
    if len(cell) <= MAX_PLAIN_CHARS and PLAIN.fullmatch(cell):
        return cell.lower()
    if len(cell) > MAX_CELL_CHARS:
        raise _not_an_email()
    text = plain(cell).lstrip("'=")
    words = [LINK.sub("", word).strip("<>\"'") for word in NAMED.findall(text) or BETWEEN.split(text) if word]
    first = words[0] if words else ""
    if len(first) > MAX_CHARS or not WIDE_ADDRESS.fullmatch(first):
        raise _not_an_email()
    return first.lower() if len(words) == 1 else Noted(first.lower(), MORE_ADDRESSES)


def _not_an_email() -> NotAValue:
    return NotAValue(NOT_AN_EMAIL, "is not an e-mail address")
