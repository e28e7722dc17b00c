"""`/metrics` on real servers: what it says, what it costs, and that it answers whatever is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession
from bson import ObjectId

from pipeline_engine import workers
from pipeline_engine.admin import metrics
from pipeline_engine.admin.server import listening
from pipeline_engine.embedded.mongo import Mongo
from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.embedded.redis import Redis
from pipeline_engine.lanes import LaneStats
from pipeline_engine.settings import Settings
from tests.support.engine_app import EngineApp, open_app
from tests.support.eventually import eventually
from tests.support.load import load_factor
from tests.support.metrics import Scrape, scrape
from tests.support.redis_commands import listen
from tests.support.world import World

LANE = "deals.import"
STATS = LaneStats(places=3, running=1, refused=0, unknown=0, late=0, attempts={"done": 1}, busy_seconds=0.5)
OF_MONGODB = ("stuck_documents", "dead_letters", "quarantined_documents", "outbox_waiting_events")
PROMETHEUS_WAITS = 10.0
MAX_COMMANDS = 3
"""The write of the readiness check, the script that counts, and the PING of a connection that was idle."""


@asynccontextmanager
async def opened(settings: Settings, **changes: object) -> AsyncIterator[tuple[EngineApp, str]]:
    """An engine and the address of its site."""
    changed = settings.model_copy(update={"http_port": free_ports(1)[0], **changes})
    async with open_app(changed) as app, listening(app, {}) as address:
        yield app, address


async def timed_scrape(address: str) -> tuple[Scrape, float]:
    began = time.monotonic()
    return await scrape(address), time.monotonic() - began


@pytest.mark.covers("CL-13")
async def test_what_waits_in_the_lanes_of_this_deployment(configured: Settings, world: World) -> None:
    async with opened(configured) as (app, address):
        await app.queue.enqueue(LANE, "import.plan", str(ObjectId()))
        await app.queue.enqueue(LANE, "import.plan", str(ObjectId()), delay=60)
        await app.queue.pause(LANE)
        found = await scrape(address)

    assert found.samples("up") == {("mongodb",): 1, ("redis",): 1, ("s3",): 1}
    assert (found.value("degraded"), found.value("draining")) == (0, 0)
    assert (found.value("lane_jobs", LANE, "waiting"), found.value("lane_jobs", LANE, "delayed")) == (1, 1)
    assert found.value("lane_paused", LANE) == 1
    assert set(found.samples("lane_paused")) == {(lane,) for lane in workers.lanes()}
    assert (found.value("lane_oldest_waiting_seconds", LANE) or 0) > 0
    assert found.samples("lane_places") == {}, "it has no lanes of its own"


async def test_the_work_that_an_operator_should_look_at(configured: Settings, world: World) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    world.queue("a key", status="processing", started_at=long_ago)
    world.db["dead_letters"].insert_many([{"status": "dead"}, {"status": "dead"}, {"status": "retried"}])
    world.db["quarantine"].insert_one({"collection": "queues", "document_id": 1})
    world.db["outbox"].insert_many([{"state": "waiting"}, {"state": "delivered"}])
    async with opened(configured) as (_, address):
        found = await scrape(address)

    stuck = {labels: count for labels, count in found.samples("stuck_documents").items() if count}
    assert stuck == {("queues", "imports that run for over an hour"): 1}
    assert found.value("stuck_documents", "funnels", "clones that run for over half an hour") == 0
    assert [found.value(name) for name in OF_MONGODB[1:]] == [2, 1, 1]


async def test_a_system_that_is_switched_off_has_no_figures(configured: Settings, world: World) -> None:
    async with opened(configured, qm_deals=False) as (_, address):
        found = await scrape(address)

    assert (LANE,) not in found.samples("lane_paused")
    assert "queues" not in {collection for collection, _ in found.samples("stuck_documents")}
    assert ("funnels_clone",) in found.samples("lane_paused")


async def test_a_daemon_shows_its_places_and_that_it_drains(configured: Settings, world: World) -> None:
    changed = configured.model_copy(update={"http_port": free_ports(1)[0]})
    async with open_app(changed) as app, listening(app, {}, lambda: True, lambda: {LANE: STATS}) as address:
        app.queue.health.failed("look", ConnectionError("away"))
        found = await scrape(address)

    assert (found.value("draining"), found.value("degraded")) == (1, 1)
    assert (found.value("lane_places", LANE), found.value("job_attempts_total", LANE, "done")) == (3, 1)


async def test_nothing_of_a_tenant_and_no_secret_gets_out(configured: Settings, world: World) -> None:
    account = world.account
    world.db["_accounts"].update_one({"_id": account}, {"$set": {"name": "Telling Ltd"}})
    world.queue("telling.csv", status="processing", started_at=datetime.now(UTC) - timedelta(hours=2))
    letter = {"status": "dead", "lane": LANE, "job_id": "telling-job", "error": "telling@example.com is wrong"}
    world.db["dead_letters"].insert_one(letter)
    world.db["quarantine"].insert_one({"collection": "queues", "document_id": "telling-id", "reason": "telling"})
    async with opened(configured) as (app, address):
        await app.queue.enqueue(LANE, "telling.function", "telling-argument", id="telling-id")
        found = await scrape(address)

    assert found.value("lane_jobs", LANE, "waiting") == 1
    assert found.value("dead_letters") == 1
    assert "telling" not in found.text.lower()
    assert configured.app_secret is not None
    assert configured.s3_secret_access_key is not None
    secrets = (configured.app_secret.get_secret_value(), configured.s3_secret_access_key.get_secret_value())
    for kept in (str(account), str(world.user), configured.mongo_url, configured.redis, *secrets):
        assert kept not in found.text, kept


async def test_without_redis_it_says_so_and_shows_the_rest(configured: Settings, own_redis: Redis) -> None:
    async with opened(configured, redis_url=own_redis.url) as (_, address):
        await own_redis.stop()
        found, seconds = await timed_scrape(address)

    assert seconds < PROMETHEUS_WAITS * load_factor()
    assert found.samples("up") == {("mongodb",): 1, ("redis",): 0, ("s3",): 1}
    assert found.samples("lane_jobs") == {}
    assert found.value("dead_letters") == 0


async def test_while_mongodb_hangs_it_says_so_and_shows_the_rest(configured: Settings, own_mongo: Mongo) -> None:
    async with opened(configured, mongo_url=own_mongo.url) as (_, address):
        own_mongo.program.pause()
        try:
            found, seconds = await timed_scrape(address)
        finally:
            own_mongo.program.resume()

    assert seconds < PROMETHEUS_WAITS * load_factor()
    assert found.samples("up") == {("mongodb",): 0, ("redis",): 1, ("s3",): 1}
    assert [name for name in OF_MONGODB if found.samples(name)] == []
    assert found.value("lane_jobs", LANE, "waiting") == 0


async def test_however_many_ask_redis_is_asked_once(
    configured: Settings, own_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(configured, redis_url=own_redis.url) as (_, address):
        await scrape(address)  # from then on Redis knows the script
    monkeypatch.setattr(metrics, "CACHE_SECONDS", 60.0)  # however slow the machine is
    async with opened(configured, redis_url=own_redis.url) as (_, address), listen(own_redis.url) as commands:
        await asyncio.gather(*(scrape(address) for _ in range(15)))
        await scrape(address)
        await eventually(lambda: commands.counts["EVALSHA"] and commands.quiet_for > 0.5, "commands are heard")
        assert commands.counts.total() <= MAX_COMMANDS, commands.counts


async def test_an_old_answer_is_not_given_again(
    configured: Settings, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "CACHE_SECONDS", 0.0)
    async with opened(configured) as (app, address):
        before = (await scrape(address)).value("lane_jobs", LANE, "waiting")
        await app.queue.enqueue(LANE, "import.plan", str(ObjectId()))
        assert (before, (await scrape(address)).value("lane_jobs", LANE, "waiting")) == (0, 1)


async def test_other_methods_are_answered_as_elsewhere(configured: Settings, world: World) -> None:
    async with opened(configured) as (_, address), ClientSession() as session:
        async with session.head(f"{address}/metrics") as head:
            assert (head.status, await head.read()) == (200, b"")
            assert head.headers["X-Content-Type-Options"] == "nosniff"
        async with session.post(f"{address}/metrics") as post:
            assert (post.status, (await post.json())["error"]["code"]) == (405, "method_not_allowed")
