"""How the text of a cell becomes the value of a field. Values stay text; typed ones will get their row in `NORMAL`."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

LARGEST_FIELD = 64 * 1024
"""Bytes of UTF-8."""
LONGEST_STAGE = 256
"""Characters. Nobody names a stage longer, and ordering the marks of a hostile name takes the square of its length."""

StageCase = Literal["lower", "keep"]


def choice(cell: str) -> str:
    """A cell as a word out of a list: `Closed - Won` is `closed___won`."""
    return cell.replace(" ", "_").replace("-", "_").lower()


NORMAL: Mapping[str, Callable[[str], str]] = {"status": choice, "contract_type": choice}
"""What happens to a trimmed cell on its way into the field; the others go in as they are."""


def stage_name(cell: str, case: StageCase = "lower") -> str:
    """The name of a stage: blanks collapsed, NFC and, unless the file's spelling is to be kept, lower case."""
    name = unicodedata.normalize("NFC", " ".join(cell.split()))
    return name if case == "keep" else unicodedata.normalize("NFC", name.lower())


def name_key(name: str) -> str:
    """What two names of one stage have in common: NFKC, case-folded, trimmed, inner blanks collapsed."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())
