"""Looks at the beginning of a file: how to read it, its columns, and which column becomes which field. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline_engine.domain.imports.csv.dialect import Dialect, detect
from pipeline_engine.domain.imports.csv.error_csv import unguarded
from pipeline_engine.domain.imports.csv.header import Header, find_header
from pipeline_engine.domain.imports.csv.in_words import reading_in_words
from pipeline_engine.domain.imports.csv.mapping import ColumnMap, compile_mapping, wanted_columns
from pipeline_engine.domain.imports.refusal import ImportRefused


class Inspection(NamedTuple):
    """What the beginning of a file shows."""

    dialect: Dialect
    header: Header
    columns: ColumnMap


def inspect(
    head: bytes, options: Mapping[str, Any], mappings: Mapping[str, object], *, whole: bool
) -> Inspection | None:
    """Return what is found in a file that begins with `head` (`whole`: and ends there); None when it needs more bytes.

    Raises: ImportRefused as `detect`, `find_header` and `compile_mapping` do; it carries the dialect when one was
    found, and a mapping that does not fit says how the file was read.
    """
    dialect = detect(head, options, wanted_columns(mappings), whole=whole)
    try:
        header = find_header(head, dialect, whole=whole)
        if header is None:
            return None
        header = header._replace(columns=unguarded(header.columns))
        return Inspection(dialect, header, compile_mapping(mappings, header.columns))
    except ImportRefused as refusal:
        how = f". The file was read as {reading_in_words(dialect._asdict())}" if refusal.code == "columns" else ""
        raise ImportRefused(f"{refusal}{how}", refusal.code, dialect._asdict()) from None
