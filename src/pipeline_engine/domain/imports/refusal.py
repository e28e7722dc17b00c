"""Why an import cannot be done."""

from __future__ import annotations

from pipeline_engine.errors import Permanent

UNREADABLE = "unreadable"


class ImportRefused(Permanent):
    """The file or the mapping is wrong, and only a person can change that.

    `code` is a short word for programs; `unreadable` (not a CSV file that we can decode) is the one that the flow still
    tries three times, as the seed wants. The message says what is wrong and what to do, without any cell of the file.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, code)


SHOWN = 80


def shown(name: object) -> str:
    """A name out of somebody's file or request, short and printable enough for a message."""
    text = repr(name)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
