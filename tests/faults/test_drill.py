"""Without any fault: the yardstick for all the others."""

from __future__ import annotations

from tests.faults.drill import Drill
from tests.support.csv_files import csv_file


async def test_an_undisturbed_import_leaves_nothing_to_complain_of(drill: Drill) -> None:
    queue_id = drill.queue(csv_file(2000))
    drill.start()
    await drill.converge(queue_id)
    drill.check(queue_id)
