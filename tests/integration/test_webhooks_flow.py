"""Webhooks from a consumed event to an endpoint that accepted it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.webhooks.control import rotate
from pipeline_engine.domain.webhooks.fan_out import run_fan_out
from pipeline_engine.domain.webhooks.post import run_post
from pipeline_engine.settings import Settings
from tests.support.engine_app import EngineApp, open_app
from tests.support.stand_ins.endpoint import Answer, Endpoint
from tests.support.webhooks import consumed, deliver, deliveries, later, states, webhook, webhook_of
from tests.support.world import World


@pytest.fixture
async def app(configured: Settings) -> AsyncIterator[EngineApp]:
    async with open_app(configured.model_copy(update={"allow_private_hosts": True})) as app:
        yield app


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint() as endpoint:
        yield endpoint


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
    webhook(world, endpoint.url)
    consumed(world)

    await deliver(app, world)
    await deliver(app, world)

    assert len(endpoint.received) == 1
    for id, word in ((bad, "like"), (odd, "events")):
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


async def test_an_account_that_is_not_active_receives_nothing(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    webhook(world, endpoint.url)
    consumed(world)
    await run_fan_out(app, None, world.account)
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}})
    consumed(world)
    await deliver(app, world)
    assert (endpoint.received, states(world)) == ([], {"pending": 1})

    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": True}})
    await deliver(app, world)
    assert len(endpoint.received) == 1


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


async def test_ten_attempts_are_made_at_their_times_under_one_id(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    id = webhook(world, endpoint.url)
    secret = webhook_of(world, id)["secret"]
    consumed(world)
    endpoint.manner = Answer(500)
    await deliver(app, world)
    passed = 0.0
    for attempt, pause in enumerate((5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400), 2):
        await later(app, world, seconds=pause - 2)
        assert len(endpoint.received) == attempt - 1, "an attempt came too early"
        await later(app, world, seconds=pause * 0.1 + 3)
        assert len(endpoint.received) == attempt
        passed += pause * 1.1 + 1
        endpoint.received[-1].verified(secret, seconds=passed)

    assert len(set(endpoint.ids)) == 1
    assert len({one.headers["webhook-timestamp"] for one in endpoint.received}) == 10
    (stored,) = deliveries(world)
    assert (stored["state"], len(stored["attempts"]), stored["next_at"]) == ("failed", 10, None)
    await later(app, world, hours=100)
    assert len(endpoint.received) == 10


async def test_retry_after_is_obeyed_for_everything_that_the_endpoint_is_to_receive(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    webhook(world, endpoint.url)
    consumed(world)
    endpoint.next.append(Answer(429, {"Retry-After": "120"}))
    await deliver(app, world)
    consumed(world)

    await later(app, world, seconds=110)
    assert len(endpoint.received) == 1
    await later(app, world, seconds=15)

    assert len(endpoint.received) == 3
    assert states(world) == {"delivered": 2}
    assert sorted(len(one["attempts"]) for one in deliveries(world)) == [1, 2]  # the wait was no attempt


async def test_an_outage_of_a_day_loses_nothing(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    id = webhook(world, endpoint.url)
    events = set[str]()
    endpoint.manner = Answer(503)
    for _ in range(24):
        events |= {consumed(world) for _ in range(5)}
        await later(app, world, hours=1)
    assert (states(world), webhook_of(world, id)["active"]) == ({"pending": 120}, True)
    refused = len(endpoint.received)
    assert refused < 120  # an endpoint that fails is asked now and then, not for every event

    endpoint.manner = Answer(200)
    for _ in range(60):
        await later(app, world, hours=1)

    accepted = endpoint.received[refused:]
    assert {one.content["id"] for one in accepted} == events
    assert len(accepted) == 120
    assert states(world) == {"delivered": 120}
    assert (webhook_of(world, id)["failures"], webhook_of(world, id)["failing_since"]) == (0, None)


async def test_gone_disables_the_endpoint_at_once(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    admin = ObjectId()
    member = {"account_id": world.account, "active": True}
    world.db["team_members"].insert_one({**member, "user_id": admin, "role": "admin"})
    world.db["team_members"].insert_one({**member, "user_id": world.user, "role": "member"})
    id = webhook(world, endpoint.url)
    endpoint.manner = Answer(410)
    for _ in range(5):
        consumed(world)

    await deliver(app, world)
    await later(app, world, hours=1)

    found = webhook_of(world, id)
    assert (found["active"], found["disabled_reason"]) == (False, "the endpoint answered 410 Gone")
    assert len(endpoint.received) <= 2  # as many as were under way
    assert states(world) == {"failed": len(endpoint.received), "pending": 5 - len(endpoint.received)}
    (notice,) = world.db["ai_notifications"].find()
    assert (notice["user_id"], notice["kind"], notice["status"]) == (admin, "webhook_disabled", "open")
    assert (notice["account_id"], "410" in notice["body"]) == (world.account, True)
    consumed(world)
    await deliver(app, world)
    assert len(deliveries(world)) == 5  # a disabled endpoint gets no new deliveries


async def test_five_days_of_nothing_but_failures_disable_it(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    id = webhook(world, endpoint.url)
    endpoint.manner = Answer(500)
    for _ in range(5 * 12 - 1):
        consumed(world)
        await later(app, world, hours=2)
    assert webhook_of(world, id)["active"]

    for _ in range(3):
        consumed(world)
        await later(app, world, hours=2)

    found = webhook_of(world, id)
    assert (found["active"], "failed for 5 days" in found["disabled_reason"]) == (False, True)
    assert world.db["ai_notifications"].count_documents({"webhook_id": id}) == 1


async def test_what_was_pending_is_delivered_when_the_crm_enables_the_endpoint(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    id = webhook(world, endpoint.url)
    consumed(world)
    await run_fan_out(app, None, world.account)
    world.db["webhooks"].update_one({"_id": id}, {"$set": {"active": False}})
    await deliver(app, world)
    await later(app, world, hours=2)
    assert (endpoint.received, states(world)) == ([], {"pending": 1})

    world.db["webhooks"].update_one({"_id": id}, {"$set": {"active": True}})
    await deliver(app, world)
    assert states(world) == {"delivered": 1}


async def test_a_rate_is_kept_and_uses_no_attempt(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    webhook(world, endpoint.url, rate_per_minute=3)
    for _ in range(8):
        consumed(world)

    for _ in range(3):
        await deliver(app, world)

    assert len(endpoint.received) == 3
    assert Counter(len(one["attempts"]) for one in deliveries(world)) == {0: 5, 1: 3}


async def test_two_requests_at_once_at_most(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    webhook(world, endpoint.url)
    endpoint.manner = Answer(204, after=0.01)
    for _ in range(50):
        consumed(world)

    await deliver(app, world)

    assert (len(endpoint.received), len(set(endpoint.ids)), endpoint.most_at_once) == (50, 50, 2)


async def test_an_endpoint_that_refuses_one_event_receives_the_others(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    webhook(world, endpoint.url)
    for _ in range(10):
        consumed(world)
    endpoint.next.append(Answer(400))
    await deliver(app, world)
    await later(app, world, seconds=6)

    assert states(world) == {"delivered": 10}
    assert len(endpoint.received) == 11


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"url": "https://169.254.169.254/latest/meta-data"}, "public internet"),
        ({"url": "http://example.com/"}, "https://"),
        ({"url": None}, "url"),
        ({"secret": "short!"}, "whsec_"),
        ({"secret": None}, "whsec_"),
    ],
)
async def test_an_endpoint_that_cannot_be_used_says_why_and_loses_nothing(
    world: World, configured: Settings, endpoint: Endpoint, changes: dict[str, Any], word: str
) -> None:
    async with open_app(configured) as app:
        webhook(world, endpoint.url, **changes)
        consumed(world)
        await deliver(app, world)

    (stored,) = deliveries(world)
    assert (stored["state"], endpoint.received) == ("pending", [])
    assert word in stored["attempts"][0]["error"]
    assert "short!" not in str(stored)


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
    await run_post(app, Counter(), id)
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
