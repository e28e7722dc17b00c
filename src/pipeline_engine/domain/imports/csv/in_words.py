"""Says in plain words how a file was read. Pure."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from pipeline_engine.domain.imports.csv.dialect import SEPARATOR_LINE_SKIPPED
from pipeline_engine.domain.imports.csv.table_layout import AFTER_TABLE

ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16 (little-endian)",
    "utf-16-be": "UTF-16 (big-endian)",
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "cp1251": "Windows-1251",
    "iso8859-1": "Latin-1",
    "iso8859-15": "Latin-9",
    "mac-roman": "Mac Roman",
    "koi8-r": "KOI8-R",
    "shift_jis": "Shift-JIS",
    "cp932": "Shift-JIS",
    "gb18030": "GB18030",
    "big5": "Big5",
    "euc_kr": "EUC-KR",
    "cp949": "EUC-KR",
}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "blank"}
QUOTES = {'"': "cells may stand in double quotes", "'": "cells may stand in single quotes", "": "no quotes"}


def encoding_in_words(name: str) -> str:
    """Return the name by which people know an encoding of Python."""
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        known = name
    return ENCODINGS.get(name) or ENCODINGS.get(known) or name.upper()


def reading_in_words(dialect: Mapping[str, Any]) -> str:
    """Return encoding and delimiter of a stored dialect: `UTF-8 with a semicolon between two cells`."""
    delimiter = dialect.get("delimiter", ",")
    between = f"a {DELIMITERS.get(delimiter, repr(delimiter))} between two cells" if delimiter else "one cell a line"
    return f"{encoding_in_words(str(dialect.get('encoding', '')))} with {between}"


def dialect_in_words(dialect: Mapping[str, Any]) -> str:
    """Return a stored dialect as one line; empty when there is none. Fields that it lacks are left out."""
    if not dialect:
        return ""
    parts = [reading_in_words(dialect), QUOTES.get(dialect.get("quote", '"'), f"quotes are {dialect.get('quote')}")]
    if dialect.get("escape") == "backslash":
        parts.append("a backslash before a quote inside")
    parts.append(_header(dialect.get("header_row", 1), dialect.get("header_rows", 1)))
    if (confidence := dialect.get("confidence")) is not None:
        parts.append(f"{confidence:.0%} sure")
    if runner_up := dialect.get("runner_up"):
        parts.append(f"else {runner_up}")
    return ", ".join(parts)


def left_out_in_words(dialect: Mapping[str, Any]) -> list[str]:
    """Return what of the file is not imported because it is no part of the table: one warning for each part."""
    footer = "; ".join(map(repr, dialect.get("footer", ())))
    return [
        f"not imported: {part}{f' ({footer})' if footer and part.endswith(AFTER_TABLE) else ''}; if it holds deals, "
        "import them in a file of their own, with the header"
        for part in dialect.get("skipped", ())
        if part != SEPARATOR_LINE_SKIPPED
    ]


def _header(row: int, rows: int) -> str:
    if not row:
        return "no header"
    return f"header in lines {row}-{row + rows - 1}" if rows > 1 else f"header in line {row}"
