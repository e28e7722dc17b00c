"""Valid documents of leads: one that enters a stage, one on its way, and one that has replied."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from bson import ObjectId

from tests.support.leads import action
from tests.support.world import World

Document = dict[str, Any]


def lead_entering(world: World, rng: Random) -> ObjectId:
    """A lead that enters a stage of three actions."""
    there = _stage(world, [])
    here = _stage(world, _actions(world, rng, there))
    return _entry(world, _lead(world), here, status="entering", moves=0)


def lead_under_way(world: World, rng: Random) -> ObjectId:
    """As a process leaves it that died at the second of three actions, or before it."""
    now = datetime.now(UTC)
    actions = _actions(world, rng, _stage(world, []))
    lead, here = _lead(world), _stage(world, actions)
    type = str(actions[1]["type"])
    lane = type if type in ("email", "sms") else "internal"
    place: Document = {"current_sequence": 2, "current_type": type, "current_lane": lane, "current_status": "pending"}
    times = {"perform_at": now, "opened_at": now, "started_at": now, "response_since": now}
    lease = {"token": 1, "lease_owner": "dead", "lease_until": now, "claim_id": ObjectId(), "claimed_at": now}
    state = {"attempts": 0, "crashes": 0, "moves": 0, "last_error": None}
    held = lease if rng.random() < 0.5 else {"token": 1}
    id = ObjectId()
    _rows(world, id, lead, here, actions)
    return _entry(world, lead, here, _id=id, status="active", **place, **times, **state, **held)


def lead_reply(world: World, rng: Random) -> ObjectId:
    """A reply of a lead that waits for one, for some seconds at most."""
    now = datetime.now(UTC)
    wait = action("wait_for_response", channel="any", timeout_seconds=3)
    actions = [action("note", note="x"), wait, action("add_tag", tag="replied")]
    lead, here, id = _lead(world), _stage(world, actions), ObjectId()
    _rows(world, id, lead, here, actions)
    place: Document = {"current_sequence": 2, "current_type": "wait_for_response", "current_lane": "internal"}
    times = {"perform_at": now + timedelta(seconds=3), "response_since": now, "opened_at": now, "token": 1}
    _entry(world, lead, here, _id=id, status="active", current_status="waiting_response", **place, **times)
    own = {"account_id": world.account, "lead_id": lead, "channel": rng.choice(("email", "sms"))}
    reply, text = ObjectId(), {"received_at": now, "text": "Yes", "auto": rng.random() < 0.2}
    world.db["lead_responses"].insert_one({"_id": reply, **own, **text})
    return reply


def _actions(world: World, rng: Random, there: ObjectId) -> list[Document]:
    template = ObjectId()
    world.db["email_templates"].insert_one(
        {"_id": template, "account_id": world.account, "subject": "Hi", "text": "{{ lead.name }}"}
    )
    choice = [
        action("note", note="Seen"),
        action("add_tag", tags=["hot", "new"]),
        action("remove_tag", tag="hot"),
        action("owner", owner_id=str(world.user)),
        action("email", email_template_id=template),
        action("sms", message="Hi {{ lead.name }}"),
        action("wait", seconds=1),
        action("wait_for_response", channel="any", timeout_seconds=1),
        action("task", title="Call", due_in_seconds=60, timeout_seconds=1),
    ]
    last = rng.choice([action("move", stage_id=there), action("move", outcome="won"), *choice])
    return [*rng.sample(choice, 2), last]


def _stage(world: World, actions: Sequence[Document]) -> ObjectId:
    id = ObjectId()
    common = {"account_id": world.account, "pipeline_id": world.pipeline}
    world.db["pipeline_stages"].insert_one({"_id": id, **common, "name": "Inquired", "exits": {"reply": False}})
    for n, one in enumerate(actions, 1):
        own = {"account_id": world.account, "stage_id": id, "sequence_number": n, "active": True}
        world.db["pipeline_stage_actions"].insert_one({**own, **one})
    return id


def _lead(world: World) -> ObjectId:
    id = ObjectId()
    own = {"account_id": world.account, "pipeline_id": world.pipeline, "status": "open", "tags": ["hot"]}
    person = {"name": "Ada", "email": "ada@example.com", "phone": "+15005550006", "timezone": "Europe/Berlin"}
    world.db["leads"].insert_one({"_id": id, **own, **person, "owner": world.user})
    return id


def _entry(world: World, lead: ObjectId, stage_id: ObjectId, **fields: Any) -> ObjectId:
    own = {"account_id": world.account, "lead_id": lead, "pipeline_id": world.pipeline, "stage_id": stage_id}
    entry = {"_id": ObjectId(), **own, "entered_at": datetime.now(UTC), **fields}
    world.db["lead_stages"].insert_one(entry)
    return ObjectId(entry["_id"])


def _rows(world: World, entry: ObjectId, lead: ObjectId, stage_id: ObjectId, actions: Sequence[Document]) -> None:
    for n, (status, one) in enumerate(zip(("done", "pending", "waiting"), actions, strict=True), 1):
        own = {"account_id": world.account, "lead_id": lead, "lead_stage_id": entry, "stage_id": stage_id}
        world.db["lead_stage_actions"].insert_one({**own, **one, "sequence_number": n, "status": status, "attempts": 0})
