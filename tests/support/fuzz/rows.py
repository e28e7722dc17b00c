"""One row for each kind of unit: its valid documents, and how the contract says that it has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from bson import ObjectId

from tests.support.funnels import Original, new_clone
from tests.support.fuzz.event_rows import crm_event, enrollment_under_way, webhook, webhook_delivery, workflow
from tests.support.fuzz.lead_rows import lead_entering, lead_reply, lead_under_way
from tests.support.world import World

Document = dict[str, Any]

IMPORT_OPEN: Document = {"source": "deals", "status": {"$in": ["pending", "processing"]}}
CLONE_OPEN: Document = {"$or": [{"pending": True}, {"in_progress": True}]}


@dataclass(frozen=True)
class Row:
    """To have a new system fuzzed, add a row of it to ROWS."""

    name: str
    collection: str
    """The collection of the units."""
    plant: Callable[[World, Random], Any]
    """Puts the valid documents of one unit, of the account of the world, into the database of the world; returns the
    unit's `_id`."""
    is_open: Document
    """A filter for units that have not ended."""
    failed: Document
    """A filter for units that have failed."""
    reasons: Sequence[str]
    """Where a unit that has failed names the reason: any of these fields."""
    own: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """{collection: fields that only the engine writes}, besides those that the collection's spec declares."""
    counts: Sequence[str] = ("token", "attempts", "crashes")
    """What grows with every try."""
    subject: str | None = None
    """The collection whose document is mutated as often as all that stands around it; None: the unit's."""
    waits_for: Document | None = None
    """A filter for accounts whose units may stay open: the contract lets them wait."""
    held_by: str | None = None
    """The collection of a document without which the unit is not worked on: it waits while that one is set aside."""


def _import(world: World, rng: Random) -> ObjectId:
    body = "Deal Name,Value,Stage\n" + "Acme,5,qualified\n" * rng.choice((1, 3))
    return world.submit(body, {"Deal Name": "name", "Value": "value", "Stage": "stage_id"})


def _events_due(world: World, rng: Random) -> ObjectId:
    to = rng.choice(("crm_events", "socket"))
    about = {"type": "t", "user_id": world.user} if to == "crm_events" else {"event": "e", "user_ids": ["u"]}
    event = {"event_id": str(ObjectId()), "to": to, "data": {"a": 1}, **about}
    return world.queue(None, status="completed", events_due=[event])


def socket_event(world: World, _rng: Random | None = None) -> str:
    now, id = datetime.now(UTC), str(ObjectId())
    state = {"state": "waiting", "attempts": 0, "next_at": now, "createdAt": now, "updatedAt": now}
    message = {"event": "e", "user_ids": [str(world.user)], "data": {"a": 1}, "account_id": world.account}
    world.db["outbox"].insert_one({"_id": id, **message, **state})
    return id


def _automation(world: World, rng: Random) -> ObjectId:
    tag, template, elsewhere = ObjectId(), ObjectId(), ObjectId()
    about: Document = {"account_id": world.account, "subject": "Hi {{ deal.name }}", "text": "{{ contact.name }}"}
    config: dict[str, Document] = {
        "email": {"email_template_id": template},
        "sms": {"message": "Hi {{ deal.name }}"},
        "note": {"note": "Hi {{ deal.additional_info.x }}"},
        "add_tag": {"tag": tag},
        "remove_tag": {"tag": tag},
        "stage": {"target_stage_id": elsewhere},
        "owner": {"owner_id": world.user},
        "follower": {"follower_id": world.user},
        "reminder": {"reminder_type": "call", "title": "{{ deal.name }}", "due_in": 60},
    }
    type = rng.choice([*config, "email", "note"])
    if type == "email":
        world.db["email_templates"].insert_one({"_id": template, **about})
    if type == "stage":
        stage = {"_id": elsewhere, "account_id": world.account, "pipeline_id": world.pipeline, "name": "Won"}
        world.db["pipeline_stages"].insert_one(stage)
    contact = {"_id": ObjectId(), "account_id": world.account, "name": "Ada", "email": "ada@example.com"}
    world.db["contacts"].insert_one(contact)
    automation = world.automation(type, reentry=rng.choice(("once", "per_entry")), **config[type])
    for repeat in ([], [automation]):
        world.deal(contact_id=contact["_id"], additional_info={"x": "y"}, retry_automations=repeat)
    return automation


def _clone(world: World, rng: Random) -> ObjectId:
    return new_clone(world, Original(world, steps=rng.choice((1, 2)), chat=False))


def _clone_under_way(world: World, _rng: Random) -> ObjectId:
    """As a process leaves it that died after it had planned."""
    original, then = Original(world, steps=1, chat=False), datetime.now(UTC) - timedelta(hours=1)
    numbers: Document = {"steps_total": 1, "steps_done": 0, "attempts": 1, "failures": 0, "crashes": 0, "generation": 0}
    state = {"planned": True, "source_steps": original.steps, "started_at": then, "finished_at": None, **numbers}
    lease = {"token": 1, "lease_owner": "dead", "lease_until": then, "updatedAt": then}
    return new_clone(world, original, in_progress=True, clone=state, steps=[], **lease)


DEAL_FIELDS = (
    *("automation_generation", "automation_triggered", "automation_failed", "skip_automations", "retry_automations"),
    *("automation_starts", "import_id", "import_row"),
)
CLONE = Row(
    "clone",
    "funnels",
    _clone,
    is_open=CLONE_OPEN,
    failed={"clone_failed": True},
    reasons=("clone.error", "error"),
    own={"funnels": ("clone.planned", "clone.cancel_requested", "clone_failed", "flag_seen_at")},
    counts=("token", "clone.attempts", "clone.failures", "clone.crashes", "clone.generation"),
)
INACTIVE: Document = {"active": False}
LEAD_FIELDS = ("status", "perform_at", "claim_id", "reason", "opened_at", "moved_from", "repeats", "left_at")
LEAD_ENDS: Document = {
    # An action may be due in a thousand years: it is not open until then.
    "is_open": {
        "$or": [
            {"status": "entering"},
            {"status": "active", "perform_at": {"$not": {"$gt": datetime.now(UTC) + timedelta(hours=1)}}},
            # The rows of a run that ended are closed once its dead holder is noticed.
            {"lease_owner": "dead", "status": {"$nin": ["entering", "active"]}, "account_id": {"$type": "objectId"}},
        ]
    },
    "failed": {"status": "failed"},
    "reasons": ("reason",),
    "own": {"lead_stages": LEAD_FIELDS, "leads": ("lead_stage_id", "engine_sequence", "exit_seen")},
    "counts": ("token", "attempts", "crashes", "moves"),
    "waits_for": INACTIVE,
}
EVENT_ENDS: Document = {
    "is_open": {"$or": [{"status": "new"}, {"onward": {"$in": ["activity", "workflows", "webhooks"]}}]},
    "failed": {"status": "dead"},
    "reasons": ("error",),
    "own": {
        "crm_events": ("status", "error", "ended_at"),
        "workflows": ("error", "checked_at", "paused"),
        "webhooks": ("disabled_reason", "previous_secret", "previous_until"),
    },
    "counts": ("attempts", "crashes", "retries"),
    "waits_for": INACTIVE,
}
EVENT_ROWS = (
    Row("CRM event", "crm_events", crm_event, **EVENT_ENDS),
    Row("workflow", "crm_events", workflow, **EVENT_ENDS, subject="workflows"),
    Row(
        "enrollment under way",
        "workflow_enrollments",
        enrollment_under_way,
        is_open={
            "status": "active",
            "workflow_id": {"$exists": True},
            "next_at": {"$not": {"$gt": datetime.now(UTC) + timedelta(hours=1)}},
        },
        failed={"status": "failed"},
        reasons=("reason",),
        own={"workflow_enrollments": ("status", "reason", "ended_at", "seen", "step", "steps", "retried", "paused_at")},
        waits_for=INACTIVE,
    ),
    Row("webhook", "crm_events", webhook, **EVENT_ENDS, subject="webhooks"),
    Row(
        "webhook delivery",
        "webhook_deliveries",
        webhook_delivery,
        # The attempt after the second failed one comes minutes later: it is not waited for.
        is_open={
            "state": "pending",
            "$or": [
                {"$expr": {"$lte": ["$next_at", {"$add": ["$$NOW", 30_000]}]}},
                {"batch": {"$exists": True}, "held": {"$ne": True}},  # an attempt is under way
            ],
        },
        failed={"state": "failed"},
        reasons=("reason", "attempts"),
        own={"webhook_deliveries": ("state", "batch", "held", "reason", "repeats")},
        counts=("attempts",),
        waits_for=INACTIVE,
        held_by="webhooks",
    ),
)
LEAD = Row("lead", "lead_stages", lead_entering, **LEAD_ENDS)
ROWS: tuple[Row, ...] = (
    Row("import", "queues", _import, is_open=IMPORT_OPEN, failed={"status": "failed"}, reasons=("error",)),
    Row(
        "automation",
        "automations",
        _automation,
        is_open={"run.id": {"$exists": True}},
        # To the engine, a pause of more than a year counts as absent.
        failed={"paused_until": {"$gt": datetime.now(UTC), "$lt": datetime.now(UTC) + timedelta(days=366)}},
        reasons=("paused_reason",),
        own={"deals": DEAL_FIELDS},
    ),
    CLONE,
    Row(
        "clone under way",
        "funnels",
        _clone_under_way,
        **{name: getattr(CLONE, name) for name in ("is_open", "failed", "reasons", "own", "counts")},
    ),
    Row(
        "events due",
        "queues",
        _events_due,
        is_open={"events_due.event_id": {"$exists": True}},
        failed={"status": "failed"},
        reasons=("error",),
    ),
    Row(
        "socket event",
        "outbox",
        socket_event,
        is_open={"state": "waiting"},
        failed={},
        reasons=(),
        own={"outbox": ("attempts", "next_at", "state", "expires_at")},
        counts=("attempts",),
    ),
    LEAD,
    Row("lead under way", "lead_stages", lead_under_way, **LEAD_ENDS),
    Row(
        "reply of a lead",
        "lead_responses",
        lead_reply,
        is_open={"handled_at": None},
        failed={},
        reasons=(),
        own={"lead_stages": LEAD_FIELDS, "lead_responses": ("handled_at",)},
        counts=(),
        waits_for=INACTIVE,
    ),
    *EVENT_ROWS,
)
