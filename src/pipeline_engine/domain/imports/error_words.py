"""Says in one line what is wrong with many rows: row errors grouped by code and column. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

WHAT = {
    "required": "empty though the field is needed",
    "ragged": "with another number of cells than the file has columns",
    "encoding": "not in the encoding of the file",
    "nul": "with a NUL character",
    "too_large": "larger than 1 MB",
    "field_too_large": "with a cell larger than 64 KB",
    "too_long": "too long",
    "unclosed": "with a quote that never closes",
    "insert_failed": "refused by the database",
    "retry_row": "that name no row of the first import, or one twice",
    "doubtful": "that a stray quote makes doubtful",
    "not_a_boolean": "neither yes nor no",
    "not_an_option": "not in the list of the field",
    "not_an_email": "not an e-mail address",
    "not_a_phone": "not a phone number",
    "not_a_url": "not a web address",
}
"""By the code of a row error; a code that is not here speaks for itself."""


def group_in_words(group: Mapping[str, Any]) -> str:
    """Return `Value: 812 rows not a number, e.g. line 17: …` for {code, column, rows, line, message}."""
    where = f"{group['column']}: " if group.get("column") else ""
    rows = f"{group['rows']:,} row{'s' if group['rows'] != 1 else ''}"
    code = str(group["code"])
    eg = "e.g. " if group["rows"] > 1 else ""
    return f"{where}{rows} {WHAT.get(code, code.replace('_', ' '))}, {eg}line {group['line']}: {group['message']}"


def doubt_in_words(groups: Iterable[Mapping[str, Any]]) -> str | None:
    """Return what makes it doubtful that all rows were read as they were meant, or None when nothing does."""
    doubts = [group_in_words(group) for group in groups if group["code"] == "doubtful"]
    return f"some rows may be missing: {'; '.join(doubts)}" if doubts else None
