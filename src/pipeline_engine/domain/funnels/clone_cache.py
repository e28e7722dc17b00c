"""What this process remembers of running clones, so that the steps of one clone share reads, copies and events.

No correctness depends on it: a step in another process, or after a restart, reads the same from MongoDB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_events import ProgressNotifier
from pipeline_engine.domain.funnels.clone_map import CloneMap, read_clone_map
from pipeline_engine.domain.funnels.images import ObjectCopier
from pipeline_engine.repos.funnel_repos import FunnelRepos

MAX_CLONE_MAPS = 16


class CloneCache:
    """One per process. `max_copies` limits the S3 copies that run at the same time."""

    def __init__(self, max_copies: int) -> None:
        self.copier = ObjectCopier(max_copies)
        self.clone_maps = CloneMaps()
        self.progress = ProgressNotifier()


class CloneMaps:
    """The maps of the latest clones. The key has the token of the run, so a new run reads a new map."""

    def __init__(self) -> None:
        self._kept: dict[tuple[ObjectId, int], CloneMap] = {}
        self._reading = asyncio.Lock()  # the steps of a clone start together, and one read serves them all

    async def of(self, app: App[FunnelRepos], clone: Mapping[str, Any]) -> CloneMap:
        """Raises: CloneRefused."""
        key = clone["_id"], clone["token"]
        async with self._reading:
            if not (known := self._kept.get(key)):
                known = self._kept[key] = await read_clone_map(app, clone)
                while len(self._kept) > MAX_CLONE_MAPS:
                    del self._kept[next(iter(self._kept))]
        return known
