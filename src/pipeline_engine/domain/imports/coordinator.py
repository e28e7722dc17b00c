"""Coordinates one import: cuts its file into chunks, a little ahead of the row jobs, and waits until they end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import MAX_CRASHES, Claim
from pipeline_engine.domain.imports.csv.chunks import Piece
from pipeline_engine.domain.imports.csv.late_encoding import decided
from pipeline_engine.domain.imports.csv.records import Kind
from pipeline_engine.domain.imports.csv.values import name_key
from pipeline_engine.domain.imports.ending import Ended, Ending, GoOn
from pipeline_engine.domain.imports.finish import figures, settled
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.jobs import IMPORT
from pipeline_engine.domain.imports.open_chunks import OpenChunks
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import ImportRequest, refuse_foreign, retry_root
from pipeline_engine.domain.imports.retry_rows import row_place
from pipeline_engine.domain.imports.source import OpenFile, open_file
from pipeline_engine.domain.imports.unclosed import unclosed_refusal
from pipeline_engine.errors import Unreachable
from pipeline_engine.repos.import_chunks import IMPORT_CHUNKS
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import Imports
from pipeline_engine.repos.quarantine import entry_id

PART_BYTES = 16 * 1024
"""Bytes cut in one go, up to 100 ms if all are stray quotes; between two parts other tasks get their turn."""
LOOK_SECONDS = 1.0
"""Time between two looks at MongoDB."""


class _SliceOver(Exception):
    """Other imports wait, or the daemon stops: a later run goes on from here."""


class _CancelRequested(Exception):
    """The user has cancelled the import."""


class _EncodingDecided(Exception):
    """Only now is it known how to read the file: its argument is the dialect."""


class Coordinator:
    """One run over an import."""

    def __init__(
        self, app: App[ImportRepos], cache: ImportCache, claim: Claim[Imports], request: ImportRequest
    ) -> None:
        self._app = app
        self._cache = cache
        self._claim = claim
        self._request = request
        self._id, self._account = request.id, request.account_id
        self._chunks = OpenChunks(app, cache, request)
        self._started = self._looked = time.monotonic()
        self._size = self._bytes = self._rows = 0
        """Bytes of the file; how many bytes and rows of it are cut."""
        self._settled_before = settled(claim.document.get("progress") or {})
        """Rows that were settled when an earlier run last stored its progress."""

    async def run(self) -> Ending:
        """Work until every row is settled, the slice is over or the import is cancelled. Returns which of these it is.

        Raises: LeaseLost when another run took the import over, ImportRefused, and what storage and MongoDB raise.
        """
        if self._claim.document.get("cancel_requested"):
            return Ended("cancelled")
        await self._refuse_poison()
        await refuse_foreign(self._app, self._request)
        root = await retry_root(self._app, self._request)
        file = await self._open()
        await self._claim.change(**file.stored, error=None, **({"retry_root": root} if root else {}))
        if not self._request.dry_run:
            await self._app.repos.stages.give_keys(self._account, self._request.pipeline_id, name_key)
        for field in self._request.unique_by[:1]:
            await self._app.repos.deals.index_by(field)
        return await self._work(file)

    async def _open(self) -> OpenFile:
        try:
            file = await open_file(self._app, self._claim.document, self._request)
            if self._request.retry_of:
                row_place(file.header.columns)
        except ImportRefused as refusal:
            if refusal.dialect:  # a person wants to know how the file was read
                await self._claim.change(dialect=dict(refusal.dialect))
            raise
        return file

    async def _work(self, file: OpenFile) -> Ending:
        self._size = file.size
        try:
            await self._take_up(file)
            refusal = await self._cut_all(file)
            await self._settle()
        except _SliceOver:
            return GoOn()
        except _CancelRequested:
            return Ended("cancelled")
        await self._store_progress()
        return Ended("failed" if refusal else "completed", refusal)

    async def _refuse_poison(self) -> None:
        """Crashes count only while no row gets done in between. Raises: ImportRefused after `MAX_CRASHES` of them."""
        # The figures are counted anew: a process may die after it settled rows and before it stored its progress.
        crashes = self._claim.document.get("crashes", 0)
        if crashes >= MAX_CRASHES and settled(await self._figures()) <= self._settled_before:
            raise ImportRefused(f"gave up: {MAX_CRASHES} processes ended while they ran this import", "poison")

    async def _take_up(self, file: OpenFile) -> None:
        """Dispatch the chunks that the last run left open; after a retry those it cancelled or gave up as well."""
        if self._claim.document.get("reopen"):
            if file.resume:
                await self._app.repos.chunks.drop_after(self._account, self._id, file.resume["kept"], file.etag)
            await self._app.repos.chunks.reopen(self._account, self._id, "cancelled", "failed")
            await self._claim.change(reopen=False)
        await self._chunks.recount()
        await self._chunks.dispatch()
        await self._look()
        # The slice begins here: however long it took to open the file, a run settles some of its rows.
        self._started = time.monotonic()

    async def _cut_all(self, file: OpenFile) -> str | None:
        """Cut what no earlier run has cut. Returns why the rest of the file cannot be imported, or None."""
        while True:
            try:
                return await self._cut(file)
            except _EncodingDecided as late:
                (dialect,) = late.args
                file = replace(file, dialect=dialect)
                await self._claim.change(dialect=dialect._asdict())

    async def _cut(self, file: OpenFile) -> str | None:
        last = file.last_cut(await self._app.repos.chunks.find_last(self._account, self._id))
        cutter = file.cutter(last, self._app.settings.import_chunk_rows)
        start = last["end"] if last else file.header.start
        self._bytes, self._rows = start, last["first_row"] + last["rows"] - 1 if last else 0
        if last and last["kind"] == Kind.UNCLOSED:
            return unclosed_refusal(last)
        if start >= file.size:
            return None
        async with aclosing(self._app.storage.stream(file.key, start, etag=file.etag)) as blocks:
            async for block in blocks:
                for part in _parts(block):
                    if refusal := await self._add(cutter.feed(part), file):
                        return refusal
                    await asyncio.sleep(0)
        return await self._add(cutter.close(), file)

    async def _add(self, pieces: Sequence[Piece], file: OpenFile) -> str | None:
        """Store and dispatch chunks up to the row limit, and let the row jobs almost catch up. Returns as `_cut_all`.

        Raises: _EncodingDecided before any of them is stored.
        """
        if dialect := decided(file.dialect, pieces):
            raise _EncodingDecided(dialect)
        max_rows = self._app.settings.import_max_rows
        allowed = [piece for piece in pieces if piece.chunk.first_row + piece.chunk.rows - 1 <= max_rows]
        for some in [[piece] for piece in allowed] if self._request.unique_by else [allowed] if allowed else []:
            await self._store(some, file.etag)
            await self._wait(below=1 if self._request.unique_by else self._app.settings.import_chunks_ahead)
        if len(allowed) < len(pieces):
            return (
                f"the file has more than {max_rows} rows; those up to row {self._rows} are imported: import the others "
                f"with a file of their own"
            )
        last = pieces[-1].chunk if pieces else None
        return unclosed_refusal(last._asdict()) if last and last.kind is Kind.UNCLOSED else None

    async def _store(self, pieces: Sequence[Piece], etag: str) -> None:
        self._claim.check()
        if not await self._chunks.add(pieces, etag):
            raise _SliceOver  # an earlier run has cut further meanwhile: the next one goes on behind its last chunk
        last = pieces[-1].chunk
        self._bytes, self._rows = last.end, last.first_row + last.rows - 1

    async def _settle(self) -> None:
        """Wait until no chunk is open. Raises: ImportRefused when a row job gave one up, or one is set aside."""
        await self._wait(below=1)
        # A row job cancels its chunk when it saw this import as ended, right before a retry: such a chunk runs again.
        while await self._chunks.recount() or await self._chunks.reopen("cancelled"):
            await self._wait(below=1)
        await self._refuse_set_aside()
        if broken := await self._app.repos.chunks.find_first_failed(self._account, self._id):
            raise ImportRefused(f"rows from {broken['first_row']} on could not be written: {broken['error']}", "rows")

    async def _refuse_set_aside(self) -> None:
        # No chunk counted as open just now: one that is open all the same was set aside, also if it is free again.
        if chunk := await self._app.repos.chunks.find_first_open(self._account, self._id):
            entry = entry_id(IMPORT_CHUNKS.name, chunk["_id"])
            rows = f"rows {chunk['first_row']} to {chunk['first_row'] + chunk['rows'] - 1}"
            mend = (
                f"`quarantine show {entry}` says why; mend it, `quarantine release {entry}`, `imports retry {self._id}`"
            )
            raise ImportRefused(f"{rows} could not be written, their chunk {chunk['_id']} is set aside: {mend}", "rows")

    async def _wait(self, below: int) -> None:
        """Return when fewer than `below` chunks are open. Once a second, look and let other imports have the place."""
        while True:
            if time.monotonic() > self._looked + LOOK_SECONDS:
                await self._look()
                await self._yield_place()
            if self._chunks.count < below:
                return
            await self._chunks.wait(LOOK_SECONDS)

    async def _look(self) -> None:
        """Store the progress and check whether to go on."""
        self._looked = time.monotonic()
        await self._chunks.recount()
        await self._store_progress()
        if self._claim.document.get("cancel_requested"):
            raise _CancelRequested
        if self._app.stopping.is_set():
            raise _SliceOver
        await self._chunks.dispatch_again()

    async def _yield_place(self) -> None:
        if time.monotonic() < self._started + self._app.settings.import_slice_seconds:
            return
        try:
            waiting = (await self._app.queue.counts([IMPORT.lane.name]))[IMPORT.lane.name].waiting
        except Unreachable:
            return
        if waiting > 0:
            raise _SliceOver

    async def _store_progress(self) -> None:
        read = {"bytes_read": self._bytes, "bytes_total": self._size, "rows_read": self._rows}
        progress = {**read, **await self._figures()}
        # An import that settles rows is not poison, however many processes died on the way.
        crashes = {"crashes": 0} if settled(progress) > self._settled_before else {}
        await self._claim.change(progress=progress, **crashes)
        self._cache.notify_progress(self._app.sockets, self._request, progress)

    async def _figures(self) -> dict[str, int]:
        return figures(await self._app.repos.chunks.totals(self._account, self._id))


def _parts(block: bytes) -> Iterator[bytes]:
    return (block[at : at + PART_BYTES] for at in range(0, len(block), PART_BYTES))
