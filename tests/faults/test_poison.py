"""An import that takes its process down each time is given up, and the others do not suffer."""

from __future__ import annotations

import json

import pytest

from tests.support.daemon import Daemon
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill

CRASHES = 3


@pytest.mark.slow
@pytest.mark.covers("DI-X2", "R-17")
async def test_an_import_that_kills_its_process_is_given_up(drill: ImportDrill, figure: list[str]) -> None:
    poison = json.dumps({"failpoint": "mongo.import_chunks.insert_many", "do": "kill"})
    bad = drill.plan.plant(csv_file(500))
    for _ in range(CRASHES):
        await _killed(drill.start(FAULT_PLAN=poison), drill)
    good = drill.plan.plant(csv_file(500))
    daemon = drill.start()
    took = await drill.come_to_rest()

    ended = drill.world.import_of(bad)
    assert (ended["status"], ended["in_progress"], ended["attempts"]) == ("failed", False, 1)
    assert "3 processes ended" in ended["error"]
    assert drill.world.report_of(bad)["total_records_added"] == 0
    assert drill.plan.violations_of(good) == []
    assert daemon.alive
    figure.append(f"given up after {CRASHES} crashes, {took:.1f} s after the next daemon's start")


async def _killed(daemon: Daemon, drill: ImportDrill) -> None:
    await drill.until(lambda: not daemon.alive, "the import kills its process")
