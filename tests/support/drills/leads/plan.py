"""The drill's plan for leads: a pipeline with messages, waits, branches and moves; some leads reply, some do not, and
some reply at the moment of the time-out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from bson import ObjectId

from tests.support.drills.case import Document, violations
from tests.support.drills.drill import Drill
from tests.support.drills.leads.case import Expected, LeadCase, Stages, rows_by_entry
from tests.support.drills.leads.checks import CHECKS
from tests.support.drills.leads.outside import LeadOutside
from tests.support.drills.observer import Observer
from tests.support.leads import action, enter, lead, reply, stage, template
from tests.support.world import World

TIMEOUT_SECONDS = 4
POLL_SECONDS = 0.05
OPEN = ("entering", "active")


class LeadPlan:
    """Leads in one pipeline; a unit is an action."""

    sweeps = ("leads.actions",)

    def __init__(self, seconds: float = 0.02) -> None:
        """`seconds`: how long each message takes outside."""
        self.expected: dict[ObjectId, Expected] = {}
        self._seconds = seconds
        self._answered: set[ObjectId] = set()

    @asynccontextmanager
    async def open(self, world: World, observer: Observer) -> AsyncIterator[Mapping[str, str]]:
        self._world, self._observer = world, observer
        self.stages = self._pipeline()
        async with LeadOutside(self._seconds) as self.outside:
            answering = asyncio.create_task(self._answer())
            try:
                yield {**self.outside.environment(), "LEADS_SWEEP_SECONDS": "2", "LEADS_RETRY_SECONDS": "0.5"}
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)

    def _pipeline(self) -> Stages:
        world = self._world
        email, text = action("email", email_template_id=template(world)), action("sms", message="Hi {{ lead.name }}")
        replied = stage(world, action("add_tag", tag="replied"))
        silent = stage(world, email, action("add_tag", tag="silent"))
        branches = {"on_response": {"move": str(replied)}, "on_timeout": {"move": str(silent)}}
        wait = action("wait_for_response", channel="any", timeout_seconds=TIMEOUT_SECONDS, **branches)
        responded = stage(world, wait)
        actions = [action("note", note="Hello"), email, action("wait", seconds=1), text, action("add_tag", tag="hot")]
        return Stages(stage(world, *actions, action("move", stage_id=responded)), responded, replied, silent)

    def plant(self, leads: int) -> None:
        """So many leads enter: a third of each kind."""
        kinds: list[Expected] = ["replied", "silent", "either"]
        planted = {lead(self._world, phone=f"+1500{n:07d}"): kinds[n % 3] for n in range(leads)}
        self.expected |= planted
        enter(self._world, self.stages.inquired, *planted)

    async def _answer(self) -> None:
        """What leads do, all the while: reply when they are waited for, or when the time is just over."""
        while True:
            for one in self._waiting():
                self._answered.add(one["lead_id"])
                reply(self._world, one["lead_id"])
            await asyncio.sleep(POLL_SECONDS)

    def _waiting(self) -> Iterator[Document]:
        for one in self._world.db["lead_stages"].find({"current_status": "waiting_response"}):
            kind = self.expected[one["lead_id"]]
            is_late = datetime.now(UTC) > one["perform_at"] - timedelta(seconds=POLL_SECONDS)
            if one["lead_id"] not in self._answered and (kind == "replied" or (kind == "either" and is_late)):
                yield one

    def done(self) -> int:
        return self._world.db["lead_stage_actions"].count_documents({"status": "done"})

    def is_over(self) -> bool:
        db, is_open = self._world.db, {"$or": [{"status": {"$in": OPEN}}, {"lease_owner": {"$gt": ""}}]}
        # A count that is no snapshot misses a run that goes from one state to another while it looks.
        with db.client.start_session(snapshot=True) as at_once:
            return (
                db["lead_stages"].count_documents(is_open, session=at_once) == 0
                and db["lead_responses"].count_documents({"handled_at": None}, session=at_once) == 0
            )

    def violations(self, max_orphaned: timedelta) -> list[str]:
        cases = self.cases(max_orphaned)
        return [
            *(one for case in cases for one in violations(case, CHECKS)),
            *(f"dead letter: {letter}" for letter in self._observer.find("dead_letters")),
            *(f"set aside: {one}" for one in self._observer.find("quarantine")),
        ]

    def cases(self, max_orphaned: timedelta) -> list[LeadCase]:
        """Every lead with what it left."""
        log, changes = self.outside.log(), self._observer.changes("lead_stages")
        by_collection = {name: self._by_lead(name) for name in ("lead_stages", "lead_stage_actions", "notes")}
        effects = self._observer.find("effects")
        found = []
        for one in self._observer.find("leads"):
            entries = sorted(by_collection["lead_stages"].get(one["_id"], []), key=lambda entry: _order(entry))
            ids = {entry["_id"] for entry in entries}
            found.append(
                LeadCase(
                    expected=self.expected[one["_id"]],
                    stages=self.stages,
                    lead=one,
                    entries=entries,
                    rows=rows_by_entry(by_collection["lead_stage_actions"].get(one["_id"], [])),
                    notes=by_collection["notes"].get(one["_id"], []),
                    effects=[each for each in effects if ObjectId(each["_id"].split(":")[1]) in ids],
                    log=[taken for taken in log if taken.entry in ids],
                    changes=[change for change in changes if change.id in ids],
                    lease=self._observer.lease,
                    max_orphaned=max_orphaned,
                )
            )
        return found

    def _by_lead(self, collection: str) -> dict[Any, list[Document]]:
        found: dict[Any, list[Document]] = {}
        for one in self._observer.find(collection):
            found.setdefault(one["lead_id"], []).append(one)
        return found

    def figures(self) -> str:
        """What became of the leads and of their messages."""
        stages, log = self._world.db["lead_stages"], self.outside.log()
        count = stages.count_documents
        ends = {name: count({"stage_id": getattr(self.stages, name), "status": "completed"}) for name in ENDS}
        copies = len(log) - len({one.key for one in log})
        flagged = self._world.db["effects"].count_documents({"ambiguous": True})
        return (
            f"{len(self.expected)} leads, {ends['replied']} replied, {ends['silent']} silent, "
            f"{count({'status': 'failed'})} stopped at a message in doubt; {len(log)} messages, {copies} doubled, "
            f"{flagged} flagged"
        )


ENDS = ("replied", "silent")


def _order(entry: Document) -> tuple[datetime, str]:
    return entry["entered_at"], str(entry["_id"])


LeadDrill: TypeAlias = Drill[LeadPlan]
