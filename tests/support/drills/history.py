"""Every change of the documents that are held under a lease, in the order in which MongoDB committed them.

Read from the change stream after the fact, so nothing that happened while servers or daemons were away is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId, Timestamp
from pymongo.database import Database

Document = dict[str, Any]
MARKS = "checker_marks"
LEASED = ("queues", "import_chunks", "automations", "funnels", "funnel.step")
ENDED = {
    "queues": ("completed", "failed", "cancelled"),
    "import_chunks": ("done", "failed", "cancelled"),
    "funnel.step": ("done",),  # one that failed comes again in the next run
}
STATE = {"queues": "status", "import_chunks": "state", "funnel.step": "clone_state"}
MAX_ORPHANED = timedelta(seconds=10)
"""So long at most may a lease that ran out wait for its next holder while a daemon is healthy."""
MAX_ORPHANED_AFTER_OUTAGE = timedelta(seconds=30)
"""And so long when daemons or servers had to come back first."""


@dataclass(frozen=True)
class Change:
    """`fields` are those that changed, the whole document when it was inserted."""

    collection: str
    id: Any
    fields: Document
    at: datetime | None = None
    """When the server committed it, by its clock."""

    @property
    def state(self) -> str | None:
        return self.fields.get(STATE.get(self.collection, ""))


def changes(db: Database[Document], since: Timestamp, collections: Sequence[str] = LEASED) -> list[Change]:
    """All changes of these collections from `since` (a cluster time) until now."""
    mark = db[MARKS].insert_one({}).inserted_id
    wanted = [{"$match": {"ns.coll": {"$in": [*collections, MARKS]}}}]
    found: list[Change] = []
    with db.watch(wanted, start_at_operation_time=since) as stream:
        for event in stream:
            if event["operationType"] not in ("insert", "update", "replace"):
                continue
            if event["documentKey"]["_id"] == mark:
                return found
            if event["ns"]["coll"] != MARKS:
                found.append(_change(event))
    raise AssertionError("the change stream ended before our mark")


def _change(event: Document) -> Change:
    fields = event.get("fullDocument") or event["updateDescription"]["updatedFields"]
    return Change(event["ns"]["coll"], event["documentKey"]["_id"], fields, event.get("wallTime"))


@dataclass
class Holding:
    """A leased document as the changes so far have left it."""

    token: int = 0
    owner: str | None = None
    until: datetime | None = None
    state: str | None = None


class History:
    """What was wrong on the way, whatever the end looks like; `lease` is the daemons' LEASE_SECONDS."""

    def __init__(self, changes: list[Change], lease: float, max_orphaned: timedelta = MAX_ORPHANED) -> None:
        """`max_orphaned`: how long a lease that ran out may wait for its next holder."""
        self._lease = timedelta(seconds=lease)
        self._max_orphaned = max_orphaned
        self.holdings: dict[tuple[str, Any], Holding] = {}
        self.longest_orphaned = timedelta()
        """How long at most a lease had run out before another holder took over."""
        self.violations = [violation for change in changes for violation in self._look(change)]

    def _look(self, change: Change) -> Iterator[str]:
        holding = self.holdings.setdefault((change.collection, change.id), Holding())
        name = f"{change.collection} {change.id}"
        if "token" in change.fields:
            yield from self._claimed(name, holding, change.fields)
        if change.state is not None:
            yield from self._moved(name, holding, change)
        holding.token = change.fields.get("token", holding.token)
        holding.owner = change.fields.get("lease_owner", holding.owner)
        holding.until = change.fields.get("lease_until", holding.until)

    def _claimed(self, name: str, holding: Holding, fields: Document) -> Iterator[str]:
        if fields["token"] != holding.token + 1:
            yield f"I2: {name}: token went from {holding.token} to {fields['token']}"
        if holding.until is None:
            return
        at = fields.get("lease_until", holding.until) - self._lease
        if at < holding.until:
            yield f"I2: {name}: claimed while {holding.owner} held it"
        self.longest_orphaned = max(self.longest_orphaned, at - holding.until)
        if at - holding.until > self._max_orphaned:
            yield f"I3: {name}: no holder for {at - holding.until}"

    def _moved(self, name: str, holding: Holding, change: Change) -> Iterator[str]:
        over = ENDED[change.collection]
        if holding.state in over:
            yield f"I5: {name}: was {holding.state} and became {change.state}"
        if change.state in over and holding.until is None:
            yield f"I2: {name}: became {change.state} without a holder"
        if change.state == "completed":
            yield from self._completed(name, change)
        holding.state = change.state

    def _completed(self, name: str, change: Change) -> Iterator[str]:
        """At the moment of its end every chunk of the import is done."""
        chunks = [self.holdings[key] for key in self.holdings if _belongs(key, change.id)]
        if unfinished := [chunk.state for chunk in chunks if chunk.state != "done"]:
            yield f"I5: {name}: completed while chunks were {', '.join(map(str, unfinished))}"
        if "completed_at" not in change.fields:
            yield f"I5: {name}: completed without a time"


def _belongs(key: tuple[str, Any], import_id: ObjectId) -> bool:
    return key[0] == "import_chunks" and str(key[1]).startswith(f"{import_id}:")
