"""Without any fault: the yardstick for all the others."""

from __future__ import annotations

from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill


async def test_an_undisturbed_import_leaves_nothing_to_complain_of(drill: ImportDrill) -> None:
    drill.plan.plant(csv_file(2000))
    drill.start()
    await drill.come_to_rest()
    drill.check()
