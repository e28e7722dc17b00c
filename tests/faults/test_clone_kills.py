"""The daemon is killed before or after an outside call of a clone; the next one ends it as if nothing had been.

The list of calls is what a run without faults makes, so it is complete by construction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.clone_drill import CloneDrill
from tests.support.history import CONVERGED
from tests.support.kills import corner, killed, points_of, survive_all
from tests.support.point import Point, passed

STEPS = 3
# Heartbeats often enough that some fall into the moment that all this takes.
SETTINGS = {"HEARTBEAT_SECONDS": "0.1"}
IDLE_LOOKS = 5
UNHEARD = {"SOCKET_URL": ""}
"""Nobody listens to events: one that is cut off in the middle comes again after 15 s, and a quick test would wait."""

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
    assert {point.failpoint for point in TELLING} < {point.failpoint for point in points}
    await _survive_all(points, environment, tmp_path, figure)


async def _points(drill: CloneDrill) -> list[Point]:
    """Before and after the first call of every failpoint that a clone passes and, where it writes, one in the middle.

    What a daemon calls that has nothing to do, an import's kills break as well.
    """
    daemon = await drill.started(**SETTINGS)
    await drill.until(lambda: daemon.calls("mongo.funnels.find") >= IDLE_LOOKS, "the daemon has nothing to do")
    idle = passed(daemon)
    drill.plant(STEPS)
    await drill.come_to_rest()
    drill.judge()
    return points_of(Counter({key: calls for key, calls in passed(daemon).items() if key not in idle}))


async def _survive_all(points: Sequence[Point], environment: dict[str, str], folder: Path, figure: list[str]) -> None:
    await survive_all(points, lambda point: _survive(point, environment, folder), figure)


async def _survive(point: Point, environment: dict[str, str], folder: Path) -> float | None:
    """Seconds from the start of the next daemon until all is at rest; None when the call was not made this time."""
    own, folder = corner(environment, folder)
    with CloneDrill({**own, **SETTINGS}, folder) as drill:
        try:
            drill.plant(STEPS)
            if not await killed(drill, point):
                return None
            drill.start()
            took = await drill.come_to_rest()
            drill.judge(patience=CONVERGED)
            return took
        finally:
            drill.world.db.client.drop_database(drill.world.db)
