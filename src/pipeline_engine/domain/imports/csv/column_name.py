"""The spelling in which names of columns are compared, and how a column without a name is called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from pipeline_engine.domain.imports.csv.values.cell import CONTROLS

# Control characters, soft hyphen, zero-width and direction marks, byte order mark: what a person does not see.
INVISIBLE = re.compile(
    f"[{CONTROLS}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)


def column_name(name: str) -> str:
    """Return the name as it is compared: NFC, nothing invisible, each run of blanks and line ends one blank."""
    seen = INVISIBLE.sub("", name)
    return " ".join((seen if seen.isascii() else unicodedata.normalize("NFC", seen)).split())


def column_names(columns: Sequence[str]) -> list[str]:
    """Return the names of a file's columns as they are compared; one without a name is called by its number from 1."""
    return [column_name(column) or str(number) for number, column in enumerate(columns, 1)]
