"""`forecast automations`: which pairs will fire and when, and that looking changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations.forecast import Forecast, forecast
from tests.support.engine_app import EngineApp
from tests.support.world import World

HOUR = timedelta(hours=1)
TAG = ObjectId()


@pytest.fixture
def now() -> datetime:
    """The time of the test; parameters and constants of the module are made too early."""
    return datetime.now(UTC).replace(microsecond=0)


def pairs(found: Forecast) -> list[tuple[ObjectId, ObjectId]]:
    return [(one.automation, one.deal) for one in found.firings]


@pytest.mark.covers("DA-27")
async def test_what_fires_and_when_in_the_order_of_time(app: EngineApp, world: World, now: datetime) -> None:
    slow, fast = world.automation("add_tag", tag=TAG, delay=7200), world.automation("note", note="hello")
    due, later = world.deal(automation_starts=now - 3 * HOUR), world.deal(automation_starts=now - HOUR)
    world.deal(stage_id=ObjectId())
    world.deal(automation_triggered=[slow], skip_automations=[fast])
    everything = snapshot(world)

    found = await forecast(app, HOUR + timedelta(minutes=1), None, 100)

    assert sorted(pairs(found)[:3]) == sorted([(slow, due), (fast, due), (fast, later)])
    assert pairs(found)[3:] == [(slow, later)]
    assert {one.at for one in found.firings[:3]} == {found.since}
    assert found.firings[3].at == now + HOUR
    assert not found.cut
    assert snapshot(world) == everything


def snapshot(world: World) -> dict[str, list[object]]:
    names = set(world.db.list_collection_names()) - {"system.profile"}
    return {name: list(world.db[name].find()) for name in sorted(names)}


async def test_what_lies_beyond_the_horizon_is_left_out(app: EngineApp, world: World, now: datetime) -> None:
    automation = world.automation("add_tag", tag=TAG, delay=7200)
    deal = world.deal(automation_starts=now - HOUR)
    assert pairs(await forecast(app, HOUR / 2, None, 100)) == []
    assert pairs(await forecast(app, HOUR, None, 100)) == [(automation, deal)]


async def test_what_will_not_fire_by_itself_is_left_out(app: EngineApp, world: World) -> None:
    world.automation("add_tag", tag=TAG, status="INACTIVE")
    world.automation("add_tag", tag=TAG, delay="soon")
    world.automation("fax")
    foreign = world.neighbour()
    foreign.automation("add_tag", tag=TAG, account_id=ObjectId())
    foreign.close()
    world.deal()
    assert pairs(await forecast(app, HOUR, None, 100)) == []


async def test_pauses_retries_and_flags_have_their_times(app: EngineApp, world: World, now: datetime) -> None:
    paused = world.automation("add_tag", tag=TAG, paused_until=now + 3 * HOUR)
    note = world.automation("note", note="hello")
    deal = world.deal(retry_automations=[paused], automation_triggered=[paused])
    unit = {"account_id": world.account, "automation_id": note, "deal_id": deal, "updatedAt": now}
    retry = {"state": "pending", "attempts": 1, "next_at": now + 2 * HOUR, "last_error": "451"}
    world.db["automation_units"].insert_one({"_id": f"{note}:{deal}:0", **unit, **retry})

    found = await forecast(app, 24 * HOUR, None, 100)

    assert [(one.automation, one.at) for one in found.firings] == [(note, now + 2 * HOUR), (paused, now + 3 * HOUR)]


async def test_a_deal_that_is_moved_goes_on_in_its_new_stage(app: EngineApp, world: World, now: datetime) -> None:
    there = ObjectId()
    mover = world.automation("stage", target_stage_id=there, delay=3600)
    back = world.automation("stage", target_stage_id=world.stage, delay=3600, stage_id=there)
    before = world.automation("add_tag", tag=TAG, delay=3600)
    never = world.automation("add_tag", tag=TAG, delay=7200)
    after = world.automation("note", note="welcome", delay=60, stage_id=there)
    entered = now - timedelta(minutes=30)
    deal = world.deal(automation_starts=entered)

    found = await forecast(app, 24 * HOUR, None, 100)

    at = entered + HOUR
    again = at + HOUR
    foretold = [(one.automation, one.at) for one in found.firings]
    # Back in its first stage it is there long enough for what it was moved away from before.
    wanted = [(before, at), (mover, at), (after, at + timedelta(minutes=1)), (back, again), (never, again + 2 * HOUR)]
    assert foretold == wanted
    assert {one.deal for one in found.firings} == {deal}


async def test_a_limit_is_said_and_what_is_shown_is_whole(app: EngineApp, world: World, now: datetime) -> None:
    automations = [world.automation("add_tag", tag=TAG, delay=delay) for delay in (7200, 3600)]
    entered = [now - timedelta(minutes=minute) for minute in range(20)]
    deals = {world.deal(automation_starts=at): at for at in entered}
    whole = await forecast(app, 24 * HOUR, None, 100)
    assert len(whole.firings) == len(automations) * len(deals)
    assert not whole.cut

    for limit in (1, 7, 20, 21, 39):
        part = await forecast(app, 24 * HOUR, None, limit)
        assert part.cut
        assert 0 < len(part.firings) <= limit
        assert part.until < whole.until
        assert pairs(part) == pairs(whole)[: len(part.firings)]
    assert not (await forecast(app, 24 * HOUR, None, 40)).cut


async def test_one_account_alone(app: EngineApp, world: World) -> None:
    other = world.neighbour()
    own, foreign = world.automation("add_tag", tag=TAG), other.automation("add_tag", tag=TAG)
    mine, theirs = world.deal(), other.deal()
    assert pairs(await forecast(app, HOUR, world.account, 100)) == [(own, mine)]
    assert set(pairs(await forecast(app, HOUR, None, 100))) == {(own, mine), (foreign, theirs)}
    other.close()
