"""How commands print: tables, lines and JSON, with no control characters that a terminal would obey."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline_engine import logs
from pipeline_engine.clock import usable_date

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WIDTH = 200
"""Columns without a terminal: wide enough that a row of a table is one line of a log."""


class Screen:
    """stdout."""

    def __init__(self) -> None:
        self.console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self.console.width

    def line(self, text: object = "", style: str = "") -> None:
        """One line, as long as it is."""
        self.console.print(Text(plain(text), style), soft_wrap=True)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, unbroken: Collection[str] = ()
    ) -> None:
        """The rows under their headings; numbers stand to the right. Only other columns than `unbroken` give way on a
        narrow terminal."""
        table = Table()
        for column in columns:
            table.add_column(column, no_wrap=column in unbroken)
        for row in rows:
            table.add_row(*map(_cell, row))
        self.console.print(table)

    def facts(self, facts: Iterable[tuple[str, object]]) -> None:
        """Names and values, one pair a line; a pair without a value is left out."""
        shown = [(name, _shown(value)) for name, value in facts if value not in (None, "")]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self.line(f"{name:<{width}}  {value}")


def plain(value: object) -> str:
    """The value as text in which control characters are spelled out: tenants choose file names and messages."""
    return logs.visible(str(value))


def json_line(value: DataclassInstance) -> str:
    """One JSON object on one line, ids and times as text."""
    return json.dumps(asdict(value), default=_json_text)


def _json_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: object) -> Text:
    return Text(plain(_shown(value)), justify="right" if _is_number(value) else "left", overflow="fold")


def _shown(value: object) -> str:
    if date := usable_date(value):
        return f"{date.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if _is_number(value):
        return f"{value:,}"
    return "" if value is None else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
