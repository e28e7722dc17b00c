"""How late actions began is counted, once for each action, by account and type."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from pipeline_engine.domain.leads import sla
from tests.support.engine_app import EngineApp
from tests.support.leads import action, entered, later, reply, stage, work
from tests.support.world import World


async def counts(app: EngineApp, world: World) -> dict[str, list[int]]:
    """{type: actions by bin}; the bins end at 1, 5, 30, 120 and 600 seconds."""
    return {one.type: list(one.counts) for one in await sla.delays(app, timedelta(hours=1), world.account)}


@pytest.mark.covers("LP-13")
async def test_an_action_is_counted_once_by_how_late_it_began(world: World, app: EngineApp) -> None:
    here = stage(world, action("note", note="x"), action("wait", seconds=60), action("add_tag", tag="x"))
    entered(world, here)
    _, late = entered(world, here)
    await work(app, world)
    assert await counts(app, world) == {"note": [2, 0, 0, 0, 0, 0]}

    world.db["lead_stages"].update_one({"_id": late}, [{"$set": {"perform_at": {"$subtract": ["$$NOW", 200_000]}}}])
    await work(app, world)
    assert (await counts(app, world))["wait"] == [0, 0, 0, 0, 1, 0]
    found = next(one for one in await sla.delays(app, timedelta(hours=1), None) if one.type == "wait")
    assert (found.account_id, found.later_than(120), round(found.longest)) == (world.account, 1, 200)
    assert await sla.delays(app, timedelta(hours=1), world.user) == []


async def test_a_wait_that_a_reply_ends_is_not_late(world: World, app: EngineApp) -> None:
    lead, _ = entered(world, stage(world, action("wait_for_response", channel="any", timeout_seconds=600)))
    await work(app, world)
    reply(world, lead)
    await later(app, world, seconds=30)
    assert await counts(app, world) == {"wait_for_response": [1, 0, 0, 0, 0, 0]}


async def test_counts_outlive_the_rows(world: World, app: EngineApp) -> None:
    entered(world, stage(world, action("note", note="x")))
    await work(app, world)
    world.db["lead_stage_actions"].delete_many({})
    assert await counts(app, world) == {"note": [1, 0, 0, 0, 0, 0]}


async def test_jobs_that_are_first_in_an_hour_together_all_count(world: World, app: EngineApp) -> None:
    types = [f"type {n}" for n in range(40)]

    for type in types:
        added = {type: {"1000": 1}}
        await asyncio.gather(*(app.repos.lead_delays.add(world.account, added, {type: 0.5}) for _ in range(8)))

    assert await counts(app, world) == {type: [8, 0, 0, 0, 0, 0] for type in types}
