"""A process that dies at any call of a delivery: nothing is lost, and what is posted twice has the same id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pipeline_engine import failpoints
from pipeline_engine.domain.claimed import MAX_CRASHES
from pipeline_engine.domain.webhooks import delivery_batch
from pipeline_engine.domain.webhooks.delivery_batch import post
from pipeline_engine.domain.webhooks.retries import MAX_ATTEMPTS
from pipeline_engine.failpoints import FaultPlan
from pipeline_engine.providers.webhooks import Reply
from tests.support.engine_app import EngineApp
from tests.support.stand_ins.endpoint import Answer, Endpoint
from tests.support.webhooks import consumed, deliver, deliveries, later, states, webhook, webhook_of
from tests.support.world import World

POINTS = [
    ("mongo._accounts.find_one", 1),
    ("mongo.webhooks.find", 1),
    ("mongo.webhook_deliveries.insert_many", 1),
    ("mongo.crm_events.update_many", 1),
    ("mongo.webhooks.find_one_and_update", 1),
    ("mongo.webhooks.find_one_and_update", 2),
    ("mongo.webhook_deliveries.update_many", 1),
    ("mongo.webhook_deliveries.find", 2),
    ("mongo.crm_events.aggregate", 1),
    ("webhooks.post", 1),
    ("webhooks.post", 2),
    ("mongo.webhook_deliveries.bulk", 1),
]
EVENTS = 3


class Died(BaseException):
    """Stands for the end of the process: no handler of the engine catches it."""


async def died(app: EngineApp, world: World, monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str) -> None:
    """The jobs run until the process dies at this call; the lease of what it held runs out."""

    async def die(_plan: FaultPlan) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_inject", die)
        plan = {"failpoint": point, "do": "kill", "when": when, "nth": nth}
        failpoints.arm(msgspec.json.encode(plan).decode(), None)
        try:
            with pytest.raises(Died):
                await deliver(app, world)
        finally:
            failpoints.disarm()
    release(world)


def release(world: World) -> None:
    """The lease of what the dead process held runs out."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    world.db["webhooks"].update_many({"lease_owner": {"$gt": ""}}, {"$set": {"lease_until": past}})


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("point", "nth"), POINTS)
@pytest.mark.covers("CL-13")
async def test_a_delivery_goes_on_after_a_crash_at_any_call(
    world: World, app: EngineApp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str
) -> None:
    webhook(world, endpoint.url)
    events = {consumed(world) for _ in range(EVENTS)}

    await died(app, world, monkeypatch, point, nth, when)
    await deliver(app, world)
    await later(app, world, seconds=70)

    assert {one.content["id"] for one in endpoint.received} == events
    assert len(set(endpoint.ids)) == EVENTS
    assert states(world) == {"delivered": EVENTS}
    assert world.db["crm_events"].count_documents({"onward": "webhooks"}) == 0
    # What may have been posted twice shows an attempt without a result.
    unended = [one for one in deliveries(world) if one["attempts"][0]["status"] is None]
    assert len(endpoint.received) - EVENTS <= len(unended)


async def test_a_delivery_that_ends_its_process_is_given_up_and_takes_no_others_with_it(
    world: World, app: EngineApp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook(world, endpoint.url)
    bad, *others = (consumed(world) for _ in range(8))
    begun: list[str] = []

    async def killing(*given: Any) -> Reply:
        begun.append(given[2]["event_id"])
        if begun[-1] == bad:
            raise Died
        return await post(*given)

    monkeypatch.setattr(delivery_batch, "post", killing)
    for _ in range(MAX_CRASHES):
        with pytest.raises(Died):
            await later(app, world, seconds=70)
        release(world)
    await later(app, world, seconds=70)
    await later(app, world, seconds=70)

    assert (begun.count(bad), states(world)) == (MAX_CRASHES, {"failed": 1, "delivered": 7})
    cut = {
        one["event_id"]: len([1 for attempt in one["attempts"] if attempt["status"] is None])
        for one in deliveries(world)
    }
    assert cut[bad] == MAX_CRASHES
    assert max(cut[one] for one in others) <= 1
    (failed,) = deliveries(world, state="failed")
    assert failed["reason"] == "3 processes ended while they posted it"


async def test_a_last_attempt_that_ends_its_process_is_followed_by_no_other(
    world: World, app: EngineApp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook(world, endpoint.url)
    consumed(world)
    endpoint.manner = Answer(500)
    await deliver(app, world)
    refused = deliveries(world)[0]["attempts"] * (MAX_ATTEMPTS - 1)
    world.db["webhook_deliveries"].update_one({}, {"$set": {"attempts": refused}})
    app.clock.set(app.clock.now() + timedelta(seconds=70))
    await died(app, world, monkeypatch, "webhooks.post", 1, "after")
    await later(app, world, seconds=70)

    assert (len(endpoint.received), states(world)) == (2, {"failed": 1})


async def test_a_disabling_that_a_crash_cuts_is_completed(
    world: World, app: EngineApp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = webhook(world, endpoint.url)
    endpoint.manner = Answer(410)
    for _ in range(6):
        consumed(world)

    await died(app, world, monkeypatch, "mongo.webhooks.update_one", 1, "before")
    assert webhook_of(world, id)["active"]
    await deliver(app, world)
    await later(app, world, seconds=70)

    assert webhook_of(world, id)["active"] is False
    assert world.db["ai_notifications"].count_documents({"webhook_id": id}) == 1
    assert set(states(world)) == {"failed", "pending"}
