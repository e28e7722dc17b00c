"""A drill with automations: one per stage, deals for which it is due, and a neighbour's deal that it must not touch."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bson import ObjectId

from tests.faults.automation_checker import MARKS, WRITTEN, Checker, Expected
from tests.faults.drill import Drill
from tests.support.history import LONGEST_ORPHAN
from tests.support.outside import Outside

Document = dict[str, Any]
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
SPOILED: dict[str, Document] = {"email": {"contact_email": "nobody at all"}, "sms": {"contact_phone": None}}
"""What is wrong with a bad deal, where its fields alone make its automation fail."""
REFUSED: dict[str, Document] = {
    "add_tag": {"tags": TAG},
    "remove_tag": {"tags": {"$ne": TAG}},
    "owner": {"owner": PERSON},
    "follower": {"followers": PERSON},
    "stage": {"stage_id": TARGET},
}
"""As what the server does not take a bad deal: it refuses the effect and nothing else."""


class AutomationDrill(Drill):
    """In one database, with servers outside that remember what reached them."""

    def __init__(self, environment: Mapping[str, str], folder: Path, outside: Outside) -> None:
        super().__init__({**environment, **outside.environment()}, "", folder)
        self.outside = outside
        self.expected: list[Expected] = []
        self._refused: set[ObjectId] = set()

    def __enter__(self) -> Self:
        super().__enter__()
        self.automations = Checker(self.environment)
        self._neighbour = self.world.neighbour()
        self.world.db["users"].insert_one({"_id": PERSON, "account": self.world.account, "active": True})
        rules = [{"name": f"{type} {BAD}", **refused} for type, refused in REFUSED.items()]
        self.world.demand("deals", {"$nor": rules})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.automations.close()
        self._neighbour.close()

    def plant(self, type: str, deals: int, bad: int = 0, **changes: Any) -> Expected:
        """An automation on a stage of its own that is due for so many deals, spread among them some that fail."""
        config = {"email_template_id": self._template()} if type == "email" else CONFIG[type]
        automation = self.world.automation(type, **{"stage_id": ObjectId(), **config, **changes})
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
        self.world.db["deals"].insert_many(documents)
        now = Expected(expected.automation, expected.done | (set(ids) - failed), expected.failed | failed)
        self.expected[self.expected.index(expected)] = now
        return now

    def _automation(self, id: ObjectId) -> Document:
        found = self.world.db["automations"].find_one({"_id": id})
        assert found
        return found

    def _template(self) -> ObjectId:
        texts = {"subject": "Hi {{ contact.name }}", "html": "<p>About {{ deal.name }}</p>"}
        template = {"account_id": self.world.account, **texts}
        return ObjectId(self.world.db["email_templates"].insert_one(template).inserted_id)

    def _deal(self, automation: Document, spoil: bool) -> Document:
        id, type = ObjectId(), automation["type"]
        return {
            "_id": id,
            "name": f"{type} {BAD}" if spoil else f"{type} deal",
            "account_id": self.world.account,
            "stage_id": automation["stage_id"],
            "created_by": self.world.user,
            "owner": self.world.user,
            "tags": [],
            "contact_name": "Ada",
            "contact_email": f"{id}@example.com",
            "contact_phone": f"+1{int(str(id)[-6:], 16):010}",
            "automation_starts": datetime.now(UTC) - timedelta(minutes=10),
            **BEFORE.get(type, {}),
            **(SPOILED.get(type, {}) if spoil else {}),
        }

    def _refuse(self, type: str) -> None:
        """Let those who take an effect take none for the bad deals."""
        if type in WRITTEN:
            self.world.demand(WRITTEN[type], {"deal_id": {"$nin": list(self._refused)}})
        self.outside.crm.unwanted |= set(map(str, self._refused))

    def marked(self, expected: Expected) -> int:
        """For how many deals an automation has come to an end."""
        either = [{mark: expected.automation} for mark in MARKS]
        return self.world.db["deals"].count_documents({"$or": either})

    def at_rest(self) -> bool:
        """Whether all automations have ended for all their deals, and everybody has heard of it."""
        db = self.world.db
        return (
            db["automations"].count_documents({"$or": [{"run": {"$ne": None}}, {"is_running": True}]}) == 0
            and all(self.marked(one) >= len(one.due) for one in self.expected)
            and db["outbox"].count_documents({"event": "automation_finished"}) >= len(self.expected)
            and db["outbox"].count_documents({"state": "waiting"}) == 0
            and self.jobs_left() == 0
        )

    async def come_to_rest(self, patience: float = 40) -> float:
        """Returns after how many seconds all was done."""
        return await self.until(self.at_rest, "all automations are at rest", patience)

    def judge(self, patience: timedelta = LONGEST_ORPHAN) -> None:
        """Everything that reliability.md promises of automations holds."""
        arrivals = self.outside.arrivals()
        found = [
            violation for one in self.expected for violation in self.automations.violations(one, arrivals, patience)
        ]
        found += [f"dead letter: {letter}" for letter in self.world.db["dead_letters"].find()]
        assert not found, "\n".join([*found, *(daemon.tail() for daemon in self.daemons)])

    async def run_once(self) -> dict[str, Document]:
        """{sweep: what `run-once` says of it}, for automations and their events, through the real door."""
        words = ["-m", "pipeline_engine", "run-once", "deals.automations", "events.outbox", "--json"]
        child = await asyncio.create_subprocess_exec(
            sys.executable, *words, env=self.environment, cwd=self._folder, stdout=PIPE, stderr=PIPE
        )
        out, err = await child.communicate()
        assert child.returncode == 0, err.decode()
        return {one["name"]: one for one in json.loads(out)["sweeps"]}
