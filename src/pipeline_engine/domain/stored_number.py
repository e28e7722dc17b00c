"""Reads a number that the CRM stored as a number of any kind or as text. Pure."""

from __future__ import annotations

from decimal import Decimal

from bson import Decimal128


def stored_number(value: object) -> float | None:
    """The number; None for a value that is none."""
    given = value.to_decimal() if isinstance(value, Decimal128) else value
    if isinstance(given, bool) or not isinstance(given, int | float | str | Decimal):
        return None
    try:
        number = float(given)
    except ValueError:
        return None
    return None if number != number else number  # NaN is neither more nor less than any number
