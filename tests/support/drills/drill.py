"""A fault drill: one system has work, daemons come and go, and in the end everything is as if nothing had happened."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from redis import Redis

from tests.support.daemon import Daemon
from tests.support.drills.history import MAX_ORPHANED
from tests.support.drills.observer import Observer
from tests.support.drills.plan import Plan
from tests.support.eventually import eventually
from tests.support.world import World

P = TypeVar("P", bound=Plan)


class Drill(Generic[P]):
    """`async with Drill(plan, environment, folder) as drill`: a world, an observer, the plan's work and any daemons.

    The daemons that it started are gone when it is closed.
    """

    def __init__(self, plan: P, environment: Mapping[str, str], folder: Path) -> None:
        self.plan = plan
        self.environment = dict(environment)
        self.daemons: list[Daemon] = []
        self._folder = folder
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.world, self.observer = World(self.environment), Observer(self.environment)
        self._redis = Redis.from_url(self.environment["REDIS_URL"])
        for client in (self.world, self.observer, self._redis):
            self._closing.callback(client.close)
        self.environment |= await self._closing.enter_async_context(self.plan.open(self.world, self.observer))
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for daemon in self.daemons:
            daemon.kill()
        await self._closing.aclose()

    def drop_database(self) -> None:
        """At the end of a drill whose database no fixture lent."""
        self.world.db.client.drop_database(self.world.db)

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

    async def until(self, condition: Callable[[], object], what: str, timeout: float = 90) -> float:
        """Wait for a condition; returns after how many seconds it was met."""
        started = time.monotonic()
        await eventually(condition, what, timeout, *self.daemons)
        return time.monotonic() - started

    async def progress(self, units: int, timeout: float = 90) -> float:
        """Wait until so many units are done; returns after how many seconds they were."""
        return await self.until(lambda: self.plan.done() >= units, f"{units} units are done", timeout)

    async def come_to_rest(self, timeout: float = 90) -> float:
        """Wait until all is done, delivered and out of the lanes; returns after how many seconds it was."""
        return await self.until(self.at_rest, "all is done and quiet", timeout)

    async def outlast(self, daemon: Daemon, seconds: float) -> None:
        """Let a fault last so long; the daemon has to live through it."""
        over = time.monotonic() + seconds
        await self.until(lambda: time.monotonic() >= over or not daemon.alive, "time goes by", seconds + 1)
        assert daemon.alive, daemon.tail()

    def at_rest(self) -> bool:
        """Whether all work has ended, all its events are delivered, and no lane has a job left."""
        waiting = {"state": "waiting"}
        return self.plan.is_over() and not self.world.db["outbox"].count_documents(waiting) and self.jobs_left() == 0

    def jobs_left(self) -> int:
        """Jobs that wait or run in any lane."""
        lanes = self._redis.scan_iter(f"{self.environment['REDIS_PREFIX']}*:jobs")
        return sum(cast("int", self._redis.hlen(key)) for key in lanes)

    def check(self, max_orphaned: timedelta = MAX_ORPHANED) -> None:
        """Everything that reliability.md promises of the plan's work holds.

        `max_orphaned`: how long a lease that ran out may have waited for its next holder.
        """
        found = self.plan.violations(max_orphaned)
        assert not found, "\n".join([*found, *(daemon.tail() for daemon in self.daemons)])

    async def run_once(self, **settings: str) -> dict[str, dict[str, Any]]:
        """{sweep: its result}, of the plan's sweeps and the delivery of events, by the real `run-once`. Its leases last
        long: no daemon takes over what it loses."""
        lasting = {"LEASE_SECONDS": "30", "HEARTBEAT_SECONDS": "5"}
        words = ["-m", "pipeline_engine", "run-once", *self.plan.sweeps, "events.outbox", "--json"]
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            env={**self.environment, **lasting, **settings},
            cwd=self._folder,
            stdout=PIPE,
            stderr=PIPE,
        )
        out, err = await child.communicate()
        assert child.returncode == 0, err.decode()
        return {one["name"]: one for one in json.loads(out)["sweeps"]}
