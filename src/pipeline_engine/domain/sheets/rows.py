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
    neither a moved column nor a new empty one makes another row of it. `before` are those under the headers of the
    last look: they differ where columns were renamed."""

    cells: Mapping[str, str]
    prints: frozenset[bytes]
    before: frozenset[bytes]

    @property
    def content(self) -> str:
        """The same for rows of equal cells."""
        return blake2b(b"".join(sorted(self.prints)), digest_size=8).hexdigest()


def read_rows(values: Sequence[Sequence[str]], names_before: Sequence[str] = ()) -> list[SheetRow]:
    """The rows below the header, without those that are empty. `names_before`: the names of the columns at the last
    look."""
    names = column_names(values)
    before = _before_renaming(names, names_before)
    return [row for cells in values[1:] if (row := _row(names, before, cells)).cells]


def column_names(values: Sequence[Sequence[str]]) -> list[str]:
    """The names of all columns that have a cell, by the first row."""
    if not values:
        return []
    return headers([*values[0], *[""] * (max(map(len, values)) - len(values[0]))])


def _before_renaming(names: Sequence[str], before: Sequence[str]) -> list[str]:
    """The names with those taken back that are new and stand where one is gone."""
    new, gone = {*names} - {*before}, {*before} - {*names}
    renamed = {name: old for name, old in zip(names, before, strict=False) if name in new and old in gone}
    return [renamed.get(name, name) for name in names]


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


def _row(names: Sequence[str], before: Sequence[str], cells: Sequence[str]) -> SheetRow:
    texts = (clean(cell)[:MAX_CELL_CHARS].strip() for cell in cells)
    filled = [(name, old, text) for name, old, text in zip(names, before, texts, strict=False) if text]
    prints = frozenset(_print(name, text) for name, _, text in filled)
    is_renamed = any(name != old for name, old, _ in filled)
    return SheetRow(
        {name: text for name, _, text in filled},
        prints,
        frozenset(_print(old, text) for _, old, text in filled) if is_renamed else prints,
    )


def clean(text: str) -> str:
    """The text without lone surrogates, which no document can hold."""
    return text.encode(errors="replace").decode()


def _print(name: str, text: str) -> bytes:
    return blake2b(f"{len(name)}:{name}{text}".encode(), digest_size=PRINT_BYTES).digest()
