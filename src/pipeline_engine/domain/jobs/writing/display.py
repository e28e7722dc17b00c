"""How values of records are shown in a line for people. Pure."""

from __future__ import annotations

import math
import unicodedata
from datetime import datetime, timedelta

MAX_NAME_CHARS = 80
MAX_AMOUNT = 1e15
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Unicode categories of control, formatting and unassigned characters: they could break or turn round a line."""
UNITS = ((timedelta(days=60), 30, "month"), (timedelta(days=14), 7, "week"), (timedelta(days=2), 1, "day"))
"""From this age on, so many days of the unit make one."""


def one_line(value: object, max_chars: int = MAX_NAME_CHARS) -> str:
    """The text on one line, without invisible characters, cut to `max_chars`; empty for anything but text."""
    if not isinstance(value, str):
        return ""
    shown = (" " if one.isspace() else one for one in value[: 4 * max_chars])
    text = " ".join("".join(one for one in shown if one == " " or unicodedata.category(one) not in INVISIBLE).split())
    return text if len(text) <= max_chars else f"{text[: max_chars - 1].rstrip()}…"


def amount(value: object) -> str:
    """A number with thousands separated by commas and no needless decimals; empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    if abs(value) > MAX_AMOUNT:
        return ""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 deal`, `3 deals`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def ago(moment: datetime, now: datetime) -> str:
    """`today`, `yesterday`, `5 days ago`, `2 weeks ago`, `3 months ago`; `to come` for what lies ahead."""
    age = now - moment
    if age < timedelta():
        return "to come"
    for least, days, unit in UNITS:
        if age >= least:
            return f"{count(age.days // days, unit)} ago"
    return "yesterday" if age >= timedelta(days=1) else "today"
