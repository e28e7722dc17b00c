"""Compares what an automation left in MongoDB and outside with what reliability.md promises (I1-I3, I7-I9, I17, I21).

It shares no code with the engine: MongoDB is read by pymongo, what left the house by those who received it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bson import ObjectId
from pymongo import MongoClient

from tests.support.history import LONGEST_ORPHAN, Change, History, changes
from tests.support.outside import Arrival

Document = dict[str, Any]
POLICY = {"email": "resend", "sms": "park", "instareport": "resend", "instasite": "resend"}
"""What happens to a call of which nobody knows whether it went out, as .env.example has it."""
MOST_COPIES = {"resend": 2, "park": 1}
MOST_ATTEMPTS = 3
WRITTEN = {"note": "notes", "reminder": "reminders"}
MARKS = ("automation_triggered", "automation_failed")


@dataclass(frozen=True)
class Expected:
    """The deals for which an automation should take effect, and those for which it should fail."""

    automation: ObjectId
    done: frozenset[ObjectId] = frozenset()
    failed: frozenset[ObjectId] = frozenset()

    @property
    def due(self) -> frozenset[ObjectId]:
        return self.done | self.failed


@dataclass(frozen=True)
class Case:
    """Everything about one automation that the checks look at."""

    expected: Expected
    automation: Document
    deals: list[Document]
    logs: list[Document]
    units: list[Document]
    effects: list[Document]
    written: list[Document]
    messages: list[Document]
    events: list[Document]
    arrivals: list[Arrival]
    changes: list[Change]
    lease: float
    patience: timedelta

    @property
    def id(self) -> ObjectId:
        return self.expected.automation

    @property
    def type(self) -> str:
        return str(self.automation["type"])

    def marked(self, mark: str) -> set[ObjectId]:
        return {deal["_id"] for deal in self.deals if self.id in (deal.get(mark) or [])}

    def entries(self, outcome: str) -> list[ObjectId]:
        """The deals that the logs name under `success` or `failed`."""
        return [entry["deal"] for log in self.logs for entry in log[outcome]]

    def copies(self) -> Counter[str]:
        """{unit: how often it arrived}."""
        return Counter(arrival.unit for arrival in self.arrivals)


class Checker:
    """Sees every change from its creation on: `Checker(environment)` before the daemons start."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._mongo: MongoClient[Document] = MongoClient(environment["MONGO_URL"], tz_aware=True)
        self._db = self._mongo.get_default_database()
        self._lease = float(environment.get("LEASE_SECONDS", 15))
        self._since = self._db.command("ping")["operationTime"]

    def close(self) -> None:
        self._mongo.close()

    def violations(
        self, expected: Expected, arrivals: Iterable[Arrival], patience: timedelta = LONGEST_ORPHAN
    ) -> list[str]:
        """What is wrong with an automation that should have come to rest, as `I7: ...`; empty when all is well.

        `arrivals`: all that left the house. `patience`: how long a lease may have been nobody's.
        """
        return judge(self.case(expected, arrivals, patience))

    def longest_orphan(self) -> timedelta:
        """How long at most a lease had run out before somebody took over."""
        return History(changes(self._db, self._since), self._lease).longest_orphan

    def case(self, expected: Expected, arrivals: Iterable[Arrival], patience: timedelta = LONGEST_ORPHAN) -> Case:
        """What there is to judge."""
        id, db = expected.automation, self._db
        automation = db["automations"].find_one({"_id": id})
        assert automation is not None, f"no automation {id}"
        touched = [{"_id": {"$in": list(expected.due)}}, *({mark: id} for mark in MARKS)]
        named = {"_id": {"$regex": f"^{id}:"}}
        told = {"data.automation": {"$in": [id, str(id)]}}
        written = WRITTEN.get(automation["type"], "notes")
        return Case(
            expected=expected,
            automation=automation,
            deals=list(db["deals"].find({"$or": touched})),
            logs=list(db["automation_logs"].find({"automation": id})),
            units=list(db["automation_units"].find({"automation_id": id})),
            effects=list(db["effects"].find(named)),
            written=list(db[written].find({"automation": id})),
            messages=list(db["outbox"].find(told)),
            events=list(db["crm_events"].find(told)),
            arrivals=[one for one in arrivals if one.unit.startswith(f"{id}:")],
            changes=[one for one in changes(db, self._since) if one.id == id],
            lease=self._lease,
            patience=patience,
        )


def judge(case: Case) -> list[str]:
    """All violations."""
    return [violation for check in CHECKS for violation in check(case)]


def nothing_lost(case: Case) -> Iterator[str]:
    """I1: every deal has reached its end, and that end is the right one."""
    for mark, wanted in zip(MARKS, (case.expected.done, case.expected.failed), strict=True):
        if lost := wanted - case.marked(mark):
            yield f"I1: {_some(lost)} not in {mark}"
    for kind, found in (("unit", case.units), ("effect", case.effects)):
        for one in found:
            if one["state"] in ("pending", "sending", "planned"):
                yield f"I1: {kind} {one['_id']} is {one['state']}"
    if opened := [log["_id"] for log in case.logs if log["state"] != "closed"]:
        yield f"I1: logs {_some(opened)} are open"
    if case.automation.get("run") is not None:
        yield "I1: the run has not ended"


def told_once(case: Case) -> Iterator[str]:
    """I1: of every run users heard its begin and its end once, with the right figures."""
    for run in {log["run_id"] for log in case.logs}:
        told = {message["event"]: message for message in case.messages if message["_id"].endswith(f":{run}")}
        if told.keys() - {"automation_paused"} != {"process_deals", "automation_finished"}:
            yield f"I1: of run {run} users heard {sorted(told)}"
            continue
        sums = {outcome: sum(len(log[outcome]) for log in case.logs if log["run_id"] == run) for outcome in OUTCOMES}
        figures = told["automation_finished"]["data"]
        if (figures["succeeded"], figures["failed"]) != (sums["success"], sums["failed"]):
            yield f"I8: of run {run} users heard {figures}, its logs say {sums}"
    if silent := [message["_id"] for message in case.messages if message["state"] != "delivered"]:
        yield f"I1: {_some(silent)} not delivered"


def nothing_held(case: Case) -> Iterator[str]:
    """I2 and I9: no lease and no flag outlives the run."""
    if case.automation.get("lease_owner") is not None or case.automation.get("lease_until") is not None:
        yield f"I2: still held by {case.automation.get('lease_owner')}"
    if case.automation["is_running"] is not False:
        yield "I9: is_running is still set"


def one_writer(case: Case) -> Iterator[str]:
    """I2 and I3: on the way, too, everything was in order."""
    yield from History(case.changes, case.lease, case.patience).violations


def effects_on_deals(case: Case) -> Iterator[str]:
    """I7: what an automation does inside the house is there once for a deal that is marked, never for another."""
    if case.type in WRITTEN:
        times = Counter(one["deal_id"] for one in case.written)
    elif shown := SHOWN.get(case.type):
        times = Counter({deal["_id"]: shown(case.automation, deal) for deal in case.deals})
    else:
        return
    done = case.marked("automation_triggered")
    for deal in times.keys() | done:
        if times[deal] != int(deal in done):
            yield f"I7: {case.type} took effect {times[deal]} times on {deal}"


def effects_outside(case: Case) -> Iterator[str]:
    """I7: what left the house left it once, or is flagged, and never more often than its channel allows."""
    if case.type not in POLICY:
        return
    records = {record["_id"]: record for record in case.effects}
    most = MOST_COPIES[POLICY[case.type]]
    for unit, times in case.copies().items():
        if unit not in records:
            yield f"I7: {unit} left without a record"
        elif times > 1 and not records[unit]["ambiguous"]:
            yield f"I7: {unit} left {times} times and is not flagged"
        if times > most:
            yield f"I7: {unit} left {times} times, {most} are allowed"


def sent_means_sent(case: Case) -> Iterator[str]:
    """I7 and I8: a deal is marked done when something was sent for it, and a record says so only then."""
    if case.type not in POLICY:
        return
    out = case.copies()
    for record in case.effects:
        if record["state"] == "sent" and not out[record["_id"]]:
            yield f"I7: {record['_id']} is said to be sent and never was"
    reached = {ObjectId(unit.split(":")[1]) for unit in out}
    if unsent := case.marked("automation_triggered") - reached:
        yield f"I8: {_some(unsent)} marked as done, and nothing was sent"
    said = {ObjectId(one["_id"].split(":")[1]) for one in case.effects if one["state"] == "sent"}
    if unmarked := said - case.marked("automation_triggered"):
        yield f"I8: {_some(unmarked)} sent and not marked as done"


def logs_partition(case: Case) -> Iterator[str]:
    """I8: every deal stands in the logs once, under what became of it."""
    success, failed = Counter(case.entries("success")), Counter(case.entries("failed"))
    if both := success.keys() & failed.keys():
        yield f"I8: {_some(both)} logged as success and as failed"
    if double := [deal for deal, times in (success + failed).items() if times > 1]:
        yield f"I8: {_some(double)} logged more than once"
    for outcome, logged, mark in (("success", success, MARKS[0]), ("failed", failed, MARKS[1])):
        if wrong := logged.keys() ^ case.marked(mark):
            yield f"I8: {_some(wrong)} in {mark} or logged as {outcome}, but not both"
    for log in case.logs:
        if sorted(log["deals"]) != sorted(entry["deal"] for outcome in OUTCOMES for entry in log[outcome]):
            yield f"I8: log {log['_id']} names other deals than it has entries for"
        if any(not entry.get("message") for entry in log["failed"]):
            yield f"I8: log {log['_id']} does not say why"


def marks_agree(case: Case) -> Iterator[str]:
    """I8: marks, units and flags tell one story."""
    done, failed = (case.marked(mark) for mark in MARKS)
    if both := done & failed:
        yield f"I8: {_some(both)} marked as done and as failed"
    if extra := (done | failed) - case.expected.due:
        yield f"I8: {_some(extra)} marked, and nobody asked for it"
    parked = {unit["deal_id"] for unit in case.units if unit["state"] == "parked"}
    if wrong := parked ^ failed:
        yield f"I8: {_some(wrong)} failed without a reason, or parked and not marked"
    if flagged := [deal["_id"] for deal in case.deals if case.id in (deal.get("retry_automations") or [])]:
        yield f"I8: {_some(flagged)} still flagged"


def one_tenant(case: Case) -> Iterator[str]:
    """I17: whatever the automation touched or wrote belongs to its account."""
    account = case.automation["account_id"]
    for kind in ("deals", "logs", "units", "effects", "written", "messages", "events"):
        if foreign := [one["_id"] for one in getattr(case, kind) if one.get("account_id") != account]:
            yield f"I17: {kind} {_some(foreign)} of another account"
    deals = {str(deal["_id"]): deal for deal in case.deals}
    for arrival in case.arrivals:
        deal = deals.get(arrival.unit.split(":")[1], {})
        if arrival.to not in (deal.get("contact_email"), deal.get("contact_phone"), str(account)):
            yield f"I17: {arrival.unit} went to {arrival.to}"


def attempts_first(case: Case) -> Iterator[str]:
    """I21: every call was counted before it was made, and they are no more than three."""
    out = case.copies()
    for record in case.effects:
        if not max(1, out[record["_id"]]) <= record["attempts"] <= MOST_ATTEMPTS:
            yield f"I21: {record['_id']} has {record['attempts']} attempts and left {out[record['_id']]} times"
        if record["history"][0]["state"] != "sending":
            yield f"I21: {record['_id']} began as {record['history'][0]['state']}"
    for unit in case.units:
        if unit["attempts"] > MOST_ATTEMPTS:
            yield f"I21: unit {unit['_id']} has {unit['attempts']} attempts"


OUTCOMES = ("success", "failed")

SHOWN: dict[str, Callable[[Document, Document], int]] = {
    "add_tag": lambda automation, deal: (deal["tags"] or []).count(automation["tag"]),
    "remove_tag": lambda automation, deal: int(automation["tag"] not in deal["tags"]),
    "owner": lambda automation, deal: int(deal["owner"] == automation["owner_id"]),
    "follower": lambda automation, deal: (deal.get("followers") or []).count(automation["follower_id"]),
    "stage": lambda automation, deal: int(deal["stage_id"] == automation["target_stage_id"]),
}
"""How often a deal shows the effect of an automation that changes it."""

CHECKS: tuple[Callable[[Case], Iterator[str]], ...] = (
    nothing_lost,
    told_once,
    nothing_held,
    one_writer,
    effects_on_deals,
    effects_outside,
    sent_means_sent,
    logs_partition,
    marks_agree,
    one_tenant,
    attempts_first,
)


def _some(things: Iterable[object], most: int = 5) -> str:
    listed = sorted(map(str, things))
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
