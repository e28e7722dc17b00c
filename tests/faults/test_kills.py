"""The daemon is killed before or after an outside call; the next one ends the work as if nothing had been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.drills.automations.plan import AutomationDrill, AutomationPlan
from tests.support.drills.clones.plan import ClonePlan
from tests.support.drills.history import MAX_ORPHANED_AFTER_OUTAGE
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportPlan
from tests.support.drills.kills import Rehearsal, killed, survive_all
from tests.support.drills.points import Point

SMALL = csv_file(320, bad_every=40)
DEALS, BAD, STEPS = 7, 1, 3
BEATS = {"HEARTBEAT_SECONDS": "0.1"}
"""So often that some renewals fall into the second that all this takes."""
IMPORTS_ALONE = dict.fromkeys(("QM_DEALS_AUTOMATIONS", "QM_FUNNELS_CLONE", "QM_LEADS", "QM_CRM_JOBS"), "false")
"""A whole life has no call of the other systems then: each has kills of its own."""
NO_SOCKETS = {"SOCKET_URL": ""}
"""An event that is cut off in the middle is sent again after 15 s, for which a quick test would wait."""


def of_type(type: str) -> Rehearsal[AutomationPlan]:
    return Rehearsal(
        AutomationPlan,
        lambda plan: plan.plant(type, DEALS, BAD),
        {"AUTOMATION_BATCH": "3", **BEATS},  # three batches
        idle_find="mongo.automations.find",
    )


IMPORT_SETTINGS = {"IMPORT_CHUNK_ROWS": "40", **BEATS, **IMPORTS_ALONE}  # eight chunks
IMPORT = Rehearsal(ImportPlan, lambda plan: plan.plant(SMALL), IMPORT_SETTINGS)
CLONE = Rehearsal(ClonePlan, lambda plan: plan.plant(STEPS), BEATS, idle_find="mongo.funnels.find")
AUTOMATIONS = {type: of_type(type) for type in ("add_tag", "note", "email", "instareport")}

# Between a step in one server and the step in another that should follow it.
IMPORT_POINTS = [
    Point("mongo.deals.insert_many", 3, "after"),  # deals without a chunk that counts them
    Point("mongo.import_chunks.update_one", 3, "after"),  # counted, still in the lane
    Point("s3.put", 1, "after"),  # error CSV without a report
    Point("mongo.crm_events.insert_one", 1, "before"),  # ended, and no event says so
]
AUTOMATION_POINTS = {
    "add_tag": Point("mongo.automation_logs.update_one", 1, "before"),  # effect and mark, the log open
    "note": Point("mongo.deals.update_many", 1, "before"),  # effect, no mark
    "email": Point("smtp.data", 2, "after"),  # sent, not recorded
    "instareport": Point("mongo.effects.bulk", 2, "after"),  # made and recorded, no mark
}
CLONE_POINTS = [
    Point("s3.copy", 3, "after"),  # copied, not marked
    Point("mongo.funnel.step.components.update_one", 2, "after"),  # components without a page
    Point("mongo.funnel.step.update_one", STEPS, "after"),  # the last step done, the clone open
]

Kill = tuple[Rehearsal[Any], Point]


@pytest.mark.parametrize(
    ("kills", "settings"),
    [
        pytest.param(
            [(IMPORT, point) for point in IMPORT_POINTS],
            {},
            id="imports",
            marks=pytest.mark.covers("DI-X1", "DI-X3", "DI-X7", "DI-X10"),
        ),
        pytest.param(
            [(AUTOMATIONS[type], point) for type, point in AUTOMATION_POINTS.items()],
            NO_SOCKETS,
            id="automations",
            marks=[pytest.mark.covers("DA-X2", "DA-X4", "DA-X5", "DA-X6"), pytest.mark.slow],
        ),
        pytest.param(
            [(CLONE, point) for point in CLONE_POINTS],
            NO_SOCKETS,
            id="clones",
            marks=[pytest.mark.covers("FC-12", "FC-X2", "FC-X5", "FC-X8", "FC-X9", "FC-X13"), pytest.mark.slow],
        ),
    ],
)
async def test_killed_between_two_calls(
    environment: dict[str, str], tmp_path: Path, figure: list[str], kills: list[Kill], settings: dict[str, str]
) -> None:
    figure.append(await survive_all(kills, {**environment, **settings}, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rehearsal", "known"),
    [
        pytest.param(IMPORT, IMPORT_POINTS, id="imports"),
        *(pytest.param(AUTOMATIONS[type], [point], id=type) for type, point in AUTOMATION_POINTS.items()),
        pytest.param(CLONE, CLONE_POINTS, id="clones"),
    ],
)
async def test_killed_at_every_call(
    environment: dict[str, str], tmp_path: Path, figure: list[str], rehearsal: Rehearsal[Any], known: list[Point]
) -> None:
    points = await rehearsal.points(environment, tmp_path)
    assert {point.failpoint for point in known} < {point.failpoint for point in points}
    figure.append(await survive_all([(rehearsal, point) for point in points], environment, tmp_path))


@pytest.mark.slow
@pytest.mark.covers("DA-X2")
async def test_three_crashes_in_a_row_leave_no_dead_letter(automation_drill: AutomationDrill) -> None:
    # The automation counts them itself, and it may not be to blame: see CRASHES of its run.
    automation_drill.plan.plant("note", DEALS, BAD)
    for _ in range(3):
        assert await killed(automation_drill, Point("mongo.notes.insert_many", 1, "before"))
    automation_drill.start()
    await automation_drill.come_to_rest()
    automation_drill.check(MAX_ORPHANED_AFTER_OUTAGE)
