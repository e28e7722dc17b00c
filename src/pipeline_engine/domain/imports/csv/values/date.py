"""Dates and times as people and spreadsheets write them, and what a column's cells say about day and month."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal

from pipeline_engine.domain.imports.csv.values.cell import MAX_TYPED_CHARS, NotAValue, plain
from pipeline_engine.domain.imports.csv.values.months import MONTHS

Order = Literal["dmy", "mdy"]
"""Whether a column writes day or month first, where both are numbers and the year stands last."""
ORDER_NAMES: dict[Order, str] = {"dmy": "day/month/year", "mdy": "month/day/year"}
NOT_A_DATE, OUT_OF_RANGE = "not_a_date", "out_of_range"
FIRST_YEAR = 1000
CENTURY_PIVOT = 69
"""Two digits from here on are a year of the twentieth century, as in POSIX."""
YEAR_FIRST = re.compile(r"[2-9]\d-\d\d-(?:0[1-9]|[12]\d|3[01])", re.ASCII)
"""A year since 2020, month and day, or day, month and year."""
SERIAL_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
"""Day 0 of spreadsheets, for serial numbers since March 1900."""
TIME = (
    r"(?:(?:[T ]|, )(?:at |um |à )?(?P<hour>\d{1,2})"
    r"(?:[:.h時](?P<minute>\d\d)分?(?::(?P<second>\d\d)(?:[.,](?P<part>\d{1,9}))?)?|(?=h| Uhr| ?[AaPp]\.?[Mm]))"
    r"h?(?: Uhr)? ?(?P<half>[AaPp]\.?[Mm]\.?)? ?(?P<zone>Z|UTC|GMT|[+-]\d\d:?(?:\d\d)?)?)?"
)
WEEKDAY = r"(?:[^\W\d]{2,12}\.?,? (?=\d))?"
YEAR = r"(?P<year>\d{4}|\d\d)(?!\d)"
PATTERNS = tuple(
    re.compile(form + TIME)
    for form in (
        r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
        WEEKDAY + r"(?P<first>\d{1,2})([-/. ])(?P<last>\d{1,2})\2 ?" + YEAR,
        WEEKDAY + r"(?P<first>\d{1,2})\. (?P<last>\d{1,2})\. " + YEAR,
        WEEKDAY + r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|o)?\.?[- /](?:de )?(?P<name>[^\W\d]+)\.?,?[- /](?:de )?" + YEAR,
        r"(?:[^\W\d]+\.?,? (?=[^\W\d]))?(?P<name>[^\W\d]+)\.?[- /](?P<day>\d{1,2})(?:st|nd|rd|th)?,?[- /]" + YEAR,
        r"(?P<year>\d{4})[- ](?P<name>[^\W\d]+)[- ](?P<day>\d{1,2})",
        r"(?P<year>\d{4})[年년] ?(?P<month>\d{1,2})[月월] ?(?P<day>\d{1,2})[日일]",
    )
)
SERIAL = re.compile(r"(?P<days>[1-9]\d{4})(?:[.,](?P<fraction>\d{1,15}))?", re.ASCII)
STAMP = re.compile(r"1\d{9}(?:\d{3})?", re.ASCII)
"""Seconds or milliseconds since 1970, from 2001 to 2033."""


def order_of(cell: str) -> tuple[Order | None, bool]:
    """The order that a cell shows, and whether that is certain; (None, True) when it has neither order.

    `03/04/2026` is uncertain and counts as neither; `26-03-04` is uncertain, as the 26 may be the year.
    """
    found = _match(cell)
    if found is None or not (first := found.groupdict().get("first")):
        return None, True
    one, other = int(first), int(found["last"])
    if one > 12 >= other >= 1:
        return "dmy", not YEAR_FIRST.fullmatch(cell)
    if other > 12 >= one >= 1:
        return "mdy", True
    return None, one == other


def read_datetime(cell: str, order: Order, zone: tzinfo) -> datetime:
    """Return the moment in UTC; a cell without a zone of its own means the account's.

    Raises: NotAValue `not_a_date`, also for days that do not exist, and `out_of_range` before the year 1000.
    """
    return _moment(cell, order, zone).astimezone(UTC)


def read_date(cell: str, order: Order) -> datetime:
    """Return the day as its midnight in UTC, which is how a day without a time is kept: it is the same everywhere.

    A time in the cell is left out. Raises: as `read_datetime`.
    """
    return _moment(cell, order, UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)


def date_reader(order: Order, zone: tzinfo | None) -> Callable[[str], datetime]:
    """Return `read_datetime` for one column; without a zone, `read_date`. Dates repeat, so they are remembered."""
    if zone is None:
        return lru_cache(maxsize=4096)(lambda cell: read_date(cell, order))
    return lru_cache(maxsize=4096)(lambda cell: read_datetime(cell, order, zone))


def _match(cell: str) -> re.Match[str] | None:
    if len(cell) > MAX_TYPED_CHARS:
        return None
    text = " ".join(plain(cell).split())
    return next((found for pattern in PATTERNS if (found := pattern.fullmatch(text))), None)


def _moment(cell: str, order: Order, zone: tzinfo) -> datetime:
    found = _match(cell)
    try:
        moment = _of_parts(found.groupdict(), order, zone) if found else _of_number(cell, zone)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotAValue(NOT_A_DATE, "is not a date") from None
    if moment.year < FIRST_YEAR:
        raise NotAValue(OUT_OF_RANGE, f"is a date before the year {FIRST_YEAR}")
    return moment


def _of_parts(parts: dict[str, str | None], order: Order, zone: tzinfo) -> datetime:
    day, month = parts.get("day"), parts.get("month")
    if first := parts.get("first"):
        day, month = (first, parts["last"]) if order == "dmy" else (parts["last"], first)
        if int(month or 0) > 12 >= int(day or 0):
            raise NotAValue(NOT_A_DATE, f"is not a date: the column is written {ORDER_NAMES[order]}")
    if name := parts.get("name"):
        month = str(MONTHS.get(name.casefold()) or 0)
    midnight = datetime(_year(parts["year"] or ""), int(month or 0), int(day or 0), tzinfo=_zone(parts["zone"], zone))
    return midnight.replace(
        hour=_hour(parts["hour"], parts["half"]),
        minute=int(parts["minute"] or 0),
        second=int(parts["second"] or 0),
        microsecond=int((parts["part"] or "0").ljust(6, "0")[:6]),
    )


def _year(digits: str) -> int:
    if len(digits) == 4:
        return int(digits)
    return int(digits) + (1900 if int(digits) >= CENTURY_PIVOT else 2000)


def _hour(digits: str | None, half: str | None) -> int:
    hour = int(digits or 0)
    if not half:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(hour)
    return hour % 12 + (12 if half[0] in "Pp" else 0)


def _zone(written: str | None, zone: tzinfo) -> tzinfo:
    if not written:
        return zone
    if written[0] not in "+-":
        return UTC
    return datetime.strptime(written.replace(":", "").ljust(5, "0"), "%z").tzinfo or UTC


def _of_number(cell: str, zone: tzinfo) -> datetime:
    """A spreadsheet's days since 1900, or seconds or milliseconds since 1970. Raises: ValueError."""
    text = plain(cell) if len(cell) <= MAX_TYPED_CHARS else ""
    if serial := SERIAL.fullmatch(text):
        # Whole seconds: a serial number holds a time only to about a millisecond.
        seconds = round(float(f"0.{serial['fraction'] or 0}") * 86_400)
        return (SERIAL_EPOCH + timedelta(days=int(serial["days"]), seconds=seconds)).replace(tzinfo=zone)
    if STAMP.fullmatch(text):
        return datetime.fromtimestamp(int(text) / (1000 if len(text) == 13 else 1), UTC)
    raise ValueError(text)
