"""The clean table from which polluted files are made, and how a table becomes the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

NAMES = ("Deal Name", "Value", "Stage", "Close Date", "Contact Name", "Contact Email", "Phone", "City", "Note")
STAGES = ("New", "Qualified", "Proposal", "Won")
PEOPLE = ("Ada Byron", "Jürgen Groß", "Zoë Faure", "Ole Næss", "Inés Núñez", "Tom Orr")
CITIES = ("Berlin", "Orléans", "Málaga", "Tromsø", "Leeds")
NOTES = (
    "call back, then visit",
    'wants the "large" one',
    "",
    "first line\nsecond line",
    "prefers mail",
    "due in May; urgent",
)


def _row(number: int) -> tuple[str, ...]:
    person = PEOPLE[number % len(PEOPLE)]
    return (
        f"Deal {number:03} {('Roof', 'Gate', 'Pump', 'Shed')[number % 4]}",
        f"{number * 137 % 9000 + 100}.{number * 7 % 100:02}",
        STAGES[number % len(STAGES)],
        f"2025-{number % 12 + 1:02}-{number % 28 + 1:02}",
        person,
        f"contact{number}@firm{number % 7}.example",
        f"+49 30 23125{number:03}",
        CITIES[number % len(CITIES)],
        NOTES[number % len(NOTES)],
    )


ROWS = tuple(_row(number) for number in range(1, 41))


@dataclass(frozen=True)
class Table:
    """A file to be written: the true table (`names`, `rows`) and all the ways in which it is spoiled.

    In `before`, `after` and `blank_rows`, '*' stands for the delimiters of a whole row.
    """

    names: tuple[str, ...] = NAMES
    rows: tuple[tuple[str, ...], ...] = ROWS
    wanted: tuple[str, ...] = NAMES
    """The columns that the import maps."""
    encoding: str = "utf-8"
    mark: bytes = b""
    delimiter: str = ","
    quote: str = '"'
    escape: str = "double"
    quote_all: bool = False
    line_end: str = "\n"
    other_line_ends: dict[int, str] = field(default_factory=dict)
    ends_last_line: bool = True
    separator_line: bool = False
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    header: tuple[tuple[str, ...], ...] | None = None
    """The header as it stands in the file, when that is not `names`; () = none."""
    blank_rows: dict[int, str] = field(default_factory=dict)
    """{number of the row before which it stands: line}."""
    replaced: dict[int, Callable[[Table], str]] = field(default_factory=dict)
    """{number of a row: its line}."""
    trailing: int = 0
    """How many delimiters stand behind each line."""

    def changed(self, **fields: object) -> Table:
        return replace(self, **fields)  # type: ignore[arg-type]

    @property
    def answer(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        """The names and rows that a reader should find."""
        return self.names, self.rows

    def expected(self, row: int, cells: tuple[str, ...]) -> dict[str, object]:
        """The change by which the answer has other cells in a row (from 1)."""
        return {"rows": (*self.rows[: row - 1], cells, *self.rows[row:])}

    def line(self, cells: tuple[str, ...]) -> str:
        return self.delimiter.join(map(self._cell, cells))

    def render(self) -> bytes:
        """The bytes of the file."""
        header = (self.names,) if self.header is None else self.header
        lines = [f"sep={self.delimiter}"] if self.separator_line else []
        lines += map(self._filled, self.before)
        lines += [self.line(cells) + self.delimiter * self.trailing for cells in header]
        for number, cells in enumerate(self.rows, 1):
            if number in self.blank_rows:
                lines.append(self._filled(self.blank_rows[number]))
            spoil = self.replaced.get(number)
            lines.append(spoil(self) if spoil else self.line(cells) + self.delimiter * self.trailing)
        lines += map(self._filled, self.after)
        ends = [self.other_line_ends.get(number, self.line_end) for number in range(len(lines))]
        if not self.ends_last_line:
            ends[-1] = ""
        text = "".join(line.replace("\n", self.line_end) + end for line, end in zip(lines, ends, strict=True))
        return self.mark + text.encode(self.encoding)

    def _filled(self, line: str) -> str:
        return line.replace("*", self.delimiter * (len(self.names) - 1)).replace("\ue001", self.delimiter)

    def _cell(self, cell: str) -> str:
        if not self.quote:
            return cell
        special = (self.delimiter, self.quote, "\n", "\r")
        if not self.quote_all and not any(part in cell for part in special) and cell == cell.strip():
            return cell
        if self.escape == "backslash":
            cell = cell.replace("\\", "\\\\")
        doubled = "\\" + self.quote if self.escape == "backslash" else self.quote * 2
        return self.quote + cell.replace(self.quote, doubled) + self.quote
