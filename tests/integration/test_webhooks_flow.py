"""Webhooks from a consumed event to an endpoint that accepted it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.consumers.replay import EventRange, Replayed, Target, replay
from pipeline_engine.domain.events.jobs import FAN_OUT
from pipeline_engine.domain.webhooks.control import rotate
from pipeline_engine.domain.webhooks.fan_out import run_fan_out
from pipeline_engine.domain.webhooks.post import run_post
from pipeline_engine.domain.webhooks.sweep import find
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from tests.support.engine_app import EngineApp
from tests.support.stand_ins.endpoint import Answer, Endpoint
from tests.support.webhooks import consumed, deliver, deliveries, later, states, webhook, webhook_of
from tests.support.world import World


@pytest.mark.covers("CL-13")
async def test_an_endpoint_receives_what_it_wants_signed(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    id = webhook(world, endpoint.url, "contact.created", "deal.*")
    contact = ObjectId()
    event = consumed(world, data={"contact_id": contact, "source": "form"})
    consumed(world, "deal.won")
    consumed(world, "import.completed")

    await deliver(app, world)
    await deliver(app, world)

    assert len(endpoint.received) == 2
    by_event = {one.content["id"]: one for one in endpoint.received}
    content = by_event[event].verified(webhook_of(world, id)["secret"])
    assert (content["type"], content["data"]) == ("contact.created", {"contact_id": str(contact), "source": "form"})
    assert content["account_id"] == str(world.account)
    assert states(world) == {"delivered": 2}
    (stored,) = deliveries(world, event_id=event)
    (attempt,) = stored["attempts"]
    assert (attempt["status"], attempt["error"], stored["next_at"]) == (204, None, None)
    assert stored["expires_at"] - stored["createdAt"] == timedelta(days=30)
    assert world.db["crm_events"].count_documents({"onward": {"$exists": True}}) == 0
    assert webhook_of(world, id)["lease_owner"] is None


async def test_a_filter_decides_by_the_event_and_by_the_records_that_it_names(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    wanted = {
        "all": [
            {"field": "data.source", "op": "eq", "value": "form"},
            {"field": "contact.tags", "op": "contains", "value": "hot"},
        ]
    }
    webhook(world, endpoint.url, filter=wanted)
    hot, cold, foreign = ObjectId(), ObjectId(), ObjectId()
    people = [(hot, world.account, ["hot"]), (cold, world.account, []), (foreign, ObjectId(), ["hot"])]
    world.db["contacts"].insert_many([{"_id": id, "account_id": account, "tags": tags} for id, account, tags in people])
    taken = consumed(world, data={"contact_id": hot, "source": "form"})
    consumed(world, data={"contactId": str(hot), "source": "import"})
    for other in (cold, foreign, ObjectId(), "odd", None):
        consumed(world, data={"contact_id": other, "source": "form"})
    also = consumed(world, data={"contactId": str(hot), "source": "form"})
    consumed(world, data=["no object"])

    await deliver(app, world)

    assert sorted(one.content["id"] for one in endpoint.received) == sorted([taken, also])


async def test_a_subscription_that_cannot_be_read_disables_its_endpoint_alone(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    bad = webhook(world, endpoint.url, filter={"field": "data.x", "op": "like", "value": 1})
    odd = webhook(world, endpoint.url, events="contact.created")
    idle = webhook(world, endpoint.url, rate_per_minute=-1)
    webhook(world, endpoint.url)
    consumed(world)

    await deliver(app, world)
    await deliver(app, world)

    assert len(endpoint.received) == 1
    for id, word in ((bad, "like"), (odd, "events"), (idle, "rate_per_minute")):
        found = webhook_of(world, id)
        assert (found["active"], word in found["disabled_reason"]) == (False, True)
        assert world.db["ai_notifications"].count_documents({"webhook_id": id, "user_id": world.user}) == 1


async def test_nothing_crosses_from_one_account_to_another(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    other = world.neighbour()
    webhook(other, endpoint.url)
    consumed(world)
    await deliver(app, world)
    assert (endpoint.received, deliveries(world)) == ([], [])

    consumed(other)
    await deliver(app, other)
    assert [one.content["account_id"] for one in endpoint.received] == [str(other.account)]
    other.close()


async def test_an_account_that_is_not_active_receives_nothing_until_it_is(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    id = webhook(world, endpoint.url)
    consumed(world)
    await run_fan_out(app, None, world.account)
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}})
    consumed(world)
    await deliver(app, world)
    assert (endpoint.received, states(world)) == ([], {"pending": 1})
    assert [unit.id for unit in await find(app)] == [
        str(id)
    ]  # no unit of the account: its events cost the lane nothing

    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": True}})
    assert [unit.id for unit in await find(app)] == [f"{FAN_OUT.name}:{world.account}", str(id)]
    await deliver(app, world)
    assert states(world) == {"delivered": 2}


async def test_nothing_is_replayed_for_an_account_that_is_not_active(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    target = Target("webhooks", str(webhook(world, endpoint.url)))
    consumed(world, onward=[])
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}})

    assert await replay(app.with_repos(ConsumerRepos.open), target, EventRange()) == Replayed(0)

    assert world.db["crm_events"].count_documents({"onward": "webhooks"}) == 0


async def test_both_secrets_verify_for_a_day_after_a_rotation(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    id = webhook(world, endpoint.url)
    old = webhook_of(world, id)["secret"]
    made = await rotate(app, id)
    assert webhook_of(world, id)["secret"] == made.secret != old

    consumed(world)
    await deliver(app, world)
    for secret in (old, made.secret):
        endpoint.received[0].verified(secret)

    consumed(world)
    await later(app, world, hours=24, seconds=5)
    endpoint.received[1].verified(made.secret, hours=24)
    with pytest.raises(Exception, match="No matching signature"):
        endpoint.received[1].verified(old, hours=24)


async def test_two_requests_at_once_at_most(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    webhook(world, endpoint.url)
    endpoint.manner = Answer(204, after=0.01)
    for _ in range(50):
        consumed(world)

    await deliver(app, world)

    assert (len(endpoint.received), len(set(endpoint.ids)), endpoint.most_at_once) == (50, 50, 2)


async def test_an_event_that_is_gone_fails_alone(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    id = webhook(world, endpoint.url)
    gone, there = consumed(world), consumed(world)
    await run_fan_out(app, None, world.account)
    world.db["crm_events"].delete_one({"_id": gone})

    await deliver(app, world)

    assert [one.content["id"] for one in endpoint.received] in ([there], [])
    await deliver(app, world)
    assert states(world) == {"failed": 1, "delivered": 1}
    assert webhook_of(world, id).get("failures", 0) == 0


async def test_deliveries_of_an_endpoint_that_was_deleted_end(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    id = webhook(world, endpoint.url)
    consumed(world)
    await run_fan_out(app, None, world.account)
    world.db["webhooks"].delete_one({"_id": id})
    await run_post(app, AccountPlaces(5), id)
    (stored,) = deliveries(world)
    assert (stored["state"], stored["reason"]) == ("failed", "its endpoint no longer exists")


async def test_a_replayed_event_is_posted_once_more_under_its_id(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    one, other = webhook(world, endpoint.url), webhook(world, endpoint.url)
    event = consumed(world)
    await deliver(app, world)
    assert len(endpoint.received) == 2

    world.db["crm_events"].update_one(
        {"_id": event}, {"$set": {"onward": ["webhooks"], "only": {"webhooks": str(one)}}}
    )
    await deliver(app, world)

    assert len(endpoint.received) == 3
    assert endpoint.ids[2] in endpoint.ids[:2]
    assert [one["repeats"] for one in deliveries(world) if "repeats" in one] == [1]
    assert not [one for one in deliveries(world, webhook_id=other) if "repeats" in one]


@pytest.mark.parametrize("odd", ["soon", None, 7, datetime(9000, 1, 1, tzinfo=UTC), [], {}])
async def test_odd_values_in_deliveries_harm_no_other(
    world: World, app: EngineApp, endpoint: Endpoint, odd: object
) -> None:
    webhook(world, endpoint.url, failures="many", rest_until=odd, holds=odd, failing_since=odd)
    for _ in range(3):
        consumed(world)
    await run_fan_out(app, None, world.account)
    first = deliveries(world)[0]["_id"]
    world.db["webhook_deliveries"].update_one({"_id": first}, {"$set": {"next_at": odd, "attempts": odd}})

    await deliver(app, world)

    assert states(world) == {"delivered": 3}


async def test_a_delivery_that_is_set_aside_stays_there_and_keeps_no_other(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    webhook(world, endpoint.url)
    for _ in range(25):
        consumed(world)
    await run_fan_out(app, None, world.account)
    aside = deliveries(world)[0]["_id"]
    await app.shared.quarantine.add("webhook_deliveries", aside, "on purpose")

    await deliver(app, world)

    assert states(world) == {"delivered": 24, "pending": 1}
    assert {len(one["attempts"]) for one in deliveries(world, state="delivered")} == {1}
    assert deliveries(world, _id=aside)[0]["attempts"] == []


async def test_an_event_without_a_time_has_that_of_its_end(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    webhook(world, endpoint.url)
    consumed(world, occurred_at=None, ended_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    await deliver(app, world)

    assert [one.content["timestamp"] for one in endpoint.received] == ["2026-01-02T03:04:05Z"]


async def test_large_events_are_posted_as_their_ids(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    webhook(world, endpoint.url)
    contact = ObjectId()
    for size in (30_000, 15_000_000, 15_000_000):
        consumed(world, data={"contact_id": contact, "text": "x" * size})

    await deliver(app, world)

    assert [one.content["data"] for one in endpoint.received] == [{"contact_id": str(contact)}] * 3
    assert all(one.content["truncated"] for one in endpoint.received)
    assert max(len(one.body) for one in endpoint.received) < 1000
