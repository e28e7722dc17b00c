"""A fault drill: imports are queued, daemons come and go, and in the end everything is as if nothing had been."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from bson import ObjectId
from redis import Redis

from tests.faults.checker import Checker
from tests.support.csv_files import MAPPINGS
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.history import LONGEST_ORPHAN
from tests.support.world import World

ENDED = ("completed", "failed", "cancelled")


class Drill:
    """In one database, with the daemons that it started; all of them are gone when it is closed."""

    def __init__(self, environment: Mapping[str, str], key_prefix: str, folder: Path) -> None:
        self.environment = dict(environment)
        self.daemons: list[Daemon] = []
        self._prefix = key_prefix
        self._folder = folder
        self._files: dict[ObjectId, bytes] = {}

    def __enter__(self) -> Self:
        self.world = World(self.environment)
        self.checker = Checker(self.environment)
        self._redis = Redis.from_url(self.environment["REDIS_URL"])
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for daemon in self.daemons:
            daemon.kill()
        for client in (self.world, self.checker, self._redis):
            client.close()

    def start(self, **settings: str) -> Daemon:
        """One more daemon; the passing of its failpoints is logged."""
        name = f"daemon-{len(self.daemons)}"
        faults = {"FAULT_TESTING": "1", "FAULT_LOG": str(self._folder / f"{name}.failpoints")}
        daemon = Daemon({**self.environment, **faults, **settings}, self._folder, name)
        self.daemons.append(daemon)
        return daemon

    async def started(self, **settings: str) -> Daemon:
        """One more daemon, up and running."""
        daemon = self.start(**settings)
        await self.until(lambda: daemon.ready, "a daemon is up")
        return daemon

    def queue(self, file: bytes, **changes: Any) -> ObjectId:
        """A pending import of a file that lies alone in its folder, into a pipeline of its own."""
        key = self.world.upload(f"{self._prefix}{len(self._files)}/deals.csv", file)
        queue_id = self.world.queue(key, MAPPINGS, options={"pipeline_id": ObjectId()}, **changes)
        self._files[queue_id] = file
        return queue_id

    def chunks(self, queue_id: ObjectId, state: str = "done") -> int:
        return self.world.db["import_chunks"].count_documents({"queue_id": queue_id, "state": state})

    async def until(self, condition: Callable[[], object], what: str, timeout: float = 30) -> float:
        """Wait for a condition; returns after how many seconds it was met."""
        started = time.monotonic()
        await eventually(condition, what, timeout, *self.daemons)
        return time.monotonic() - started

    async def progress(self, queue_id: ObjectId, chunks: int, patience: float = 30) -> float:
        """Wait until so many chunks are done."""
        return await self.until(lambda: self.chunks(queue_id) >= chunks, f"{chunks} chunks are done", patience)

    async def converge(self, *queue_ids: ObjectId, patience: float = 30) -> float:
        """Wait until the imports have ended and everybody has heard of it, and nothing is left in the lanes."""
        return await self.until(lambda: self.is_quiet(*queue_ids), "all is done and quiet", patience)

    async def lives_on(self, daemon: Daemon, seconds: float) -> None:
        """So long does the fault last."""
        over = time.monotonic() + seconds
        await self.until(lambda: time.monotonic() >= over or not daemon.alive, "time goes by", seconds + 1)
        assert daemon.alive, daemon.tail()

    def is_quiet(self, *queue_ids: ObjectId) -> bool:
        """Whether the imports have ended, everybody has heard of it, and nothing is left in the lanes."""
        db = self.world.db
        ended = {"_id": {"$in": queue_ids}, "status": {"$in": ENDED}, "events_due": None}
        told = {"data.queue_id": {"$in": [str(queue_id) for queue_id in queue_ids]}}
        return (
            db["queues"].count_documents(ended) == len(queue_ids)
            and db["outbox"].count_documents(told) >= len(queue_ids)
            and db["outbox"].count_documents({**told, "state": "waiting"}) == 0
            and self.jobs_left() == 0
        )

    def jobs_left(self) -> int:
        """Jobs that wait or run in any lane."""
        prefix = self.environment["REDIS_PREFIX"]
        lanes = self._redis.scan_iter(f"{prefix}*:jobs")
        return sum(cast("int", self._redis.hlen(key)) for key in lanes)

    def check(self, *queue_ids: ObjectId, patience: timedelta = LONGEST_ORPHAN) -> None:
        """Everything that reliability.md promises of the ended imports holds."""
        for queue_id in queue_ids:
            found = self.checker.violations(queue_id, self._files[queue_id], patience)
            assert not found, "\n".join([*found, *(daemon.tail() for daemon in self.daemons)])
