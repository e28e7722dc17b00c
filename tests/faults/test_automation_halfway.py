"""Automation switched off, deal moved or deleted while a run is halfway: what has not begun to leave does not leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.errors import Transient
from tests.support.automations import deal_of, run
from tests.support.drills.automations.case import Expected
from tests.support.drills.automations.plan import AutomationDrill
from tests.support.engine_app import open_app
from tests.support.events import carry_events
from tests.support.eventually import eventually

HELD = 2.0
"""Seconds for which a call is held back; what the test does meanwhile takes milliseconds."""
CLAIMED = ("mongo.automations.find_one_and_update", "after")
SELECTED = ("mongo.automation_logs.insert_one", "after")
SENDING = ("smtp.data", "before")


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "LEASE_SECONDS": "15"}  # no heartbeat runs here


@asynccontextmanager
async def held(
    drill: AutomationDrill, folder: Path, expected: Expected, at: tuple[str, str], **changes: str
) -> AsyncIterator[None]:
    """The first call of a failpoint is held back while the body runs; then the run goes on to its end."""
    failpoint, when = at
    log = folder / "failpoints"
    plan = {"failpoint": failpoint, "when": when, "do": "delay", "seconds": HELD}
    fault = {"FAULT_TESTING": "1", "FAULT_PLAN": json.dumps(plan), "FAULT_LOG": str(log)}
    async with open_app(settings.from_environment({**drill.environment, **fault, **changes})) as app:
        await app.heartbeat.beat()
        running = asyncio.create_task(run_slice(app, None, expected.automation))
        await eventually(lambda: f"{failpoint} 1 {when}" in log.read_text(), f"{when} {failpoint}", 10)
        yield
        assert not running.done()
        await running
        await run(app, expected.automation)


def switch_off(drill: AutomationDrill, expected: Expected) -> None:
    drill.world.db["automations"].update_one({"_id": expected.automation}, {"$set": {"status": "INACTIVE"}})


def nothing_happened(drill: AutomationDrill, deals: set[ObjectId]) -> bool:
    """No mark, no effect and no log of these deals."""
    db, ids = drill.world.db, {"$in": list(deals)}
    marked = {"_id": ids, "$or": [{"tags.0": {"$exists": True}}, {"automation_triggered.0": {"$exists": True}}]}
    written = db["notes"].count_documents({"deal_id": ids}) + db["automation_logs"].count_documents({"deals": ids})
    units = {ObjectId(arrival.unit.split(":")[1]) for arrival in drill.plan.outside.arrivals()}
    return db["deals"].count_documents(marked) == written == 0 and not units & deals


@pytest.mark.parametrize("type", ["add_tag", "email"])
@pytest.mark.covers("DA-X10", "DA-19")
async def test_switched_off_between_claim_and_effect_nothing_happens(
    automation_drill: AutomationDrill, tmp_path: Path, type: str
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant(type, deals=3)

    async with held(drill, tmp_path, expected, CLAIMED):
        switch_off(drill, expected)

    assert nothing_happened(drill, set(expected.done))
    automation = drill.world.db["automations"].find_one({"_id": expected.automation})
    assert automation
    assert (automation["is_running"], automation["run"], automation["lease_until"]) == (False, None, None)


@pytest.mark.covers("DA-X10")
async def test_switched_off_while_it_sends_no_further_batch_begins(
    automation_drill: AutomationDrill, tmp_path: Path
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant("email", deals=6)

    async with held(drill, tmp_path, expected, SENDING, AUTOMATION_BATCH="2"):
        switch_off(drill, expected)

    sent = {ObjectId(arrival.unit.split(":")[1]) for arrival in drill.plan.outside.arrivals()}
    assert sent == set(sorted(expected.done)[:2])
    assert nothing_happened(drill, set(expected.done) - sent)


def move(drill: AutomationDrill, deal: ObjectId) -> None:
    drill.world.db["deals"].update_one({"_id": deal}, {"$set": {"stage_id": ObjectId()}})


def delete(drill: AutomationDrill, deal: ObjectId) -> None:
    drill.world.db["deals"].delete_one({"_id": deal})


@pytest.mark.parametrize("change", [move, delete])
@pytest.mark.parametrize("type", ["email", "instareport"])
@pytest.mark.covers("DA-X10")
async def test_a_deal_that_leaves_between_claim_and_effect_is_left_alone(
    automation_drill: AutomationDrill,
    tmp_path: Path,
    type: str,
    change: Callable[[AutomationDrill, ObjectId], None],
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant(type, deals=3)
    leaves = min(expected.done)

    async with held(drill, tmp_path, expected, SELECTED):
        change(drill, leaves)

    assert nothing_happened(drill, {leaves})
    for deal in expected.done - {leaves}:
        assert deal_of(drill.world, deal)["automation_triggered"] == [expected.automation]
    logs: list[dict[str, Any]] = list(drill.world.db["automation_logs"].find())
    assert [len(log["success"]) for log in logs] == [2]


@pytest.mark.covers("DA-X13")
async def test_deals_that_enter_after_a_run_broke_off_at_its_end_are_another_run(
    automation_drill: AutomationDrill,
) -> None:
    drill, expected = automation_drill, automation_drill.plan.plant("add_tag", deals=3, bad=1)
    # The second event is that of the end: it is written, and the run does not release the automation.
    plan = {"failpoint": "mongo.outbox.insert_one", "nth": 2, "when": "after", "do": "raise"}
    fault = {"FAULT_TESTING": "1", "FAULT_PLAN": json.dumps(plan)}
    async with open_app(settings.from_environment({**drill.environment, **fault})) as app:
        await app.heartbeat.beat()
        with pytest.raises(Transient):
            await run_slice(app, None, expected.automation)
        drill.plan.enter(expected, deals=2)
        await run(app, expected.automation)
        await carry_events(app)

    drill.check()
    assert drill.world.db["outbox"].count_documents({"event": "automation_finished"}) == 2
