"""JSON from outside: what two programs read in two ways, or one of them not at all, is refused. Pure."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn

MAX_DIGITS = 1000
"""Of a whole number."""


def json_object(content: bytes | str) -> dict[str, Any]:
    """The object, as `json_value` reads it. Raises: ValueError with a reason that quotes nothing of the content."""
    found = json_value(content)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def json_value(content: bytes | str) -> Any:
    """The value. At no depth it has a name twice, an infinite number, or a text that is no Unicode.

    Raises: ValueError with a reason that quotes nothing of the content.
    """
    try:
        found = json.loads(
            content, object_pairs_hook=_unique, parse_int=_whole, parse_float=_finite, parse_constant=_no_constant
        )
        json.dumps(found, ensure_ascii=False).encode()  # fails for half a surrogate pair, which JSON can spell
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeError:
        raise ValueError("it is no UTF-8, or a text has half a surrogate pair") from None
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("a number is too large: send it as a text")
    return int(text)


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError("a number is too large: send it as a text")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
