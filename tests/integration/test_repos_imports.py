"""Claims of imports: one holder at a time, by the server's clock, and no write of a holder that was too slow."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from bson import ObjectId

from pipeline_engine.repos.imports import Imports
from pipeline_engine.repos.lease import Lease
from tests.support.automations import timed
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import Document, World

SHORT_LEASE_SECONDS = 0.05
"""Seconds of a lease that a test lets run out."""


def daemon(app: EngineApp, name: str, seconds: float = 15) -> Imports:
    """The imports as another daemon sees them."""
    return Imports(replace(app.store, lease=Lease(name, seconds)))


async def claimed(imports: Imports, queue_id: ObjectId) -> Document:
    held = await imports.claim(queue_id)
    assert held is not None
    return held


async def due(app: EngineApp) -> list[ObjectId]:
    return [one["_id"] for one in await app.repos.imports.find_due(limit=100)]


@pytest.mark.covers("DI-02", "DI-X1", "R-02")
async def test_of_many_who_claim_at_once_one_wins(world: World, app: EngineApp) -> None:
    queue_id = world.queue("a.csv")

    won = await asyncio.gather(*[daemon(app, f"daemon {n}").claim(queue_id) for n in range(20)])

    (held,) = [document for document in won if document]
    stored = world.import_of(queue_id)
    assert (stored["status"], stored["in_progress"], stored["token"], stored["attempts"]) == ("processing", True, 1, 1)
    assert stored["lease_owner"] == held["lease_owner"]
    assert stored["lease_until"] - stored["updatedAt"] == timedelta(seconds=15)
    assert await due(app) == []


@pytest.mark.covers("DI-X1", "R-02")
async def test_a_lease_that_ran_out_is_taken_and_counts_as_a_crash(world: World, app: EngineApp) -> None:
    queue_id = world.queue("a.csv")
    await claimed(daemon(app, "dead", SHORT_LEASE_SECONDS), queue_id)
    assert world.import_of(queue_id)["in_progress"] is True

    held = await eventually(partial(daemon(app, "heir").claim, queue_id), "the lease ran out")

    assert held is not None
    assert (held["lease_owner"], held["token"]) == ("heir", 2)
    assert (held["attempts"], held["crashes"]) == (1, 1)


@pytest.mark.covers("DI-X1", "R-02")
async def test_a_holder_that_was_too_slow_changes_nothing(world: World, app: EngineApp) -> None:
    queue_id = world.queue("a.csv")
    slow = daemon(app, "slow", SHORT_LEASE_SECONDS)
    stale = await claimed(slow, queue_id)
    await eventually(partial(daemon(app, "heir").claim, queue_id), "the lease ran out")
    before = world.import_of(queue_id)

    assert await slow.change(stale, {"error": "too late"}) is None
    assert await slow.end(stale, "completed", []) is None
    await slow.release(stale, status="pending")

    assert world.import_of(queue_id) == before


async def test_what_has_ended_is_held_no_more(world: World, app: EngineApp) -> None:
    """Though the token is still the holder's, a late failure must not bring the import back to life."""
    queue_id = world.queue("a.csv")
    held = await claimed(app.repos.imports, queue_id)
    await app.repos.imports.end(held, "completed", [])
    before = world.import_of(queue_id)

    await app.repos.imports.release(held, status="pending")
    assert await app.repos.imports.end(held, "failed", []) is None

    assert world.import_of(queue_id) == before
    assert await due(app) == []


async def test_what_is_given_back_is_free_at_once(world: World, app: EngineApp) -> None:
    queue_id = world.queue("a.csv")
    held = await claimed(app.repos.imports, queue_id)

    await app.repos.imports.release(held)

    stored = world.import_of(queue_id)
    assert (stored["in_progress"], stored["lease_until"], stored["lease_owner"]) == (False, None, None)
    again = await claimed(daemon(app, "next"), queue_id)
    assert (again["token"], again["attempts"], again["crashes"]) == (2, 1, 0)


async def test_only_a_new_beginning_is_an_attempt(world: World, app: EngineApp) -> None:
    queue_id = world.queue("a.csv")
    for attempt in (1, 2, 3):
        held = await claimed(app.repos.imports, queue_id)
        assert held["attempts"] == attempt
        await app.repos.imports.release(held, {"status": "pending", "error": "$did not work"})

    assert world.import_of(queue_id)["error"] == "$did not work"


@pytest.mark.covers("DI-X1")
@pytest.mark.parametrize(("minutes", "free"), [(0, False), (9, False), (11, True), (600, True)])
async def test_an_older_engines_flag_counts_for_ten_minutes(
    world: World, app: EngineApp, minutes: int, free: bool
) -> None:
    seen = datetime.now(UTC) - timedelta(minutes=minutes)
    queue_id = world.queue("a.csv", in_progress=True, updatedAt=seen)

    assert (await due(app) == [queue_id]) is free
    assert (await app.repos.imports.claim(queue_id) is not None) is free


async def test_a_flag_without_a_time_counts_from_when_we_first_saw_it(world: World, app: EngineApp) -> None:
    queue_id = world.queue("a.csv", in_progress=True, updatedAt=None)

    assert await due(app) == []
    seen = world.import_of(queue_id)["flag_seen_at"]
    assert await due(app) == []
    assert world.import_of(queue_id)["flag_seen_at"] == seen

    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"flag_seen_at": seen - timedelta(minutes=10)}})
    assert await due(app) == [queue_id]
    assert await app.repos.imports.claim(queue_id) is not None


@pytest.mark.covers("DI-02", "DI-04")
@pytest.mark.parametrize(
    "changes",
    [
        {"status": "completed"},
        {"status": "failed"},
        {"status": "cancelled"},
        {"status": "undone"},
        {"source": "contacts"},
        {"lease_until": timedelta(hours=-1)},
    ],
    ids=["completed", "failed", "cancelled", "undone", "another source", "held"],
)
async def test_what_is_not_ours_or_not_open_is_left_alone(world: World, app: EngineApp, changes: Document) -> None:
    queue_id = world.queue("a.csv", **timed(changes))
    before = world.import_of(queue_id)

    assert await due(app) == []
    assert await app.repos.imports.claim(queue_id) is None

    assert world.import_of(queue_id) == before


async def test_the_flag_may_be_absent(world: World, app: EngineApp) -> None:
    queue_id = world.queue("a.csv")
    world.db["queues"].update_one({"_id": queue_id}, {"$unset": {"in_progress": ""}})

    assert await due(app) == [queue_id]


async def test_a_heap_of_one_account_does_not_hide_anothers_import(world: World, app: EngineApp) -> None:
    world.db["queues"].insert_many(
        {"source": "deals", "status": "pending", "account_id": world.account} for _ in range(500)
    )
    neighbour = world.neighbour()
    late = neighbour.queue("a.csv")
    neighbour.close()

    assert late in [one["_id"] for one in await app.repos.imports.find_due(limit=2)]


async def test_cancelling_is_a_wish_until_a_run_ends_it(world: World, app: EngineApp) -> None:
    queue_id = world.queue("a.csv")

    asked = await app.repos.imports.request_cancel(queue_id)

    assert asked is not None
    assert (asked["status"], asked["cancel_requested"]) == ("pending", True)
    assert await due(app) == [queue_id]
    held = await claimed(app.repos.imports, queue_id)
    await app.repos.imports.end(held, "cancelled", [])
    assert await app.repos.imports.request_cancel(queue_id) is None


async def test_the_looks_of_a_sweep_are_answered_by_an_index(world: World, app: EngineApp) -> None:
    world.queue("a.csv")
    plan = world.db.command(
        "explain", {"find": "queues", "filter": app.repos.imports.claimable}, verbosity="queryPlanner"
    )

    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])
    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])
