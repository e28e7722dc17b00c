"""What may be the id of a form in a text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline_engine.domain.funnels.stretches import one_byte_each

FIT, OTHER = b"\1", b"\0"
TABLE = bytes((FIT if chr(byte) in "0123456789abcdefABCDEF-" else OTHER)[0] for byte in range(256))
MIN_CHARACTERS = 24
# Digits before an id do not matter: they may be those of an escape.
ID = re.compile(
    r"(?<![0-9a-f])(?:[0-9a-f]{24,}+|[0-9a-f]{8,}+(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f]))", re.IGNORECASE
)


def possible_ids(text: str) -> Iterator[str]:
    """Every uuid, with and without dashes, and every 24 hexadecimal digits that are not encoded, as the text spells
    them."""
    fit = one_byte_each(text).translate(TABLE) + OTHER
    end = 0
    while (start := fit.find(FIT * MIN_CHARACTERS, end)) >= 0:
        end = fit.find(OTHER, start)
        for found in ID.findall(text, start, end):
            sizes = (36,) if "-" in found else (24, 32)
            yield from (found[-size:] for size in sizes if size <= len(found))
