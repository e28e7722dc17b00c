"""The daemon is killed before or after an outside call of a clone; the next one ends it as if nothing had been.

The list of calls is what a run without faults makes, so it is complete by construction.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import pytest

from tests.faults.clone_drill import CloneDrill
from tests.faults.history import CONVERGED
from tests.faults.point import Point, passed

STEPS = 3
# Heartbeats often enough that some fall into the moment that all this takes.
SETTINGS = {"HEARTBEAT_SECONDS": "0.1"}
AT_ONCE = 3
IDLE_LOOKS = 5
LATE = 1.0
"""Seconds after the end of the clone in which its last calls are made."""
UNHEARD = {"SOCKET_URL": ""}
"""Nobody listens to events: one that is cut off in the middle comes again after 15 s, and a quick test would wait."""
READS = (".find", ".find_one", ".aggregate", ".count")
SIGKILL = -9


# Between a step in one place and the step in another that should follow it.
TELLING = [
    Point("s3.copy", 3, "after"),  # copied, not marked
    Point("mongo.funnel.step.components.update_one", 2, "after"),  # components without a page
    Point("mongo.funnel.step.update_one", STEPS, "after"),  # the last step done, the clone open
]


@pytest.mark.covers("FC-12", "FC-X2", "FC-X5", "FC-X8", "FC-X9", "FC-X13")
async def test_killed_between_two_writes_of_a_clone(
    environment: dict[str, str], tmp_path: Path, figure: list[str]
) -> None:
    await _survive_all(TELLING, {**environment, **UNHEARD}, tmp_path, figure)


@pytest.mark.slow
async def test_killed_at_every_call_of_a_clone(
    clone_drill: CloneDrill, environment: dict[str, str], tmp_path: Path, figure: list[str]
) -> None:
    points = await _points(clone_drill)
    assert {point.seam for point in TELLING} < {point.seam for point in points}
    await _survive_all(points, environment, tmp_path, figure)


async def _points(drill: CloneDrill) -> list[Point]:
    """Before and after the first call of every seam that a clone passes and, where it writes, one in the middle.

    What a daemon calls that has nothing to do, an import's kills break as well.
    """
    daemon = await drill.started(**SETTINGS)
    await drill.until(lambda: daemon.calls("mongo.funnels.find") >= IDLE_LOOKS, "the daemon has nothing to do")
    idle = passed(daemon)
    drill.plant(STEPS)
    await drill.come_to_rest()
    drill.judge()
    busy = {key: calls for key, calls in passed(daemon).items() if key not in idle}
    middle = {seam: random.randint(1, calls) for (seam, _), calls in busy.items()}  # noqa: S311
    return [
        Point(seam, nth, when)
        for seam, when in sorted(busy)
        for nth in sorted({1} if seam.endswith(READS) else {1, middle[seam]})
    ]


async def _survive_all(points: Sequence[Point], environment: dict[str, str], folder: Path, figure: list[str]) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def survive(point: Point) -> float | None:
        async with places:
            return await _survive(point, environment, folder)

    results = await asyncio.gather(*map(survive, points), return_exceptions=True)
    took = [result for result in results if isinstance(result, float)]
    failed = [f"{at}: {why}" for at, why in zip(points, results, strict=True) if isinstance(why, BaseException)]
    assert not failed, "\n\n".join(failed)
    figure.append(
        f"{len(took)} kills survived of {len(points)}, {results.count(None)} points not come to; "
        f"from the next daemon's start until all was at rest median {median(took):.1f} s, longest {max(took):.1f} s"
    )
    assert 10 * results.count(None) <= len(points)


async def _survive(point: Point, environment: dict[str, str], folder: Path) -> float | None:
    """Seconds from the start of the next daemon until all is at rest; None when the call was not made this time."""
    own = secrets.token_hex(6)
    folder = folder / own
    folder.mkdir()
    database = environment["MONGO_URL"].rpartition("/")[2].partition("?")[0]
    names = {
        "MONGO_URL": environment["MONGO_URL"].replace(f"/{database}?", f"/{database}_{own}?"),
        "REDIS_PREFIX": f"{environment['REDIS_PREFIX']}{own}:",
    }
    with CloneDrill({**environment, **names, **SETTINGS}, folder) as drill:
        try:
            drill.plant(STEPS)
            if not await _killed(drill, point):
                return None
            drill.start()
            took = await drill.come_to_rest()
            drill.judge(patience=CONVERGED)
            return took
        finally:
            drill.world.db.client.drop_database(drill.world.db)


async def _killed(drill: CloneDrill, point: Point) -> bool:
    """False when the daemon came to rest without having made the call: renewals, for one, follow the clock."""
    daemon = drill.start(FAULT_PLAN=point.plan)
    await drill.until(lambda: not daemon.alive or drill.at_rest(), f"a kill at {point}")
    over = time.monotonic() + LATE
    await drill.until(lambda: not daemon.alive or time.monotonic() > over, f"a late kill at {point}")
    return daemon.exit_code == SIGKILL
