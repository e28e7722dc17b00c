"""Makes submissions of the rows of Google Sheets that forms write into, each row once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec
from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import EveryMinutes
from pipeline_engine.domain.provider_rate import take_call
from pipeline_engine.domain.sheets.alignment import KnownRow, PlacedRow, align
from pipeline_engine.domain.sheets.mapping import SheetMapping, read_mapping
from pipeline_engine.domain.sheets.rows import SheetRow, column_names, read_rows
from pipeline_engine.domain.sheets.submit import SheetForm, submit
from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.ids import fingerprint
from pipeline_engine.lanes.classify_error import full
from pipeline_engine.providers.sheets import Rows
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.repos.sheet_syncs import Seen, unpack
from pipeline_engine.settings import Settings

MAX_PENDING = 500
"""Rows that are stored as pending at once."""
MAX_PENDING_CHARS = 2_000_000

log = logs.get(__name__)


async def run(work: JobWork) -> JobResult:
    """Read the sheet of each form. One that cannot be read is logged and keeps no other from being read.

    Raises: RateLimited when Google's quota is used up.
    """
    done, failed, cursor = 0, 0, dict(work.cursor)
    while forms := await work.app.repos.sheet_syncs.forms(work.account_id, cursor.get("after", "")):
        for form in forms:
            if work.is_over:
                return JobResult(done, failed, more=True, cursor=cursor)
            try:
                count, is_complete = await _sync(work, form)
            except RateLimited:
                if cursor == work.cursor:
                    raise
                return JobResult(done, failed, more=True, cursor=cursor)  # so that these are not read again
            except (Permanent, Transient) as error:
                await _note(work, form, error)
                count, is_complete, failed = 0, True, failed + 1
            done += count
            if not is_complete:
                return JobResult(done, failed, more=True, cursor=cursor)
            cursor = {"after": form["_id"]}
    return JobResult(done, failed)


async def _note(work: JobWork, form: Document, error: Exception) -> None:
    log.warning("sheet.not_read", form_id=str(form["_id"]), account_id=str(work.account_id), reason=full(error))
    await work.app.repos.sheet_syncs.get(work.account_id, form["_id"])
    await work.app.repos.sheet_syncs.set_error(work.account_id, form["_id"], full(error))


async def _sync(work: JobWork, document: Document) -> tuple[int, bool]:
    """How many submissions were made, and whether the sheet is done. Raises: RateLimited, Transient, Permanent."""
    mapping = read_mapping(document["google_sheet"])
    form = SheetForm(work.app, work.account_id, document["_id"], mapping)
    repo = work.app.repos.sheet_syncs
    values = await _read(work, mapping)
    mapping.check(values)
    digest = await asyncio.to_thread(_digest, values, mapping)
    sync, count = await repo.get(work.account_id, form.id), 0
    while True:
        if pending := sync.get("pending"):
            work.check()
            await submit(form, pending)
            count += sum(one["is_new"] for one in pending)
            if not await repo.settle(sync):
                raise Transient("another run reads the same sheet")
        elif sync.get("digest") == digest and sync.get("headers") is not None:
            if sync.get("error"):
                await repo.set_error(work.account_id, form.id, None)
            return count, True
        else:
            await _take_up(work, sync, values, digest)
        if work.is_over:
            return count, False
        sync = await repo.get(work.account_id, form.id)


async def _read(work: JobWork, mapping: SheetMapping) -> Rows:
    settings, sheets = work.app.settings, work.app.integrations.sheets
    # The narrower limit comes first, so that what it refuses takes nothing from the other.
    await take_call(work.app, "google", f"reads:{fingerprint(sheets.user).hex()}", settings.google_reads_per_user)
    await take_call(work.app, "google", "reads", settings.google_reads_per_minute)
    work.check()
    return await sheets.read(mapping.spreadsheet_id, mapping.range)


async def _take_up(work: JobWork, sync: Document, values: Rows, digest: str) -> None:
    """Store the next rows that are new or were edited as pending. Raises: Transient when another run did so."""
    headers = [str(name) for name in sync.get("headers") or ()]
    seen, pending, is_all = await asyncio.to_thread(_next_rows, sync.get("rows"), values, headers)
    work.check()
    # Rows that have still to be taken up are known by the headers of the last look.
    whole = (digest, column_names(values)) if is_all else ("", headers)
    if not await work.app.repos.sheet_syncs.save(sync, seen, pending, *whole):
        raise Transient("another run reads the same sheet")


def _next_rows(stored: object, values: Rows, headers: Sequence[str] = ()) -> tuple[Seen, list[Document], bool]:
    """The rows seen after this, those of them that are pending, and whether these are all rows of the sheet."""
    known = [KnownRow(key, frozenset(prints)) for key, prints in unpack(stored)]
    placed = align(known, read_rows(values, headers))
    taken = _taken([one for one in placed if one.is_changed])
    keys = {one.key for one in taken}
    seen = [kept for one in placed if (kept := _seen(one, one.key in keys))]
    pending = [{"key": one.key, "cells": dict(one.row.cells), "is_new": one.known is None} for one in taken]
    return seen, pending, len(taken) == sum(one.is_changed for one in placed)


def _taken(changed: Sequence[PlacedRow]) -> list[PlacedRow]:
    """As many of the rows as one document holds. Raises: Permanent `too_large` when the first alone is too large."""
    taken: list[PlacedRow] = []
    chars = 0
    for one in changed[:MAX_PENDING]:
        chars += _size(one.row)
        if chars > MAX_PENDING_CHARS and not taken:
            raise Permanent(f"a row has more than {MAX_PENDING_CHARS:,} characters: name a smaller range", "too_large")
        if chars > MAX_PENDING_CHARS:
            break
        taken.append(one)
    return taken


def _size(row: SheetRow) -> int:
    return sum(len(name) + len(text) for name, text in row.cells.items())


def _seen(placed: PlacedRow, is_taken: bool) -> tuple[str, list[bytes]] | None:
    """The row as it is kept for the next look: a new one only when it is taken, an edited one else as it was."""
    if is_taken or not placed.is_changed:
        return placed.key, sorted(placed.row.prints)
    return (placed.key, sorted(placed.known.prints)) if placed.known else None


def _digest(values: Rows, mapping: SheetMapping) -> str:
    content: Any = [values, mapping.columns, mapping.range, mapping.spreadsheet_id]
    return blake2b(msgspec.json.encode(content), digest_size=16).hexdigest()


def needs(settings: Settings) -> str | None:
    return None if settings.google_service_account_file else "GOOGLE_SERVICE_ACCOUNT_FILE is not set"


async def concerns(repos: JobRepos, _now: datetime) -> Set[ObjectId]:
    return await repos.sheet_syncs.accounts()


JOB = CrmJob("crm.sheet_sync", EveryMinutes(10), run, needs, concerns=concerns)
