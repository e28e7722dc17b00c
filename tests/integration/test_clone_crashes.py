"""Processes that die, or are too slow, while they clone: the clone is made whole, or its run ends with the reason."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.jobs import CLONE, END
from pipeline_engine.domain.funnels.plan import run_plan
from pipeline_engine.domain.funnels.step import run_end, run_step
from pipeline_engine.domain.funnels.sweep import find_abandoned
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import dispatch
from tests.integration.conftest import RunClones
from tests.support.engine_app import EngineApp
from tests.support.funnels import (
    Original,
    assert_whole,
    components_of,
    funnel_of,
    new_clone,
    steps_of,
)
from tests.support.world import World


def events(world: World, name: str) -> list[dict[str, Any]]:
    return [message["data"] for message in world.db["outbox"].find({"event": name}, sort=[("createdAt", 1)])]


@pytest.mark.covers("FC-X8", "FC-18")
async def test_a_crash_between_the_last_step_and_the_end_is_made_up_for(world: World, app: EngineApp) -> None:
    original = Original(world, steps=1)
    clone, desk = new_clone(world, original), CloneCache(2)
    await run_plan(app, desk, clone)
    held = await app.repos.funnel_steps.claim(steps_of(world, clone)[0]["_id"])
    assert held
    await app.repos.funnel_steps.end(held, "done", raw_html="x", processed={})
    assert funnel_of(world, clone)["in_progress"] is True

    (unit,) = await find_abandoned(app)
    assert unit.jobs == ((END, clone),)
    await run_end(app, desk, clone)
    await run_end(app, desk, clone)

    assert funnel_of(world, clone)["pending"] is False
    assert len(events(world, "funnel_cloning_completed")) == 1


@pytest.mark.covers("FC-X5")
async def test_the_end_is_sent_once_however_many_runs_see_it(world: World, app: EngineApp) -> None:
    from pipeline_engine.domain.funnels.finish import end_if_all_steps_ended

    clone = new_clone(world, Original(world, steps=1))
    await run_plan(app, CloneCache(2), clone)
    held = await app.repos.funnel_steps.claim(steps_of(world, clone)[0]["_id"])
    assert held
    planned = funnel_of(world, clone)
    await app.repos.funnel_steps.end(held, "done", raw_html="x", processed={})

    await asyncio.gather(*(end_if_all_steps_ended(app, planned) for _ in range(10)))

    assert len(events(world, "funnel_cloning_completed")) == 1
    assert world.db["crm_events"].count_documents({}) == 1


@pytest.mark.covers("FC-X5", "R-26")
async def test_events_that_a_crash_left_unsent_are_sent_by_the_next_sweep(
    world: World, app: EngineApp, configured: Settings
) -> None:
    """As if the process had died between the end of the clone and its announcement."""
    clone = new_clone(world, ObjectId())
    held = await app.repos.funnels.claim(clone)
    assert held
    event = {"event_id": "funnel_cloning_completed:x", "to": "socket", "event": "funnel_cloning_completed"}
    await app.repos.funnels.end(
        held, [{**event, "user_ids": [], "data": {"funnel_id": str(clone)}}], {"clone.error": None}
    )
    assert events(world, "funnel_cloning_completed") == []

    for _ in range(2):
        await run_once(configured, ["events.outbox"])

        assert events(world, "funnel_cloning_completed") == [{"funnel_id": str(clone)}]
        assert "events_due" not in funnel_of(world, clone)


@pytest.mark.covers("FC-X8", "FC-X9")
async def test_a_crash_in_the_middle_of_planning_never_makes_a_partial_clone(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    """As if the process had died after the first of three steps, which an impatient one then finished."""
    original = Original(world, steps=3)
    clone = new_clone(world, original)
    await run_plan(app, CloneCache(1), clone)
    first, *others = steps_of(world, clone)
    world.db["funnel.step"].delete_many({"_id": {"$in": [step["_id"] for step in others]}})
    world.db["funnel.step.components"].delete_many({"step_id": first["_id"]})
    world.abandon("funnels", clone, **{"clone.planned": False})
    world.db["funnel.step"].update_one({"_id": first["_id"]}, {"$set": {"pending": False, "clone_state": "done"}})

    await run_clones()

    done = funnel_of(world, clone)
    assert done["pending"] is False
    assert [step["original_step_id"] for step in steps_of(world, clone)] == original.steps
    assert all(components_of(world, step) for step in steps_of(world, clone))


@pytest.mark.covers("FC-12")
async def test_a_clone_whose_planner_vanished_is_found_between_two_looks(world: World, app: EngineApp) -> None:
    clone, other = (new_clone(world, Original(world)) for _ in range(2))
    assert await app.repos.funnels.claim(clone)
    assert await app.repos.funnels.claim(other)
    assert await find_abandoned(app) == []
    world.abandon("funnels", clone)

    (unit,) = await find_abandoned(app)

    assert (unit.id, unit.jobs) == (str(clone), ((CLONE, clone),))


async def test_what_redis_forgot_is_found_in_mongodb(world: World, app: EngineApp, configured: Settings) -> None:
    original = Original(world, steps=3)
    clone = new_clone(world, original)
    await run_plan(app, CloneCache(1), clone)
    async for key in app.redis.scan_iter(f"{app.settings.redis_prefix}*"):
        await app.redis.delete(key)

    await dispatch(app, await find_abandoned(app))

    assert (await app.queue.counts(["funnels_clone_step"]))["funnels_clone_step"].waiting == 3
    await run_once(configured, ["funnels.clone"])
    assert_whole(world, clone, original)


@pytest.mark.covers("FC-12")
async def test_a_step_that_takes_its_process_down_again_and_again_is_given_up(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    clone = new_clone(world, Original(world, steps=1))
    await run_plan(app, CloneCache(1), clone)
    (step,) = steps_of(world, clone)
    world.abandon("funnel.step", step["_id"], crashes=4, token=5)

    await run_clones()

    waits = funnel_of(world, clone)
    assert waits["clone"]["attempts"] == 1
    assert "5 runs in a row ended in the middle" in waits["clone"]["error"]


@pytest.mark.covers("FC-12")
async def test_a_step_that_gets_done_acquits_those_that_died_with_it(world: World, app: EngineApp) -> None:
    clone, desk = new_clone(world, Original(world, steps=2)), CloneCache(1)
    await run_plan(app, desk, clone)
    first, second = (one["_id"] for one in steps_of(world, clone))
    for step in (first, second):
        world.abandon("funnel.step", step, crashes=3, token=5)
    await app.heartbeat.beat()

    await run_step(app, desk, first)

    states = {one["_id"]: (one["clone_state"], one["crashes"]) for one in steps_of(world, clone)}
    assert (states[first][0], states[second]) == ("done", ("open", 0))


@pytest.mark.covers("FC-12")
async def test_planning_that_takes_its_process_down_again_and_again_ends_the_run(
    world: World, run_clones: RunClones
) -> None:
    clone = new_clone(world, Original(world), in_progress=True, token=3, clone={"crashes": 2})
    world.abandon("funnels", clone)

    await run_clones()

    waits = funnel_of(world, clone)
    assert (waits["in_progress"], waits["clone"]["attempts"], waits["clone"]["crashes"]) == (False, 1, 0)
    assert "3 runs in a row ended in the middle" in waits["clone"]["error"]


@pytest.mark.covers("FC-X2", "FC-X3")
async def test_flags_of_parts_that_an_older_engine_set_do_not_lose_their_replacements(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    original = Original(world, steps=1)
    clone = new_clone(world, original)
    await run_plan(app, CloneCache(1), clone)
    world.db["funnel.step"].update_one(
        {"funnel_id": clone}, {"$set": {"processed.images_processed": True, "raw_html": "half-written"}}
    )

    await run_clones()

    assert_whole(world, clone, original)
    assert "half-written" not in steps_of(world, clone)[0]["raw_html"]


async def test_a_holder_that_was_too_slow_changes_nothing(world: World, app: EngineApp) -> None:
    clone = new_clone(world, Original(world, steps=1))
    await run_plan(app, CloneCache(1), clone)
    (step,) = steps_of(world, clone)
    slow = await app.repos.funnel_steps.claim(step["_id"])
    world.abandon("funnel.step", step["_id"])
    heir = await app.repos.funnel_steps.claim(step["_id"])
    assert slow
    assert heir
    funnel = funnel_of(world, clone)

    assert await app.repos.components.write(funnel, heir, "[new]", []) is True
    assert await app.repos.components.write(funnel, slow, "[old]", []) is False
    assert await app.repos.funnel_steps.end(slow, "done", raw_html="old") is False
    assert await app.repos.funnel_steps.end(heir, "done", raw_html="new") is True
    assert components_of(world, step)["components"] == "[new]"
