"""The daemon is killed before or after an outside call of an automation; the next one ends it as if nothing had been.

The list of calls is what a run without faults makes, so it is complete by construction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.automation_drill import AutomationDrill
from tests.support.history import CONVERGED
from tests.support.kills import corner, killed, points_of, survive_all
from tests.support.outside import Outside
from tests.support.point import Point, passed

DEALS, BAD = 7, 1
# Three batches, and heartbeats often enough that some fall into the moment that all this takes.
SETTINGS = {"AUTOMATION_BATCH": "3", "HEARTBEAT_SECONDS": "0.1"}
IDLE_LOOKS = 5
UNHEARD = {"SOCKET_URL": ""}
"""Nobody listens to events: one that is cut off in the middle comes again after 15 s, and a quick test would wait."""

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
    assert {point.failpoint for other, point in TELLING if other == type} < {point.failpoint for point in points}
    await _survive_all([(type, point) for point in points], environment, tmp_path, figure)


@pytest.mark.slow
@pytest.mark.covers("DA-X2")
async def test_three_crashes_in_a_row_leave_no_dead_letter(automation_drill: AutomationDrill) -> None:
    # The automation counts them itself, and it may not be to blame: see CRASHES of its run.
    automation_drill.plant("note", DEALS, BAD)
    for _ in range(3):
        assert await killed(automation_drill, Point("mongo.notes.insert_many", 1, "before"))
    automation_drill.start()
    await automation_drill.come_to_rest()
    automation_drill.judge(patience=CONVERGED)


async def _points(drill: AutomationDrill, type: str) -> list[Point]:
    """Before and after the first call of every failpoint that a run passes and, where it writes, one in the middle.

    What a daemon calls that has nothing to do, an import's kills break as well.
    """
    daemon = await drill.started(**SETTINGS)
    await drill.until(lambda: daemon.calls("mongo.automations.find") >= IDLE_LOOKS, "the daemon has nothing to do")
    idle = passed(daemon)
    drill.plant(type, DEALS, BAD)
    await drill.come_to_rest()
    drill.judge()
    return points_of(Counter({key: calls for key, calls in passed(daemon).items() if key not in idle}))


async def _survive_all(
    points: Sequence[tuple[str, Point]], environment: dict[str, str], folder: Path, figure: list[str]
) -> None:
    await survive_all(points, lambda point: _survive(*point, environment, folder), figure)


async def _survive(type: str, point: Point, environment: dict[str, str], folder: Path) -> float | None:
    """Seconds from the start of the next daemon until all is at rest; None when the call was not made this time."""
    own, folder = corner(environment, folder)
    async with Outside(environment["APP_SECRET"]) as outside:
        with AutomationDrill({**own, **SETTINGS}, folder, outside) as drill:
            try:
                drill.plant(type, DEALS, BAD)
                if not await killed(drill, point):
                    return None
                drill.start()
                took = await drill.come_to_rest()
                drill.judge(patience=CONVERGED)
                return took
            finally:
                drill.world.db.client.drop_database(drill.world.db)
