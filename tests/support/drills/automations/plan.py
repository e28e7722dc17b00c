"""The drill's plan for automations: one per stage, deals for which it is due, and a neighbour's deal that it must not
touch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from bson import ObjectId

from tests.support.drills.automations.case import MARKS, WRITTEN, AutomationCase, Expected, automation_case
from tests.support.drills.automations.checks import CHECKS
from tests.support.drills.automations.outside import Outside
from tests.support.drills.case import Document, violations
from tests.support.drills.drill import Drill
from tests.support.drills.history import MAX_ORPHANED
from tests.support.drills.observer import Observer
from tests.support.world import World

TAG, PERSON, TARGET = ObjectId(), ObjectId(), ObjectId()
BAD = "bad"
"""The name of a deal for which its automation fails."""

CONFIG: dict[str, Document] = {
    "add_tag": {"tag": TAG},
    "remove_tag": {"tag": TAG},
    "owner": {"owner_id": PERSON},
    "follower": {"follower_id": PERSON},
    "stage": {"target_stage_id": TARGET},
    "note": {"note": "Call them"},
    "reminder": {"reminder_type": "call", "due_in": 3600},
    "email": {},
    "sms": {"message": "Hi {{ contact.name }}"},
    "instareport": {"report_type": "seo"},
    "instasite": {"site_template_id": str(ObjectId())},
}
BEFORE: dict[str, Document] = {"remove_tag": {"tags": [TAG]}}
"""What a deal is like before the effect, where that matters."""
SPOILED: dict[str, Document] = {"email": {"contact_email": "no address at all"}, "sms": {"contact_phone": None}}
"""What is wrong with a bad deal, where its fields alone make its automation fail."""
REFUSED: dict[str, Document] = {
    "add_tag": {"tags": TAG},
    "remove_tag": {"tags": {"$ne": TAG}},
    "owner": {"owner": PERSON},
    "follower": {"followers": PERSON},
    "stage": {"stage_id": TARGET},
}
"""As what the server does not take a bad deal: it refuses the effect and nothing else."""


class AutomationPlan:
    """Automations and the servers outside, which remember what reached them; a unit is a deal."""

    sweeps = ("deals.automations",)

    def __init__(self) -> None:
        self.expected: list[Expected] = []
        self._refused: set[ObjectId] = set()

    @asynccontextmanager
    async def open(self, world: World, observer: Observer) -> AsyncIterator[Mapping[str, str]]:
        self._world, self._observer, self._neighbour = world, observer, world.neighbour()
        world.db["users"].insert_one({"_id": PERSON, "account": world.account, "active": True})
        rules = [{"name": f"{type} {BAD}", **refused} for type, refused in REFUSED.items()]
        world.demand("deals", {"$nor": rules})
        async with Outside(world.environment["APP_SECRET"]) as self.outside:
            yield self.outside.environment()
        self._neighbour.close()

    def plant(self, type: str, deals: int, bad: int = 0, **changes: Any) -> Expected:
        """An automation on a stage of its own that is due for so many deals, spread among them some that fail."""
        config = {"email_template_id": self._template()} if type == "email" else CONFIG[type]
        automation = self._world.automation(type, **{"stage_id": ObjectId(), **config, **changes})
        self.expected.append(Expected(automation))
        self._neighbour.deal(stage_id=self._automation(automation)["stage_id"])
        return self.enter(self.expected[-1], deals, bad)

    def enter(self, expected: Expected, deals: int, bad: int = 0) -> Expected:
        """More deals enter the stage. Returns what is to be expected now."""
        automation = self._automation(expected.automation)
        spoiled = set(range(deals // bad - 1, deals, deals // bad)) if bad else set()
        documents = [self._deal(automation, spoil=n in spoiled) for n in range(deals)]
        ids = [document["_id"] for document in documents]
        failed = {ids[n] for n in spoiled}
        self._refused |= failed
        self._refuse(automation["type"])
        self._world.db["deals"].insert_many(documents)
        now = Expected(expected.automation, expected.done | (set(ids) - failed), expected.failed | failed)
        self.expected[self.expected.index(expected)] = now
        return now

    def _automation(self, id: ObjectId) -> Document:
        found = self._world.db["automations"].find_one({"_id": id})
        assert found
        return found

    def _template(self) -> ObjectId:
        texts = {"subject": "Hi {{ contact.name }}", "html": "<p>About {{ deal.name }}</p>"}
        template = {"account_id": self._world.account, **texts}
        return ObjectId(self._world.db["email_templates"].insert_one(template).inserted_id)

    def _deal(self, automation: Document, spoil: bool) -> Document:
        id, type = ObjectId(), automation["type"]
        return {
            "_id": id,
            "name": f"{type} {BAD}" if spoil else f"{type} deal",
            "account_id": self._world.account,
            "stage_id": automation["stage_id"],
            "created_by": self._world.user,
            "owner": self._world.user,
            "tags": [],
            "contact_name": "Ada",
            "contact_email": f"{id}@example.com",
            "contact_phone": f"+1{int(str(id)[-6:], 16):010}",
            "automation_starts": datetime.now(UTC) - timedelta(minutes=10),
            **BEFORE.get(type, {}),
            **(SPOILED.get(type, {}) if spoil else {}),
        }

    def _refuse(self, type: str) -> None:
        """Let the collections and servers that take an effect take none for the bad deals."""
        if type in WRITTEN:
            self._world.demand(WRITTEN[type], {"deal_id": {"$nin": list(self._refused)}})
        self.outside.crm.unwanted |= set(map(str, self._refused))

    def marked(self, expected: Expected) -> int:
        """For how many deals an automation has ended."""
        either = [{mark: expected.automation} for mark in MARKS]
        return self._world.db["deals"].count_documents({"$or": either})

    def done(self) -> int:
        return sum(map(self.marked, self.expected))

    def is_over(self) -> bool:
        db = self._world.db
        return (
            db["automations"].count_documents({"$or": [{"run": {"$ne": None}}, {"is_running": True}]}) == 0
            and all(self.marked(one) >= len(one.due) for one in self.expected)
            and db["outbox"].count_documents({"event": "automation_finished"}) >= len(self.expected)
        )

    def violations(self, max_orphaned: timedelta) -> list[str]:
        found = [one for expected in self.expected for one in self.violations_of(expected, max_orphaned)]
        return [*found, *(f"dead letter: {letter}" for letter in self._observer.find("dead_letters"))]

    def violations_of(self, expected: Expected, max_orphaned: timedelta = MAX_ORPHANED) -> list[str]:
        """What is wrong with one automation."""
        return violations(self.case(expected, max_orphaned), CHECKS)

    def case(self, expected: Expected, max_orphaned: timedelta = MAX_ORPHANED) -> AutomationCase:
        return automation_case(self._observer, expected, self.outside.arrivals(), max_orphaned)


AutomationDrill: TypeAlias = Drill[AutomationPlan]
