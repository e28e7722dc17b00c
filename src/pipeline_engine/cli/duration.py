"""Reads the durations that people type."""

from __future__ import annotations

import re
from datetime import timedelta

from pipeline_engine.errors import ConfigError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SHAPE = re.compile(r"([0-9]{1,6})([smhd])")


def read_duration(text: str, name: str) -> timedelta:
    """`90s`, `30m`, `24h` or `7d`.

    Raises: ConfigError when it is none; `name` says which option it was.
    """
    if not (match := SHAPE.fullmatch(text.strip())):
        raise ConfigError(f"{name}: given {text!r}: a number and a unit are wanted, as in 90s, 30m, 24h or 7d")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
