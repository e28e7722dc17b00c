"""A daemon is killed at a call, the next one ends the work, and it is as if nothing had been: at many calls, some at a
time, each in a database of its own.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Generic, TypeVar

from tests.support.drills.drill import Drill
from tests.support.drills.history import MAX_ORPHANED_AFTER_OUTAGE
from tests.support.drills.plan import Plan
from tests.support.drills.points import READS, Calls, Point, passed, points_of

P = TypeVar("P", bound=Plan)

MAX_DRILLS = 3
LATE_SECONDS = 1.0
"""After the end of the work, within which its last calls are made."""
HISTORY = "mongo.job_history.record"
RACES = frozenset({"mongo.pipeline_stages.find_one"})
"""Calls of jobs that met: it is made when two chunks add the same stage at once."""
IDLE_LOOKS = 5
SIGKILL = -9


@dataclass(frozen=True)
class Rehearsal(Generic[P]):
    """Work that a daemon is killed in: a plan, how it makes the work, and the settings of all daemons."""

    plan: Callable[[], P]
    plant: Callable[[P], object]
    settings: Mapping[str, str] = field(default_factory=dict)
    idle_find: str | None = None
    """The failpoint of the sweep's question. None: kills fall in the whole life of a daemon, from its start to SIGTERM;
    else only in what it does more than an idle one, whose calls another rehearsal breaks."""

    async def points(self, environment: Mapping[str, str], folder: Path) -> list[Point]:
        """Every call that an undisturbed run makes; complete by construction."""
        own, folder = own_corner(environment, folder)
        async with Drill(self.plan(), {**own, **self.settings}, folder) as drill:
            try:
                return await self._life(drill) if self.idle_find is None else await self._work(drill, self.idle_find)
            finally:
                drill.drop_database()

    async def _life(self, drill: Drill[P]) -> list[Point]:
        self.plant(drill.plan)
        daemon = await drill.started()
        await drill.come_to_rest()
        busy = passed(daemon)
        await drill.until(lambda: daemon.calls(HISTORY) > 0, "history is written")
        await daemon.terminate()
        drill.check()
        return points_of(passed(daemon), busy)

    async def _work(self, drill: Drill[P], idle_find: str) -> list[Point]:
        daemon = await drill.started()
        await drill.until(lambda: daemon.calls(idle_find) >= IDLE_LOOKS, "the daemon has nothing to do")
        idle = passed(daemon)
        self.plant(drill.plan)
        await drill.come_to_rest()
        drill.check()
        busy = Calls({key: times for key, times in passed(daemon).items() if key not in idle})
        return points_of(busy, busy, only_first=READS)

    async def survive(self, point: Point, environment: Mapping[str, str], folder: Path) -> float | None:
        """Seconds from the start of the next daemon until all is at rest; None when the call was not made this time."""
        own, folder = own_corner(environment, folder)
        async with Drill(self.plan(), {**own, **self.settings}, folder) as drill:
            try:
                self.plant(drill.plan)
                if not await killed(drill, point):
                    # How many batches there are, renewals and races follow the clock; in a whole life all others come
                    # once.
                    depends = point.nth > 1 or point.failpoint.endswith(".renew") or point.failpoint in RACES
                    may_miss = self.idle_find or depends
                    assert may_miss, f"never came to {point}\n{drill.daemons[0].tail()}"
                    return None
                drill.start()
                took = await drill.come_to_rest()
                drill.check(MAX_ORPHANED_AFTER_OUTAGE)
                return took
            finally:
                drill.drop_database()


async def killed(drill: Drill[P], point: Point) -> bool:
    """Starts a daemon that dies at a call; False when it came to rest and to its end without having made it."""
    daemon = drill.start(FAULT_PLAN=point.plan)
    await drill.until(lambda: not daemon.alive or drill.at_rest(), f"a kill at {point}")
    over = time.monotonic() + LATE_SECONDS
    await drill.until(
        lambda: not daemon.alive or (daemon.calls(HISTORY) > 0 and time.monotonic() > over), f"a late kill at {point}"
    )
    if daemon.alive:
        await daemon.terminate()
    return daemon.exit_code == SIGKILL


async def survive_all(kills: Sequence[tuple[Rehearsal[P], Point]], environment: Mapping[str, str], folder: Path) -> str:
    """Fails with all kills that were not survived, or when too many did not come; returns the figures."""
    places = asyncio.Semaphore(MAX_DRILLS)

    async def one(rehearsal: Rehearsal[P], point: Point) -> float | None:
        async with places:
            return await rehearsal.survive(point, environment, folder)

    results = await asyncio.gather(*(one(*kill) for kill in kills), return_exceptions=True)
    took = [result for result in results if isinstance(result, float)]
    failed = [f"{at}: {why}" for (_, at), why in zip(kills, results, strict=True) if isinstance(why, BaseException)]
    assert not failed, "\n\n".join(failed)
    assert 10 * results.count(None) <= len(kills)
    return (
        f"{len(took)} kills survived, {results.count(None)} points not come to; from the "
        f"next daemon's start until all was at rest median {median(took):.1f} s, longest {max(took):.1f} s"
    )


def own_corner(environment: Mapping[str, str], folder: Path) -> tuple[dict[str, str], Path]:
    """The settings with a database and keys of their own, and a folder likewise."""
    own = secrets.token_hex(6)
    mine = folder / own
    mine.mkdir()
    database = environment["MONGO_URL"].rpartition("/")[2].partition("?")[0]
    names = {
        "MONGO_URL": environment["MONGO_URL"].replace(f"/{database}?", f"/{database}_{own}?"),
        "REDIS_PREFIX": f"{environment['REDIS_PREFIX']}{own}:",
    }
    return {**environment, **names}, mine
