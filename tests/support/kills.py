"""Kills at many points, some at a time, each in a corner of its own."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Protocol, TypeVar

from tests.support.daemon import Daemon
from tests.support.point import Point

AT_ONCE = 3
LATE = 1.0
"""Seconds after the end of the run in which its last calls are made."""
READS = (".find", ".find_one", ".aggregate", ".count")
SIGKILL = -9

P = TypeVar("P")


class Resting(Protocol):
    """A drill that knows when nothing is left to do."""

    def start(self, **settings: str) -> Daemon: ...
    def at_rest(self) -> bool: ...
    async def until(self, condition: Callable[[], bool], what: str, patience: float = ...) -> float: ...


def points_of(busy: Counter[tuple[str, str]]) -> list[Point]:
    """Before and after the first call of every failpoint and, where it writes, one in the middle."""
    middle = {failpoint: random.randint(1, calls) for (failpoint, _), calls in busy.items()}  # noqa: S311
    return [
        Point(failpoint, nth, when)
        for failpoint, when in sorted(busy)
        for nth in sorted({1} if failpoint.endswith(READS) else {1, middle[failpoint]})
    ]


def corner(environment: Mapping[str, str], folder: Path) -> tuple[dict[str, str], Path]:
    """The settings with a database and keys that nobody else has, and a folder likewise."""
    own = secrets.token_hex(6)
    mine = folder / own
    mine.mkdir()
    database = environment["MONGO_URL"].rpartition("/")[2].partition("?")[0]
    names = {
        "MONGO_URL": environment["MONGO_URL"].replace(f"/{database}?", f"/{database}_{own}?"),
        "REDIS_PREFIX": f"{environment['REDIS_PREFIX']}{own}:",
    }
    return {**environment, **names}, mine


async def survive_all(
    points: Sequence[P], survive: Callable[[P], Awaitable[float | None]], figure: list[str]
) -> list[float]:
    """Seconds that each kill took to get over; `survive` gives None when the call was not made this time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(point: P) -> float | None:
        async with places:
            return await survive(point)

    results = await asyncio.gather(*map(one, points), return_exceptions=True)
    took = [result for result in results if isinstance(result, float)]
    failed = [f"{at}: {why}" for at, why in zip(points, results, strict=True) if isinstance(why, BaseException)]
    assert not failed, "\n\n".join(failed)
    figure.append(
        f"{len(took)} kills survived, {results.count(None)} points not come to; from the "
        f"next daemon's start until all was at rest median {median(took):.1f} s, longest {max(took):.1f} s"
    )
    assert 10 * results.count(None) <= len(points)
    return took


async def killed(drill: Resting, point: Point) -> bool:
    """False when the daemon came to rest without having made the call: renewals, for one, follow the clock."""
    daemon = drill.start(FAULT_PLAN=point.plan)
    await drill.until(lambda: not daemon.alive or drill.at_rest(), f"a kill at {point}")
    over = time.monotonic() + LATE
    await drill.until(lambda: not daemon.alive or time.monotonic() > over, f"a late kill at {point}")
    return daemon.exit_code == SIGKILL
