"""Text fields: their limits, words out of the CRM's own lists, and the names of stages."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

MAX_FIELD_BYTES = 64 * 1024
"""Bytes of UTF-8."""
MAX_STAGE_CHARS = 256
"""Far above any real name: to order the combining marks of a hostile name takes the square of its length."""

StageCase = Literal["lower", "keep"]


def choice(cell: str) -> str:
    """Return the cell as a word out of a list: `Closed - Won` is `closed___won`."""
    return cell.replace(" ", "_").replace("-", "_").lower()


NORMALIZERS: Mapping[str, Callable[[str], str]] = {"status": choice, "contract_type": choice}
"""What is done to the trimmed cell of a field; fields that are not named take it as it is."""


def stage_name(cell: str, case: StageCase = "lower") -> str:
    """Return the name of a stage: blanks collapsed, NFC and, unless `case` is `keep`, lower case."""
    name = unicodedata.normalize("NFC", " ".join(cell.split()))
    return name if case == "keep" else unicodedata.normalize("NFC", name.lower())


def name_key(name: str) -> str:
    """Return what all spellings of one stage name share: NFKC, case-folded, trimmed, inner blanks collapsed."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())
