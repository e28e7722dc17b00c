"""What an automation left in MongoDB, read by pymongo, and outside, as those who received it have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from bson import ObjectId

from tests.support.drills.automations.outside import Arrival
from tests.support.drills.case import Case, Document
from tests.support.drills.observer import Observer

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


@dataclass(frozen=True, kw_only=True)
class AutomationCase(Case):
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


def automation_case(
    observer: Observer, expected: Expected, arrivals: Iterable[Arrival], max_orphaned: timedelta
) -> AutomationCase:
    """`arrivals`: all that was sent."""
    id, find = expected.automation, observer.find
    automation = observer.get("automations", id)
    touched = [{"_id": {"$in": list(expected.due)}}, *({mark: id} for mark in MARKS)]
    about = {"data.automation": {"$in": [id, str(id)]}}
    return AutomationCase(
        expected=expected,
        automation=automation,
        deals=find("deals", **{"$or": touched}),
        logs=find("automation_logs", automation=id),
        units=find("automation_units", automation_id=id),
        effects=find("effects", _id={"$regex": f"^{id}:"}),
        written=find(WRITTEN.get(automation["type"], "notes"), automation=id),
        messages=find("outbox", **about),
        events=find("crm_events", **about),
        arrivals=[one for one in arrivals if one.unit.startswith(f"{id}:")],
        changes=[one for one in observer.changes() if one.id == id],
        lease=observer.lease,
        max_orphaned=max_orphaned,
    )
