"""An account's limit per minute holds for its automations, and holds up no other account."""

from __future__ import annotations

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.lanes import Done, Snooze
from pipeline_engine.lanes import rate_limiter as window
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.automations import automation_of, due, tagged
from tests.support.engine_app import EngineApp
from tests.support.world import World

TAG = ObjectId()


def limit(world: World, **limits: int) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"limits": limits}})


async def test_what_is_over_the_limit_waits_and_uses_no_attempt(app: EngineApp, world: World) -> None:
    limit(world, add_tag=3)
    automation = world.automation("add_tag", tag=TAG)
    deals = [world.deal() for _ in range(5)]

    assert await run_slice(app, None, automation) == Done()

    assert tagged(world, TAG) == set(deals[:3])
    waiting = automation_of(world, automation)
    assert (waiting["is_running"], waiting["lease_until"]) == (False, None)
    assert waiting["next_at"] > app.clock.now()
    assert world.db["automation_units"].count_documents({}) == 0
    assert await due(app) == set()


async def test_it_goes_on_when_the_minute_is_over(
    configured: Settings, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "WINDOW_SECONDS", 0.3)
    limit(world, add_tag=2)
    world.automation("add_tag", tag=TAG)
    deals = {world.deal() for _ in range(5)}

    (result,) = (await run_once(configured, ["deals.automations"])).results

    assert result.succeeded == 1
    assert 2 <= result.jobs <= 3  # a job that takes longer than the window gets the next one's as well
    assert tagged(world, TAG) == deals


async def test_other_accounts_and_other_types_are_not_held_up(app: EngineApp, world: World) -> None:
    limit(world, add_tag=0, owner=100)
    neighbour = world.neighbour()
    held = world.automation("add_tag", tag=TAG)
    free, theirs = world.automation("owner", owner_id=world.user), neighbour.automation("add_tag", tag=TAG)
    mine, other = world.deal(owner=None), neighbour.deal()

    for automation in (held, free, theirs):
        assert not isinstance(await run_slice(app, None, automation), Snooze)

    neighbour.close()
    assert tagged(world, TAG) == {other}
    assert world.db["deals"].count_documents({"_id": mine, "owner": world.user}) == 1


async def test_run_once_does_not_wait_for_a_limit(configured: Settings, world: World) -> None:
    limit(world, add_tag=1)
    world.automation("add_tag", tag=TAG)
    deals = [world.deal() for _ in range(2)]

    (result,) = (await run_once(configured, ["deals.automations"])).results

    assert (result.units, result.busy, result.failed) == (1, 1, 0)
    assert tagged(world, TAG) == {deals[0]}
