"""Text fields: their limits, words out of the CRM's own lists, and the names of stages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

from pipeline_engine.domain.imports.csv.values.cell import CONTROLS, JOINERS, MARKS

MAX_FIELD_BYTES = 64 * 1024
"""Bytes of UTF-8."""
MAX_STAGE_CHARS = 256
"""Far above any real name: to order the combining marks of a hostile name takes the square of its length."""

JOINED = "[\u0600-\u109f\u1780-\u18af\u2600-\u27bf\ufe0f\U0001f300-\U0001faff]"
UNSEEN = re.compile(f"[{CONTROLS}{MARKS}]|(?<!{JOINED})[{JOINERS}]|[{JOINERS}](?!{JOINED})")
"""What cannot be seen in a word: with and without it, a person reads the same."""
BLANKS_AND_DASHES = re.compile("[ \\-\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")

StageCase = Literal["lower", "keep"]


def visible(cell: str) -> str:
    """Return the text without what cannot be seen, each run of blanks as one blank."""
    return " ".join(UNSEEN.sub("", cell).split())


def choice(cell: str) -> str:
    """Return the cell as a word out of a list: `Closed - Won` is `closed___won`, whatever its dashes and blanks."""
    return BLANKS_AND_DASHES.sub("_", visible(cell)).lower()


NORMALIZERS: Mapping[str, Callable[[str], str]] = {"status": choice, "contract_type": choice}
"""What is done to the trimmed cell of a field; fields that are not named take it as it is."""


def stage_name(cell: str, case: StageCase = "lower") -> str:
    """Return the name of a stage: nothing unseen, blanks collapsed, NFC and, unless `case` is `keep`, lower case."""
    name = unicodedata.normalize("NFC", visible(cell))
    return name if case == "keep" else unicodedata.normalize("NFC", name.lower())


def name_key(name: str) -> str:
    """Return what all spellings of one stage name share: nothing unseen, NFKC, case-folded, blanks collapsed."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", UNSEEN.sub("", name)).casefold())
    return " ".join(folded.split())
