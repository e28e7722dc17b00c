"""Reads what an operator types: ids and durations, and the options that several commands share."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer
from bson import ObjectId

from pipeline_engine import ids
from pipeline_engine.errors import ConfigError


def filled(text: str | None) -> str | None:
    """The value of an option that narrows what a command does. Empty, as from a shell variable that is not set, it
    would narrow nothing.

    Raises: BadParameter when it is empty.
    """
    if text is not None and not text.strip():
        raise typer.BadParameter("the value is empty")
    return text


Account = Annotated[str | None, typer.Option(metavar="ID", help="Only this account's.", callback=filled)]
Newest = Annotated[int, typer.Option(min=1, max=100_000, help="How many, the newest first.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DURATION = re.compile(r"([0-9]{1,5})([smhd])")


def read_id(text: str, name: str = "ID") -> ObjectId:
    """The id, given in either case.

    Raises: ConfigError when the text is no id; `name` is the argument that the message names.
    """
    found = ids.object_id(text.strip().lower())
    if found is None:
        raise ConfigError(f"{name}: given {text!r}: an id has 24 hex digits")
    return found


def read_account(text: str | None) -> ObjectId | None:
    """The id given to `--account`, if any. Raises: ConfigError."""
    return read_id(text, "--account") if text is not None else None


def read_duration(text: str, name: str) -> timedelta:
    """`90s`, `30m`, `24h` or `7d`.

    Raises: ConfigError when the text is no duration; `name` is the option that the message names.
    """
    if not (match := DURATION.fullmatch(text.strip())):
        raise ConfigError(f"{name}: given {text!r}: a number and a unit are wanted, as in 90s, 30m, 24h or 7d")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
