"""The checks of leads are believed only because they find each kind of violation when one is planted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from bson import ObjectId

from tests.support.drills.drill import Drill
from tests.support.drills.history import MAX_ORPHANED, Change
from tests.support.drills.leads.case import LeadCase
from tests.support.drills.leads.checks import CHECKS
from tests.support.drills.leads.outside import Taken
from tests.support.drills.leads.plan import LeadPlan
from tests.support.drills.planted import NOW, TAKEN_TWICE, Plant, assert_each_is_seen, set_field

SECOND = timedelta(seconds=1)
STRANGER = ObjectId()


def first(case: LeadCase, type: str) -> dict[str, Any]:
    """The first row of this type."""
    return next(row for rows in case.rows.values() for row in rows if row["type"] == type)


def resent(times: int, **record: Any) -> Plant[LeadCase]:
    """The first message left so often."""

    def plant(case: LeadCase) -> None:
        case.log[1:1] = [case.log[0]] * (times - 1)
        case.effects[0].update(record)

    return plant


def shifted(place: int, by: timedelta) -> Plant[LeadCase]:
    """A message began at another time."""

    def plant(case: LeadCase) -> None:
        case.log[place] = case.log[place]._replace(started=case.log[place].started + by)

    return plant


def taken_twice(case: LeadCase) -> None:
    id = case.entries[0]["_id"]
    last = max(change.fields["token"] for change in case.changes if change.id == id and "token" in change.fields)
    steps = [{**step, "token": last + n} for n, step in enumerate(TAKEN_TWICE, 1)]
    case.changes.extend(Change("lead_stages", id, step) for step in steps)


def stray(case: LeadCase) -> None:
    case.log.append(Taken(case.entries[0]["_id"], 5, NOW, NOW, case.lead["email"]))
    case.changes.append(Change("lead_stages", case.entries[0]["_id"], {"current_sequence": 5}))


def unsent(case: LeadCase) -> None:
    case.effects[0].update(state="sending")
    case.log.clear()


PLANTS: list[tuple[str, Plant[LeadCase]]] = [
    ("I1: {id} failed", lambda case: case.entries[-1].update(status="failed")),
    ("I1: {id} should be replied", lambda case: case.entries[-1].update(status="active")),
    ("I1: {id} should be silent", set_field("expected", "silent")),
    ("I1: {id} entered 2 stages", lambda case: case.entries.pop(1)),
    ("I1: {id}: stages before", lambda case: case.entries[0].update(status="completed")),
    ("I1: {id}: actions", lambda case: first(case, "note").update(status="skipped")),
    ("I1: {id}: rows 1 are open", lambda case: first(case, "note").update(status="pending")),
    ("I1: lead:{entry}:2 is still", unsent),
    ("I2: {id}: claimed while", taken_twice),
    ("I2: {entry} is still held", lambda case: case.entries[0].update(lease_owner="dead")),
    ("I7: {id} has 2 notes of 1", lambda case: case.notes.append(case.notes[0])),
    ("I7: {id} has the tags hot of 2", lambda case: case.lead.update(tags=["hot"])),
    ("I7: lead:{entry}:2 left 2 times and is not flagged", resent(2)),
    ("I7: lead:{entry}:2 left 3 times", resent(3, ambiguous=True)),
    ("I7: lead:{entry}:5 left without a record", stray),
    ("I7: lead:{entry}:2 is said to be sent", lambda case: case.log.pop(0)),
    ("I7: lead:{entry}:2 is done and nothing", lambda case: case.log.pop(0)),
    ("I10: {id}: the run went", lambda case: case.changes.append(_back(case))),
    ("I10: {id}: action 2 (email) began before", lambda case: first(case, "email").update(performed_at=NOW - SECOND)),
    ("I10: {id}: message (0, 2) began while", lambda case: case.log.reverse()),
    ("I10: {id}: message 2 began before the end", shifted(0, -60 * SECOND)),
    ("I10: {id}: message 4 began early", shifted(1, -60 * SECOND)),
    ("I10: {id}: action 3 (wait) ended", lambda case: first(case, "wait").update(performed_at=NOW - 60 * SECOND)),
    ("I10: {id}: 2 branches", lambda case: case.entries.append({**case.entries[-1], "stage_id": case.stages.silent})),
    ("I17: notes", lambda case: case.notes[0].update(account_id=STRANGER)),
    (
        "I17: lead:{entry}:2 went to eve",
        lambda case: case.log.insert(0, case.log.pop(0)._replace(to="eve@example.com")),
    ),
]


def _back(case: LeadCase) -> Change:
    return Change("lead_stages", case.entries[0]["_id"], {"current_sequence": 1})


async def test_each_kind_of_violation_is_seen(environment: dict[str, str], tmp_path: Path) -> None:
    async with Drill(LeadPlan(), environment, tmp_path) as drill:
        drill.plan.plant(3)
        drill.start()
        await drill.come_to_rest()
        drill.check()
        case = next(one for one in drill.plan.cases(MAX_ORPHANED) if one.expected == "replied")
    assert (len(case.entries), len(case.log), len(case.effects), len(case.notes)) == (3, 2, 2, 1)
    assert case.changes
    assert_each_is_seen(case, PLANTS, CHECKS, {"id": case.id, "entry": case.entries[0]["_id"]})
