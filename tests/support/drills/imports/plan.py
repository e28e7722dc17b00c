"""The drill's plan for imports: files of one's own, and what a reader without the engine's code makes of them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias

from bson import ObjectId

from tests.support.drills.case import violations
from tests.support.drills.drill import Drill
from tests.support.drills.history import MAX_ORPHANED
from tests.support.drills.imports.case import ImportCase, import_case
from tests.support.drills.imports.checks import CHECKS
from tests.support.drills.imports.csv_file import MAPPINGS
from tests.support.drills.observer import Observer
from tests.support.world import World

ENDED = ("completed", "failed", "cancelled")


class ImportPlan:
    """Imports of CSV files; a unit is a chunk."""

    sweeps = ("deals.import",)

    def __init__(self) -> None:
        self._prefix = f"test/{secrets.token_hex(6)}/"
        self._files: dict[ObjectId, bytes] = {}

    @asynccontextmanager
    async def open(self, world: World, observer: Observer) -> AsyncIterator[Mapping[str, str]]:
        self._world, self._observer = world, observer
        yield {}

    def plant(self, file: bytes, **changes: Any) -> ObjectId:
        """A pending import of a file that lies alone in its folder, into a pipeline of its own."""
        key = self._world.upload(f"{self._prefix}{len(self._files)}/deals.csv", file)
        queue_id = self._world.queue(key, MAPPINGS, options={"pipeline_id": ObjectId()}, **changes)
        self._files[queue_id] = file
        return queue_id

    def done(self) -> int:
        return self._world.db["import_chunks"].count_documents({"state": "done"})

    def is_over(self) -> bool:
        db, ids = self._world.db, list(self._files)
        ended = {"_id": {"$in": ids}, "status": {"$in": ENDED}, "events_due": None}
        messages = {"data.queue_id": {"$in": [str(id) for id in ids]}}
        return db["queues"].count_documents(ended) == len(ids) <= db["outbox"].count_documents(messages)

    def violations(self, max_orphaned: timedelta) -> list[str]:
        return [one for queue_id in self._files for one in self.violations_of(queue_id, max_orphaned)]

    def violations_of(self, queue_id: ObjectId, max_orphaned: timedelta = MAX_ORPHANED) -> list[str]:
        """What is wrong with one import."""
        return violations(self.case(queue_id, max_orphaned), CHECKS)

    def case(self, queue_id: ObjectId, max_orphaned: timedelta = MAX_ORPHANED) -> ImportCase:
        return import_case(self._observer, queue_id, self._files[queue_id], max_orphaned)


ImportDrill: TypeAlias = Drill[ImportPlan]
