"""The checks of automations are believed only because they find each kind of violation when one is planted."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from tests.support.drills.automations.case import AutomationCase, Expected
from tests.support.drills.automations.checks import CHECKS
from tests.support.drills.automations.outside import Arrival
from tests.support.drills.automations.plan import TAG, AutomationDrill
from tests.support.drills.history import Change
from tests.support.drills.planted import LATER, TAKEN_LATE, TAKEN_TWICE, Plant, assert_each_is_seen

TYPES = ("add_tag", "note", "email", "sms", "instareport")


def done(case: AutomationCase) -> dict[str, Any]:
    """The first deal that is done."""
    return next(deal for deal in case.deals if deal["_id"] in case.expected.done)


def bad(case: AutomationCase) -> dict[str, Any]:
    """The deal that failed."""
    return next(deal for deal in case.deals if deal["_id"] in case.expected.failed)


def unit(case: AutomationCase) -> str:
    return f"{case.id}:{done(case)['_id']}:0"


def effect(case: AutomationCase) -> dict[str, Any]:
    """The record of what was sent for the first deal that is done."""
    return next(record for record in case.effects if record["_id"] == unit(case))


def changed(*steps: dict[str, Any]) -> Plant[AutomationCase]:
    """Changes on the way that the end does not show."""
    return lambda case: case.changes.extend(Change("automations", case.id, step) for step in steps)


def again(times: int, **record: Any) -> Plant[AutomationCase]:
    """It arrived so often."""

    def plant(case: AutomationCase) -> None:
        arrival = next(one for one in case.arrivals if one.unit == unit(case))
        case.arrivals.extend([arrival] * (times - 1))
        effect(case).update(record)

    return plant


def log_twice(case: AutomationCase) -> None:
    entry = case.logs[0]["success"][0]
    case.logs[0]["success"].append(entry)
    case.logs[0]["deals"].append(entry["deal"])


def move_entry(case: AutomationCase) -> None:
    case.logs[0]["failed"].append({**case.logs[0]["success"].pop(), "message": "x"})


STRANGER = ObjectId()


def message(case: AutomationCase, event: str = "process_deals") -> dict[str, Any]:
    return next(one for one in case.messages if event in one["event"])


def drop(case: AutomationCase, event: str) -> None:
    case.messages.remove(message(case, event))


def unsend(case: AutomationCase) -> None:
    case.arrivals[:] = [one for one in case.arrivals if one.unit != unit(case)]


def misdirect(case: AutomationCase, to: str) -> None:
    unsend(case)
    case.arrivals.append(Arrival(unit(case), to))


def both_logged(case: AutomationCase) -> None:
    case.logs[0]["failed"].append({**case.logs[0]["success"][0], "message": "x"})


def expect_less(case: AutomationCase) -> None:
    less = Expected(case.id, case.expected.done - {done(case)["_id"]}, case.expected.failed)
    object.__setattr__(case, "expected", less)


PLANTS: list[tuple[str, str, Plant[AutomationCase]]] = [
    ("I1: {done} not in automation_triggered", "add_tag", lambda case: done(case)["automation_triggered"].clear()),
    ("I1: {bad} not in automation_failed", "add_tag", lambda case: bad(case)["automation_failed"].clear()),
    ("I1: {bad} not in automation_failed", "add_tag", lambda case: case.deals.remove(bad(case))),
    ("I1: unit {id}:{bad}:0 is pending", "note", lambda case: case.units[0].update(state="pending")),
    ("I1: effect {id}:{done}:0 is sending", "email", lambda case: effect(case).update(state="sending")),
    ("I1: effect {id}:{done}:0 is planned", "email", lambda case: effect(case).update(state="planned")),
    ("I1: logs {log} are open", "add_tag", lambda case: case.logs[0].update(state="open")),
    ("I1: the run has not ended", "add_tag", lambda case: case.automation.update(run={"id": "x"})),
    ("I1: of run {run} users were sent ['process_deals']", "add_tag", lambda case: drop(case, "automation_finished")),
    ("I1: of run {run} users were sent ['automation_finished']", "add_tag", lambda case: drop(case, "process_deals")),
    ("I1: process_deals:{run} not delivered", "add_tag", lambda case: message(case).update(state="given_up")),
    ("I8: of run {run} users were sent {{", "add_tag", lambda case: message(case, "finished")["data"].update(failed=0)),
    ("I2: {id} is still held by other", "add_tag", lambda case: case.automation.update(lease_owner="other")),
    ("I2: {id} is still held by None", "add_tag", lambda case: case.automation.update(lease_until=LATER)),
    ("I9: is_running is still set", "add_tag", lambda case: case.automation.update(is_running=True)),
    ("I2: automations {id}: token went from 1 to 3", "add_tag", changed({"token": 3})),
    (
        "I2: automations {id}: claimed while one held it",
        "add_tag",
        changed(*TAKEN_TWICE),
    ),
    (
        "I3: automations {id}: no holder for 0:59:58",
        "add_tag",
        changed(*TAKEN_LATE),
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
    ("I7: {id}:{done}:0 is said to be sent and never was", "email", unsend),
    ("I8: {done} marked as done, and nothing was sent", "sms", unsend),
    (
        "I8: {bad} sent and not marked as done",
        "email",
        lambda case: case.effects.append({**effect(case), "_id": f"{case.id}:{bad(case)['_id']}:0"}),
    ),
    ("I8: {first} logged as success and as failed", "add_tag", both_logged),
    ("I8: {first} logged more than once", "add_tag", log_twice),
    ("I8: {last} in automation_triggered or logged as success, but not both", "add_tag", move_entry),
    ("I8: {last} in automation_failed or logged as failed, but not both", "add_tag", move_entry),
    ("I8: log {log} names other deals", "add_tag", lambda case: case.logs[0]["deals"].pop()),
    ("I8: log {log} does not say why", "add_tag", lambda case: case.logs[0]["failed"][0].pop("message")),
    ("I8: {done} marked as done and as failed", "add_tag", lambda case: done(case).update(automation_failed=[case.id])),
    ("I8: {done} marked, though not due", "note", expect_less),
    ("I8: {bad} failed without a reason", "note", lambda case: case.units.clear()),
    ("I8: {done} still flagged", "note", lambda case: done(case).update(retry_automations=[case.id])),
    ("I17: deals {done} of another account", "note", lambda case: done(case).update(account_id=STRANGER)),
    ("I17: logs {log} of another account", "note", lambda case: case.logs[0].update(account_id=STRANGER)),
    ("I17: units {id}:{bad}:0 of another account", "note", lambda case: case.units[0].update(account_id=STRANGER)),
    ("I17: effects {id}:{done}:0 of another account", "sms", lambda case: effect(case).update(account_id=STRANGER)),
    ("I17: written", "note", lambda case: case.written[0].update(account_id=STRANGER)),
    ("I17: messages process_deals:{run} of", "note", lambda case: message(case).update(account_id=STRANGER)),
    ("I17: {id}:{done}:0 went to eve@example.com", "email", lambda case: misdirect(case, "eve@example.com")),
    ("I17: {id}:{done}:0 went to +15550001111", "sms", lambda case: misdirect(case, "+15550001111")),
    ("I17: {id}:{done}:0 went to {stranger}", "instareport", lambda case: misdirect(case, str(STRANGER))),
    ("I21: {id}:{done}:0 has 4 attempts", "email", lambda case: effect(case).update(attempts=4)),
    ("I21: {id}:{done}:0 has 1 attempts and left 2 times", "email", again(2, ambiguous=True)),
    ("I21: {id}:{done}:0 began as sent", "email", lambda case: effect(case)["history"].pop(0)),
    ("I21: unit {id}:{bad}:0 has 4 attempts", "note", lambda case: case.units[0].update(attempts=4)),
]


async def test_each_kind_of_violation_is_seen(automation_drill: AutomationDrill) -> None:
    drill = automation_drill
    planted = {type: drill.plan.plant(type, deals=4, bad=1) for type in TYPES}
    await drill.run_once()
    drill.check()

    for type, expected in planted.items():
        case = drill.plan.case(expected)
        assert (len(case.deals), len(case.logs), len(case.units), len(case.messages)) == (4, 1, 1, 2)
        assert len(case.arrivals) == (3 if type in ("email", "sms", "instareport") else 0)
        assert [change.fields["token"] for change in case.changes if "token" in change.fields] == [1]
        mine = [(message, plant) for message, of, plant in PLANTS if of == type]
        assert_each_is_seen(case, mine, CHECKS, _names(case))

    _spoil_the_servers(drill, planted["add_tag"])
    found = [drill.plan.violations_of(planted[type]) for type in ("add_tag", "email")]
    assert [sorted(one.split(":")[0] for one in some) for some in found] == [
        ["I17", "I2", "I2", "I7", "I7", "I8", "I8"],
        ["I21", "I7"],
    ], found


def _names(case: AutomationCase) -> dict[str, object]:
    log = case.logs[0]
    deals = {"done": done(case)["_id"], "bad": bad(case)["_id"], "stranger": STRANGER}
    logged = {"first": log["success"][0]["deal"], "last": log["success"][-1]["deal"]}
    return {"id": case.id, "log": log["_id"], "run": log["run_id"], **deals, **logged}


def _spoil_the_servers(drill: AutomationDrill, tag: Expected) -> None:
    db, outside = drill.world.db, drill.plan.outside
    db["deals"].update_one({"_id": min(tag.done)}, {"$push": {"tags": TAG}})
    stage = drill.observer.get("automations", tag.automation)["stage_id"]
    neighbours = {"account_id": {"$ne": drill.world.account}, "stage_id": stage}
    db["deals"].update_one(neighbours, {"$set": {"automation_triggered": [tag.automation]}})
    for token in (2, 3):
        db["automations"].update_one({"_id": tag.automation}, {"$set": {"token": token, "lease_until": LATER}})
    outside.mail.accepted.append(outside.mail.accepted[0])
