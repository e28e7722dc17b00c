"""Sequences of a contact end with its reply, bounce or unsubscription, but not those that were begun since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.consumers.replay import EventRange, Target, replay
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from tests.support.crm_events import START, contact, insert, work
from tests.support.engine_app import EngineApp
from tests.support.world import World

NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("type", "extra", "status"),
    [
        ("email.replied", {}, "replied"),
        ("email.replied", {"message_id": ObjectId(), "lead_id": "", "deal_id": 7, "deals": None}, "replied"),
        ("email.bounced", {}, "bounced"),
        ("contact.unsubscribed", {}, "unsubscribed"),
        ("email.replied", {"auto": True}, "active"),
        ("email.bounced", {"bounce_type": "soft"}, "active"),
        ("email.received", {}, "active"),
    ],
)
async def test_a_reply_bounce_or_unsubscribe_ends_sequences_and_nothing_else(
    world: World, app: EngineApp, type: str, extra: dict[str, object], status: str
) -> None:
    id = contact(world)
    own = {"account_id": world.account, "contact_id": id, "status": "active", "step": 1, "next_at": NOW}
    rows = {
        "sequence": {**own, "sequence_id": ObjectId(), "lease_owner": "a run", "token": 4},
        "workflow": {**own, "workflow_id": ObjectId()},
        "ended": {**own, "sequence_id": ObjectId(), "status": "completed"},
        "other": {**own, "sequence_id": ObjectId(), "contact_id": ObjectId()},
        "foreign": {**own, "sequence_id": ObjectId(), "account_id": ObjectId()},
    }
    world.db["workflow_enrollments"].insert_many([{"_id": name, **row} for name, row in rows.items()])

    insert(world, type, {"contact_id": id, **extra})
    await work(app, world)

    found = {one["_id"]: one for one in world.db["workflow_enrollments"].find()}
    assert found["sequence"]["status"] == status
    assert {name: one["status"] for name, one in found.items() if name != "sequence"} == {
        "workflow": "active",
        "ended": "completed",
        "other": "active",
        "foreign": "active",
    }
    if status != "active":
        assert (found["sequence"]["reason"], found["sequence"]["token"], found["sequence"]["lease_owner"]) == (
            type,
            5,
            None,
        )


@pytest.mark.covers("CL-13")
async def test_a_late_or_replayed_reply_ends_no_sequence_that_was_begun_since(world: World, app: EngineApp) -> None:
    one, other, silent = contact(world), contact(world), contact(world)
    own = {"account_id": world.account, "status": "active"}
    rows = {
        "before": {**own, "contact_id": one, "createdAt": START},
        "since": {**own, "contact_id": one, "createdAt": START + timedelta(seconds=20)},
        "undated": {**own, "contact_id": one},
        "since, of another": {**own, "contact_id": str(other), "createdAt": START + timedelta(seconds=20)},
        "before, of a third": {**own, "contact_id": silent, "createdAt": START},
        "since, of a third": {**own, "contact_id": silent, "createdAt": NOW + timedelta(days=1)},
    }
    many = [{"_id": name, "sequence_id": ObjectId(), **row} for name, row in rows.items()]
    world.db["workflow_enrollments"].insert_many(many)

    insert(world, "email.replied", {"contact_id": one}, at=10)
    insert(world, "email.replied", {"contact_id": other}, at=30)
    insert(world, "email.replied", {"contact_id": silent}, occurred_at=None, status="done", ended_at=NOW)
    await work(app, world)
    everything = EventRange(world.account)
    for _ in range(2):
        await replay(app.with_repos(ConsumerRepos.open), Target("consumer", "enrollments"), everything)

    left = {row["_id"] for row in world.db["workflow_enrollments"].find({"status": "active"})}
    assert left == {"since", "since, of a third"}
