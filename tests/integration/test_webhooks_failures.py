"""Endpoints that fail: attempts, waits, outages, disabling."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.webhooks.fan_out import run_fan_out
from pipeline_engine.settings import Settings
from tests.support.engine_app import EngineApp, open_app
from tests.support.stand_ins.endpoint import Answer, Endpoint
from tests.support.stopped_clock import stopped
from tests.support.webhooks import consumed, deliver, deliveries, later, states, webhook, webhook_of
from tests.support.world import World

HOUR = timedelta(hours=1)


def notices(world: World, id: ObjectId) -> int:
    return world.db["ai_notifications"].count_documents({"webhook_id": id, "user_id": world.user})


async def test_ten_attempts_are_made_at_their_times_under_one_id(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    id = webhook(world, endpoint.url)
    secret = webhook_of(world, id)["secret"]
    consumed(world)
    endpoint.manner = Answer(500)
    passed = 0.0
    with stopped(app.clock):
        await deliver(app, world)
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


async def test_failures_before_the_crm_enabled_an_endpoint_again_do_not_count(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    long_ago = app.clock.now() - timedelta(days=6)
    id = webhook(world, endpoint.url, failures=9, failing_since=long_ago)
    endpoint.manner = Answer(503)
    for disabled in (1, 2):
        consumed(world)
        await deliver(app, world)
        assert (webhook_of(world, id)["active"], notices(world, id)) == (False, disabled)

        world.db["webhooks"].update_one({"_id": id}, {"$set": {"active": True}})
        await deliver(app, world)
        found = webhook_of(world, id)
        assert (found["active"], found["failures"] < 3, found.get("disabled_reason")) == (True, True, None)
        world.db["webhooks"].update_one({"_id": id}, {"$set": {"failures": 9, "failing_since": long_ago + HOUR}})


async def test_an_endpoint_that_is_disabled_once_more_at_once_goes_on_to_hold(
    world: World, app: EngineApp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = webhook(world, endpoint.url, holds=True, failures=3)
    again = {"active": False, "disabled_reason": "again"}

    async def let_go(*_: object) -> None:
        world.db["webhooks"].update_one({"_id": id}, {"$set": again})

    monkeypatch.setattr(app.repos.webhook_deliveries, "let_go", let_go)
    await deliver(app, world)

    found = webhook_of(world, id)
    assert {**again, "holds": True}.items() <= found.items()


async def test_what_was_pending_when_a_subscription_could_not_be_read_is_delivered_once_it_can(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    id = webhook(world, endpoint.url)
    consumed(world)
    await run_fan_out(app, None, world.account)
    world.db["webhooks"].update_one({"_id": id}, {"$set": {"events": "all of them"}})
    consumed(world)
    await run_fan_out(app, None, world.account)
    assert (webhook_of(world, id)["active"], [one.get("held") for one in deliveries(world)]) == (False, [True])

    world.db["webhooks"].update_one({"_id": id}, {"$set": {"events": ["*"], "active": True}})
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


async def test_a_rate_that_cannot_be_read_disables_the_endpoint_before_anything_is_posted(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    id = webhook(world, endpoint.url)
    consumed(world)
    await run_fan_out(app, None, world.account)
    world.db["webhooks"].update_one({"_id": id}, {"$set": {"rate_per_minute": "some"}})
    await deliver(app, world)
    found = webhook_of(world, id)
    assert (found["active"], "rate_per_minute" in found["disabled_reason"]) == (False, True)
    assert (endpoint.received, states(world), notices(world, id)) == ([], {"pending": 1}, 1)

    world.db["webhooks"].update_one({"_id": id}, {"$set": {"rate_per_minute": "60", "active": True}})
    await deliver(app, world)
    assert states(world) == {"delivered": 1}


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
    async with open_app(configured.model_copy(update={"allow_private_hosts": False})) as app:
        webhook(world, endpoint.url, **changes)
        consumed(world)
        await deliver(app, world)

    (stored,) = deliveries(world)
    assert (stored["state"], endpoint.received) == ("pending", [])
    assert word in stored["attempts"][0]["error"]
    assert "short!" not in str(stored)
