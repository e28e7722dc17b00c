"""One run at a time: claims, leases and the flag that another engine sets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations import sweep
from pipeline_engine.domain.automations.automation_claim import AutomationClaim
from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.domain.claimed import MAX_SHARED_CRASHES
from pipeline_engine.errors import LeaseLost, Transient
from pipeline_engine.lanes import Snooze
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import dispatch
from tests.support.automations import ago, automation_of, deal_of, due, logs_of, run, tagged, timed
from tests.support.engine_app import EngineApp, open_app
from tests.support.eventually import eventually
from tests.support.world import World

TAG = ObjectId()


def set_on(world: World, automation: ObjectId, **values: Any) -> None:
    world.db["automations"].update_one({"_id": automation}, {"$set": values})


@pytest.mark.covers("DA-09", "DA-19", "DA-X1")
async def test_of_many_claims_one_succeeds(world: World, configured: Settings, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)

    async with open_app(configured) as other:
        claims = [one.repos.automations.claim(automation) for one in (app, other) * 5]
        won = [held for held in await asyncio.gather(*claims) if held]

    assert len(won) == 1
    held = automation_of(world, automation)
    assert (held["is_running"], held["token"]) == (True, 1)
    await AutomationClaim(app.repos.automations, won[0], app.heartbeat).release(run=None)
    free = automation_of(world, automation)
    assert (free["is_running"], free["lease_until"], free["lease_owner"]) == (False, None, None)


@pytest.mark.covers("DA-01", "DA-X1", "DA-X3")
async def test_two_engines_at_once_write_one_note_per_deal(world: World, configured: Settings) -> None:
    automation = world.automation("note", note="x")
    deals = {world.deal() for _ in range(30)}
    small = configured.model_copy(update={"automation_batch": 7})

    await asyncio.gather(*(run_once(small, ["deals.automations"]) for _ in range(2)))

    assert sorted(note["deal_id"] for note in world.db["notes"].find()) == sorted(deals)
    every = [entry["deal"] for log in logs_of(world, automation) for entry in log["success"]]
    assert sorted(every) == sorted(deals)


async def test_a_holder_that_lost_its_lease_changes_nothing(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    held = await app.repos.automations.claim(automation)
    assert held
    old = AutomationClaim(app.repos.automations, held, app.heartbeat)
    world.abandon("automations", automation)
    assert await app.repos.automations.claim(automation)
    before = automation_of(world, automation)

    for act in (old.refresh(), old.change(run=None), old.release(run=None)):
        with pytest.raises(LeaseLost):
            await act

    assert automation_of(world, automation) == before


@pytest.mark.covers("DA-X2", "DA-X4")
async def test_what_a_vanished_process_held_goes_on_when_its_lease_is_over(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    deal = world.deal()
    assert await app.repos.automations.claim(automation)
    assert await sweep.find_abandoned(app) == []
    await run_slice(app, None, automation)
    assert tagged(world, TAG) == set()

    world.abandon("automations", automation)

    assert [unit.id for unit in await sweep.find_abandoned(app)] == [str(automation)]
    assert await due(app) == {automation}
    await run(app, automation)
    assert tagged(world, TAG) == {deal}
    assert automation_of(world, automation)["is_running"] is False


@pytest.mark.parametrize(
    ("flag", "counts"),
    [
        ({"updatedAt": timedelta(minutes=9)}, True),
        ({"updatedAt": timedelta(minutes=11)}, False),
        ({"updatedAt": None, "flag_seen_at": timedelta(minutes=11)}, False),
        ({"updatedAt": None}, True),
    ],
    ids=["fresh", "stale", "seen long ago", "never seen"],
)
@pytest.mark.covers("DA-06", "DA-X2")
async def test_a_flag_that_another_engine_set_counts_for_ten_minutes(
    world: World, app: EngineApp, flag: dict[str, Any], counts: bool
) -> None:
    automation = world.automation("add_tag", tag=TAG, is_running=True, **timed(flag))
    world.deal()

    assert await due(app) == (set() if counts else {automation})
    assert (await app.repos.automations.claim(automation) is None) is counts
    # Without a time of its own the flag gets one, or it would count for ever.
    noted = automation_of(world, automation)
    assert noted["updatedAt"] or noted["flag_seen_at"]


@pytest.mark.covers("DA-X10")
async def test_switched_off_between_dispatch_and_claim_it_does_nothing(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    world.deal()
    assert await due(app) == {automation}
    set_on(world, automation, status="INACTIVE")

    await run(app, automation)

    assert tagged(world, TAG) == set()


@pytest.mark.covers("DA-X2")
async def test_a_run_that_always_ends_in_the_middle_is_paused_with_the_evidence(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    deal = world.deal()
    for _ in range(MAX_SHARED_CRASHES + 1):
        assert await app.repos.automations.claim(automation)
        world.abandon("automations", automation)
    assert automation_of(world, automation)["crashes"] == MAX_SHARED_CRASHES

    await run(app, automation)

    paused = automation_of(world, automation)
    assert (paused["paused_reason"], paused["run"]) == (f"{MAX_SHARED_CRASHES} runs in a row ended in the middle", None)
    assert paused["paused_until"] > datetime.now(UTC) + timedelta(minutes=10)
    assert await due(app) == set()
    set_on(world, automation, paused_until=ago(seconds=1))
    await run(app, automation)
    assert deal_of(world, deal)["tags"] == [TAG]


async def test_a_crash_is_forgotten_once_the_run_gets_on(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    world.deal()
    assert await app.repos.automations.claim(automation)
    world.abandon("automations", automation)

    await run(app, automation)

    assert automation_of(world, automation)["crashes"] == 0


@pytest.mark.covers("DA-X14")
async def test_looking_again_and_again_opens_nothing_new(world: World, app: EngineApp) -> None:
    for n in range(5):
        world.automation("add_tag", tag=TAG, stage_id=ObjectId() if n else world.stage)
    world.deal()
    await dispatch(app, await sweep.find(app))
    tasks, keys = len(asyncio.all_tasks()), len(await app.redis.keys("*"))

    for _ in range(20):
        assert await dispatch(app, await sweep.find(app)) == 0

    assert (len(asyncio.all_tasks()), len(await app.redis.keys("*"))) == (tasks, keys)


@pytest.mark.covers("DA-31")
async def test_without_the_socket_service_the_work_is_done(world: World, configured: Settings) -> None:
    world.automation("add_tag", tag=TAG)
    deal = world.deal()

    (result,) = (
        await run_once(configured.model_copy(update={"socket_url": "http://127.0.0.1:1"}), ["deals.automations"])
    ).results

    assert (result.succeeded, tagged(world, TAG)) == (1, {deal})
    assert world.db["outbox"].count_documents({"state": "waiting"}) == 2


@pytest.mark.covers("DA-31", "DA-X4")
async def test_a_database_that_fails_in_the_middle_leaves_nothing_locked_for_long(
    world: World, configured: Settings
) -> None:
    automation = world.automation("note", note="x")
    deals = [world.deal() for _ in range(3)]
    plan = '{"failpoint": "mongo.notes.insert_many", "do": "raise", "when": "after"}'
    fragile = configured.model_copy(update={"fault_testing": True, "fault_plan": plan})

    async with open_app(fragile) as app:
        with pytest.raises(Transient):  # the lane tries again
            await run_slice(app, None, automation)
        assert automation_of(world, automation)["is_running"] is False
        await run(app, automation)

    assert sorted(note["deal_id"] for note in world.db["notes"].find()) == deals
    assert [len(log["success"]) for log in logs_of(world, automation)] == [3]
    assert automation_of(world, automation)["crashes"] == 0


async def test_a_deal_that_enters_while_the_run_ends_brings_the_job_back(
    world: World, configured: Settings, tmp_path: Path
) -> None:
    automation, failpoints = world.automation("add_tag", tag=TAG), tmp_path / "failpoints"
    # The second event is that of the end: by then the run has found nothing more to do.
    plan = '{"failpoint": "mongo.outbox.insert_one", "nth": 2, "do": "delay", "seconds": 1}'
    fault = {"fault_testing": True, "fault_plan": plan, "fault_log": str(failpoints)}
    first = world.deal()

    async with open_app(configured.model_copy(update=fault)) as app:
        ending = asyncio.create_task(run_slice(app, None, automation))
        await eventually(lambda: "outbox.insert_one 2 before" in failpoints.read_text(), "the run is about to end", 10)
        second = world.deal()
        assert await ending == Snooze()
        await run(app, automation)

    assert tagged(world, TAG) == {first, second}
