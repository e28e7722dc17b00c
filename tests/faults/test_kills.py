"""The daemon is killed before or after an outside call; the next one ends the import as if nothing had been.

The list of calls is what a run without faults makes, so it is complete by construction.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from bson import ObjectId

from tests.faults.drill import Drill
from tests.support.csv_files import csv_file
from tests.support.history import CONVERGED
from tests.support.kills import SIGKILL, corner, survive_all
from tests.support.point import Point, passed

SMALL = csv_file(320, bad_every=40)
# Eight chunks, and heartbeats often enough that some fall into the second that all this takes.
SETTINGS = {"IMPORT_CHUNK_ROWS": "40", "HEARTBEAT_SECONDS": "0.1"}


# Between a step in one server and the step in another that should follow it.
TELLING = [
    Point("mongo.deals.insert_many", 3, "after"),  # deals without a chunk that counts them
    Point("mongo.import_chunks.update_one", 3, "after"),  # counted, still in the lane
    Point("s3.put", 1, "after"),  # error CSV without a report
    Point("mongo.crm_events.insert_one", 1, "before"),  # ended, and nobody knows
]


@pytest.mark.covers("DI-X1", "DI-X3", "DI-X7", "DI-X10")
async def test_killed_between_two_servers(environment: dict[str, str], tmp_path: Path, figure: list[str]) -> None:
    assert await _survive_all(TELLING, environment, tmp_path, figure) == len(TELLING)


@pytest.mark.slow
async def test_killed_at_every_call(drill: Drill, tmp_path: Path, figure: list[str]) -> None:
    points = await _points(drill)
    assert {point.failpoint for point in TELLING} < {point.failpoint for point in points}
    assert await _survive_all(points, drill.environment, tmp_path, figure) > 0.9 * len(points)


async def _points(drill: Drill) -> list[Point]:
    """Before and after the first call and one in the middle, of every failpoint that an import passes."""
    queue_id = drill.queue(SMALL)
    daemon = await drill.started(**SETTINGS)
    await drill.converge(queue_id)
    busy = passed(daemon)
    await drill.until(lambda: daemon.calls("mongo.job_history.record") > 0, "history is written")
    await daemon.terminate()
    everything = passed(daemon)
    middle = {failpoint: random.randint(2, nth) for (failpoint, _), nth in busy.items() if nth > 1}  # noqa: S311
    return [
        Point(failpoint, nth, when)
        for failpoint, when in sorted(everything)
        for nth in sorted({1, min(middle.get(failpoint, 1), everything[failpoint, when])})
    ]


async def _survive_all(points: Sequence[Point], environment: Mapping[str, str], folder: Path, figure: list[str]) -> int:
    """How many kills there were."""
    return len(await survive_all(points, lambda point: _survive(point, environment, folder), figure))


async def _survive(point: Point, environment: Mapping[str, str], folder: Path) -> float | None:
    """Seconds from the start of the next daemon until all is done; None when this run made fewer such calls."""
    own, folder = corner(environment, folder)
    with Drill({**own, **SETTINGS}, f"test/{folder.name}/", folder) as drill:
        try:
            queue_id = drill.queue(SMALL)
            if not await _killed(drill, point, queue_id):
                return None
            drill.start()
            took = await drill.converge(queue_id)
            drill.check(queue_id, patience=CONVERGED)
            return took
        finally:
            drill.world.db.client.drop_database(drill.world.db)


async def _killed(drill: Drill, point: Point, queue_id: ObjectId) -> bool:
    daemon = drill.start(FAULT_PLAN=point.plan)
    await drill.until(lambda: not daemon.alive or drill.is_quiet(queue_id), f"a kill at {point}")
    if daemon.alive:  # what is only called after the end of the import, or at the daemon's own
        await drill.until(lambda: not daemon.alive or daemon.calls("mongo.job_history.record") > 0, "history")
        if daemon.alive:
            await daemon.terminate()
    # How many batches there are depends on who was faster; a first call there always is.
    assert daemon.exit_code == SIGKILL or point.nth > 1, f"never came to {point}\n{daemon.tail()}"
    return daemon.exit_code == SIGKILL
