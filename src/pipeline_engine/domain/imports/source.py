"""Opens the file of an import: where its rows begin, how to read them, and which column is which field.

The first run stores what it finds on the queue document, so that later runs and row jobs of any process read the file
alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.imports.column_types import decide_rules, sample_rows
from pipeline_engine.domain.imports.csv.chunks import ChunkCutter
from pipeline_engine.domain.imports.csv.columns import ValueRules
from pipeline_engine.domain.imports.csv.dialect import SAMPLE_BYTES, Dialect, detect
from pipeline_engine.domain.imports.csv.error_csv import is_report, unguarded
from pipeline_engine.domain.imports.csv.header import Header, find_header
from pipeline_engine.domain.imports.csv.mapping import ColumnMap, compile_mapping, wanted_columns
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import ImportRequest, check_key, read_key
from pipeline_engine.providers.storage_object import ObjectInfo
from pipeline_engine.repos.import_repos import ImportRepos


@dataclass(frozen=True)
class OpenFile:
    """A file in the version that its ETag names: no read mixes bytes of two versions."""

    key: str
    etag: str
    size: int
    dialect: Dialect
    header: Header
    columns: ColumnMap
    rules: ValueRules = field(default_factory=ValueRules)

    @property
    def is_report(self) -> bool:
        """Whether it is the error CSV of an import, whose cells may carry a guard."""
        return is_report(self.header.columns)

    @property
    def stored(self) -> dict[str, Any]:
        """The fields of the queue document from which `stored_file` makes this object again."""
        plan: dict[str, Any] = {"etag": self.etag, "size": self.size, **self.header._asdict()}
        warnings = [f"the file has no column {column!r}; its field stays empty" for column in self.columns.missing]
        plan |= {"values": self.rules.stored, "warnings": [*warnings, *self.rules.warnings]}
        return {"plan": plan, "dialect": self.dialect._asdict()}

    def cutter(self, last: Mapping[str, Any] | None, rows: int) -> ChunkCutter:
        """Return a cutter for the rows behind the stored chunk `last`, or for all, into chunks of at most `rows`."""
        width = len(self.columns.columns)
        if last is None:
            return ChunkCutter(self.dialect, width=width, start=self.header.start, line=self.header.line, rows=rows)
        return ChunkCutter(
            self.dialect,
            width=width,
            start=last["end"],
            line=last["last_line"] + 1,
            n=last["n"] + 1,
            first_row=last["first_row"] + last["rows"],
            rows=rows,
        )


async def open_file(app: App[ImportRepos], queue: Mapping[str, Any], request: ImportRequest) -> OpenFile:
    """Return the file as an earlier run stored it, or inspect it now.

    Raises: ImportRefused `bad_key`, `file_changed`, `too_large` and those of `detect`, `find_header` and
    `compile_mapping`; ObjectMissing; Transient when the storage is away.
    """
    key = check_key(read_key(queue), request.account_id, app.settings.import_key_prefix)
    last = await app.repos.chunks.find_last(request.account_id, request.id)
    if "plan" in queue and _is_cut(queue["plan"], last):
        # The object may be gone by now: a run that crashed right before the end may have deleted it already.
        return stored_file(queue, request)
    info = await app.storage.head(key)
    if "plan" in queue and queue["plan"]["etag"] == info.etag:
        return stored_file(queue, request)
    if last:
        raise ImportRefused("the file was replaced after some of its rows had been imported", "file_changed")
    if info.size > app.settings.import_max_bytes:
        raise ImportRefused(f"the file has {info.size} bytes; {app.settings.import_max_bytes} are allowed", "too_large")
    return await _with_rules(app, await _inspect(app, info, request), request)


def _is_cut(plan: Mapping[str, Any], last: Mapping[str, Any] | None) -> bool:
    return bool((last["end"] if last else plan["start"]) >= plan["size"])


def stored_file(queue: Mapping[str, Any], request: ImportRequest) -> OpenFile:
    """Return the file as the run that opened it first stored it on the queue document."""
    plan, dialect = queue["plan"], Dialect.read(queue["dialect"])
    header = Header(tuple(plan["columns"]), plan["start"], plan["line"])
    columns = compile_mapping(request.mappings, header.columns)
    return OpenFile(
        read_key(queue), plan["etag"], plan["size"], dialect, header, columns, ValueRules.of(plan.get("values"))
    )


async def _inspect(app: App[ImportRepos], info: ObjectInfo, request: ImportRequest) -> OpenFile:
    size = SAMPLE_BYTES
    while True:
        head = await app.storage.read(info.key, 0, min(size, info.size), info.etag) if info.size else b""
        whole = len(head) == info.size
        dialect = detect(head, request.options, wanted_columns(request.mappings), whole=whole)
        if header := find_header(head, dialect, whole=whole):
            header = header._replace(columns=unguarded(header.columns))
            columns = compile_mapping(request.mappings, header.columns)
            return OpenFile(info.key, info.etag, info.size, dialect, header, columns)
        size *= 4


async def _with_rules(app: App[ImportRepos], file: OpenFile, request: ImportRequest) -> OpenFile:
    """The file with the rules for its values, by a sample of its rows."""
    start, end = file.header.start, min(file.size, file.header.start + SAMPLE_BYTES)
    data = await app.storage.read(file.key, start, end, file.etag) if end > start else b""
    cutter = file.cutter(None, app.settings.import_chunk_rows)
    rows = await sample_rows(file.columns, file.dialect, cutter, data, whole=end == file.size)
    return replace(file, rules=await decide_rules(app, request, file.columns, file.dialect, rows))
