"""Leases are renewed for as long as a run holds them, and given back when the process ends."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from bson import ObjectId

from pipeline_engine.repos.client import connect
from pipeline_engine.repos.heartbeat import Heartbeat
from pipeline_engine.repos.imports import QUEUES
from pipeline_engine.repos.lease import Lease
from tests.support.engine_app import EngineApp
from tests.support.world import World


async def held_import(world: World, app: EngineApp) -> ObjectId:
    queue_id = world.queue("a.csv")
    assert await app.repos.imports.claim(queue_id) is not None
    return queue_id


def lease_end(world: World, queue_id: ObjectId) -> datetime:
    end: datetime = world.import_of(queue_id)["lease_until"]
    return end


@pytest.mark.covers("R-02")
async def test_what_is_held_is_renewed_and_nothing_else(world: World, app: EngineApp) -> None:
    held, release_unchanged = await held_import(world, app), await held_import(world, app)
    before = lease_end(world, held), lease_end(world, release_unchanged)
    with app.heartbeat.holding(QUEUES, held):
        with app.heartbeat.holding(QUEUES, release_unchanged):
            pass
        await app.heartbeat.beat()

    assert lease_end(world, held) > before[0]
    assert lease_end(world, release_unchanged) == before[1]


async def test_a_lease_that_another_run_took_is_not_renewed(world: World, app: EngineApp) -> None:
    queue_id = await held_import(world, app)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"lease_owner": "another daemon"}})
    before = lease_end(world, queue_id)

    with app.heartbeat.holding(QUEUES, queue_id):
        await app.heartbeat.beat()

    assert lease_end(world, queue_id) == before


async def test_giving_back_frees_our_own_only(world: World, app: EngineApp) -> None:
    ours, theirs = await held_import(world, app), await held_import(world, app)
    world.db["queues"].update_one({"_id": theirs}, {"$set": {"lease_owner": "another daemon"}})
    before = world.import_of(theirs)

    await app.heartbeat.release()

    freed = world.import_of(ours)
    assert (freed["in_progress"], freed["lease_until"], freed["lease_owner"]) == (False, None, None)
    assert freed["status"] == "processing"
    assert world.import_of(theirs) == before


async def test_a_holder_whose_beats_do_not_get_through_is_not_trusted(app: EngineApp) -> None:
    answered = Heartbeat(app.database, Lease("us", 15.0), every=1, specs=())
    await answered.beat()
    assert answered.trusted

    nowhere = connect("mongodb://127.0.0.1:1", timeout=0.02, workers=16)
    unheard = Heartbeat(nowhere["crm"], Lease("us", 0.05), every=0.01, specs=())
    beating = asyncio.create_task(unheard.run())
    async with asyncio.timeout(5):
        while unheard.trusted:
            await asyncio.sleep(0.01)
    assert not beating.done()
    beating.cancel()
    nowhere.close()
