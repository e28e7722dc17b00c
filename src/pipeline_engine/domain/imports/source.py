"""Opens the file of an import: where its rows begin, how to read them, and which column is which field.

The first run stores what it finds on the queue document, so that later runs and row jobs of any process read the file
alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.column_types import decide_rules, sample_rows
from pipeline_engine.domain.imports.csv.chunks import ChunkCutter
from pipeline_engine.domain.imports.csv.columns import ValueRules
from pipeline_engine.domain.imports.csv.dialect import SAMPLE_BYTES, Dialect
from pipeline_engine.domain.imports.csv.error_csv import is_report
from pipeline_engine.domain.imports.csv.header import Header
from pipeline_engine.domain.imports.csv.in_words import left_out_in_words
from pipeline_engine.domain.imports.csv.inspection import inspect
from pipeline_engine.domain.imports.csv.mapping import ColumnMap, compile_mapping
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import ImportRequest, check_key, read_key
from pipeline_engine.domain.imports.reread import resume_behind
from pipeline_engine.providers.storage_errors import ObjectMissing
from pipeline_engine.providers.storage_object import ObjectInfo
from pipeline_engine.repos.import_repos import ImportRepos

MIN_SAMPLE_BYTES = SAMPLE_BYTES // 2
"""Bytes behind the header that the rules for values are decided by, where the file has so many."""
CHANGED = (
    "the file was replaced after some of its rows had been imported; `imports retry` keeps the rows that are in and "
    "reads the new file behind them"
)


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
    resume: Mapping[str, Any] | None = None
    """Where a retry goes on in a file that was replaced: see `reread.resume_behind`."""
    dry_run: bool = False
    repeats: ObjectId | None = None
    """An earlier import of the same file."""

    @property
    def is_report(self) -> bool:
        """Whether it is the error CSV of an import, whose cells may carry a guard."""
        return is_report(self.header.columns)

    @property
    def stored(self) -> dict[str, Any]:
        """The fields of the queue document from which `stored_file` makes this object again."""
        facts = {"etag": self.etag, "size": self.size, "resume": self.resume, "dry_run": self.dry_run}
        facts["repeats"] = self.repeats
        warnings = [f"the file has no column {column!r}; its field stays empty" for column in self.columns.missing]
        warnings += left_out_in_words(self.dialect._asdict())
        if self.resume:
            warnings.append(
                f"the file was replaced: rows up to {self.resume['first_row'] - 1} are those of the file before it"
            )
        if self.repeats:
            warnings.append(f"the same file was imported before, by import {self.repeats}")
        found = {"values": self.rules.stored, "warnings": [*warnings, *self.rules.warnings]}
        return {"plan": {**facts, **self.header._asdict(), **found}, "dialect": self.dialect._asdict()}

    def last_cut(self, last: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return behind what to go on in this version of the file; `last` is the last stored chunk of any version."""
        return _last_cut(self.etag, self.resume, last)

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

    After a retry by hand a file that was replaced is read behind the rows that are settled.

    Raises: ImportRefused `bad_key`, `file_changed`, `too_large`, `options` and those of `inspect`; ObjectMissing;
    Transient when the storage is away.
    """
    key = check_key(read_key(queue), request.account_id, app.settings.import_key_prefix)
    last = await app.repos.chunks.find_last(request.account_id, request.id)
    if last and "plan" in queue and bool(queue["plan"].get("dry_run")) != request.dry_run:
        raise ImportRefused("additional_data.dry_run was changed after rows were read: submit the file anew", "options")
    info = await _head(app, queue, key, last)
    if info is None or ("plan" in queue and queue["plan"]["etag"] == info.etag):
        return stored_file(queue, request)
    if last and not queue.get("reopen"):
        raise ImportRefused(CHANGED, "file_changed")
    if info.size > app.settings.import_max_bytes:
        raise ImportRefused(f"the file has {info.size} bytes; {app.settings.import_max_bytes} are allowed", "too_large")
    file, _ = await inspect_object(app, info, request)
    if last:
        return replace(file, resume=await resume_behind(app, request, file, last))
    return replace(file, repeats=await app.repos.imports.find_same_file(request.account_id, request.id, info.etag))


async def _head(
    app: App[ImportRepos], queue: Mapping[str, Any], key: str, last: Mapping[str, Any] | None
) -> ObjectInfo | None:
    """The object as it is now; None when it need not be there any more, as all of it is cut."""
    is_cut = "plan" in queue and _is_cut(queue["plan"], last)
    # A run that crashed right before the end may have deleted the object already.
    if is_cut and not queue.get("reopen"):
        return None
    try:
        return await app.storage.head(key)
    except ObjectMissing:
        if is_cut:
            return None
        raise


def _is_cut(plan: Mapping[str, Any], last: Mapping[str, Any] | None) -> bool:
    behind = _last_cut(plan["etag"], plan.get("resume"), last)
    return bool((behind["end"] if behind else plan["start"]) >= plan["size"])


def _last_cut(etag: str, resume: Mapping[str, Any] | None, last: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    # Without a `resume`, no chunk of another version was kept.
    return last if resume is None or (last and last["etag"] == etag) else resume


def stored_file(queue: Mapping[str, Any], request: ImportRequest) -> OpenFile:
    """Return the file as the run that opened it first stored it on the queue document."""
    plan, dialect = queue["plan"], Dialect.read(queue["dialect"])
    header = Header(tuple(plan["columns"]), plan["start"], plan["line"])
    columns = compile_mapping(request.mappings, header.columns)
    return OpenFile(
        read_key(queue),
        plan["etag"],
        plan["size"],
        dialect,
        header,
        columns,
        ValueRules.of(plan.get("values")),
        plan.get("resume"),
        bool(plan.get("dry_run")),
        plan.get("repeats"),
    )


async def inspect_object(app: App[ImportRepos], info: ObjectInfo, request: ImportRequest) -> tuple[OpenFile, bytes]:
    """Return the file and the bytes at its beginning that were looked at. Raises: ImportRefused as `inspect`."""
    size = SAMPLE_BYTES
    while True:
        head = await app.storage.read(info.key, 0, min(size, info.size), info.etag) if info.size else b""
        # Up to 150 ms for a hostile file, in which other tasks go on.
        found = await asyncio.to_thread(inspect, head, request.options, request.mappings, whole=len(head) == info.size)
        if found:
            file = OpenFile(info.key, info.etag, info.size, *found, dry_run=request.dry_run)
            return await _with_rules(app, file, request, head), head
        size *= 4


async def _with_rules(app: App[ImportRepos], file: OpenFile, request: ImportRequest, head: bytes) -> OpenFile:
    """The file with the rules for its values, by a sample of its rows; `head` are the bytes at its beginning."""
    start, end = file.header.start, min(file.size, file.header.start + SAMPLE_BYTES)
    if len(head) < min(end, start + MIN_SAMPLE_BYTES):
        head = await app.storage.read(file.key, 0, end, file.etag)
    data = head[start:end]
    cutter = file.cutter(None, app.settings.import_chunk_rows)
    rows = await sample_rows(file.columns, file.dialect, cutter, data, whole=start + len(data) == file.size)
    return replace(file, rules=await decide_rules(app, request, file.columns, file.dialect, rows))
