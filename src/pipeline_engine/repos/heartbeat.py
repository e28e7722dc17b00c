"""Keeps the leases of this process alive, on a connection of its own so that slow queries cannot hold it back."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from pipeline_engine import logs
from pipeline_engine.failpoints import failpoint
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.lease import RELEASED, Lease

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

LEASED = {
    "queues": "in_progress",
    "automations": "is_running",
    "import_chunks": None,
    "funnels": "in_progress",
    "funnel.step": "in_progress",
}
"""Collections with leases, and the flag that the seed shows them by."""

log = logs.get(__name__)


class Heartbeat:
    """One update per leased collection, every few seconds, for the documents that runs of this process hold."""

    def __init__(self, database: AsyncIOMotorDatabase[Document], lease: Lease, every: float) -> None:
        self._database = database
        self._lease = lease
        self._every = every
        self._acknowledged = time.monotonic()
        self._held: dict[str, set[Any]] = defaultdict(set)

    @property
    def trusted(self) -> bool:
        """Whether a holder may start a new effect: the last renewal is younger than 4/5 of a lease."""
        return time.monotonic() < self._acknowledged + self._lease.seconds * 0.8

    @contextmanager
    def holding(self, collection: str, id: Any) -> Iterator[None]:
        """Renew the lease of a document for as long as its run lasts, and not a beat longer."""
        self._held[collection].add(id)
        try:
            yield
        finally:
            self._held[collection].discard(id)

    async def run(self) -> None:
        """Beat until cancelled. A failed beat is logged; the leases then run out by themselves."""
        while True:
            await self.beat()
            await asyncio.sleep(self._every)

    async def beat(self) -> None:
        started = time.monotonic()
        try:
            for name, ids in list(self._held.items()):  # a run may begin to hold something while we wait
                mine = {"_id": {"$in": list(ids)}, "lease_owner": self._lease.owner}
                if ids:
                    async with failpoint(f"mongo.{name}.renew"):
                        await self._database[name].update_many(mine, self._lease.renewal())
            if not any(self._held.values()):
                await self._database.command("ping")
        except PyMongoError as error:
            log.warning("heartbeat failed", error=error)
        else:
            self._acknowledged = started

    async def release(self) -> None:
        """Free everything that this process still holds: the last act before it ends."""
        for name, flag in LEASED.items():
            mine = {"lease_owner": self._lease.owner}
            freed = {**RELEASED, flag: False} if flag else RELEASED
            async with failpoint(f"mongo.{name}.release"):
                await self._database[name].update_many(mine, {"$set": freed})
