"""Fields that only the engine writes, with the types that it writes.

CRM, scripts and restored backups can leave anything in a document. A value of another type counts as absent, so that no
reader has to expect it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from pipeline_engine.clock import usable_date

Fits = Callable[[Any], bool]
OwnFields = Mapping[str, Fits]
"""{field, or `parent.field` below an object: whether a value is of the type that the engine writes}."""


def date(value: object) -> bool:
    """Whether the value is a date with which Python can count."""
    return usable_date(value) is not None


def number(value: object) -> bool:
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
