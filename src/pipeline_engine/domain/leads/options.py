"""Reads the options in the `config` of one action; every error says which action, which option, and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any, NoReturn, TypeVar

from bson import ObjectId

from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id

MAX_SECONDS = 3650 * 86400
"""Ten years: a longer wait is a typing error."""
MAX_SHOWN = 80
NUMBER = re.compile(r"\s*[0-9]+(\.[0-9]+)?\s*")
TIME_OF_DAY = re.compile("([01][0-9]|2[0-3]):([0-5][0-9])")

T = TypeVar("T", bound=str)


@dataclass(frozen=True)
class Options:
    """The options of one action. An option whose value is null counts as not given.

    Every method raises Permanent `bad_action` when the option has a value that is not allowed."""

    action: str
    """How errors name the action, such as `action 3 (wait)`."""
    values: Mapping[str, Any]

    @classmethod
    def of(cls, action: str, config: object) -> Options:
        """Raises: Permanent `bad_action` when `config` is no object."""
        if not isinstance(config, Mapping):
            raise Permanent(f"{action}: config: given {_shown(config)}: an object is allowed", "bad_action")
        return cls(action, {name: value for name, value in config.items() if value is not None})

    def refuse(self, name: str, allowed: str) -> NoReturn:
        """Raises: Permanent `bad_action` that says what was given for the option and what is allowed."""
        given = _shown(self.values[name]) if name in self.values else "nothing"
        raise Permanent(f"{self.action}: {name}: given {given}: {allowed} is allowed", "bad_action")

    def allow(self, *names: str) -> None:
        """Refuse every option but these."""
        if unknown := sorted(str(name) for name in self.values if name not in names):
            allowed = ", ".join(names)
            raise Permanent(f"{self.action}: {unknown[0]}: no such option; allowed: {allowed}", "bad_action")

    def one_of(self, names: Sequence[str]) -> str:
        """That of these options which is given; exactly one must be."""
        given = [name for name in names if name in self.values]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            allowed = " or ".join(names)
            raise Permanent(f"{self.action}: {allowed}: given {found}: exactly one is allowed", "bad_action")
        return given[0]

    def duration(self, name: str, *, least: int = 0) -> timedelta:
        """A number of seconds."""
        value = _number(self.values.get(name))
        # Written so that NaN, which is neither more nor less than any number, is refused as well.
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= MAX_SECONDS:
            self.refuse(name, f"a number of seconds from {least} to {MAX_SECONDS:,} (ten years)")
        return timedelta(seconds=value)

    def count(self, name: str, most: int) -> int:
        """A whole number from 1 to `most`."""
        value = _number(self.values.get(name))
        # The CRM's shell stores whole numbers as doubles.
        if isinstance(value, bool) or not isinstance(value, int | float) or not (1 <= value <= most and value % 1 == 0):
            self.refuse(name, f"a whole number from 1 to {most:,}")
        return int(value)

    def text(self, name: str) -> str:
        """A text that is not blank."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            self.refuse(name, "a text that is not blank")
        return value

    def id(self, name: str) -> ObjectId:
        """The id of a document."""
        return object_id(self.values.get(name)) or self.refuse(name, "an id of 24 hex digits")

    def choice(self, name: str, allowed: Sequence[T], default: T | None = None) -> T:
        """One of the allowed words, in any case."""
        value = word(self.values.get(name, default))
        found = next((one for one in allowed if one == value), None)
        return found if found is not None else self.refuse(name, " or ".join(allowed))

    def time_of_day(self, name: str) -> time:
        """A time such as `09:30`, from 00:00 to 23:59."""
        value = self.values.get(name)
        match = TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            self.refuse(name, "a time such as 09:30, from 00:00 to 23:59,")
        return time(int(match[1]), int(match[2]))

    def weekdays(self, name: str, default: frozenset[int]) -> frozenset[int]:
        """A list of days from 1 (Monday) to 7 (Sunday), with at least one in it."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, list) or not value or not all(map(_is_weekday, value)):
            self.refuse(name, "a list of days from 1 (Monday) to 7 (Sunday), with at least one in it,")
        return frozenset(map(int, value))


def word(value: object) -> object:
    """The value; a text without spaces around it, in lower case."""
    return value.strip().lower() if isinstance(value, str) else value


def _number(value: object) -> object:
    """The value; what a form of the CRM stored as text as the number that it says."""
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _is_weekday(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and value in range(1, 8)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
