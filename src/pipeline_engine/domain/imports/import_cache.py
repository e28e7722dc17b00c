"""What one process remembers of running imports, so that coordinator and row jobs need not ask for it again.

Correctness rests on none of it: a row job in another process, or after a restart, reads the same from MongoDB and S3.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from bson import ObjectId

from pipeline_engine.domain.imports.csv.chunks import Piece
from pipeline_engine.domain.imports.import_context import ImportContext
from pipeline_engine.domain.imports.request import ImportRequest
from pipeline_engine.providers.sockets import Sockets

MAX_PIECE_BYTES = 32 * 1024 * 1024
"""Bytes of file that wait for their row jobs, over all imports."""
MAX_IMPORTS = 64
PROGRESS_INTERVAL_SECONDS = 1.0
"""Time between two progress events of one import, at least."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ImportCache:
    """One per process."""

    def __init__(self) -> None:
        self.pieces = BoundedCache[str, Piece](MAX_PIECE_BYTES)
        self.contexts = BoundedCache[ObjectId, ImportContext](MAX_IMPORTS)
        self.ended = EndedChunks()
        self._notified_at = BoundedCache[ObjectId, float](MAX_IMPORTS)
        self._notifying: dict[ObjectId, asyncio.Task[object]] = {}

    def notify_progress(self, sockets: Sockets, request: ImportRequest, progress: Mapping[str, int]) -> None:
        """Send the import's user a progress event in the background, at most once a second and one at a time."""
        now = time.monotonic()
        notified_at = self._notified_at.get(request.id) or 0
        if request.id in self._notifying or now < notified_at + PROGRESS_INTERVAL_SECONDS:
            return
        self._notified_at.keep(request.id, now)
        data = {"queue_id": str(request.id), **progress}
        event_id = f"import_progress:{request.id}:{progress['bytes_read']}:{progress['rows_added']}"
        task = asyncio.ensure_future(sockets.emit("import_progress", event_id, [request.user_id], data))
        self._notifying[request.id] = task
        task.add_done_callback(lambda _: self._notifying.pop(request.id, None))


class BoundedCache(Generic[Key, Value]):
    """Keeps entries up to a total weight and drops the oldest beyond it."""

    def __init__(self, max_weight: int) -> None:
        self._max_weight = max_weight
        self._weight = 0
        self._entries: dict[Key, tuple[Value, int]] = {}

    def keep(self, key: Key, value: Value, weight: int = 1) -> None:
        """Store the entry as the youngest one."""
        self.take(key)
        self._entries[key] = (value, weight)
        self._weight += weight
        while self._weight > self._max_weight:
            self.take(next(iter(self._entries)))

    def get(self, key: Key) -> Value | None:
        entry = self._entries.get(key)
        return entry[0] if entry else None

    def take(self, key: Key) -> Value | None:
        """Return the entry and drop it."""
        value, weight = self._entries.pop(key, (None, 0))
        self._weight -= weight
        return value


class EndedChunks:
    """Counts the chunks that ended in this process, for the coordinator of their import to wait on.

    An import is counted from the first `count` or `wait` to `forget`.
    """

    def __init__(self) -> None:
        self._counts: Counter[ObjectId] = Counter()
        self._events: dict[ObjectId, asyncio.Event] = {}

    def count(self, import_id: ObjectId) -> int:
        """Return how many chunks have ended since the first call."""
        self._events.setdefault(import_id, asyncio.Event())
        return self._counts[import_id]

    def add(self, import_id: ObjectId) -> None:
        """Count one more and wake the coordinator, if it runs in this process."""
        if event := self._events.get(import_id):
            self._counts[import_id] += 1
            event.set()

    async def wait(self, import_id: ObjectId, timeout: float) -> None:
        """Return when a chunk has ended since the last wait, after `timeout` seconds at the latest."""
        event = self._events.setdefault(import_id, asyncio.Event())
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()

    def forget(self, import_id: ObjectId) -> None:
        self._counts.pop(import_id, None)
        self._events.pop(import_id, None)
