"""A clone from the flag that the CRM sets to the event that tells of its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.funnels.sweep import find
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import dispatch
from tests.integration.conftest import RunClones
from tests.support.engine_app import EngineApp
from tests.support.funnels import (
    Original,
    ago,
    assert_whole,
    funnel_of,
    new_clone,
    steps_of,
)
from tests.support.said import Said
from tests.support.world import World


def completions(world: World) -> list[Mapping[str, Any]]:
    return list(world.db["outbox"].find({"event": "funnel_cloning_completed"}))


@pytest.mark.covers("FC-20")
async def test_the_clone_says_what_was_done(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=3, chat=False)
    clone = new_clone(world, original)

    await run_clones()

    outcome = funnel_of(world, clone)["clone"]
    assert (outcome["steps_total"], outcome["steps_done"], outcome["images"], outcome["forms"]) == (3, 3, 5, 1)
    assert outcome["manifest"] == {
        "copied": {"steps": 3, "components": 3, "images": 5, "forms": 1},
        "relinked": {"funnel": 3, "steps": 3, "images": 6, "forms": 3, "chat": 0},
        "reset": {"references": 0},
        "left": {"references": 0},
    }
    assert (outcome["attempts"], outcome["warnings"], outcome["error"]) == (0, [], None)
    assert outcome["started_at"] < outcome["finished_at"]


@pytest.mark.covers("FC-05", "FC-20")
async def test_one_completion_is_sent_to_all_active_users_and_to_the_crm(world: World, run_clones: RunClones) -> None:
    second, gone, stranger = ObjectId(), ObjectId(), ObjectId()
    world.db["users"].insert_many(
        [
            {"_id": second, "account": world.account, "active": True},
            {"_id": gone, "account": world.account, "active": False},
            {"_id": stranger, "account": ObjectId(), "active": True},
        ]
    )
    clone = new_clone(world, Original(world))

    await run_clones()

    (message,) = completions(world)
    assert message["data"] == {"funnel_id": str(clone), "status": "completed"}
    assert message["account_id"] == world.account
    assert message["user_ids"] == sorted([str(world.user), str(second)])
    (event,) = world.db["crm_events"].find()
    assert (event["type"], event["data"]["funnel_id"], event["data"]["steps"]) == ("clone.completed", str(clone), 2)
    assert "events_due" not in funnel_of(world, clone)


async def plan_only(app: EngineApp) -> None:
    """Tier one, for every clone that is due."""
    from pipeline_engine.domain.funnels.clone_cache import CloneCache
    from pipeline_engine.domain.funnels.plan import run_plan

    for unit in await find(app):
        await run_plan(app, CloneCache(1), ObjectId(unit.id))


@pytest.mark.covers("FC-X4")
async def test_a_funnel_without_steps_completes_at_once(world: World, run_clones: RunClones) -> None:
    source = world.db["funnels"].insert_one({"account_id": world.account, "name": "Empty"}).inserted_id
    clone = new_clone(world, source)

    result = await run_clones()

    assert (result.units, result.jobs, result.succeeded) == (1, 1, 1)
    done = funnel_of(world, clone)
    assert (done["pending"], done["in_progress"], done["steps"]) == (False, False, [])
    assert len(completions(world)) == 1


@pytest.mark.covers("FC-03", "FC-04", "FC-06", "FC-08")
async def test_the_seeds_stale_clone_is_picked_up_and_finished(world: World, run_clones: RunClones) -> None:
    original = Original(world)
    flags = {"pending": False, "in_progress": True}
    stale = new_clone(world, original, **flags, updatedAt=ago(15))
    alive = new_clone(world, original, **flags, updatedAt=ago(5))

    result = await run_clones()

    assert (result.units, result.succeeded, result.busy) == (2, 1, 1)
    assert_whole(world, stale, original)
    assert funnel_of(world, alive)["in_progress"] is True
    assert steps_of(world, alive) == []


async def test_steps_that_come_after_the_beginning_are_not_part_of_it(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    original = Original(world)
    frozen = list(original.steps)
    clone = new_clone(world, original)
    await plan_only(app)
    original.steps.append(ObjectId())
    original.own.append(original.image("late.png", b"late"))
    original.write(2, original.page(2))

    await run_clones()

    assert [step["original_step_id"] for step in steps_of(world, clone)] == frozen
    assert funnel_of(world, clone)["pending"] is False


@pytest.mark.covers("FC-03")
async def test_all_that_is_pending_is_cloned_three_at_a_time(world: World, run_clones: RunClones) -> None:
    original = Original(world)
    clones = [new_clone(world, original) for _ in range(8)]

    result = await run_clones()

    assert (result.units, result.succeeded, result.jobs) == (8, 8, 24)
    for clone in clones:
        assert_whole(world, clone, original)
    assert len({message["_id"] for message in completions(world)}) == 8


@pytest.mark.covers("FC-X7")
async def test_steps_that_wait_are_not_put_into_their_lane_twice(world: World, app: EngineApp) -> None:
    new_clone(world, Original(world, steps=3))
    await plan_only(app)

    for _ in range(3):
        assert await dispatch(app, await find(app)) == 0

    assert (await app.queue.counts(["funnels_clone_step"]))["funnels_clone_step"].waiting == 3


@pytest.mark.covers("FC-11")
async def test_jobs_hold_ids_only(world: World, app: EngineApp) -> None:
    original = Original(world)
    new_clone(world, original)
    await plan_only(app)

    ours = [key async for key in app.redis.scan_iter(f"{app.settings.redis_prefix}*")]
    dumped = b"".join([key + await app.redis.dump(key) for key in ours])

    assert b"funnel.step" in dumped
    for outcome in (original.form, original.shared, "old key", str(world.account), "Original"):
        assert outcome.encode() not in dumped


async def test_progress_is_sent_between_the_first_step_and_the_last(
    world: World, app: EngineApp, run_clones: RunClones, servers: dict[str, str]
) -> None:
    from pipeline_engine.embedded.sink import Sink

    clone = new_clone(world, Original(world, steps=4))
    await run_clones()

    heard = await Sink(servers["SOCKET_SINK_URL"]).wait_for(1, event="funnel_cloning_progress")
    mine = [one["payload"]["data"] for one in heard if one["payload"]["data"]["funnel_id"] == str(clone)]
    assert mine
    assert mine[0]["steps_total"] == 4
    assert 0 < mine[0]["steps_done"] < 4


@pytest.mark.covers("FC-24")
async def test_every_branch_is_in_the_log_without_a_word_of_the_pages(
    world: World, run_clones: RunClones, said: Said
) -> None:
    new_clone(world, Original(world))
    new_clone(world, ObjectId())

    await run_clones()

    for event in ("clone.planned", "step.cloned", "clone.ended", "clone.attempt_failed", "clones.not_found"):
        assert event in said()
    assert "old key" not in said()


async def test_two_daemons_clone_each_step_once(world: World, configured: Settings) -> None:
    originals = [Original(world, steps=3) for _ in range(3)]
    clones = [new_clone(world, original) for original in originals]

    await asyncio.gather(*(run_once(configured, ["funnels.clone"]) for _ in range(2)))
    await run_once(configured, ["funnels.clone"])

    for clone, original in zip(clones, originals, strict=True):
        assert_whole(world, clone, original)
        assert {step["token"] for step in steps_of(world, clone)} == {1}
    assert len(completions(world)) == 3
