"""The checker of automations is believed only because it finds each kind of violation when one is planted."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from tests.faults.automation_checker import Case, Expected, judge
from tests.faults.automation_drill import TAG, AutomationDrill
from tests.support.daemon import SHORT
from tests.support.history import Change
from tests.support.outside import Arrival, Outside

TYPES = ("add_tag", "note", "email", "sms", "instareport")
SECRET = "a secret of thirty-two bytes or more"


@pytest.fixture(scope="module")
def spotless(servers: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """{type: what an undisturbed run left behind}: four deals each, of which one fails."""
    own = f"test_{secrets.token_hex(6)}"
    environment = {
        **servers,
        **SHORT,
        "MONGO_URL": servers["MONGO_URL"].replace("/crm?", f"/{own}?"),
        "REDIS_PREFIX": f"test:{own}:",
        "APP_SECRET": SECRET,
    }

    async def run() -> dict[str, Case]:
        async with Outside(SECRET) as outside:
            with AutomationDrill(environment, tmp_path_factory.mktemp("checker"), outside) as drill:
                planted = {type: drill.plant(type, deals=4, bad=1) for type in TYPES}
                await drill.run_once()
                cases = {type: drill.automations.case(one, outside.arrivals()) for type, one in planted.items()}
                drill.world.db.client.drop_database(own)
                return cases

    return asyncio.run(run())


@pytest.mark.parametrize("type", TYPES)
def test_a_good_run_has_no_violations(spotless: dict[str, Case], type: str) -> None:
    case = spotless[type]
    assert judge(case) == []
    assert (len(case.deals), len(case.logs), len(case.units), len(case.messages)) == (4, 1, 1, 2)
    assert len(case.arrivals) == (3 if type in ("email", "sms", "instareport") else 0)
    assert [change.fields["token"] for change in case.changes if "token" in change.fields] == [1]


Plant = Callable[[Case], object]


def done(case: Case) -> dict[str, Any]:
    """The first deal that is done."""
    return next(deal for deal in case.deals if deal["_id"] in case.expected.done)


def bad(case: Case) -> dict[str, Any]:
    """The deal that failed."""
    return next(deal for deal in case.deals if deal["_id"] in case.expected.failed)


def unit(case: Case) -> str:
    return f"{case.id}:{done(case)['_id']}:0"


def effect(case: Case) -> dict[str, Any]:
    """The record of what was sent for the first deal that is done."""
    return next(record for record in case.effects if record["_id"] == unit(case))


def changed(*steps: dict[str, Any]) -> Plant:
    """Changes on the way that the end does not show."""
    return lambda case: case.changes.extend(Change("automations", case.id, step) for step in steps)


def again(times: int, **record: Any) -> Plant:
    """It arrived so often."""

    def plant(case: Case) -> None:
        arrival = next(one for one in case.arrivals if one.unit == unit(case))
        case.arrivals.extend([arrival] * (times - 1))
        effect(case).update(record)

    return plant


def set_expected(**changes: Any) -> Plant:
    return lambda case: object.__setattr__(case, "expected", Expected(case.id, **changes))


def log_twice(case: Case) -> None:
    entry = case.logs[0]["success"][0]
    case.logs[0]["success"].append(entry)
    case.logs[0]["deals"].append(entry["deal"])


def move_entry(case: Case) -> None:
    case.logs[0]["failed"].append({**case.logs[0]["success"].pop(), "message": "x"})


NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)
STRANGER = ObjectId()
PLANTS: list[tuple[str, str, Plant]] = [
    ("I1: {done} not in automation_triggered", "add_tag", lambda case: done(case)["automation_triggered"].clear()),
    ("I1: {bad} not in automation_failed", "add_tag", lambda case: bad(case)["automation_failed"].clear()),
    ("I1: {bad} not in automation_failed", "add_tag", lambda case: case.deals.remove(bad(case))),
    ("I1: unit {id}:{bad}:0 is pending", "note", lambda case: case.units[0].update(state="pending")),
    ("I1: effect {id}:{done}:0 is sending", "email", lambda case: effect(case).update(state="sending")),
    ("I1: effect {id}:{done}:0 is planned", "email", lambda case: effect(case).update(state="planned")),
    ("I1: logs {log} are open", "add_tag", lambda case: case.logs[0].update(state="open")),
    ("I1: the run has not ended", "add_tag", lambda case: case.automation.update(run={"id": "x"})),
    ("I1: of run {run} users heard ['process_deals']", "add_tag", lambda case: drop(case, "automation_finished")),
    ("I1: of run {run} users heard ['automation_finished']", "add_tag", lambda case: drop(case, "process_deals")),
    ("I1: process_deals:{run} not delivered", "add_tag", lambda case: told(case).update(state="given_up")),
    ("I8: of run {run} users heard {{", "add_tag", lambda case: told(case, "finished")["data"].update(failed=0)),
    ("I2: still held by somebody", "add_tag", lambda case: case.automation.update(lease_owner="somebody")),
    ("I2: still held by None", "add_tag", lambda case: case.automation.update(lease_until=LATER)),
    ("I9: is_running is still set", "add_tag", lambda case: case.automation.update(is_running=True)),
    ("I2: automations {id}: token went from 1 to 3", "add_tag", changed({"token": 3})),
    (
        "I2: automations {id}: claimed while one held it",
        "add_tag",
        changed(
            {"token": 2, "lease_until": LATER, "lease_owner": "one"},
            {"token": 3, "lease_until": LATER, "lease_owner": "two"},
        ),
    ),
    (
        "I3: automations {id}: nobody took it over for 0:59:58",
        "add_tag",
        changed({"token": 2, "lease_until": NOW}, {"token": 3, "lease_until": LATER}),
    ),
    ("I7: add_tag took effect 2 times on {done}", "add_tag", lambda case: done(case)["tags"].append(TAG)),
    ("I7: add_tag took effect 0 times on {done}", "add_tag", lambda case: done(case)["tags"].clear()),
    ("I7: add_tag took effect 1 times on {bad}", "add_tag", lambda case: bad(case)["tags"].append(TAG)),
    ("I7: note took effect 2 times on", "note", lambda case: case.written.append({**case.written[0]})),
    ("I7: note took effect 0 times on", "note", lambda case: case.written.pop()),
    ("I7: note took effect 1 times on {bad}", "note", lambda case: case.written[0].update(deal_id=bad(case)["_id"])),
    ("I7: {id}:{done}:0 left without a record", "email", lambda case: case.effects.remove(effect(case))),
    ("I7: {id}:{done}:0 left 2 times and is not flagged", "email", again(2, attempts=2)),
    ("I7: {id}:{done}:0 left 3 times, 2 are allowed", "email", again(3, attempts=3, ambiguous=True)),
    ("I7: {id}:{done}:0 left 2 times, 1 are allowed", "sms", again(2, attempts=2, ambiguous=True)),
    ("I7: {id}:{done}:0 left 2 times and is not flagged", "instareport", again(2, attempts=2)),
    ("I7: {id}:{done}:0 is said to be sent and never was", "email", lambda case: unsend(case)),
    ("I8: {done} marked as done, and nothing was sent", "sms", lambda case: unsend(case)),
    (
        "I8: {bad} sent and not marked as done",
        "email",
        lambda case: case.effects.append({**effect(case), "_id": f"{case.id}:{bad(case)['_id']}:0"}),
    ),
    ("I8: {first} logged as success and as failed", "add_tag", lambda case: both_logged(case)),
    ("I8: {first} logged more than once", "add_tag", log_twice),
    ("I8: {last} in automation_triggered or logged as success, but not both", "add_tag", move_entry),
    ("I8: {last} in automation_failed or logged as failed, but not both", "add_tag", move_entry),
    ("I8: log {log} names other deals", "add_tag", lambda case: case.logs[0]["deals"].pop()),
    ("I8: log {log} does not say why", "add_tag", lambda case: case.logs[0]["failed"][0].pop("message")),
    ("I8: {done} marked as done and as failed", "add_tag", lambda case: done(case).update(automation_failed=[case.id])),
    ("I8: {done} marked, and nobody asked for it", "note", lambda case: expect_less(case)),
    ("I8: {bad} failed without a reason", "note", lambda case: case.units.clear()),
    ("I8: {done} still flagged", "note", lambda case: done(case).update(retry_automations=[case.id])),
    ("I17: deals {done} of another account", "note", lambda case: done(case).update(account_id=STRANGER)),
    ("I17: logs {log} of another account", "note", lambda case: case.logs[0].update(account_id=STRANGER)),
    ("I17: units {id}:{bad}:0 of another account", "note", lambda case: case.units[0].update(account_id=STRANGER)),
    ("I17: effects {id}:{done}:0 of another account", "sms", lambda case: effect(case).update(account_id=STRANGER)),
    ("I17: written", "note", lambda case: case.written[0].update(account_id=STRANGER)),
    ("I17: messages process_deals:{run} of", "note", lambda case: told(case).update(account_id=STRANGER)),
    ("I17: {id}:{done}:0 went to eve@example.com", "email", lambda case: misdirect(case, "eve@example.com")),
    ("I17: {id}:{done}:0 went to +15550001111", "sms", lambda case: misdirect(case, "+15550001111")),
    ("I17: {id}:{done}:0 went to {stranger}", "instareport", lambda case: misdirect(case, str(STRANGER))),
    ("I21: {id}:{done}:0 has 4 attempts", "email", lambda case: effect(case).update(attempts=4)),
    ("I21: {id}:{done}:0 has 1 attempts and left 2 times", "email", again(2, ambiguous=True)),
    ("I21: {id}:{done}:0 began as sent", "email", lambda case: effect(case)["history"].pop(0)),
    ("I21: unit {id}:{bad}:0 has 4 attempts", "note", lambda case: case.units[0].update(attempts=4)),
]


def told(case: Case, event: str = "process_deals") -> dict[str, Any]:
    return next(message for message in case.messages if event in message["event"])


def drop(case: Case, event: str) -> None:
    case.messages.remove(told(case, event))


def unsend(case: Case) -> None:
    case.arrivals[:] = [one for one in case.arrivals if one.unit != unit(case)]


def misdirect(case: Case, to: str) -> None:
    unsend(case)
    case.arrivals.append(Arrival(unit(case), to))


def both_logged(case: Case) -> None:
    case.logs[0]["failed"].append({**case.logs[0]["success"][0], "message": "x"})


def expect_less(case: Case) -> None:
    set_expected(done=case.expected.done - {done(case)["_id"]}, failed=case.expected.failed)(case)


@pytest.mark.parametrize(
    ("message", "type", "plant"), PLANTS, ids=[f"{type}: {message}" for message, type, _ in PLANTS]
)
def test_a_planted_violation_is_seen(spotless: dict[str, Case], message: str, type: str, plant: Plant) -> None:
    case = spotless[type]
    spoiled = deepcopy(case)
    plant(spoiled)
    log = case.logs[0]
    names = {"id": case.id, "done": done(case)["_id"], "bad": bad(case)["_id"], "log": log["_id"], "run": log["run_id"]}
    first, last = log["success"][0]["deal"], log["success"][-1]["deal"]
    expected = message.format(**names, first=first, last=last, stranger=STRANGER)
    found = judge(spoiled)
    assert any(violation.startswith(expected) for violation in found), found


async def test_violations_in_the_servers_are_read(automation_drill: AutomationDrill) -> None:
    drill, db = automation_drill, automation_drill.world.db
    tag, mail = drill.plant("add_tag", deals=4, bad=1), drill.plant("email", deals=4, bad=1)
    await drill.run_once()
    drill.judge()

    db["deals"].update_one({"_id": min(tag.done)}, {"$push": {"tags": TAG}})
    # The neighbour's deal on the same stage.
    db["deals"].update_one(
        {"account_id": {"$ne": drill.world.account}}, {"$set": {"automation_triggered": [tag.automation]}}
    )
    for token in (2, 3):
        db["automations"].update_one({"_id": tag.automation}, {"$set": {"token": token, "lease_until": LATER}})
    drill.outside.mail.accepted.append(drill.outside.mail.accepted[0])

    arrivals = drill.outside.arrivals()
    found = [drill.automations.violations(one, arrivals) for one in (tag, mail)]
    assert [sorted(one.split(":")[0] for one in some) for some in found] == [
        ["I17", "I2", "I2", "I7", "I7", "I8", "I8"],
        ["I21", "I7"],
    ], found
