"""A funnel that is itself a clone is copied only when it is whole."""

from __future__ import annotations

import pytest
from bson import ObjectId

from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.explain import explain
from pipeline_engine.domain.funnels.plan import run_plan
from pipeline_engine.lanes import Snooze
from tests.integration.conftest import RunClones
from tests.support.engine_app import EngineApp
from tests.support.funnels import Original, assert_whole, components_of, funnel_of, new_clone, steps_of
from tests.support.world import World


async def due(app: EngineApp) -> list[ObjectId]:
    return [one["_id"] for one in await app.repos.funnels.find_due(3)]


@pytest.mark.parametrize("as_text", [False, True])
async def test_it_is_not_due_while_its_original_is(world: World, app: EngineApp, as_text: bool) -> None:
    original = Original(world, steps=1)
    first = new_clone(world, original)
    second = new_clone(world, original, original_funnel_id=str(first) if as_text else first)
    third = new_clone(world, second)

    assert await due(app) == [first]
    await run_plan(app, CloneCache(1), first)
    assert await due(app) == []
    assert await app.repos.funnels.end(funnel_of(world, first), [], {"clone.error": None})
    assert await due(app) == [second]
    await app.repos.funnels.request_cancel(third)
    assert await due(app) == [third, second]


async def test_clones_of_clones_that_are_asked_for_at_once_are_all_whole(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=3)
    first = new_clone(world, original)
    second = new_clone(world, first)
    third = new_clone(world, second)

    result = await run_clones()

    assert (result.units, result.succeeded) == (3, 3)
    assert_whole(world, first, original)
    before = steps_of(world, first)
    for clone in (second, third):
        steps = steps_of(world, clone)
        assert [step["original_step_id"] for step in steps] == [step["_id"] for step in before]
        assert all(str(clone) in step["raw_html"] and step["raw_html"].endswith("</html>") for step in steps)
        assert all(str(clone) in components_of(world, step)["components"] for step in steps)
        before = steps


async def test_it_fails_when_the_cloning_of_its_original_has_failed(world: World, run_clones: RunClones) -> None:
    original = Original(world, steps=2)
    page = original.page(1)
    original.write(1, page, components={"not": "text"})
    first = new_clone(world, original)
    second = new_clone(world, first)

    for _ in range(4):
        await run_clones()

    assert funnel_of(world, first)["clone_failed"] is True
    ended = funnel_of(world, second)
    assert (ended["clone_failed"], ended["pending"], steps_of(world, second)) == (True, False, [])
    assert ended["error"] == [f"the original funnel {first} is not whole: its own cloning has failed"]


async def test_it_waits_when_its_original_is_asked_for_after_the_look(world: World, app: EngineApp) -> None:
    first = new_clone(world, Original(world, steps=1))
    second = new_clone(world, first)

    assert await run_plan(app, CloneCache(1), second) == Snooze(after=app.settings.clone_retry_seconds)

    waits = funnel_of(world, second)
    assert (waits["pending"], waits["in_progress"], "is being cloned itself" in waits["clone"]["error"]) == (
        True,
        False,
        True,
    )
    assert steps_of(world, second) == []


async def test_it_is_explained(world: World, app: EngineApp) -> None:
    first = new_clone(world, Original(world, steps=1))
    found = await explain(app, new_clone(world, first))
    assert (found.next.what, found.next.why) == ("waits", f"for its original {first}, which is being cloned itself")


async def test_a_clone_of_itself_does_not_wait_for_itself(world: World, app: EngineApp, run_clones: RunClones) -> None:
    clone = new_clone(world, ObjectId())
    world.db["funnels"].update_one({"_id": clone}, {"$set": {"original_funnel_id": clone}})
    assert (await run_clones()).failed == 1
    assert funnel_of(world, clone)["clone"]["error"] == "a funnel cannot be cloned onto itself"
