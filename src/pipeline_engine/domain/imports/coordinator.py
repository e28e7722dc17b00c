"""Cuts the file of one import into chunks, a little ahead of the row jobs, and waits for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.claimed import Claim
from pipeline_engine.domain.imports.chunks import Piece
from pipeline_engine.domain.imports.ending import Ended, Ending, GoOn
from pipeline_engine.domain.imports.finish import figures
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.jobs import IMPORT, ROWS
from pipeline_engine.domain.imports.ownership import refuse_foreign
from pipeline_engine.domain.imports.records import Kind
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import ImportRequest
from pipeline_engine.domain.imports.source import OpenFile, open_file
from pipeline_engine.domain.imports.values import name_key
from pipeline_engine.errors import Unreachable
from pipeline_engine.repos.import_chunks import chunk_id
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import Imports

CRASHES = 3
"""So many processes may die on an import that gets nothing done in between."""
PIECE = 64 * 1024
"""Bytes cut in one go; the loop breathes between two."""
TICK = 1.0
"""Seconds between two looks at MongoDB; chunks that end in this process are known at once."""
REDISPATCH = 3.0
"""Seconds after which open chunks are dispatched again, lest Redis lost them."""

log = logs.get(__name__)


class _SliceOver(Exception):
    """Others wait, or the daemon stops: go on later."""


class _CancelRequested(Exception):
    """The user does not want the rest."""


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
        self._started = self._ticked = self._dispatched = time.monotonic()
        self._rows = 0
        self._bytes = 0
        self._open = 0
        """Open chunks as far as this process knows; MongoDB is asked once a second."""
        self._known = _settled(claim.document.get("progress") or {})
        """Rows that were settled when a run last said so."""
        self._ended = cache.ended.count(self._id)

    async def run(self) -> Ending:
        """Work until every row is settled, or something else has to come first.

        Raises: LeaseLost when somebody else took the import over, ImportRefused, and what storage and MongoDB raise.
        """
        if self._claim.document.get("cancel_requested"):
            return Ended("cancelled")
        await self._refuse_poison()
        await refuse_foreign(self._app, self._request)
        file = await open_file(self._app, self._claim.document, self._request)
        await self._claim.change(**file.stored, error=None)
        await self._app.repos.stages.give_keys(self._account, self._request.pipeline_id, name_key)
        return await self._work(file)

    async def _work(self, file: OpenFile) -> Ending:
        self._size = file.size
        try:
            await self._take_up()
            refusal = await self._cut(file)
            await self._settle()
        except _SliceOver:
            return GoOn()
        except _CancelRequested:
            return Ended("cancelled")
        await self._progress()
        return Ended("failed" if refusal else "completed", refusal)

    async def _refuse_poison(self) -> None:
        # A process may have died before it could say what it got done.
        if self._claim.document.get("crashes", 0) >= CRASHES and _settled(await self._figures()) <= self._known:
            raise ImportRefused(f"gave up: {CRASHES} processes ended while they ran this import", "poison")

    async def _take_up(self) -> None:
        """Go on where the last run ended: its open chunks are dispatched again, after a retry the others as well."""
        if self._claim.document.get("reopen"):
            await self._app.repos.chunks.reopen(self._account, self._id, "cancelled", "failed")
            await self._claim.change(reopen=False)
        await self._recount()
        await self._dispatch_open()
        await self._look()
        self._started = time.monotonic()  # the slice: however long it took to open the file, a run gets some of it done

    async def _cut(self, file: OpenFile) -> str | None:
        """Cut what is not cut yet. Returns why the rest of the file cannot be imported, if so."""
        last = await self._app.repos.chunks.last(self._account, self._id)
        cutter = file.cutter(last, self._app.settings.import_chunk_rows)
        start = last["end"] if last else file.header.start
        self._bytes, self._rows = start, last["first_row"] + last["rows"] - 1 if last else 0
        if last and last["kind"] == Kind.UNCLOSED:
            return _unclosed(last)
        if start >= file.size:
            return None
        async with aclosing(self._app.storage.stream(file.key, start, etag=file.etag)) as blocks:
            async for block in blocks:
                for part in _parts(block):
                    if refusal := await self._put(cutter.feed(part), file.etag):
                        return refusal
                    await asyncio.sleep(0)
        return await self._put(cutter.close(), file.etag)

    async def _put(self, pieces: Sequence[Piece], etag: str) -> str | None:
        """Write chunks down and dispatch them, as far as rows are allowed, and let the row jobs almost catch up."""
        most = self._app.settings.import_max_rows
        allowed = [piece for piece in pieces if piece.chunk.first_row + piece.chunk.rows - 1 <= most]
        if allowed:
            await self._write(allowed, etag)
            await self._wait(below=self._app.settings.import_chunks_ahead)
        if len(allowed) < len(pieces):
            return f"the file has more than {most} rows; those up to row {self._rows} are imported"
        last = pieces[-1].chunk if pieces else None
        return _unclosed(last._asdict()) if last and last.kind is Kind.UNCLOSED else None

    async def _write(self, pieces: Sequence[Piece], etag: str) -> None:
        self._claim.check()
        documents = [self._document(piece, etag) for piece in pieces]
        if not await self._app.repos.chunks.add(documents):
            raise _SliceOver  # an earlier run has cut on meanwhile: take up from where it got
        for piece, document in zip(pieces, documents, strict=True):
            self._cache.pieces.keep(document["_id"], piece, len(piece.data))
        last = pieces[-1].chunk
        self._bytes, self._rows = last.end, last.first_row + last.rows - 1
        self._open += len(pieces)
        await self._dispatch([document["_id"] for document in documents])

    def _document(self, piece: Piece, etag: str) -> dict[str, Any]:
        now = self._app.clock.now()
        owner = {"account_id": self._account, "queue_id": self._id, "etag": etag}
        state = {"state": "open", "createdAt": now, "updatedAt": now}
        return {"_id": chunk_id(self._id, piece.chunk.n), **owner, **piece.chunk._asdict(), **state}

    async def _dispatch(self, chunk_ids: Sequence[str]) -> None:
        try:
            await ROWS.enqueue(self._app.queue, chunk_ids)
            self._dispatched = time.monotonic()
        except Unreachable as error:
            # The chunks stand in MongoDB: they are dispatched again until somebody has done them.
            log.warning("chunks not dispatched", queue_id=str(self._id), error=error)

    async def _dispatch_open(self) -> None:
        await self._dispatch(await self._app.repos.chunks.open_ids(self._account, self._id))

    async def _settle(self) -> None:
        """Wait for the last chunk."""
        await self._wait(below=1)
        await self._recount()
        while self._open or await self._take_back():
            await self._wait(below=1)
            await self._recount()
        if broken := await self._app.repos.chunks.broken(self._account, self._id):
            raise ImportRefused(f"rows from {broken['first_row']} on could not be written: {broken['error']}", "rows")

    async def _take_back(self) -> int:
        """Open chunks again that a row job gave up because it had seen this import as ended before its retry."""
        reopened = await self._app.repos.chunks.reopen(self._account, self._id, "cancelled")
        if reopened:
            await self._dispatch_open()
            await self._recount()
        return reopened

    async def _wait(self, below: int) -> None:
        while True:
            await self._tick()
            if self._still_open() < below:
                return
            await self._cache.ended.wait(self._id, TICK)

    def _still_open(self) -> int:
        return self._open - (self._cache.ended.count(self._id) - self._ended)

    async def _recount(self) -> None:
        ended = self._cache.ended.count(self._id)
        self._open = await self._app.repos.chunks.open(self._account, self._id)
        self._ended = ended

    async def _tick(self) -> None:
        """Once a second: look around, and let others come first when the slice is over."""
        if time.monotonic() > self._ticked + TICK:
            await self._look()
            if await self._others_wait():
                raise _SliceOver

    async def _look(self) -> None:
        """Say how far we are, and hear whether to go on."""
        self._ticked = time.monotonic()
        await self._recount()
        await self._progress()
        if self._claim.document.get("cancel_requested"):
            raise _CancelRequested
        if self._app.stopping.is_set():
            raise _SliceOver
        if self._open and time.monotonic() > self._dispatched + REDISPATCH:
            await self._dispatch_open()

    async def _others_wait(self) -> bool:
        if time.monotonic() < self._started + self._app.settings.import_slice_seconds:
            return False
        try:
            return (await self._app.queue.counts([IMPORT.lane.name]))[IMPORT.lane.name].waiting > 0
        except Unreachable:
            return False

    async def _progress(self) -> None:
        read = {"bytes_read": self._bytes, "bytes_total": self._size, "rows_read": self._rows}
        progress = {**read, **await self._figures()}
        # An import that gets on is no poison, however many processes died on the way.
        calm = {"crashes": 0} if _settled(progress) > self._known else {}
        await self._claim.change(progress=progress, **calm)
        self._cache.tell_progress(self._app.sockets, self._request, progress)

    async def _figures(self) -> dict[str, int]:
        return figures(await self._app.repos.chunks.totals(self._account, self._id))


def _settled(progress: Mapping[str, int]) -> int:
    """Rows of which it is known what became of them."""
    return sum(progress.get(f"rows_{end}", 0) for end in ("added", "updated", "skipped", "failed"))


def _unclosed(chunk: Mapping[str, Any]) -> str:
    row, line = chunk["first_row"], chunk["first_line"]
    return f"row {row} (line {line}): a quote opens and never closes, so nobody can say where the next row begins"


def _parts(block: bytes) -> Iterator[bytes]:
    return (block[at : at + PIECE] for at in range(0, len(block), PIECE))
