"""The chunks of one import that have not ended, as its coordinator sees them: stored, dispatched, counted, awaited."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.chunks import Piece
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.jobs import ROWS
from pipeline_engine.domain.imports.request import ImportRequest
from pipeline_engine.errors import Unreachable
from pipeline_engine.repos.import_chunks import chunk_id
from pipeline_engine.repos.import_repos import ImportRepos

REDISPATCH_SECONDS = 3.0
"""After this time open chunks are dispatched again, in case Redis lost their jobs."""

log = logs.get(__name__)


class OpenChunks:
    """MongoDB has the truth and is asked by `recount`; in between, chunks that end in this process are subtracted."""

    def __init__(self, app: App[ImportRepos], cache: ImportCache, request: ImportRequest) -> None:
        self._app = app
        self._cache = cache
        self._id, self._account = request.id, request.account_id
        self._counted = 0
        self._ended = cache.ended.count(self._id)
        """What `cache.ended` said when `_counted` was right."""
        self._dispatched_at = time.monotonic()

    @property
    def count(self) -> int:
        """Open chunks as far as this process knows; never fewer than there are."""
        return self._counted - (self._cache.ended.count(self._id) - self._ended)

    async def recount(self) -> int:
        """Return how many chunks are open in MongoDB, and count on from there."""
        ended = self._cache.ended.count(self._id)  # first: a chunk that ends meanwhile is subtracted later
        self._counted = await self._app.repos.chunks.count_open(self._account, self._id)
        self._ended = ended
        return self._counted

    async def wait(self, timeout: float) -> None:
        """Return when a chunk has ended in this process, after `timeout` seconds at the latest."""
        await self._cache.ended.wait(self._id, timeout)

    async def add(self, pieces: Sequence[Piece], etag: str) -> bool:
        """Store new chunks and dispatch them. Returns False when another run has stored one of them already."""
        documents = [self._document(piece, etag) for piece in pieces]
        if not await self._app.repos.chunks.add(documents):
            return False
        for piece, document in zip(pieces, documents, strict=True):
            self._cache.pieces.keep(document["_id"], piece, len(piece.data))
        self._counted += len(pieces)
        await self._dispatch([document["_id"] for document in documents])
        return True

    def _document(self, piece: Piece, etag: str) -> dict[str, Any]:
        now = self._app.clock.now()
        owner = {"account_id": self._account, "queue_id": self._id, "etag": etag}
        state = {"state": "open", "createdAt": now, "updatedAt": now}
        return {"_id": chunk_id(self._id, piece.chunk.n), **owner, **piece.chunk._asdict(), **state}

    async def reopen(self, *states: str) -> int:
        """Open the chunks in these states again and dispatch them. Returns how many there were."""
        reopened = await self._app.repos.chunks.reopen(self._account, self._id, *states)
        if reopened:
            await self.dispatch()
            await self.recount()
        return reopened

    async def dispatch(self) -> None:
        """Dispatch every open chunk that no run holds; one whose job still waits in the lane is not doubled."""
        await self._dispatch(await self._app.repos.chunks.open_ids(self._account, self._id))

    async def dispatch_again(self) -> None:
        """The same, if chunks are open and the last dispatch is `REDISPATCH_SECONDS` ago."""
        if self._counted and time.monotonic() > self._dispatched_at + REDISPATCH_SECONDS:
            await self.dispatch()

    async def _dispatch(self, chunk_ids: Sequence[str]) -> None:
        try:
            await ROWS.enqueue(self._app.queue, chunk_ids)
            self._dispatched_at = time.monotonic()
        except Unreachable as error:
            # MongoDB has the chunks, so `dispatch_again` repeats this until they have ended.
            log.warning("import.dispatch_failed", queue_id=str(self._id), error=error)
