"""The value of a field that a record does not have, as a template sees it: empty whatever is done with it.

It prints as nothing, is false, contains nothing, equals None and '', and stays empty when it is indexed, called or
calculated with. It is a str, so that text functions and `in` of Python take it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Empty(str):
    """Empty text that also stands for a number, a date, a list and a function. `EMPTY` is the only one."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Empty:
        return self

    def __eq__(self, other: object) -> bool:
        return other is None or str.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __contains__(self, _part: object) -> bool:
        return False

    def __reversed__(self) -> Iterator[Any]:
        return iter(())

    def __format__(self, _spec: str) -> str:
        return ""

    def __lt__(self, other: Any) -> bool:
        return isinstance(other, str) and len(other) > 0

    def __le__(self, other: Any) -> bool:
        return isinstance(other, str)

    def __gt__(self, _other: Any) -> bool:
        return False

    def __ge__(self, other: Any) -> bool:
        return bool(self == other)

    def __add__(self, other: Any) -> Any:
        return other

    __radd__ = __add__

    def _calculate(self, *_: Any) -> Empty:
        return self

    __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _calculate
    __floordiv__ = __rfloordiv__ = __pow__ = __rpow__ = __mod__ = _calculate
    __neg__ = __pos__ = __abs__ = __round__ = _calculate

    def __rmod__(self, other: Any) -> Any:
        return str.__mod__(other, self) if isinstance(other, str) else self

    def __int__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.0


EMPTY = Empty()


def without_none(value: Any) -> Any:
    """The plain data with `EMPTY` in place of every None; dicts and lists are changed in place."""
    if value is None:
        return EMPTY
    if isinstance(value, dict):
        for name, one in value.items():
            if one is None or isinstance(one, dict | list):
                value[name] = without_none(one)
    elif isinstance(value, list):
        value[:] = map(without_none, value)
    return value
