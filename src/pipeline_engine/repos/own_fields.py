"""Fields that only the engine writes, with the types that it writes.

CRM, scripts and restored backups can leave anything in a document. A value of another type counts as absent, so that no
reader has to expect it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, TypeGuard

from pipeline_engine.clock import usable_date

MAX_AHEAD = timedelta(days=367)
"""The engine writes no time that is further ahead: no setting in seconds is longer than 366 days."""

Fits = Callable[[Any], bool]
OwnFields = Mapping[str, Fits]
"""{field, or `parent.field` below an object: whether a value is of the type that the engine writes}."""


def date(value: object) -> bool:
    """Whether the value is a date that the engine can have written: one with which Python can count, at most MAX_AHEAD
    from now."""
    found = usable_date(value)
    return found is not None and found < datetime.now(UTC) + MAX_AHEAD


def number(value: object) -> TypeGuard[int | float]:
    """Whether the value is a number, and neither NaN nor infinite."""
    return isinstance(value, int | float) and isfinite(value)


def text(value: object) -> bool:
    return isinstance(value, str)


def flag(value: object) -> bool:
    return isinstance(value, bool)


def listing(value: object) -> bool:
    return isinstance(value, list)


def fields(value: object) -> bool:
    """Whether the value is an object."""
    return isinstance(value, dict)


def drop_misfits(document: dict[str, Any], own: OwnFields) -> None:
    """Remove from the document, in place, every own field whose value is of another type. Parents come before what is
    below them in `own`."""
    for name, fits in own.items():
        parent, _, field = name.rpartition(".")
        holder = document.get(parent) if parent else document
        if isinstance(holder, dict) and (value := holder.get(field)) is not None and not fits(value):
            del holder[field]
