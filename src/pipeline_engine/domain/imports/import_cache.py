"""What this process remembers of running imports, so that planner and row jobs need not ask for it again.

Nothing here is needed: a row job of another process, or after a restart, reads the same from MongoDB and S3.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from bson import ObjectId

from pipeline_engine.domain.imports.bounded_cache import BoundedCache
from pipeline_engine.domain.imports.chunks import Piece
from pipeline_engine.domain.imports.ended import Ended
from pipeline_engine.domain.imports.import_context import ImportContext
from pipeline_engine.domain.imports.request import ImportRequest
from pipeline_engine.providers.sockets import Sockets

PIECES = 32 * 1024 * 1024
"""Bytes of file that wait for their row jobs, over all imports."""
RECIPES = 64
PROGRESS_PAUSE = 1.0
"""Seconds between two progress events of an import."""


class ImportCache:
    def __init__(self) -> None:
        self.pieces = BoundedCache[str, Piece](PIECES)
        self.contexts = BoundedCache[ObjectId, ImportContext](RECIPES)
        self.ended = Ended()
        self._told = BoundedCache[ObjectId, float](RECIPES)
        """When progress was last told."""
        self._telling: dict[ObjectId, asyncio.Task[object]] = {}

    def tell_progress(self, sockets: Sockets, request: ImportRequest, progress: Mapping[str, int]) -> None:
        """Tell the user how far the import is, unless the last time is a moment ago or still on its way."""
        now = time.monotonic()
        if request.id in self._telling or now < (self._told.get(request.id) or 0) + PROGRESS_PAUSE:
            return
        self._told.keep(request.id, now)
        data = {"queue_id": str(request.id), **progress}
        event_id = f"import_progress:{request.id}:{progress['bytes_read']}:{progress['rows_added']}"
        task = asyncio.ensure_future(sockets.emit("import_progress", event_id, [request.user_id], data))
        self._telling[request.id] = task
        task.add_done_callback(lambda _: self._telling.pop(request.id, None))
