"""How commands print: tables and lines for people, with nothing in them that a terminal would obey."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline_engine import logs

WIDTH = 200
"""Columns when nobody looks on: enough that a line of a table is a line of the log."""


class Screen:
    """stdout."""

    def __init__(self) -> None:
        self.console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)

    def line(self, text: object = "", style: str = "") -> None:
        """One line, as long as it is."""
        self.console.print(Text(plain(text), style), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """The rows under their headings; numbers stand to the right."""
        table = Table(*columns)
        for row in rows:
            table.add_row(*map(_cell, row))
        self.console.print(table)

    def facts(self, facts: Iterable[tuple[str, object]]) -> None:
        """Names and values, one pair a line; a pair without a value is left out."""
        told = [(name, _shown(value)) for name, value in facts if value not in (None, "")]
        width = max((len(name) for name, _ in told), default=0)
        for name, value in told:
            self.line(f"{name:<{width}}  {value}")


def plain(value: object) -> str:
    """The value as text in which control characters are spelled out: file names and messages come from anywhere."""
    return logs.CONTROL.sub(lambda hit: hit[0].encode("unicode_escape").decode(), str(value))


def _cell(value: object) -> Text:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return Text(plain(_shown(value)), justify="right" if right else "left", overflow="fold")


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)
