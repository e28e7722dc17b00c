"""What an older engine has begun is taken over: once it shows no sign of life, and each step once."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from tests.integration.conftest import RunClones
from tests.support.funnels import Original, ago, assert_whole, components_of, funnel_of, new_clone, steps_of
from tests.support.world import World


def old_step(world: World, clone: ObjectId, source: ObjectId, **changes: Any) -> ObjectId:
    """A placeholder as the older engine makes them, with its components."""
    step = {"funnel_id": clone, "original_step_id": source, "raw_html": None, "pending": True, "in_progress": False}
    id = world.db["funnel.step"].insert_one({**step, "updatedAt": ago(20), **changes}).inserted_id
    kept = {"account_id": world.account, "funnel_id": clone, "step_id": id, "components": "{}"}
    world.db["funnel.step.components"].insert_one(kept)
    return ObjectId(id)


def stale_clone(world: World, original: Original) -> ObjectId:
    return new_clone(world, original, in_progress=True, updatedAt=ago(15))


@pytest.mark.covers("FC-08", "FC-X1", "FC-X9")
async def test_its_placeholders_are_used_and_doubles_go(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=3)
    clone = stale_clone(world, original)
    oldest = old_step(world, clone, original.steps[1])
    old_step(world, clone, original.steps[1])
    world.db["funnel.step.components"].insert_one({"funnel_id": clone, "step_id": oldest, "components": "{}"})
    world.db["funnels"].update_one({"_id": clone}, {"$set": {"steps": [[oldest]]}})

    await run_clones()

    assert_whole(world, clone, original)
    steps = steps_of(world, clone)
    assert steps[1]["_id"] == oldest
    ids = [step["_id"] for step in steps]
    assert sorted(one["step_id"] for one in world.db["funnel.step.components"].find({"funnel_id": clone})) == sorted(
        ids
    )


@pytest.mark.covers("FC-04", "FC-X2", "FC-X8")
async def test_steps_that_it_has_finished_are_done_anew(world: World, run_clones: RunClones) -> None:
    """Its pages may still lead to the source: it lost replacements when it tried again."""
    original = Original(world, steps=2)
    clone = stale_clone(world, original)
    old_step(world, clone, original.steps[0], pending=False, raw_html=original.page(0))

    await run_clones()

    assert_whole(world, clone, original)


@pytest.mark.covers("FC-08", "FC-X7")
async def test_a_step_that_it_may_still_work_on_is_left_to_it_for_five_minutes(
    world: World, run_clones: RunClones
) -> None:
    original = Original(world, steps=2)
    clone = stale_clone(world, original)
    busy = old_step(world, clone, original.steps[0], in_progress=True, updatedAt=ago(4))

    result = await run_clones()
    assert (result.units, result.busy) == (1, 1)
    assert [step["clone_state"] for step in steps_of(world, clone)] == ["open", "done"]
    world.db["funnel.step"].update_one({"_id": busy}, {"$set": {"updatedAt": ago(6)}})
    result = await run_clones()

    assert (result.units, result.succeeded) == (1, 1)
    assert_whole(world, clone, original)


@pytest.mark.covers("FC-03", "FC-X7")
async def test_a_funnel_without_a_time_of_its_flag_counts_from_when_it_was_seen(
    world: World, run_clones: RunClones
) -> None:
    original = Original(world)
    clone = new_clone(world, original, in_progress=True)

    assert (await run_clones()).busy == 1
    seen = funnel_of(world, clone)["flag_seen_at"]
    assert (await run_clones()).busy == 1
    assert funnel_of(world, clone)["flag_seen_at"] == seen
    world.db["funnels"].update_one({"_id": clone}, {"$set": {"flag_seen_at": ago(11)}})

    assert (await run_clones()).succeeded == 1
    assert_whole(world, clone, original)


async def test_components_of_other_funnels_are_not_touched(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=1)
    before = components_of(world, {"_id": original.steps[0]})
    new_clone(world, original)

    await run_clones()

    assert components_of(world, {"_id": original.steps[0]}) == before
