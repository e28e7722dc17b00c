"""Healthy units of another account, round after round, and how long each takes."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from bson import ObjectId

from tests.support import crm_events, workflows
from tests.support.automations import ago
from tests.support.funnels import Original, new_clone
from tests.support.fuzz.rows import socket_event
from tests.support.leads import action, entered, reply, stage
from tests.support.leads import template as lead_template
from tests.support.load import load_factor
from tests.support.webhooks import webhook
from tests.support.world import World

POLL_SECONDS = 0.03
TIMEOUT_SECONDS = 40.0

Probe = Callable[[], bool]


class Neighbours:
    """One account with an import, two automations, a clone, a socket event, two leads and a CRM event in every round.
    The CRM event enrols its contact in a workflow and goes to a webhook."""

    def __init__(self, world: World, hook_url: str) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        """{what: how long it took, by round}."""
        self._world, self._db = world, world.db
        self._key = world.upload(f"imports/{world.account}/deals.csv", "Deal Name\nAcme\n")
        self._original = Original(world, steps=1, chat=False)
        text = {"account_id": world.account, "subject": "Hi {{ deal.name }}", "text": "{{ contact.name }}"}
        template = world.db["email_templates"].insert_one(text).inserted_id
        self._tag = world.automation("add_tag", tag=ObjectId())
        self._mail = world.automation("email", email_template_id=template)
        wait = action("wait_for_response", channel="any", timeout_seconds=3600)
        email = action("email", email_template_id=lead_template(world))
        self._stage = stage(world, action("note", note="x"), email, action("add_tag", tag="x"))
        created = workflows.step("add_tag", tag="x"), workflows.step("create_task", title="Call")
        workflows.workflow(world, *created)
        webhook(world, hook_url, "contact.created")
        crm_events.members(world, 2)
        self._waiting = stage(world, wait, action("add_tag", tag="replied"))

    async def round(self) -> None:
        """One of each. Raises: AssertionError naming what has not ended within TIMEOUT_SECONDS."""
        started = time.monotonic()
        waiting = self._begin()
        while waiting:
            await asyncio.sleep(POLL_SECONDS)
            for what in [what for what, is_done in waiting.items() if is_done()]:
                self.seconds[what].append(time.monotonic() - started)
                del waiting[what]
            assert time.monotonic() < started + TIMEOUT_SECONDS * load_factor(), (
                f"of the neighbours, {[*waiting]} did not end"
            )

    def _begin(self) -> dict[str, Probe]:
        queue = self._world.queue(self._key, {"Deal Name": "name"})
        deal = self._world.deal(automation_starts=ago(seconds=0))
        clone, event = new_clone(self._world, self._original), socket_event(self._world)
        _, ended = entered(self._world, self._stage)
        lead, waiting = entered(self._world, self._waiting)
        contact = crm_events.contact(self._world)
        crm_event = crm_events.created(self._world, contact)
        return {
            "lead": lambda: self._has("lead_stages", ended, status="completed"),
            "reply": lambda: self._has_replied(lead, waiting),
            "import": lambda: self._has("queues", queue, status="completed"),
            "automation": lambda: self._has("deals", deal, automation_triggered=self._tag),
            "mail": lambda: self._has("deals", deal, automation_triggered=self._mail),
            "clone": lambda: self._has("funnels", clone, pending=False, **{"clone.error": None}),
            "CRM event": lambda: self._is_there("activity_log", event_id=crm_event),
            "workflow": lambda: self._is_there("workflow_enrollments", contact_id=contact, status="completed"),
            "webhook": lambda: self._is_there("webhook_deliveries", event_id=crm_event, state="delivered"),
            "socket event": lambda: self._has("outbox", event, state="delivered"),
        }

    def _has_replied(self, lead: ObjectId, entry: ObjectId) -> bool:
        """Whether the reply has ended the run; the lead replies when it is waited for, as an older reply ends no
        wait."""
        is_waiting = self._has("lead_stages", entry, current_status="waiting_response")
        if is_waiting and not self._db["lead_responses"].count_documents({"lead_id": lead}):
            reply(self._world, lead)
        return self._has("lead_stages", entry, status="completed")

    def _has(self, collection: str, id: object, **fields: object) -> bool:
        return self._is_there(collection, _id=id, **fields)

    def _is_there(self, collection: str, **fields: object) -> bool:
        return self._db[collection].count_documents(fields) == 1
