"""The error that refuses an import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.errors import Permanent

UNREADABLE = "unreadable"
MAX_QUOTED_CHARS = 80


class ImportRefused(Permanent):
    """The file or the request is wrong, and only a person can change that.

    `code` is a short word for programs. A run fails the import at once, except for `unreadable` (not a CSV file that
    the engine can decode) and `missing_key`, which the seed tries three times. The message says what is wrong and what
    to do, and holds no cell of the file.
    """

    def __init__(self, message: str, code: str, dialect: Mapping[str, Any] | None = None) -> None:
        """`dialect`: how the file was read, when that is known."""
        super().__init__(message, code)
        self.dialect = dialect


def quoted(value: object) -> str:
    """Return a value out of a file or a request for use in a message: printable, at most `MAX_QUOTED_CHARS` long."""
    text = repr(value)
    return text if len(text) <= MAX_QUOTED_CHARS else text[: MAX_QUOTED_CHARS - 1] + "…"
