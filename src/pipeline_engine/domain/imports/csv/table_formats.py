"""Lists the candidate readings of a sample: delimiters that occur in it, with each kind of quoting it may have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

COMMON = ",;\t|"
RARE = "^~§¬¦\x01\x1c\x1d\x1e\x1f"
WEAK = ": #!&*@%"
"""They stand in ordinary text, so they need a column of numbers or dates as evidence."""
PRIORS = {**dict.fromkeys(COMMON, 1.0), **dict.fromkeys(RARE, 0.95), **dict.fromkeys(WEAK, 0.7), "": 0.7}
PRIOR_OF_SEVERAL = 0.97
"""Of delimiters of several characters, such as ", " and "||"."""
SEVERAL = re.compile(r"[^\w\"'.\-()€$£\x00-\x08]{2,4}")
MAX_SEVERAL = 4
MAX_DELIMITERS = 12
MAX_LINES = 200
MAX_LINE_CHARS = 4096
MIN_SHARE_OF_LINES = 0.5


def find_delimiters(lines: Sequence[str]) -> list[str]:
    """Return the delimiters to compare, the most usual first, "" (a single column) last."""
    shown = _shown(lines)
    return [*_delimiters(shown, "\n".join(shown))[:MAX_DELIMITERS], ""]


def find_quotings(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return (quote, escape) of the quotings that the lines may have beside the plain one."""
    text = "\n".join(_shown(lines))
    quotings = []
    if '\\"' in text:
        quotings.append(('"', "backslash"))
    if len(re.findall(r"(?:^|[^\w\s]|\s)'[^'\n]*'(?=$|[^\w\s]|\s)", text, re.MULTILINE)) > 1:
        quotings.append(("'", "double"))
        if "\\'" in text:
            quotings.append(("'", "backslash"))
    return quotings


def _shown(lines: Sequence[str]) -> list[str]:
    return [line[:MAX_LINE_CHARS] for line in lines[:MAX_LINES] if line.strip()]


def prior(delimiter: str) -> float:
    """Return how likely the delimiter is before any row was read, 0 to 1."""
    return PRIORS.get(delimiter, PRIOR_OF_SEVERAL)


def _delimiters(lines: Sequence[str], text: str) -> list[str]:
    common = [char for char in COMMON if char in text]
    few = MIN_SHARE_OF_LINES * len(lines)
    others = [char for char in RARE + WEAK if char in text and sum(char in line for line in lines) >= few]
    return common + others + _several(lines, few)


def _several(lines: Sequence[str], few: float) -> list[str]:
    found = Counter(run for line in lines for run in set(SEVERAL.findall(line)) if run.strip(" "))
    found.update("\\t" for line in lines if "\\t" in line)
    return [run for run, times in found.most_common(MAX_SEVERAL) if times >= few]
