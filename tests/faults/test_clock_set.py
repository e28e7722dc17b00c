"""The wall clock of a daemon's host is set: work that becomes due by time alone is found all the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.world import World

ROOT = str(Path(__file__).parents[2])
SHIFTED = "tests.support.shifted_daemon.WorkerSettings"
MINUTES_2, HOURS_2 = 120, 7200
READINGS = 20
"""So many looks at the clock as arq makes in a few seconds."""
MAX_DELAY_SECONDS = 15.0
"""DEALS_SWEEP_SECONDS and a second, then the import itself on a busy machine."""


@pytest.mark.parametrize(
    "shifts",
    [pytest.param(shifts, marks=pytest.mark.slow) for shifts in ([-MINUTES_2], [-HOURS_2], [HOURS_2, 0])],
    ids=str,
)
async def test_a_delayed_import_runs_after_its_time(
    world: World, environment: dict[str, str], tmp_path: Path, shifts: Sequence[int]
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    settings = {**environment, "PYTHONPATH": ROOT, "CLOCK_FILE": str(clock)}
    daemon = Daemon(settings, tmp_path, "daemon", SHIFTED)

    async def read(shift: int) -> None:
        readings = tmp_path / "clock.read"
        enough = lambda: readings.exists() and readings.read_text().split().count(str(shift)) >= READINGS  # noqa: E731
        await eventually(enough, f"arq reads a clock that is {shift} s off", 60, daemon)

    try:
        await eventually(lambda: daemon.ready, "the daemon starts", 60, daemon)
        await read(0)
        for shift in shifts:
            clock.write_text(str(shift))
            await read(shift)
        soon = datetime.now(UTC) + timedelta(seconds=2)
        queue_id = world.submit("Deal\nOne\n", {"Deal": "name"}, next_at=soon)
        done = lambda: world.import_of(queue_id)["status"] == "completed"  # noqa: E731
        await eventually(done, "the import runs", 2 + MAX_DELAY_SECONDS, daemon)
    finally:
        daemon.kill()
