"""Valid documents of CRM events, workflows and webhooks: new ones, and such as a process leaves that died with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from bson import ObjectId

from tests.support import crm_events, webhooks, workflows
from tests.support.workflows import branch, field, step
from tests.support.world import World

Document = dict[str, Any]
HOOK_URL = "HOOK_URL"
"""Where the environment of the world has the URL of an endpoint that accepts everything."""

TYPES = (
    *("contact.created", "contact.updated", "form.submitted", "page.viewed", "email.replied", "email.bounced"),
    *("email.unsubscribed", "email.received", "deal.created", "deal.won", "deal.stage_changed", "lifecycle.changed"),
)


def crm_event(world: World, rng: Random) -> Any:
    """A new event about a contact, a deal and a lead, of an account with a member and, at times, a welcome e-mail."""
    contact, lead = crm_events.contact(world), ObjectId()
    deal = world.deal(contact_id=contact)
    own = {"account_id": world.account, "pipeline_id": world.pipeline, "status": "open", "email": "ada@example.com"}
    world.db["leads"].insert_one({"_id": lead, **own})
    world.db["team_members"].insert_one({"account_id": world.account, "user_id": world.user, "active": True})
    if rng.random() < 0.3:
        welcome = {"welcome_email_template_id": _template(world)}
        world.db["business_profiles"].insert_one({"account_id": world.account, **welcome})
    sequence = {"account_id": world.account, "sequence_id": ObjectId(), "contact_id": contact, "status": "active"}
    world.db["workflow_enrollments"].insert_one({**sequence, "enrolled_at": crm_events.START})
    about = {"contact_id": contact, "deal_id": deal, "lead_id": lead, "source": "form", "level": "hot"}
    cause = {"event_id": "x", "depth": 1} if rng.random() < 0.5 else None
    data = {**about, "deals": [deal], "message_id": "<1@x>", "text": "Yes"}
    return crm_events.insert(world, rng.choice(TYPES), data, user_id=world.user, key=str(contact), cause=cause)


def workflow(world: World, rng: Random) -> Any:
    """A new event that enrols a contact in a workflow."""
    contact = crm_events.contact(world)
    only_forms = field("data.source", "eq", "form")
    reentry = rng.choice(("never", "per_event", {"cooldown_seconds": 60}))
    workflows.workflow(world, *_steps(world, rng), filter=only_forms, reentry=reentry)
    return crm_events.created(world, contact)


def enrollment_under_way(world: World, rng: Random) -> ObjectId:
    """As a process leaves it that died at the second of some steps, or before it."""
    now, id, contact, event = datetime.now(UTC), ObjectId(), crm_events.contact(world), str(ObjectId())
    steps = [step("add_tag", tag="begun"), *_steps(world, rng)]
    own = {"account_id": world.account, "contact_id": contact, "status": "active"}
    of = {"workflow_id": workflows.workflow(world, *steps), "workflow_version": 1, "steps": steps}
    cause = {"event_id": event, "event_type": "contact.created", "triggered_at": now, "depth": 1}
    place = {"step": 1, "enrolled_at": now, "arrived_at": now, "since": now, "next_at": now, "attempts": 0, "log": []}
    lease = {"token": 1, "lease_owner": "dead", "lease_until": now, "claimed_at": now, "crashes": 0}
    held = lease if rng.random() < 0.5 else {"token": 1}
    world.db["workflow_enrollments"].insert_one({"_id": id, **own, **of, **cause, **place, **held})
    return id


def webhook(world: World, rng: Random) -> Any:
    """A new event that two endpoints want."""
    contact = crm_events.contact(world)
    hot = {"all": [field("data.source", "eq", "form"), field("contact.name", "eq", "Ada")]}
    _endpoint(world, rng, filter=hot, rate_per_minute=600)
    _endpoint(world, rng)
    return crm_events.created(world, contact)


def webhook_delivery(world: World, rng: Random) -> ObjectId:
    """A delivery that is due; at times as a process leaves it that died while it posted."""
    now, id, event = datetime.now(UTC), ObjectId(), webhooks.consumed(world, onward=[])
    cut = [{"at": now, "status": None, "ms": None, "error": None}] if rng.random() < 0.5 else []
    about = {"account_id": world.account, "event_id": event, "type": "contact.created"}
    own = {"webhook_id": _endpoint(world, rng), "payload": {"timestamp": now, "data": {"a": 1}}}
    times = {"next_at": now, "createdAt": now, "updatedAt": now, "expires_at": now + timedelta(days=30)}
    world.db["webhook_deliveries"].insert_one({"_id": id, **about, **own, "state": "pending", "attempts": cut, **times})
    return id


def _endpoint(world: World, rng: Random, **fields: Any) -> ObjectId:
    now = datetime.now(UTC)
    lease = {"token": 1, "lease_owner": "dead", "lease_until": now, "claimed_at": now}
    kinds = rng.choice((["contact.*"], ["*"], ["contact.created", "deal.won"]))
    held = lease if rng.random() < 0.3 else {}
    return webhooks.webhook(world, world.environment[HOOK_URL], *kinds, **held, **fields)


def _template(world: World) -> ObjectId:
    id = ObjectId()
    own = {"_id": id, "account_id": world.account}
    world.db["email_templates"].insert_one({**own, "subject": "Hi {{ contact.name }}", "text": "Hello"})
    return id


def _steps(world: World, rng: Random) -> list[Document]:
    """Two or three steps that end within seconds."""
    sequence = ObjectId()
    world.db["sequences"].insert_one({"_id": sequence, "account_id": world.account, "active": True})
    choice = [
        step("send_email", email_template_id=_template(world)),
        step("send_sms", message="Hi {{ contact.name }}"),
        step("add_tag", tags=["hot", "new"]),
        step("remove_tag", tag="hot"),
        step("set_field", fields={"stage": "won", "owner": world.user}),
        step("create_task", title="Call {{ contact.name }}", due_in_seconds=60),
        step("notify", title="Look", user_id=str(world.user)),
        step("wait", seconds=1),
        step("wait_for_event", type="email.replied", timeout_seconds=1),
        branch(field("contact.name", "eq", "Ada"), [step("add_tag", tag="a")], [step("end")]),
        step("enroll", sequence_id=sequence),
    ]
    return rng.sample(choice, rng.choice((2, 3)))
