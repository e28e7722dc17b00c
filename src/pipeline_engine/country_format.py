"""How numbers and dates are written in a country: read so from files, and printed so in messages."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

_POINT = """
    US GB IE AU NZ IN PK BD LK NP MM JP CN TW HK SG MY TH PH KR KP IL JO MX GT HN SV NI PA DO PR JM TT BS BB BZ GY
    KE NG GH UG TZ ZM ZW BW MW MT CH LI EG SA AE QA KW BH OM ET RW CA
"""
_COMMA = """
    DE AT FR BE NL LU IT ES PT BR AR CL CO PE UY PY EC VE BO CR CU DK SE NO FI IS CZ SK PL HU RO BG HR SI RS BA ME
    MK AL GR CY TR UA RU BY KZ UZ AM AZ GE MD LT LV EE ID VN MA DZ TN ZA AO MZ
"""
_SPACE_GROUPS = "FR LU PT SE NO FI CZ SK PL HU BG UA RU BY KZ UZ AM MD LT LV EE MA DZ TN ZA CR CU"
_LAKH_GROUPS = "IN PK BD NP LK"
_MONTH_FIRST = "US PH PR GU VI AS MP FM MH PW BZ"
_DATES = {
    "%m/%d/%Y": _MONTH_FIRST,
    "%d.%m.%Y": "DE AT CH LI DK NO FI IS CZ SK PL RO BG HR SI RS BA ME MK AL TR UA RU BY KZ UZ AM AZ GE MD LV EE IL",
    "%d-%m-%Y": "NL IN BD",
    "%Y-%m-%d": "SE LT CA CN KR KP",
    "%Y/%m/%d": "JP TW ZA",
    "%Y. %m. %d.": "HU",
}
_HALF_DAYS = f"{_MONTH_FIRST} CA AU NZ IN PK BD EG SA AE"
POINT, COMMA, MONTH_FIRST = frozenset(_POINT.split()), frozenset(_COMMA.split()), frozenset(_MONTH_FIRST.split())
SPACE_GROUPS, LAKH_GROUPS = frozenset(_SPACE_GROUPS.split()), frozenset(_LAKH_GROUPS.split())
HALF_DAYS = frozenset(_HALF_DAYS.split())
DATES = {country: form for form, countries in _DATES.items() for country in countries.split()}
ISO_DATE, USUAL_DATE = "%Y-%m-%d", "%d/%m/%Y"
YEARS = range(1900, 2101)


def decimal_mark(country: str | None) -> Literal[".", ","] | None:
    """The decimal mark of the country (ISO 3166 alpha-2); None where it is not known."""
    if country in POINT:
        return "."
    return "," if country in COMMA else None


def writes_month_first(country: str | None) -> bool:
    """Whether `03/04/2026` is the 4th of March there."""
    return country in MONTH_FIRST


def format_number(value: float, country: str | None) -> str:
    """The number with the country's marks; with a fraction, it has two decimals or as many as it needs.

    A whole number that may be a year has no groups. Without a known country there are no groups, and a decimal point.
    """
    mark = decimal_mark(country)
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    whole, _, fraction = f"{abs(Decimal(repr(value))):f}".partition(".")
    fraction = fraction.rstrip("0")
    if mark and (fraction or int(whole) not in YEARS):
        whole = _grouped(whole, str(country), mark)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}{mark or '.'}{fraction:0<2}" if fraction else f"{sign}{whole}"


def format_date(value: datetime, country: str | None, zone: str | None) -> str:
    """The moment in the zone, as the country writes it; midnight in UTC is a day without a time and is not moved.

    Without a country: 2026-03-04 14:30. A zone that is not known is UTC.
    """
    day = (DATES.get(country) or USUAL_DATE) if country else ISO_DATE
    if not (value.hour or value.minute or value.second or value.microsecond):
        return f"{value:{day}}"
    local = value.astimezone(_zone(zone)) if value.tzinfo else value
    if country not in HALF_DAYS:
        return f"{local:{day} %H:%M}"
    return f"{local:{day}} {local.hour % 12 or 12}:{local:%M} {'PM' if local.hour >= 12 else 'AM'}"


def _grouped(whole: str, country: str, mark: str) -> str:
    separator = "\u00a0" if country in SPACE_GROUPS else "\u2019" if country in ("CH", "LI") else "."
    if mark == "." and country not in ("CH", "LI"):
        separator = ","
    head, size = whole[:-3], 2 if country in LAKH_GROUPS else 3
    groups = [whole[-3:]]
    while head:
        groups.append(head[-size:])
        head = head[:-size]
    return separator.join(reversed(groups))


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")
