"""Clones by the production daemon."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from bson import ObjectId
from pymongo.change_stream import ChangeStream

from pipeline_engine.embedded.sink import Sink
from tests.acceptance.conftest import Start
from tests.support.eventually import eventually
from tests.support.funnels import Original, assert_whole, funnel_of, new_clone, steps_of
from tests.support.proxy import Fault, Proxy
from tests.support.world import Document, World

PLACES = 5


async def ended(world: World, *clones: ObjectId) -> bool:
    return all(funnel_of(world, clone)["pending"] is False for clone in clones)


@pytest.mark.covers("FC-01", "FC-05", "FC-18")
async def test_a_new_clone_is_noticed_at_once_and_its_end_is_heard(
    world: World, start: Start, servers: dict[str, str]
) -> None:
    """Though the timetable looks every five minutes only."""
    await start(OUTBOX_SWEEP_SECONDS="60")
    originals = [Original(world, steps=2) for _ in range(3)]
    took, clones = [], []
    for original in originals:
        asked = time.monotonic()
        clones.append(new_clone(world, original))
        await eventually(partial(ended, world, clones[-1]), "the clone has ended")
        took.append(time.monotonic() - asked)
        assert_whole(world, clones[-1], original)

    assert min(took) < 15, took
    for clone in clones:
        await eventually(partial(_heard, servers, clone), "the completion is heard")


async def test_clones_of_clones_follow_at_once(world: World, start: Start) -> None:
    """The end of each makes the next one due, without the timetable."""
    await start()
    original = Original(world, steps=2)
    clones: list[ObjectId] = []
    for _ in range(3):
        clones.append(new_clone(world, clones[-1] if clones else original))

    await eventually(partial(ended, world, *clones), "all clones have ended")

    assert_whole(world, clones[0], original)
    assert [len(steps_of(world, clone)) for clone in clones] == [2, 2, 2]
    assert all(step["raw_html"] for clone in clones for step in steps_of(world, clone))


async def _heard(servers: dict[str, str], clone: ObjectId) -> bool:
    records = await Sink(servers["SOCKET_SINK_URL"]).records()
    received = [one["payload"]["data"] for one in records if one["event"] == "funnel_cloning_completed"]
    return str(clone) in {one["funnel_id"] for one in received}


@pytest.mark.covers("FC-01")
async def test_a_daemon_without_clones_leaves_them_alone_and_says_so(world: World, start: Start) -> None:
    clone = new_clone(world, Original(world))
    before = funnel_of(world, clone)

    daemon = await start(QM_FUNNELS_CLONE="false")

    assert "funnel cloning" in {line["system"] for line in daemon.said("system.switched_off")}
    event = {"_id": "later", "event": "later", "user_ids": [], "data": {}, "attempts": 0}
    world.db["outbox"].insert_one(
        {**event, "account_id": world.account, "state": "waiting", "next_at": datetime.now(UTC)}
    )
    await eventually(partial(_delivered, world), "the daemon is at work")
    assert funnel_of(world, clone) == before


async def _delivered(world: World) -> bool:
    return world.db["outbox"].count_documents({"_id": "later", "state": "delivered"}) == 1


@pytest.mark.covers("FC-02", "FC-11")
async def test_five_steps_run_at_once_over_all_funnels_and_automations_do_not_wait_for_them(
    world: World, start: Start, servers: dict[str, str]
) -> None:
    original = Original(world, steps=8)
    automation = world.automation("add_tag", tag=ObjectId(), delay=0)
    async with Proxy.before(servers["S3_ENDPOINT_URL"]) as s3:
        await start(FUNNELS_PER_RUN="20", S3_ENDPOINT_URL=s3.instead_of(servers["S3_ENDPOINT_URL"]))
        s3.set(Fault(hang=True))
        with world.db["funnel.step"].watch() as changes:
            clones = [new_clone(world, original) for _ in range(12)]
            await eventually(lambda: _held(world) == PLACES, "as many steps as may run wait for their images")
            for _ in range(3):
                deal = world.deal(automation_starts=datetime.now(UTC))
                await eventually(partial(_fired, world, automation, deal), "the automation fired")
            assert _held(world) == PLACES
            s3.set(Fault())
            await eventually(partial(ended, world, *clones), "all clones have ended", timeout=90)
            running = _running(changes)

    assert max(running) == PLACES
    for clone in clones[:2]:
        assert_whole(world, clone, original)
    assert all(len(steps_of(world, clone)) == 8 for clone in clones)


def _held(world: World) -> int:
    return world.db["funnel.step"].count_documents({"in_progress": True})


async def _fired(world: World, automation: ObjectId, deal: ObjectId) -> bool:
    return world.db["deals"].count_documents({"_id": deal, "automation_triggered": automation}) == 1


def _running(changes: ChangeStream[Document]) -> list[int]:
    """How many steps were held after each change, in the order in which MongoDB made them."""
    held: set[Any] = set()
    counts = [0]
    while change := changes.try_next():
        flag = change.get("updateDescription", {}).get("updatedFields", {}).get("in_progress")
        if flag is not None:
            (held.add if flag else held.discard)(change["documentKey"]["_id"])
            counts.append(len(held))
    return counts


@pytest.mark.covers("FC-03")
async def test_when_three_are_planned_the_next_come_without_waiting_for_the_timetable(
    world: World, start: Start
) -> None:
    clones = [new_clone(world, Original(world, steps=1)) for _ in range(10)]

    await start()
    await eventually(partial(ended, world, *clones), "all have ended", timeout=60)

    ends = sorted(funnel_of(world, clone)["clone"]["finished_at"] for clone in clones)
    assert max((later - earlier).total_seconds() for earlier, later in pairwise(ends)) < 10
