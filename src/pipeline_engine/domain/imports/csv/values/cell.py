"""What the readers of all types share: marks that are no part of a value, and how a cell is refused."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

Reader = Callable[[str], Any]
"""Takes a trimmed cell that is not empty; returns its value, or `Noted`. Raises: NotAValue."""

MAX_SHOWN_CHARS = 80
MAX_TYPED_CHARS = 128
"""No number, date or word of a typed field is longer."""
MINUS = dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-")
GUARD = re.compile(r'="([^"]*)"', re.DOTALL)
"""`="00417"`: how people keep a spreadsheet from taking digits for a number."""
CONTROLS = "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
"""Control characters that are no blanks."""
MARKS = "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
"""Format characters that mean nothing in any text: zero width, text direction, byte order mark."""
JOINERS = "\u200c\u200d"
"""Format characters that mean something between letters of Persian and Indian scripts, and between emoji."""
# No value of a typed field contains any of them.
FORMAT = re.compile(f"[{MARKS}{JOINERS}]")
INVISIBLE = re.compile(
    "[\\s\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]*"
)


class NotAValue(Exception):
    """The cell is no value of the field's type. `code` is that of the row error; the reason follows the shown cell."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Noted(NamedTuple):
    """A value that does not hold all of its cell: `code` says what was left out."""

    value: Any
    code: str


def shown(cell: str) -> str:
    """The cell as a message shows it, of at most 80 characters."""
    return cell if len(cell) <= MAX_SHOWN_CHARS else f"{cell[: MAX_SHOWN_CHARS - 1]}…"


def unguarded(cell: str) -> str:
    """The cell without the guard `="…"` of spreadsheets, trimmed."""
    found = GUARD.fullmatch(cell) if cell.startswith('="') else None
    return found[1].strip() if found else cell


def plain(cell: str) -> str:
    """The cell of a typed field without guards, format characters and compatible forms: `\uff11\u00a0000` is `1 000`.

    Characters that would turn into digits (`\u00b2`, `\u2460`, `\u00bd`) stay as they are.
    """
    text = unguarded(cell)
    if not text.isascii():
        text = "".join(_plain_character(character) for character in FORMAT.sub("", text))
    return text.removeprefix("'").strip()


def _plain_character(character: str) -> str:
    match unicodedata.category(character):
        case "No" | "Nl":
            return character
        case "Nd":
            return str(unicodedata.decimal(character))
        case "Zs":
            return " "
    return MINUS.get(character) or unicodedata.normalize("NFKC", character)


def is_invisible(cell: str) -> bool:
    """Whether nothing of the cell can be seen."""
    return INVISIBLE.fullmatch(cell) is not None
