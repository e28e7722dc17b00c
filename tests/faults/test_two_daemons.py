"""Several daemons at once: they share the work, and whatever is dispatched twice is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis as RedisClient

from pipeline_engine.embedded.redis import Redis
from tests.support.drills.automations.plan import AutomationPlan
from tests.support.drills.clones.plan import ClonePlan
from tests.support.drills.drill import Drill
from tests.support.drills.history import MAX_ORPHANED_AFTER_OUTAGE
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill, ImportPlan
from tests.support.drills.points import Point

INSERT = "mongo.deals.insert_many"
FILE = csv_file(2_400)
TYPES = ("add_tag", "note", "email", "sms", "instareport")


@pytest.mark.covers("DI-X1", "DI-X8", "DI-X10", "R-02")
async def test_two_daemons_share_the_chunks_of_one_import(drill: ImportDrill, figure: list[str]) -> None:
    settings = {"IMPORT_CHUNK_ROWS": "20"}
    both = await asyncio.gather(drill.started(**settings), drill.started(**settings))
    drill.plan.plant(FILE)
    await drill.come_to_rest()
    drill.check()

    shares = [daemon.calls(INSERT) for daemon in both]
    figure.append(f"chunks done by each: {shares}")
    assert min(shares) > 0


@pytest.mark.slow
@pytest.mark.covers("DI-05", "DI-X15")
async def test_two_daemons_and_five_imports(drill: ImportDrill, figure: list[str]) -> None:
    settings = {"IMPORT_CHUNK_ROWS": "50"}
    both = await asyncio.gather(drill.started(**settings), drill.started(**settings))
    for n in range(1, 6):
        drill.plan.plant(csv_file(600, bad_every=20 * n))
    took = await drill.come_to_rest()
    drill.check()
    figure.append(f"five imports in {took:.1f} s, chunks done by each: {[daemon.calls(INSERT) for daemon in both]}")


@dataclass(frozen=True)
class Shared:
    """Work that two daemons share: `marks` are the numbers of units done at which Redis is emptied, `share` is the
    failpoint that counts what each has done."""

    plan: Callable[[], Any]
    plant: Callable[[Any], object]
    settings: dict[str, str]
    marks: list[int]
    share: str


IMPORT = Shared(ImportPlan, lambda plan: plan.plant(FILE), {"IMPORT_CHUNK_ROWS": "20"}, [*range(10, 110, 10)], INSERT)
AUTOMATIONS = Shared(
    AutomationPlan,
    lambda plan: [plan.plant(type, 100, bad=2) for type in TYPES],
    {"AUTOMATION_BATCH": "5", "AUTOMATION_SLICE_SECONDS": "0.05"},
    [500 * part // 8 for part in range(1, 8)],
    "mongo.automation_logs.insert_one",
)
CLONES = Shared(
    ClonePlan,
    lambda plan: [plan.plant(8) for _ in range(4)],
    {"CLONE_COPIES": "1"},
    [32 * part // 6 for part in range(6)],
    "mongo.funnel.step.update_one",
)


@pytest.mark.parametrize(
    "shared",
    [
        pytest.param(IMPORT, id="imports", marks=[pytest.mark.slow, pytest.mark.covers("DI-X1", "DI-X3", "R-02")]),
        pytest.param(
            AUTOMATIONS,
            id="automations",
            marks=[pytest.mark.slow, pytest.mark.covers("DA-01", "DA-X1", "DA-X3", "R-02")],
        ),
        pytest.param(
            CLONES, id="clones", marks=[pytest.mark.slow, pytest.mark.covers("FC-11", "FC-X5", "FC-X7", "R-02")]
        ),
    ],
)
async def test_two_daemons_and_a_redis_that_is_emptied_again_and_again(
    environment: dict[str, str], tmp_path: Path, own_redis: Redis, figure: list[str], shared: Shared
) -> None:
    settings = {**environment, **shared.settings, "REDIS_URL": own_redis.url}
    async with Drill(shared.plan(), settings, tmp_path) as drill, RedisClient.from_url(own_redis.url) as client:
        both = await asyncio.gather(drill.started(), drill.started())
        shared.plant(drill.plan)
        for mark in shared.marks:
            await drill.progress(mark)
            await client.flushall()  # what runs is dispatched again, by both, and claimed by one
        await drill.come_to_rest()
        drill.check()
        claims = {step["token"] for step in drill.world.db["funnel.step"].find({"clone_id": {"$ne": None}})}

    shares = [daemon.calls(shared.share) for daemon in both]
    figure.append(f"emptied {len(shared.marks)} times, nothing lost; units done by each of two daemons: {shares}")
    assert min(shares) > 0
    assert claims <= {1}, "a step was claimed twice"


@pytest.mark.slow
@pytest.mark.covers("FC-12", "FC-X8")
async def test_a_daemon_dies_while_it_plans_and_redis_forgets(
    environment: dict[str, str], tmp_path: Path, own_redis: Redis, figure: list[str]
) -> None:
    # So long that the next daemon's first look comes too early.
    lease = {"LEASE_SECONDS": "8", "HEARTBEAT_SECONDS": "1", "REDIS_URL": own_redis.url}
    async with Drill(ClonePlan(), {**environment, **lease}, tmp_path) as drill:
        drill.plan.plant(8)
        daemon = drill.start(FAULT_PLAN=Point("mongo.funnels.find_one_and_update", 2, "after").plan)
        await drill.until(lambda: not daemon.alive, "it dies while it plans")
        async with RedisClient.from_url(own_redis.url) as client:
            await client.flushall()
        await drill.started()
        took = await drill.come_to_rest()
        drill.check(MAX_ORPHANED_AFTER_OUTAGE)
    figure.append(f"whole {took:.1f} s after the next daemon had started")
