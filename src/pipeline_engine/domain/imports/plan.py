"""Plans one import: opens the file, cuts it into chunks a little ahead of the row jobs, waits for them, ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.imports.belonging import refuse_foreign
from pipeline_engine.domain.imports.chunks import Piece
from pipeline_engine.domain.imports.desk import Desk
from pipeline_engine.domain.imports.finish import figures, finish
from pipeline_engine.domain.imports.opening import open_file
from pipeline_engine.domain.imports.records import Kind
from pipeline_engine.domain.imports.refusal import UNREADABLE, ImportRefused
from pipeline_engine.domain.imports.request import MISSING_KEY, read_request
from pipeline_engine.domain.imports.rows import close_chunk
from pipeline_engine.domain.imports.sweep import LANE
from pipeline_engine.domain.imports.values import name_key
from pipeline_engine.errors import Stale, Transient, Unreachable
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import LANES, NewJob, Outcome, Release
from pipeline_engine.lanes.verdict import brief, full
from pipeline_engine.repos.client import is_away
from pipeline_engine.repos.import_chunks import chunk_id

ROWS = "import.rows"
ROWS_LANE = LANES["deals.import.rows"].name
CRASHES = 3
"""So many processes may die on an import that gets nothing done in between."""
PIECE = 64 * 1024
"""Bytes cut in one go; the loop breathes between two."""
TICK = 1.0
"""Seconds between two looks at MongoDB; chunks that end in this process are known at once."""
REDISPATCH = 5.0
"""Seconds after which open chunks are dispatched again, lest Redis lost them."""
WORTH_ANOTHER_TRY = {MISSING_KEY, UNREADABLE}
"""Of all refusals the seed tries these again: the upload may not be through yet."""

log = logs.get(__name__)


class _SliceOver(Exception):
    """Others wait, or the daemon stops: go on later."""


class _CancelRequested(Exception):
    """The user does not want the rest."""


async def plan(app: App, desk: Desk, import_id: ObjectId) -> Outcome | None:
    """Run the import until it has ended, fails, or has to let others go first."""
    held = await app.imports.claim(import_id)
    if held is None:
        return None  # somebody else's, or no longer due
    with app.heartbeat.holding("queues", import_id):
        try:
            return await Planner(app, desk, held).run()
        finally:
            desk.ended.forget(import_id)


class Planner:
    """One run over an import that this process holds."""

    def __init__(self, app: App, desk: Desk, held: Mapping[str, Any]) -> None:
        self._app = app
        self._desk = desk
        self._held = dict(held)
        self._id: ObjectId = held["_id"]
        self._started = self._ticked = self._dispatched = time.monotonic()
        self._rows = 0
        self._bytes = 0
        self._open = 0
        """Open chunks as far as this process knows; MongoDB is asked once a second."""
        self._before = 0
        """Rows that earlier runs have settled."""
        self._ended = desk.ended.count(self._id)

    async def run(self) -> Outcome | None:
        """Raises: Stale when somebody else took the import over, and what MongoDB raises when it is away."""
        try:
            return await self._attempt()
        except Stale:
            raise
        except Exception as error:
            if is_away(error):
                raise
            return await self._failed(error)

    async def _attempt(self) -> Outcome | None:
        self._request = read_request(self._held)
        if self._held.get("cancel_requested"):
            return await self._give_up("cancelled")
        self._refuse_poison()
        await refuse_foreign(self._app, self._request)
        self._file = await open_file(self._app, self._held, self._request)
        await self._change({**self._file.stored, "error": None})
        await self._app.stages.give_keys(self._request.account_id, self._request.pipeline_id, name_key)
        return await self._work()

    async def _work(self) -> Outcome | None:
        try:
            await self._take_up()
            refusal = await self._cut()
            await self._settle()
        except _SliceOver:
            await self._app.imports.give_back(self._held)
            return Release()
        except _CancelRequested:
            return await self._give_up("cancelled")
        await self._progress()
        return await self._finish("failed" if refusal else "completed", refusal)

    async def _failed(self, error: Exception) -> Outcome | None:
        """Another attempt in a while, or the end when none is left or none can help."""
        settings, attempt = self._app.settings, self._held["attempts"]
        log.warning("import attempt failed", queue_id=str(self._id), attempt=attempt, error=brief(error))
        hopeless = isinstance(error, ImportRefused) and error.code not in WORTH_ANOTHER_TRY
        if hopeless or attempt >= settings.import_attempts:
            return await self._give_up("failed", full(error))
        await self._app.imports.give_back(self._held, status="pending", error=full(error))
        return Release(after=settings.import_retry_seconds)

    async def _give_up(self, status: str, error: str | None = None) -> Outcome | None:
        """End the import before its last row: what runs may end, nothing else starts."""
        if account_id := object_id(self._held.get("account_id")):
            await self._close_chunks(account_id)
        return await self._finish(status, error)

    async def _close_chunks(self, account_id: ObjectId) -> None:
        chunks = self._app.chunks
        while True:
            await self._change({})  # raises when the import is not ours any more
            await chunks.cancel_untouched(account_id, self._id)
            for chunk in await chunks.open_ids(account_id, self._id):
                await close_chunk(self._app, self._desk, chunk)
            if not await chunks.open(account_id, self._id):
                return
            await self._desk.ended.wait(self._id, TICK)

    async def _finish(self, status: str, error: str | None = None) -> Outcome | None:
        try:
            await finish(self._app, self._held, status, error)
        except Transient as unwritten:
            # Without its error CSV the report would not be whole: the storage is asked again until it answers.
            log.warning("import cannot be ended yet", queue_id=str(self._id), error=unwritten)
            await self._app.imports.give_back(self._held)
            return Release(after=self._app.settings.import_retry_seconds)
        return None

    def _refuse_poison(self) -> None:
        if self._held.get("crashes", 0) >= CRASHES:
            raise ImportRefused(f"gave up: {CRASHES} processes ended while they ran this import", "poison")

    async def _take_up(self) -> None:
        """Go on where the last run ended: its open chunks are dispatched again, after a retry the others as well."""
        if self._held.get("reopen"):
            await self._app.chunks.reopen(self._request.account_id, self._id, "cancelled", "failed")
            await self._change({"reopen": False})
        self._before = sum((await self._app.chunks.totals(self._request.account_id, self._id)).values())
        await self._recount()
        await self._dispatch(await self._app.chunks.open_ids(self._request.account_id, self._id))
        await self._tick(now=True)

    async def _cut(self) -> str | None:
        """Cut what is not cut yet. Returns why the rest of the file cannot be imported, if so."""
        file, last = self._file, await self._app.chunks.last(self._request.account_id, self._id)
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
                    if refusal := await self._put(cutter.feed(part)):
                        return refusal
                    await asyncio.sleep(0)
        return await self._put(cutter.close())

    async def _put(self, pieces: Sequence[Piece]) -> str | None:
        """Write chunks down, dispatch them, and wait until the row jobs have almost caught up."""
        if not pieces:
            return None
        most = self._app.settings.import_max_rows
        if self._rows + sum(piece.chunk.rows for piece in pieces) > most:
            return f"the file has more than {most} rows; those up to row {self._rows} are imported"
        if not self._app.heartbeat.trusted:
            raise Stale(f"import {self._id}: the lease may have run out")
        documents = [self._document(piece) for piece in pieces]
        if not await self._app.chunks.add(documents):
            raise _SliceOver  # an earlier run has cut on meanwhile: take up from where it got
        for piece, document in zip(pieces, documents, strict=True):
            self._desk.pieces.keep(document["_id"], piece, len(piece.data))
        last = pieces[-1].chunk
        self._bytes, self._rows = last.end, last.first_row + last.rows - 1
        self._open += len(pieces)
        await self._dispatch([document["_id"] for document in documents])
        await self._wait(below=self._app.settings.import_chunks_ahead)
        return _unclosed(documents[-1]) if last.kind is Kind.UNCLOSED else None

    def _document(self, piece: Piece) -> dict[str, Any]:
        now = self._app.clock.now()
        owner = {"account_id": self._request.account_id, "queue_id": self._id, "etag": self._file.etag}
        state = {"state": "open", "createdAt": now, "updatedAt": now}
        return {"_id": chunk_id(self._id, piece.chunk.n), **owner, **piece.chunk._asdict(), **state}

    async def _dispatch(self, chunk_ids: Sequence[str]) -> None:
        self._dispatched = time.monotonic()
        try:
            await self._app.queue.enqueue_many(ROWS_LANE, [NewJob(ROWS, (id,), id=id) for id in chunk_ids])
        except Unreachable as error:
            # The chunks stand in MongoDB: they are dispatched again until somebody has done them.
            log.warning("chunks not dispatched", queue_id=str(self._id), error=error)

    async def _settle(self) -> None:
        """Wait for the last chunk."""
        await self._wait(below=1)
        await self._recount()
        while self._open or await self._take_back():
            await self._wait(below=1)
            await self._recount()
        if broken := await self._app.chunks.broken(self._request.account_id, self._id):
            raise ImportRefused(f"rows from {broken['first_row']} on could not be written: {broken['error']}", "rows")

    async def _take_back(self) -> int:
        """Open chunks again that a row job gave up because it had seen this import as ended before its retry."""
        reopened = await self._app.chunks.reopen(self._request.account_id, self._id, "cancelled")
        if reopened:
            await self._dispatch(await self._app.chunks.open_ids(self._request.account_id, self._id))
            await self._recount()
        return reopened

    async def _wait(self, below: int) -> None:
        while True:
            await self._tick()
            if self._still_open() < below:
                return
            await self._desk.ended.wait(self._id, TICK)

    def _still_open(self) -> int:
        return self._open - (self._desk.ended.count(self._id) - self._ended)

    async def _recount(self) -> None:
        ended = self._desk.ended.count(self._id)
        self._open = await self._app.chunks.open(self._request.account_id, self._id)
        self._ended = ended

    async def _tick(self, now: bool = False) -> None:
        """Once a second: say how far we are, and hear whether to go on."""
        if time.monotonic() < self._ticked + TICK and not now:
            return
        self._ticked = time.monotonic()
        await self._recount()
        await self._progress()
        if self._held.get("cancel_requested"):
            raise _CancelRequested
        if self._desk.stopping or await self._others_wait():
            raise _SliceOver
        if self._open and time.monotonic() > self._dispatched + REDISPATCH:
            await self._dispatch(await self._app.chunks.open_ids(self._request.account_id, self._id))

    async def _others_wait(self) -> bool:
        if time.monotonic() < self._started + self._app.settings.import_slice_seconds:
            return False
        try:
            return (await self._app.queue.counts([LANE.name]))[LANE.name].waiting > 0
        except Unreachable:
            return False

    async def _progress(self) -> None:
        totals = await self._app.chunks.totals(self._request.account_id, self._id)
        read = {"bytes_read": self._bytes, "bytes_total": self._file.size, "rows_read": self._rows}
        progress = {**read, **figures(totals)}
        # A run that gets something done is no poison, however many processes died on the way.
        calm = {"crashes": 0} if sum(totals.values()) > self._before else {}
        await self._change({"progress": progress, **calm})
        self._desk.tell_progress(self._app.sockets, self._request, progress)

    async def _change(self, changes: dict[str, Any]) -> None:
        held = await self._app.imports.change(self._held, changes)
        if held is None:
            raise Stale(f"import {self._id} was taken over")
        self._held = held


def _unclosed(chunk: Mapping[str, Any]) -> str:
    row, line = chunk["first_row"], chunk["first_line"]
    return f"row {row} (line {line}): a quote opens and never closes, so nobody can say where the next row begins"


def _parts(block: bytes) -> Iterator[bytes]:
    return (block[at : at + PIECE] for at in range(0, len(block), PIECE))
