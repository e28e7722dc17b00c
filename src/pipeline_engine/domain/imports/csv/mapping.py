"""Checks an import's `mappings`: which column of the file becomes which field of a deal.

Names of columns match as `column_name` spells them and, when nothing else fits, without case. A column without a name
is called by its number, "1" being the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bson import ObjectId

from pipeline_engine.domain.imports.csv.column_name import column_name, column_names
from pipeline_engine.domain.imports.csv.missing_columns import missing_columns
from pipeline_engine.domain.imports.refusal import ImportRefused, quoted
from pipeline_engine.ids import object_id

FIELDS = (
    "name",
    "value",
    "status",
    "contract_type",
    "stage_id",
    "contact_name",
    "contact_email",
    "contact_phone",
)
"""The fields that a file may set. Owner, account, pipeline, ids and the engine's own lists are not among them."""
REQUIRED = ("name", "stage_id")
"""When one of these is mapped, the file must have its column and every row a filled cell."""
MAX_COLUMNS = 512


class ColumnMap(NamedTuple):
    """A checked mapping: {target: place of its column in a row}; a target in `custom` is the 24-hex id of a field.

    `missing` are mapped columns that the file lacks. Their place is behind the last column, where `RowMapper` puts ''.
    """

    columns: tuple[str, ...]
    fields: dict[str, int]
    custom: dict[str, int]
    missing: tuple[str, ...]


def compile_mapping(mappings: object, columns: Sequence[str]) -> ColumnMap:
    """Return the import's `mappings`, checked against the columns of the file.

    Raises: ImportRefused `mapping`, `header` or `columns` (needed ones are missing), naming what is wrong.
    """
    if len(columns) > MAX_COLUMNS:
        raise ImportRefused(f"the file has {len(columns)} columns; at most {MAX_COLUMNS} are possible", "header")
    targets = _targets(mappings)
    places = _places(targets, columns)
    missing = {column: target for column, target in targets.items() if column not in places}
    _refuse_missing(missing, columns, none_found=len(missing) == len(targets))
    compiled = {target: places.get(column, len(columns)) for column, target in targets.items()}
    return ColumnMap(
        columns=tuple(columns),
        fields={target: place for target, place in compiled.items() if target in FIELDS},
        custom={target: place for target, place in compiled.items() if target not in FIELDS},
        missing=tuple(missing),
    )


def wanted_columns(mappings: Mapping[str, object]) -> list[str]:
    """Return the names of the columns that the mappings want from the file: those that they do not ignore."""
    return [column for column, target in mappings.items() if isinstance(column, str) and not _is_ignored(target)]


def _places(wanted: Iterable[str], columns: Sequence[str]) -> dict[str, int]:
    """{wanted column: its place in the file} of those that the file has."""
    names = column_names(columns)
    exact = [column for column in wanted if column in names]
    folded = [name.casefold() for name in names]
    taken = set(exact)
    places = {column: _place(column, names) for column in exact}
    for column in wanted:
        if column not in taken and column.casefold() in folded:
            place = _place(column.casefold(), folded)
            if place not in places.values():
                places[column] = place
    return places


def _place(name: str, names: list[str]) -> int:
    if names.count(name) > 1:
        raise ImportRefused(
            f"the file has several columns called {quoted(name)}, which is mapped: rename all but one", "header"
        )
    return names.index(name)


def _targets(mappings: object) -> dict[str, str]:
    """{name of a column: target}, with each target once, without the columns that are not imported."""
    if not isinstance(mappings, Mapping):
        raise ImportRefused("mappings must be an object {column: field}", "mapping")
    if len(mappings) > MAX_COLUMNS:
        raise ImportRefused(f"{len(mappings)} columns are mapped; at most {MAX_COLUMNS} are possible", "mapping")
    pairs = [
        (_column(column), _target(column, target)) for column, target in mappings.items() if not _is_ignored(target)
    ]
    if not pairs:
        raise ImportRefused("mappings are empty: nothing says which column is which field", "mapping")
    if duplicates := _duplicates(column for column, _ in pairs):
        raise ImportRefused(f"mappings name the column {_list(duplicates)} twice", "mapping")
    for target in _duplicates(target for _, target in pairs):
        both = _list(column for column, other in pairs if other == target)
        raise ImportRefused(f"the columns {both} are all mapped to {quoted(target)}: only one can be", "mapping")
    return dict(pairs)


def _is_ignored(target: object) -> bool:
    """Whether the mapping says: do not import this column."""
    return target is None or (isinstance(target, str) and not target.strip())


def _column(column: object) -> str:
    if not isinstance(column, str) or not column_name(column):
        raise ImportRefused(f"mappings name a column {quoted(column)}, which is no name", "mapping")
    return column_name(column)


def _target(column: object, target: object) -> str:
    if isinstance(target, str | ObjectId):
        if target in FIELDS:
            return str(target)
        if custom := object_id(target):
            return str(custom)
    raise ImportRefused(
        f"the column {quoted(column)} is mapped to {quoted(target)}, which is no field of a deal that a file may set; "
        f"possible are {', '.join(FIELDS)} and the id of a custom field",
        "mapping",
    )


def _refuse_missing(missing: Mapping[str, str], columns: Sequence[str], *, none_found: bool) -> None:
    needed = {column: target for column, target in missing.items() if target in REQUIRED}
    if needed:
        fields = " and ".join(needed.values())
        raise ImportRefused(f"{fields} cannot be filled, the file has {missing_columns(needed, columns)}", "columns")
    if none_found:
        raise ImportRefused(f"nothing can be filled, the file has {missing_columns(missing, columns)}", "columns")


def _duplicates(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _list(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in list(names)[:10])
