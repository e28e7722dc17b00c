"""Webhooks in the production daemon, in `run-once`, and in the lanes of one process."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pipeline_engine.domain.events.jobs import FAN_OUT
from pipeline_engine.engine import Engine
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.crm_events import contact, created
from tests.support.daemon import Daemon
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.stand_ins.endpoint import Answer, Endpoint, Hang
from tests.support.webhooks import consumed, deliveries, states, webhook, webhook_of
from tests.support.world import World


@pytest.fixture
async def engine(app: EngineApp) -> AsyncIterator[Engine]:
    """The lanes of one process, without its sweeps."""
    engine = Engine(app)
    await engine.start()
    yield engine
    await engine.stop(1.0)


@pytest.mark.covers("CL-13")
async def test_daemons_post_what_a_plain_client_inserts_and_one_goes_on_for_the_other(
    world: World, environment: dict[str, str], tmp_path: Path, endpoint: Endpoint
) -> None:
    secret = webhook_of(world, webhook(world, endpoint.url, "contact.created"))["secret"]
    given = {**environment, "WEBHOOKS_SWEEP_SECONDS": "600", "EVENT_SWEEP_SECONDS": "600"}
    daemons = [Daemon(given, tmp_path, f"daemon{n}") for n in range(2)]
    try:
        for daemon in daemons:
            await eventually(lambda daemon=daemon: daemon.ready, "the daemon is ready", 60, daemon)  # type: ignore[misc]
        ids = {created(world, contact(world), at=n) for n in range(30)}
        await eventually(lambda: len(endpoint.received) >= 10, "some are posted", 30, *daemons)
        daemons[0].kill()
        ids |= {created(world, contact(world), at=n) for n in range(30, 60)}
        await eventually(lambda: states(world) == {"delivered": 60}, "all are posted", 45, *daemons)
        endpoint.next.append(Answer(500))
        last = created(world, contact(world))
        await eventually(lambda: states(world) == {"delivered": 61}, "the retry comes in time", 30, *daemons)
    finally:
        for daemon in daemons:
            if daemon.alive:
                daemon.kill()

    assert {one.verified(secret)["id"] for one in endpoint.received} == ids | {last}
    assert len(set(endpoint.ids)) == 61
    (stored,) = deliveries(world, event_id=last)
    first, second = (one["at"] for one in stored["attempts"])
    assert 5 <= (second - first).total_seconds() < 20


async def test_run_once_counts_deliveries_and_waits_for_the_first_retry_only(
    world: World, configured: Settings, endpoint: Endpoint
) -> None:
    webhook(world, endpoint.url)
    broken = webhook(world, endpoint.url.replace("/hook", "/broken"), secret="odd")
    endpoint.next.append(Answer(500))
    for n in range(3):
        created(world, contact(world), at=n)

    (result,) = (await run_once(configured, ["events.outbox"])).results

    assert Counter(one["state"] for one in deliveries(world) if one["webhook_id"] != broken) == {"delivered": 3}
    assert {one["state"] for one in deliveries(world, webhook_id=broken)} == {"pending"}
    assert (result.units, result.succeeded, result.failed, result.busy) == (9, 6, 0, 3)
    (again,) = (await run_once(configured, ["events.outbox"])).results
    assert (again.units - again.busy, len(endpoint.received)) == (0, 4)


async def test_what_an_operator_enabled_is_delivered_by_run_once(
    world: World, configured: Settings, endpoint: Endpoint
) -> None:
    id = webhook(world, endpoint.url)
    endpoint.next.append(Answer(410))
    consumed(world)
    await run_once(configured, ["events.outbox"])
    assert webhook_of(world, id)["active"] is False
    consumed(world)

    world.db["webhooks"].update_one({"_id": id}, {"$set": {"active": True}})
    await run_once(configured, ["events.outbox"])

    assert states(world) == {"failed": 1, "delivered": 1}


async def test_hanging_endpoints_cost_others_next_to_nothing(world: World, app: EngineApp, engine: Engine) -> None:
    """One tenant has more hanging endpoints than the lane has places; another tenant's deliveries go on."""
    other = world.neighbour()
    async with AsyncExitStack() as stack:
        hanging, well = Endpoint(), Endpoint()
        for one in (hanging, well):
            await stack.enter_async_context(one)
        hanging.manner = Hang()
        for _ in range(12):
            webhook(world, hanging.url)
        webhook(other, well.url)
        for _ in range(5):
            consumed(world)
        await FAN_OUT.wake(app.queue, world.account)
        await eventually(lambda: hanging.at_once >= 5, "endpoints hang", 20)

        began, slowest = time.monotonic(), 0.0
        for n in range(1, 21):
            asked = time.monotonic()
            consumed(other)
            await FAN_OUT.wake(app.queue, other.account)
            await eventually(lambda n=n: len(well.received) == n, "it is posted", 10)  # type: ignore[misc]
            slowest = max(slowest, time.monotonic() - asked)

        assert time.monotonic() - began < 15  # one time-out is 10 s; none was waited for
        assert slowest < 8
        assert hanging.most_at_once <= 10  # two for each of the five places that one account may have
    other.close()


async def test_jobs_that_meet_at_one_endpoint_post_nothing_twice(
    world: World, app: EngineApp, engine: Engine, endpoint: Endpoint
) -> None:
    webhook(world, endpoint.url)
    endpoint.manner = Answer(200, after=0.02)
    for _ in range(40):
        consumed(world)
    for _ in range(10):
        await FAN_OUT.enqueue(app.queue, [world.account])
        await asyncio.sleep(0.02)
    await eventually(lambda: states(world) == {"delivered": 40}, "all are posted", 30)

    assert (len(endpoint.received), len(set(endpoint.ids)), endpoint.most_at_once) == (40, 40, 2)
