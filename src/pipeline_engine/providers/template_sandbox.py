"""The Jinja environments in which tenants' templates run: nothing but their data can be reached, and what is absent is
empty."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from jinja2 import StrictUndefined, Undefined, UndefinedError, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from pipeline_engine.country_format import format_date, format_number
from pipeline_engine.providers.empty_value import EMPTY, Empty

ACCOUNT_FORMAT = ("country", "timezone")
"""The fields of `account` that say how its numbers and dates are printed."""


class Absent(StrictUndefined):
    """What Jinja makes of a name that it does not find: `EMPTY`, also for the second word of a one-word name.

    Errors remain for what no record lacks: forbidden access, and a misspelled function of a text, number or date.
    """

    __slots__ = ()

    def __new__(
        cls, _hint: str | None = None, obj: Any = missing, name: object = None, exc: type[Exception] = UndefinedError
    ) -> Self:
        data = obj is missing or isinstance(obj, Mapping | Empty) or not isinstance(name, str)
        return EMPTY if exc is UndefinedError and data else super().__new__(cls)  # type: ignore[return-value]

    @property
    def _undefined_message(self) -> str:
        return self._undefined_hint or f"unknown variable {self._undefined_name!r}"


class Sandbox(ImmutableSandboxedEnvironment):
    """A Jinja environment without globals and loader. Keys of the data come before Python's attributes of dict."""

    def __init__(self, autoescape: bool) -> None:
        super().__init__(undefined=Absent, autoescape=autoescape, finalize=_printed)
        self.globals.clear()
        of_empty = {"default": _argument, "d": _argument, "int": _argument, "float": _argument, "items": _no_items}
        self.filters |= {name: _unless_empty(name, answer) for name, answer in of_empty.items()}
        self.tests |= {
            "defined": lambda value: not isinstance(value, Empty | Undefined),
            "undefined": lambda value: isinstance(value, Empty | Undefined),
            "none": lambda value: value is None or isinstance(value, Empty),
        }

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Empty):
            return obj
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return obj if isinstance(obj, Empty) else super().getitem(obj, argument)

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = super().call(context, function, *args, **kwargs)
        return EMPTY if result is None else result


@pass_context
def _printed(context: Context, value: Any) -> Any:
    """What `{{ value }}` prints: numbers with a fraction type and times in the format of the account, and a list, such
    as tags, with commas."""
    if value is None:
        return ""
    if isinstance(value, list) and not any(isinstance(one, dict | list) for one in value):
        return ", ".join(str(_printed(context, one)) for one in value)
    if not isinstance(value, float | datetime):
        return value
    account = context.get("account")
    known = account if isinstance(account, Mapping) else {}
    country, zone = (text if isinstance(text := known.get(name), str) and text else None for name in ACCOUNT_FORMAT)
    return format_number(value, country) if isinstance(value, float) else format_date(value, country, zone)


def _unless_empty(name: str, answer: Any) -> Any:
    """The filter of that name, with another answer for an empty value."""
    usual = FILTERS[name]

    def apply(value: Any, *args: Any, **kwargs: Any) -> Any:
        return answer(name, *args, **kwargs) if isinstance(value, Empty) else usual(value, *args, **kwargs)

    return apply


def _argument(name: str, *args: Any, default: Any = None, default_value: Any = None, **_: Any) -> Any:
    """The default that a template names, else the usual one of the filter."""
    usual: dict[str, Any] = {"int": 0, "float": 0.0}
    named = next((one for one in (*args[:1], default, default_value) if one is not None), None)
    return usual.get(name, "") if named is None else named


def _no_items(_name: str) -> Any:
    return iter(())


SANDBOXES = {True: Sandbox(autoescape=True), False: Sandbox(autoescape=False)}
