"""Addresses of web pages."""

from __future__ import annotations

import re

from pipeline_engine.domain.imports.csv.values.cell import FORMAT, NotAValue, unguarded

MAX_CHARS = 2048
NOT_A_URL = "not_a_url"
HOST = r"(?:\w(?:[\w-]{0,61}\w)?\.)+\w[\w-]{0,61}|localhost|\d{1,3}(?:\.\d{1,3}){3}"
SHAPE = re.compile(rf"(?P<scheme>https?://)?(?:{HOST})(?::\d{{1,5}})?(?:[/?#][^\s<>\"]*)?", re.IGNORECASE)


def read_url(cell: str) -> str:
    """Return the address, with `https://` before one that has no scheme. Raises: NotAValue `not_a_url`.

    Other schemes are refused: the CRM makes a link of the field.
    """
    text = FORMAT.sub("", unguarded(cell)) if len(cell) <= MAX_CHARS else ""
    found = SHAPE.fullmatch(text)
    if found is None:
        raise NotAValue(NOT_A_URL, "is not a web address")
    return text if found["scheme"] else f"https://{text}"
