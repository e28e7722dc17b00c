"""Renews the leases of this process, on a connection of its own so that slow queries cannot delay it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from pipeline_engine import logs
from pipeline_engine.failpoints import failpoint
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.lease import Lease, released

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

log = logs.get(__name__)


class Heartbeat:
    """One update per collection, every `every` seconds, for the documents that runs of this process hold."""

    def __init__(
        self, database: AsyncIOMotorDatabase[Document], lease: Lease, every: float, specs: Iterable[CollectionSpec]
    ) -> None:
        self._database = database
        self._lease = lease
        self._every = every
        self._leased = {spec: spec.lease for spec in specs if spec.lease}
        self._acknowledged = time.monotonic()
        self._held: dict[CollectionSpec, set[Any]] = defaultdict(set)

    @property
    def trusted(self) -> bool:
        """Whether a holder may start a new effect: the last renewal is younger than 4/5 of a lease."""
        return time.monotonic() < self._acknowledged + self._lease.seconds * 0.8

    @contextmanager
    def holding(self, spec: CollectionSpec, id: Any) -> Iterator[None]:
        """Renew the lease of a document for as long as the block runs."""
        self._held[spec].add(id)
        try:
            yield
        finally:
            self._held[spec].discard(id)

    async def run(self) -> None:
        """Renew until cancelled. A failure is logged and the next renewal tried; without one the leases run out."""
        while True:
            await self.beat()
            await asyncio.sleep(self._every)

    async def beat(self) -> None:
        """Renew every lease once; without any, ping MongoDB, so that `trusted` says whether it answers.

        Raises nothing.
        """
        started = time.monotonic()
        try:
            for spec, ids in list(self._held.items()):  # a run may begin to hold something while we wait
                mine = {"_id": {"$in": list(ids)}, "lease_owner": self._lease.owner}
                if ids:
                    async with failpoint(f"mongo.{spec.name}.renew"):
                        await self._database[spec.name].update_many(mine, self._lease.renewal())
            if not any(self._held.values()):
                await self._database.command("ping")
        except PyMongoError as error:
            log.warning("heartbeat.failed", error=error)
        else:
            self._acknowledged = started

    async def release(self) -> None:
        """Release every document that this process holds: the last act before it ends. Raises PyMongoError."""
        for spec, lease_spec in self._leased.items():
            async with failpoint(f"mongo.{spec.name}.release"):
                mine = {"lease_owner": self._lease.owner}
                await self._database[spec.name].update_many(mine, {"$set": released(lease_spec)})
