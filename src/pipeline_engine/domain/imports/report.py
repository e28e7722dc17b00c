"""The report of an import and its error CSV. Both have fixed names, so that writing them again changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from typing import Any

import bson
from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.error_csv import OWN_COLUMNS, ErrorCsv
from pipeline_engine.domain.imports.dry_run import outlook
from pipeline_engine.domain.imports.options import is_dry_run
from pipeline_engine.domain.imports.request import read_key, read_request
from pipeline_engine.domain.imports.row_facts import note_warnings
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.import_repos import ImportRepos

MAX_LOG_CELLS, MAX_LOG_CELL_CHARS, MAX_LOG_BYTES = 64, 256, 8 * 1024**2
"""Cells of a row, characters of a cell and bytes in all that `csv_imports.logs` holds; the error CSV has everything."""
SEED_MESSAGE = "Deal Insertion failed."

log = logs.get(__name__)


async def write_report(
    app: App[ImportRepos],
    held: Mapping[str, Any],
    account_id: ObjectId,
    totals: Mapping[str, int],
    groups: Sequence[Mapping[str, Any]],
    **facts: object,
) -> None:
    """Write `csv_imports`; `groups` are the errors by code and column, `facts` other fields of it."""
    if is_dry_run(held) and held.get("plan"):
        found = await app.repos.chunks.stage_rows(account_id, held["_id"])
        facts |= {"dry_run": True, "outlook": await outlook(app, read_request(held), found)}
    await app.repos.csv_imports.write(
        account_id,
        held["_id"],
        await _first_errors(app, account_id, held["_id"]) if totals["failed"] else [],
        error_groups=list(groups),
        user_id=held.get("user_id"),
        total_records_added=totals["created"],
        total_errors=totals["failed"],
        warnings=held.get("plan", {}).get("warnings", [])
        + note_warnings(await app.repos.chunks.notes(account_id, held["_id"])),
        **facts,
    )


async def _first_errors(app: App[ImportRepos], account_id: ObjectId, import_id: ObjectId) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    bytes_left = MAX_LOG_BYTES
    async for error in app.repos.chunks.errors(account_id, import_id):
        records.append(_log_record(error))
        bytes_left -= len(bson.encode(records[-1]))
        if len(records) == app.settings.import_log_rows or bytes_left < 0:
            break
    return records


def _log_record(error: Mapping[str, Any]) -> dict[str, Any]:
    """An error as `csv_imports.logs` holds it; the message begins as the seed's, the reason alone is
    `additional_info`."""
    where = f"{error['column']}: " if error["column"] else ""
    return {
        "position": error["row"],
        "line": error["line"],
        "column": error["column"],
        "code": error["code"],
        "message": f"{SEED_MESSAGE} {where}{error['message']}",
        "additional_info": error["message"],
        "row": [cell[:MAX_LOG_CELL_CHARS] for cell in islice(error["cells"], MAX_LOG_CELLS)],
    }


async def write_error_csv(app: App[ImportRepos], held: Mapping[str, Any], account_id: ObjectId) -> str | None:
    """Write every row error and return the key; None when the storage refuses writing."""
    key = _error_csv_key(read_key(held), str(held["_id"]))
    try:
        await app.storage.put_stream(key, _error_lines(app, held, account_id))
    except Permanent as refused:
        # A storage that only grants reading must not keep the import from ending.
        log.warning("import.error_csv_refused", queue_id=str(held["_id"]), error=refused)
        return None
    return key


def _error_csv_key(key: str, import_id: str) -> str:
    """Return the key of the error CSV: beside the file, so that the permissions of the file apply to it."""
    return f"{key.removesuffix('.csv')}.errors-{import_id}.csv"


async def _error_lines(app: App[ImportRepos], held: Mapping[str, Any], account_id: ObjectId) -> AsyncIterator[bytes]:
    columns: Sequence[str] = held["plan"]["columns"]
    kept = _kept(held, columns)
    report = ErrorCsv([columns[place] for place in kept], held.get("dialect", {}).get("delimiter", ","))
    yield report.header()
    async for error in app.repos.chunks.errors(account_id, held["_id"]):
        cells = error["cells"] if len(kept) == len(columns) else _at(error["cells"], kept)
        yield report.line({**error, "cells": cells})


def _kept(held: Mapping[str, Any], columns: Sequence[str]) -> list[int]:
    """The places of the columns to repeat: those of a first report, which was corrected, are written anew."""
    own = OWN_COLUMNS if held["additional_data"].get("retry_of") else ()
    return [place for place, column in enumerate(columns) if column.strip() not in own]


def _at(cells: Sequence[str], places: Sequence[int]) -> list[str]:
    return [cells[place] if place < len(cells) else "" for place in places]
