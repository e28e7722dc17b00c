"""Opens the file of an import: where its rows begin, how to read them, and which column is which field.

What is found is stored on the queue document, so that later attempts and row jobs of any process read the file alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.imports.chunks import ChunkCutter
from pipeline_engine.domain.imports.detect import ENOUGH, Dialect, detect
from pipeline_engine.domain.imports.header import Header, find_header
from pipeline_engine.domain.imports.mapping import ColumnMap, compile_mapping
from pipeline_engine.domain.imports.object_key import import_key
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import ImportRequest, read_key
from pipeline_engine.providers.storage import ObjectInfo
from pipeline_engine.repos.import_repos import ImportRepos


@dataclass(frozen=True)
class OpenFile:
    """A file that is pinned to its ETag."""

    key: str
    etag: str
    size: int
    dialect: Dialect
    header: Header
    columns: ColumnMap

    @property
    def stored(self) -> dict[str, Any]:
        """The fields of the queue document that `reopen` reads."""
        plan = {"etag": self.etag, "size": self.size, **self.header._asdict()}
        warnings = [f"the file has no column {column!r}; its field stays empty" for column in self.columns.missing]
        return {"plan": {**plan, "warnings": warnings}, "dialect": self.dialect._asdict()}

    def cutter(self, last: Mapping[str, Any] | None, rows: int) -> ChunkCutter:
        """Cuts what comes behind the chunk `last` of the ledger, or all data rows, into chunks of so many rows."""
        separator = self.dialect.separator
        if last is None:
            return ChunkCutter(separator, start=self.header.start, line=self.header.line, rows=rows)
        return ChunkCutter(
            separator,
            start=last["end"],
            line=last["last_line"] + 1,
            n=last["n"] + 1,
            first_row=last["first_row"] + last["rows"],
            rows=rows,
        )


async def open_file(app: App[ImportRepos], held: Mapping[str, Any], request: ImportRequest) -> OpenFile:
    """Raises: ImportRefused, ObjectMissing, or Transient from the storage."""
    key = import_key(read_key(held), request.account_id, app.settings.import_key_prefix)
    last = await app.repos.chunks.last(request.account_id, request.id)
    if "plan" in held and _is_cut(held["plan"], last):
        return reopen(held, request)  # the file itself may be gone by now: an earlier run ended just after deleting it
    info = await app.storage.head(key)
    if "plan" in held and held["plan"]["etag"] == info.etag:
        return reopen(held, request)
    if last:
        raise ImportRefused("the file was replaced after some of its rows had been imported", "file_changed")
    if info.size > app.settings.import_max_bytes:
        raise ImportRefused(f"the file has {info.size} bytes; {app.settings.import_max_bytes} are allowed", "too_large")
    return await _look(app, info, request)


def _is_cut(plan: Mapping[str, Any], last: Mapping[str, Any] | None) -> bool:
    return bool((last["end"] if last else plan["start"]) >= plan["size"])


def reopen(held: Mapping[str, Any], request: ImportRequest) -> OpenFile:
    """The file as it was found when the import began."""
    plan, dialect = held["plan"], Dialect(**held["dialect"])
    header = Header(tuple(plan["columns"]), plan["start"], plan["line"])
    columns = compile_mapping(request.mappings, header.columns)
    return OpenFile(read_key(held), plan["etag"], plan["size"], dialect, header, columns)


async def _look(app: App[ImportRepos], info: ObjectInfo, request: ImportRequest) -> OpenFile:
    reach = ENOUGH
    while True:
        head = await app.storage.read(info.key, 0, min(reach, info.size), info.etag) if info.size else b""
        whole = len(head) == info.size
        dialect = detect(head, request.options, whole=whole)
        if header := find_header(head, dialect, whole=whole):
            columns = compile_mapping(request.mappings, header.columns)
            return OpenFile(info.key, info.etag, info.size, dialect, header, columns)
        reach *= 4
