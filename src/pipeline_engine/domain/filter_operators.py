"""The operators of filters: whether what stands in a field passes, whatever type it has. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bson import Decimal128, ObjectId


def _with_elements(values: list[Any]) -> Iterator[Any]:
    for value in values:
        yield value
        if isinstance(value, list | tuple):
            yield from value


def _eq(values: list[Any], wanted: Any) -> bool:
    if wanted is None:
        return not values
    return any(_same(value, wanted) for value in _with_elements(values))


def _in(values: list[Any], wanted: Any) -> bool:
    return any(_eq(values, one) for one in wanted)


def _contains(values: list[Any], wanted: Any) -> bool:
    """A list has the element, or a text has the other text in it, in whatever case."""
    return any(
        _text_contains(value, wanted) if isinstance(value, str) else _eq([value], wanted)
        for value in values
        if isinstance(value, str | list | tuple)
    )


def _text_contains(text: str, wanted: Any) -> bool:
    return isinstance(wanted, str) and wanted.casefold() in text.casefold()


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[list[Any], Any], bool]:
    def passes(values: list[Any], wanted: Any) -> bool:
        pairs = (_in_order(value, wanted) for value in _with_elements(values))
        return any(compare(*pair) for pair in pairs if pair)

    return passes


def _same(value: Any, wanted: Any) -> bool:
    pair = _comparable(value, wanted)
    if pair is None:
        return type(value) is type(wanted) and value == wanted
    return bool(pair[0] == pair[1])


def _comparable(value: Any, wanted: Any) -> tuple[Any, Any] | None:
    """Both as values that can be compared: two numbers, texts or times; None when they are none."""
    for read in (_number, _text):
        pair = read(value), read(wanted)
        if None not in pair:
            return pair
    if isinstance(value, datetime) or isinstance(wanted, datetime):
        times = _time(value), _time(wanted)
        return None if None in times else times
    return None


def _in_order(value: Any, wanted: Any) -> tuple[Any, Any] | None:
    """As `_comparable`, but two texts of a date, time and zone as times: their alphabet knows no zones."""
    moments = _moment(value), _moment(wanted)
    return _comparable(value, wanted) if None in moments else moments


def _moment(value: Any) -> datetime | None:
    found = _parsed(value) if isinstance(value, str) else None
    return found if found and found.tzinfo else None


def _number(value: Any) -> Any:
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return None if Decimal(value).is_nan() else value


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | ObjectId) else None


def _time(value: Any) -> datetime | None:
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _exists(values: list[Any], wanted: Any) -> bool:
    return bool(values) is wanted


OPERATORS: dict[str, Callable[[list[Any], Any], bool]] = {
    "eq": _eq,
    "ne": lambda values, wanted: not _eq(values, wanted),
    "in": _in,
    "nin": lambda values, wanted: not _in(values, wanted),
    "contains": _contains,
    "exists": _exists,
    "gt": _ordered(lambda one, other: one > other),
    "gte": _ordered(lambda one, other: one >= other),
    "lt": _ordered(lambda one, other: one < other),
    "lte": _ordered(lambda one, other: one <= other),
}


def any_value(_value: object) -> bool:
    return True


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _has_order(value: object) -> bool:
    return _number(value) is not None or isinstance(value, str | datetime)


_LIST = (_is_list, "a list")
_ORDER = (_has_order, "a number, a text or a time")
VALUES: dict[str, tuple[Callable[[object], bool], str]] = {
    "in": _LIST,
    "nin": _LIST,
    "exists": (_is_bool, "true or false"),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _ORDER),
}
"""By operator, what its value must be, and how that is said."""
