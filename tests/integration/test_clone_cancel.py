"""Who does not want a clone gets rid of all of it; who wants it after all gets it anew."""

from __future__ import annotations

import asyncio

import pytest
from bson import ObjectId

from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.control import cancel_clone, retry_clone
from pipeline_engine.domain.funnels.plan import run_plan
from pipeline_engine.domain.funnels.step import run_step
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import Snooze
from tests.integration.conftest import RunClones
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.funnels import Original, assert_whole, forms_of, funnel_of, images_of, new_clone, steps_of
from tests.support.world import World


def objects_of(world: World, keys: list[str]) -> list[str]:
    return [key for key in keys for found in world.keys(key) if found == key]


def made(world: World, clone: ObjectId) -> int:
    """Documents that exist because of the clone."""
    fields = {"funnel.step": "funnel_id", "funnel.step.components": "funnel_id", "sites_images": "ref_id"}
    return sum(world.db[name].count_documents({field: clone}) for name, field in fields.items()) + len(
        forms_of(world, clone)
    )


def assert_cancelled(world: World, clone: ObjectId) -> None:
    ended = funnel_of(world, clone)
    assert (ended["pending"], ended["in_progress"], ended["lease_until"]) == (False, False, None)
    assert (ended["clone"]["error"], ended["steps"]) == ("cancelled", [])
    assert "cancel_requested" not in ended["clone"]
    assert made(world, clone) == 0


@pytest.mark.covers("FC-X16")
async def test_a_clone_that_failed_is_cleared_away_with_its_objects(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    original = Original(world, steps=2)
    page = original.page(1)
    original.write(1, page, components={"not": "text"})
    clone = new_clone(world, original)
    await run_clones(clone_runs=1)
    assert funnel_of(world, clone)["clone_failed"] is True
    keys = [image["key"] for image in images_of(world, clone).values()]
    assert len(objects_of(world, keys)) == len(keys) > 0
    source_keys = [original.shared, *original.own]

    await cancel_clone(app, clone)
    await run_clones()

    assert_cancelled(world, clone)
    assert objects_of(world, keys) == []
    assert objects_of(world, source_keys) == source_keys
    assert "clone_failed" not in funnel_of(world, clone)

    original.write(1, page)
    await retry_clone(app, clone)
    assert (await run_clones()).succeeded == 1
    assert_whole(world, clone, original)


async def test_a_clone_that_has_not_begun_is_cancelled(world: World, app: EngineApp, run_clones: RunClones) -> None:
    clone = new_clone(world, Original(world))

    await cancel_clone(app, clone)
    result = await run_clones()

    assert (result.units, result.succeeded, result.failed) == (1, 0, 1)
    assert_cancelled(world, clone)
    (message,) = world.db["outbox"].find()
    assert (message["event"], message["data"]["error"]) == ("funnel_cloning_failed", "cancelled")


async def test_a_step_that_runs_is_waited_for_and_writes_nothing_more(world: World, app: EngineApp) -> None:
    clone, desk = new_clone(world, Original(world, steps=2)), CloneCache(2)
    await run_plan(app, desk, clone)
    running, waiting = steps_of(world, clone)
    held = await app.repos.funnel_steps.claim(running["_id"])
    assert held

    await cancel_clone(app, clone)
    assert isinstance(await run_plan(app, desk, clone), Snooze)
    assert await run_step(app, desk, waiting["_id"]) is None
    assert made(world, clone) > 0
    await app.repos.funnel_steps.release_unchanged(held)
    assert await run_step(app, desk, running["_id"]) is None
    assert await run_plan(app, desk, clone) is None

    assert_cancelled(world, clone)


async def test_a_clone_is_cancelled_in_the_middle(world: World, app: EngineApp, run_clones: RunClones) -> None:
    original = Original(world, steps=12)
    clone = new_clone(world, original)
    running = asyncio.create_task(run_clones(clone_copies=1))

    async def begun() -> bool:
        return bool(images_of(world, clone))

    await eventually(begun, "the first images are copied")
    keys = [image["key"] for image in images_of(world, clone).values()]
    await cancel_clone(app, clone)
    await running
    await run_clones()

    assert_cancelled(world, clone)
    assert objects_of(world, keys) == []
    assert world.db["outbox"].count_documents({"event": "funnel_cloning_completed"}) == 0


async def test_cancelling_does_not_wait_for_a_place_of_the_account(world: World, app: EngineApp) -> None:
    original = Original(world)
    busy = [new_clone(world, original) for _ in range(3)]
    for clone in busy:
        await run_plan(app, CloneCache(1), clone)
    unwanted = new_clone(world, original)
    assert await app.repos.funnels.find_due(3) == []

    await cancel_clone(app, unwanted)

    assert [one["_id"] for one in await app.repos.funnels.find_due(3)] == [unwanted]


async def test_what_has_ended_well_is_neither_cancelled_nor_tried_again(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    original = Original(world)
    clone = new_clone(world, original)
    await run_clones()
    before = funnel_of(world, clone)

    for ask, code in ((cancel_clone, "ended"), (retry_clone, "not_ended")):
        for id, expected in ((clone, code), (ObjectId(), "not_found"), (original.id, "not_found")):
            with pytest.raises(Permanent) as refused:
                await ask(app, id)
            assert refused.value.code == expected

    assert funnel_of(world, clone) == before


@pytest.mark.covers("FC-X16")
async def test_a_retry_has_all_its_runs_before_it_and_events_of_its_own(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    original = Original(world, steps=1)
    page = original.page(0)
    original.write(0, page, components={"not": "text"})
    clone = new_clone(world, original)
    await run_clones(clone_runs=1)

    await retry_clone(app, clone)
    assert funnel_of(world, clone)["pending"] is True
    await run_clones(clone_runs=2)
    assert funnel_of(world, clone)["clone"]["attempts"] == 1
    original.write(0, page)
    await retry_clone(app, clone)
    await run_clones()

    assert_whole(world, clone, original)
    sent = [message["event"] for message in world.db["outbox"].find({}, sort=[("createdAt", 1)])]
    assert sent == ["funnel_cloning_failed", "funnel_cloning_completed"]
    assert funnel_of(world, clone)["clone"]["generation"] == 1
