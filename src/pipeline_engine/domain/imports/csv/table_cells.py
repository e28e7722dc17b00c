"""What kind of thing a cell holds, and how much it looks like one whole cell of a table."""

from __future__ import annotations

import re

NUMBER = r"[+\-\u2212]?\d+(?:[.,' \u00a0\u202f\u2009\u2019]\d+)*"
CURRENCY = r"(?:[$€£¥₹₽₩]|[A-Z]{3}|R\$|zł|Kč|kr\.?|Ft|円|元|원|\u0440\u0443\u0431\.?)"
TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s?(?:[AaPp][Mm]|Z|[+\-]\d\d:?\d\d)?"
KINDS = (
    ("number", rf"\(?(?:{CURRENCY}\s?)?\(?{NUMBER}\)?-?\s?(?:{CURRENCY}|%|‰)?\)?"),
    ("number", r"[+\-]?\d+(?:[.,]\d+)?[eE][+\-]?\d+"),
    ("date", rf"\d{{1,4}}[-/.]\s?\d{{1,2}}[-/.]\s?\d{{1,4}}\.?(?:[T ,]+{TIME})?"),
    ("date", r"\d{4}[年년]\s?\d{1,2}[月월]\s?\d{1,2}[日일]"),
    ("date", TIME),
    ("email", r"[^\s@,;|]+@[^\s@,;|]+\.[^\s@,;|]+"),
    ("url", r"(?:https?://|www\.)[^\s\"|]+"),
    ("phone", r"(?:tel:)?\+?\(?\d[\d ()/.\-\u00a0]{5,}\d"),
)  # fmt: skip
KIND = re.compile("|".join(f"(?P<{name}_{place}>{pattern})" for place, (name, pattern) in enumerate(KINDS)))
FAULTS = (
    (re.compile(r"\t"), 0.1),
    (re.compile(r'^"|"$|[,;|]"|"[,;|]'), 0.3),
    (re.compile(r"^'.*'$", re.DOTALL), 0.8),
    (re.compile(r"\S[|¦¬§^~]\S|\\t"), 0.4),
    (re.compile(r"[;|]"), 0.6),
    (re.compile(r"\d[;|]\d"), 0.5),
    (re.compile(r"^\s|\s$"), 0.85),
    (re.compile(r","), 0.95),
    (re.compile(r"^[^\w(\[{#$€£*\-+.<@'\"/&=]"), 0.85),
)
"""What a cell that was cut wrongly looks like, and how much less it counts then."""
EMPTY_WEIGHT = 0.7
MAX_CHARS = 1000


def kind_of(cell: str) -> str:
    """Return 'empty', 'number', 'date', 'email', 'url', 'phone' or 'text'."""
    text = cell.strip()
    if not text:
        return "empty"
    found = KIND.fullmatch(text) if len(text) <= 100 else None
    return found.lastgroup.split("_")[0] if found and found.lastgroup else "text"


def weight_of(cell: str) -> float:
    """Return from 0 to 1 how much the cell looks like one whole cell."""
    if not cell.strip():
        return EMPTY_WEIGHT
    if kind_of(cell) != "text":
        return 1.0 if cell == cell.strip() else 0.9
    shown = cell[:MAX_CHARS]
    weight = 0.98 if shown.count("(") == shown.count(")") else 0.6
    for fault, factor in FAULTS:
        if fault.search(shown):
            weight *= factor
    return weight
