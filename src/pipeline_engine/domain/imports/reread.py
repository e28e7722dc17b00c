"""A retry whose file was replaced: rows that are settled stay, and the new file is read behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.chunks import MAX_ROWS, Piece
from pipeline_engine.domain.imports.csv.recoder import Recoder
from pipeline_engine.domain.imports.csv.records import Kind
from pipeline_engine.domain.imports.request import ImportRequest
from pipeline_engine.repos.import_repos import ImportRepos

if TYPE_CHECKING:
    from pipeline_engine.domain.imports.source import OpenFile

PART_BYTES = 16 * 1024


async def resume_behind(
    app: App[ImportRepos], request: ImportRequest, file: OpenFile, last: Mapping[str, Any]
) -> dict[str, Any]:
    """Return where to go on in the new version `file`: what a chunk behind the settled rows would say of itself.

    `last` is the last stored chunk, `kept` the number of the last chunk that stays: all up to there are done. Chunks
    behind it are cut anew; their deals, if there are any, count as created when their rows come again.
    """
    kept = await app.repos.chunks.find_last_settled(request.account_id, request.id, Kind.UNCLOSED)
    rows = kept["first_row"] + kept["rows"] - 1 if kept else 0
    end, line = await _end_of_row(app, file, rows)
    # Chunks go on with a new number, so that no process takes an old one, which it may still hold, for a new one.
    place = {"first_row": rows + 1, "rows": 0, "end": end, "last_line": line, "kind": Kind.OK.value}
    return {"n": last["n"], "kept": kept["n"] if kept else -1, **place}


async def _end_of_row(app: App[ImportRepos], file: OpenFile, rows: int) -> tuple[int, int]:
    """The offset behind that row of the file, and its last line; the end of the file when it has fewer rows."""
    if not rows:
        return file.header.start, file.header.line - 1
    cutter = file.cutter(None, MAX_ROWS)
    line = file.header.line - 1
    async with aclosing(app.storage.stream(file.key, file.header.start, etag=file.etag)) as blocks:
        async for block in blocks:
            for at in range(0, len(block), PART_BYTES):
                for piece in cutter.feed(block[at : at + PART_BYTES]):
                    if found := _end_within(piece, rows, file):
                        return found
                    line = piece.chunk.last_line
                await asyncio.sleep(0)
    for piece in cutter.close():
        if found := _end_within(piece, rows, file):
            return found
        line = piece.chunk.last_line
    return file.size, line


def _end_within(piece: Piece, row: int, file: OpenFile) -> tuple[int, int] | None:
    chunk = piece.chunk
    if row >= chunk.first_row + chunk.rows:
        return None
    record = piece.records[row - chunk.first_row]
    before = piece.data[: record.end - chunk.start]
    end = (
        chunk.start + Recoder(file.dialect.encoding).raw_length(before) if len(before) < len(piece.data) else chunk.end
    )
    return end, record.line + record.lines - 1
