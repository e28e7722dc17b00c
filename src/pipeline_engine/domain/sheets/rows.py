"""Reads the cells of a sheet as rows under a header. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

MAX_CELL_CHARS = 10_000
MAX_HEADER_CHARS = 200
PRINT_BYTES = 8


@dataclass(frozen=True)
class SheetRow:
    """`cells` is {header: text} of the cells that are not empty. `prints` are their hashes, header included, so that
    neither a moved column nor a new empty one makes another row of it."""

    cells: Mapping[str, str]
    prints: frozenset[bytes]

    @property
    def content(self) -> str:
        """The same for rows of equal cells."""
        return blake2b(b"".join(sorted(self.prints)), digest_size=8).hexdigest()


def read_rows(values: Sequence[Sequence[str]]) -> list[SheetRow]:
    """The rows below the header, without those that are empty."""
    names = column_names(values)
    return [row for cells in values[1:] if (row := _row(names, cells)).cells]


def column_names(values: Sequence[Sequence[str]]) -> list[str]:
    """The names of all columns that have a cell, by the first row."""
    if not values:
        return []
    return headers([*values[0], *[""] * (max(map(len, values)) - len(values[0]))])


def headers(cells: Sequence[str]) -> list[str]:
    """The names of the columns: a column without one is called by its number from 1, and a repeated one gets ` (2)`."""
    named = [_name(cell) or str(number) for number, cell in enumerate(cells, 1)]
    return list(_distinct(named))


def _name(cell: str) -> str:
    """A header that MongoDB can hold as a field's name and pymongo reads back as one."""
    return "".join(" ".join(clean(cell).split()).split("\0"))[:MAX_HEADER_CHARS].lstrip("$")


def _distinct(names: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        number, distinct = 1, name
        while distinct in seen:
            number += 1
            distinct = f"{name} ({number})"
        seen.add(distinct)
        yield distinct


def _row(names: Sequence[str], cells: Sequence[str]) -> SheetRow:
    texts = ((name, clean(cell)[:MAX_CELL_CHARS].strip()) for name, cell in zip(names, cells, strict=False))
    filled = {name: text for name, text in texts if text}
    return SheetRow(filled, frozenset(_print(name, text) for name, text in filled.items()))


def clean(text: str) -> str:
    """The text without lone surrogates, which no document can hold."""
    return text.encode(errors="replace").decode()


def _print(name: str, text: str) -> bytes:
    return blake2b(f"{len(name)}:{name}{text}".encode(), digest_size=PRINT_BYTES).digest()
