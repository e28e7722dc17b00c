"""The daemon is killed before or after an outside call of an automation; the next one ends it as if nothing had been.

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

from tests.faults.automation_drill import AutomationDrill
from tests.faults.history import CONVERGED
from tests.faults.outside import Outside
from tests.faults.point import Point, passed

DEALS, BAD = 7, 1
# Three batches, and heartbeats often enough that some fall into the moment that all this takes.
SETTINGS = {"AUTOMATION_BATCH": "3", "HEARTBEAT_SECONDS": "0.1"}
AT_ONCE = 3
IDLE_LOOKS = 5
LATE = 1.0
"""Seconds after the end of the run in which its last calls are made."""
UNHEARD = {"SOCKET_URL": ""}
"""Nobody listens to events: one that is cut off in the middle comes again after 15 s, and a quick test would wait."""
READS = (".find", ".find_one", ".aggregate")
SIGKILL = -9


# Between the record, the effect and the mark.
TELLING = [
    ("add_tag", Point("mongo.automation_logs.update_one", 1, "before")),  # effect and mark, the log open
    ("note", Point("mongo.deals.update_many", 1, "before")),  # effect, no mark
    ("email", Point("smtp.data", 2, "after")),  # sent, not recorded
    ("instareport", Point("mongo.effects.bulk", 1, "after")),  # made and recorded, no mark
]


@pytest.mark.covers("DA-X2", "DA-X4", "DA-X5", "DA-X6")
async def test_killed_between_effect_and_mark(environment: dict[str, str], tmp_path: Path, figure: list[str]) -> None:
    await _survive_all(TELLING, {**environment, **UNHEARD}, tmp_path, figure)


@pytest.mark.slow
@pytest.mark.parametrize("type", ["add_tag", "note", "email", "instareport"])
async def test_killed_at_every_call_of_an_automation(
    automation_drill: AutomationDrill, environment: dict[str, str], tmp_path: Path, figure: list[str], type: str
) -> None:
    points = await _points(automation_drill, type)
    assert {point.seam for other, point in TELLING if other == type} < {point.seam for point in points}
    await _survive_all([(type, point) for point in points], environment, tmp_path, figure)


@pytest.mark.slow
@pytest.mark.covers("DA-X2")
async def test_three_crashes_in_a_row_leave_no_dead_letter(automation_drill: AutomationDrill) -> None:
    # The automation counts them itself, and it may not be to blame: see CRASHES of its run.
    automation_drill.plant("note", DEALS, BAD)
    for _ in range(3):
        assert await _killed(automation_drill, Point("mongo.notes.insert_many", 1, "before"))
    automation_drill.start()
    await automation_drill.come_to_rest()
    automation_drill.judge(patience=CONVERGED)


async def _points(drill: AutomationDrill, type: str) -> list[Point]:
    """Before and after the first call of every seam that a run passes and, where it writes, one in the middle.

    What a daemon calls that has nothing to do, an import's kills break as well.
    """
    daemon = await drill.started(**SETTINGS)
    await drill.until(lambda: daemon.calls("mongo.automations.find") >= IDLE_LOOKS, "the daemon has nothing to do")
    idle = passed(daemon)
    drill.plant(type, DEALS, BAD)
    await drill.come_to_rest()
    drill.judge()
    busy = {key: calls for key, calls in passed(daemon).items() if key not in idle}
    middle = {seam: random.randint(1, calls) for (seam, _), calls in busy.items()}  # noqa: S311
    return [
        Point(seam, nth, when)
        for seam, when in sorted(busy)
        for nth in sorted({1} if seam.endswith(READS) else {1, middle[seam]})
    ]


async def _survive_all(
    points: Sequence[tuple[str, Point]], environment: dict[str, str], folder: Path, figure: list[str]
) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def survive(type: str, point: Point) -> float | None:
        async with places:
            return await _survive(type, point, environment, folder)

    results = await asyncio.gather(*(survive(*one) for one in points), return_exceptions=True)
    took = [result for result in results if isinstance(result, float)]
    failed = [
        f"{point}: {result}" for point, result in zip(points, results, strict=True) if isinstance(result, BaseException)
    ]
    figure.append(
        f"{len(took)} kills survived of {len(points) - results.count(None)}, {results.count(None)} points not come to; "
        f"from the next daemon's start until all was at rest median {median(took):.1f} s, longest {max(took):.1f} s"
    )
    assert 10 * results.count(None) <= len(points)
    assert not failed, "\n\n".join(failed)


async def _survive(type: str, point: Point, environment: dict[str, str], folder: Path) -> float | None:
    """Seconds from the start of the next daemon until all is at rest; None when the call was not made this time."""
    own = secrets.token_hex(6)
    folder = folder / own
    folder.mkdir()
    database = environment["MONGO_URL"].rpartition("/")[2].partition("?")[0]
    names = {
        "MONGO_URL": environment["MONGO_URL"].replace(f"/{database}?", f"/{database}_{own}?"),
        "REDIS_PREFIX": f"{environment['REDIS_PREFIX']}{own}:",
    }
    async with Outside(environment["APP_SECRET"]) as outside:
        with AutomationDrill({**environment, **names, **SETTINGS}, folder, outside) as drill:
            try:
                drill.plant(type, DEALS, BAD)
                if not await _killed(drill, point):
                    return None
                drill.start()
                took = await drill.come_to_rest()
                drill.judge(patience=CONVERGED)
                return took
            finally:
                drill.world.db.client.drop_database(drill.world.db)


async def _killed(drill: AutomationDrill, point: Point) -> bool:
    """False when the daemon came to rest without having made the call: renewals, for one, follow the clock."""
    daemon = drill.start(FAULT_PLAN=point.plan)
    await drill.until(lambda: not daemon.alive or drill.at_rest(), f"a kill at {point}")
    over = time.monotonic() + LATE
    await drill.until(lambda: not daemon.alive or time.monotonic() > over, f"a late kill at {point}")
    return daemon.exit_code == SIGKILL
