"""Which clones are due, and whose they are."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.repos.funnel_steps import FunnelSteps
from pipeline_engine.repos.funnels import Funnels
from pipeline_engine.repos.lease import Lease
from pipeline_engine.repos.stuck import stuck_work
from tests.support.engine_app import EngineApp
from tests.support.funnels import funnel_of, new_clone
from tests.support.world import World


def daemon(app: EngineApp, name: str) -> Funnels:
    return Funnels(replace(app.store, lease=Lease(name, 15)))


async def due(app: EngineApp, limit: int = 3, resting: bool = False) -> list[ObjectId]:
    return [one["_id"] for one in await app.repos.funnels.find_due(limit, resting)]


@pytest.mark.covers("FC-06", "R-02")
async def test_of_many_who_claim_at_once_one_wins(world: World, app: EngineApp) -> None:
    clone = new_clone(world, ObjectId())

    won = await asyncio.gather(*[daemon(app, f"daemon {n}").claim(clone) for n in range(20)])

    (held,) = [document for document in won if document]
    stored = funnel_of(world, clone)
    assert (stored["in_progress"], stored["token"], stored["lease_owner"]) == (True, 1, held["lease_owner"])
    assert await due(app) == []


@pytest.mark.covers("FC-X7", "R-02")
async def test_of_many_who_claim_a_step_one_wins(world: World, app: EngineApp) -> None:
    step = {"funnel_id": ObjectId(), "clone_state": "open", "account_id": world.account}
    id = world.db["funnel.step"].insert_one(step).inserted_id
    many = [FunnelSteps(replace(app.store, lease=Lease(f"daemon {n}", 15))) for n in range(20)]

    won = await asyncio.gather(*[steps.claim(id) for steps in many])

    assert len([document for document in won if document]) == 1


@pytest.mark.covers("FC-03", "FC-X16")
async def test_no_account_takes_a_second_place_while_another_waits(world: World, app: EngineApp) -> None:
    mine = [new_clone(world, ObjectId()) for _ in range(4)]
    neighbour = world.neighbour()
    theirs = [new_clone(neighbour, ObjectId()) for _ in range(2)]
    neighbour.close()

    assert await due(app) == [mine[0], theirs[0], mine[1]]
    for clone in (mine[0], theirs[0], mine[1]):
        assert await app.repos.funnels.claim(clone)
    # Two of ours and one of theirs are under way: it is their turn.
    assert await due(app) == [theirs[1], mine[2]]


@pytest.mark.covers("FC-03")
async def test_an_account_has_three_under_way_at_most(world: World, app: EngineApp) -> None:
    clones = [new_clone(world, ObjectId()) for _ in range(5)]
    for clone in clones[:3]:
        held = await app.repos.funnels.claim(clone)
        assert held
        await app.repos.funnels.hand_to_steps(held)
    assert await due(app) == []

    ended = await app.repos.funnels.end(funnel_of(world, clones[0]), [], {"clone.error": None})

    assert ended
    assert await due(app) == [clones[3]]


@pytest.mark.covers("FC-03", "FC-22")
@pytest.mark.parametrize(
    ("flags", "is_due"),
    [
        ({}, True),
        ({"in_progress": False}, True),
        ({"pending": False}, False),
        ({"pending": None}, False),
        ({"in_progress": True, "updatedAt": timedelta(minutes=9)}, False),
        ({"in_progress": True, "updatedAt": timedelta(minutes=11)}, True),
        ({"in_progress": True, "pending": False, "updatedAt": timedelta(minutes=11)}, True),
        ({"in_progress": True, "lease_until": timedelta(seconds=-30)}, False),
        ({"in_progress": True, "lease_until": timedelta(seconds=1)}, True),
        ({"clone": {"next_at": timedelta(minutes=-1)}}, False),
        ({"clone": {"next_at": timedelta(minutes=1)}}, True),
    ],
)
async def test_what_is_due(world: World, app: EngineApp, flags: dict[str, object], is_due: bool) -> None:
    """Times are so long ago."""
    now = datetime.now(UTC)

    def as_moments(value: object) -> object:
        if isinstance(value, dict):
            return {name: as_moments(one) for name, one in value.items()}
        return now - value if isinstance(value, timedelta) else value

    clone = new_clone(world, ObjectId(), **{name: as_moments(value) for name, value in flags.items()})

    assert (await due(app) == [clone]) is is_due
    rests = "clone" in flags
    assert (await due(app, resting=True) == [clone]) is (is_due or rests)


async def test_a_clone_that_the_crm_flags_anew_is_another_generation(world: World, app: EngineApp) -> None:
    clone = new_clone(world, ObjectId())
    held = await app.repos.funnels.claim(clone)
    assert held
    failed = {"clone_failed": True, "clone.error": "x", "clone.attempts": 3}
    assert await app.repos.funnels.end(held, [], failed, "x")
    assert await due(app) == []

    world.db["funnels"].update_one({"_id": clone}, {"$set": {"pending": True}})
    again = await app.repos.funnels.claim(clone)

    assert again
    assert (again["clone"]["generation"], again["clone"]["attempts"], again["clone"]["finished_at"]) == (1, 0, None)
    assert "clone_failed" not in again


async def test_a_holder_that_was_too_slow_changes_nothing(world: World, app: EngineApp) -> None:
    clone = new_clone(world, ObjectId())
    slow = await app.repos.funnels.claim(clone)
    world.abandon("funnels", clone)
    heir = await daemon(app, "heir").claim(clone)
    assert slow
    assert heir
    assert heir["clone"]["crashes"] == 1

    for changed in (
        await app.repos.funnels.change(slow, {"clone.source_steps": []}),
        await app.repos.funnels.hand_to_steps(slow),
        await app.repos.funnels.schedule_next_run(slow, 1, {}),
        await app.repos.funnels.end(slow, [], {}),
    ):
        assert changed is None
    assert funnel_of(world, clone) == heir


async def test_the_next_run_comes_after_its_rest(world: World, app: EngineApp) -> None:
    clone = new_clone(world, ObjectId())
    held = await app.repos.funnels.claim(clone)
    assert held
    await app.repos.funnels.schedule_next_run(held, 60, {"clone.attempts": 1})

    rest = funnel_of(world, clone)["clone"]["next_at"] - datetime.now(UTC)
    assert timedelta(seconds=50) < rest <= timedelta(seconds=61)
    assert (await due(app), await due(app, resting=True)) == ([], [clone])


async def test_what_shutdown_gives_back_is_found_again(world: World, app: EngineApp) -> None:
    clone = new_clone(world, ObjectId())
    planned = new_clone(world, ObjectId())
    assert await app.repos.funnels.claim(clone)
    held = await app.repos.funnels.claim(planned)
    assert held
    await app.repos.funnels.hand_to_steps(held)

    await app.heartbeat.release()

    assert await due(app) == [clone]
    assert funnel_of(world, planned)["in_progress"] is True


@pytest.mark.covers("FC-22")
async def test_looks_are_served_by_indexes(world: World, app: EngineApp) -> None:
    for query in ({"pending": True}, {"in_progress": True}, {"clone.cancel_requested": True}):
        plan = await app.database["funnels"].find(query).explain()
        assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"]), query
    waiting = {"clone_state": "open", "clone_id": {"$in": [ObjectId()]}}
    plan = await app.database["funnel.step"].find(waiting).explain()
    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])


async def test_a_clone_that_runs_for_over_half_an_hour_is_seen(world: World, app: EngineApp) -> None:
    clone = new_clone(world, ObjectId())
    held = await app.repos.funnels.claim(clone)
    assert held
    await app.repos.funnels.hand_to_steps(held)
    assert await stuck_work(app.database, app.collections) == []
    long_ago = datetime.now(UTC) - timedelta(minutes=31)
    world.db["funnels"].update_one({"_id": clone}, {"$set": {"clone.started_at": long_ago}})

    (stuck,) = await stuck_work(app.database, app.collections)

    assert (stuck.collection, stuck.ids) == ("funnels", [str(clone)])
