"""Shows what an import would make of the first rows of its file. Reads only the sample that detection reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.control import look_up
from pipeline_engine.domain.imports.csv.in_words import dialect_in_words
from pipeline_engine.domain.imports.csv.parse import parse
from pipeline_engine.domain.imports.import_context import row_mapper
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import check_key, read_key, read_request
from pipeline_engine.domain.imports.source import OpenFile, inspect_object
from pipeline_engine.repos.import_repos import ImportRepos

MAX_ROWS = 20


@dataclass(frozen=True)
class PreviewRow:
    """One row: the fields of its deal, or why it becomes none."""

    row: int
    line: int
    stage: str
    fields: Mapping[str, Any]
    error: str | None


@dataclass(frozen=True)
class ImportPreview:
    """How the file is read and what its first rows become. With a `refusal` there are no rows."""

    queue: ObjectId
    dialect: str
    columns: Sequence[str]
    mapping: Mapping[str, str]
    """{column of the file: field of a deal, or id of a custom field}."""
    rows: Sequence[PreviewRow]
    warnings: Sequence[str]
    refusal: str | None


async def preview(app: App[ImportRepos], import_id: ObjectId) -> ImportPreview:
    """Return what the import would make of its file as it is now; nothing is written.

    Raises: Permanent `not_found`; ObjectMissing; Transient when the storage is away.
    """
    queue = await look_up(app, import_id)
    try:
        request = read_request(queue)
        key = check_key(read_key(queue), request.account_id, app.settings.import_key_prefix)
        info = await app.storage.head(key)
        file, head = await inspect_object(app, info, request)
    except ImportRefused as refusal:
        return ImportPreview(import_id, dialect_in_words(refusal.dialect or {}), (), {}, (), (), str(refusal))
    targets = {**file.columns.fields, **file.columns.custom}
    names = file.header.columns
    return ImportPreview(
        queue=import_id,
        dialect=dialect_in_words(file.dialect._asdict()),
        columns=names,
        mapping={names[place]: target for target, place in targets.items() if place < len(names)},
        rows=await _rows(app, file, head),
        warnings=file.stored["plan"]["warnings"],
        refusal=None,
    )


async def _rows(app: App[ImportRepos], file: OpenFile, head: bytes) -> list[PreviewRow]:
    cutter = file.cutter(None, MAX_ROWS)
    pieces = cutter.feed(head[file.header.start :])
    if len(head) == file.size:
        pieces += cutter.close()
    rows: list[PreviewRow] = []
    for piece in islice(pieces, MAX_ROWS):
        parsed = await parse(piece, file.dialect, row_mapper(app, file), guarded=file.is_report)
        rows += [PreviewRow(row.row, row.line, row.stage, row.fields, None) for row in parsed.rows]
        rows += [PreviewRow(bad.row, bad.line, "", {}, _why(bad.column, bad.message)) for bad in parsed.errors]
        if len(rows) >= MAX_ROWS:
            break
    return sorted(rows, key=lambda row: row.row)[:MAX_ROWS]


def _why(column: str | None, message: str) -> str:
    return f"{column}: {message}" if column else message
