"""Documents of every leased collection that a claim, a change or an end would make larger than MongoDB stores."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import workers
from pipeline_engine.app import App
from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.domain.claimed import Claim, ClaimedRun, RunFailure, run_claimed
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.plan import run_plan
from pipeline_engine.domain.funnels.step import run_end
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.too_large import TooLarge
from pipeline_engine.workers.sweep import Sweep
from tests.integration.conftest import RunClones
from tests.integration.test_leased_contract import KINDS, Kind, insert, stored
from tests.support.engine_app import EngineApp
from tests.support.funnels import Original, funnel_of, new_clone, steps_of
from tests.support.large import fill, fill_up
from tests.support.world import World

ROOM_FOR_A_CLAIM, ROOM_FOR_A_LEASE = 1000, 160
MAX_LOOK_BYTES = 1024**2
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

every_kind = pytest.mark.parametrize(("name", "kind"), KINDS.items(), ids=KINDS.keys())


async def ends(claim: Claim[Leased]) -> None:
    await claim.release()


async def notes_much(claim: Claim[Leased]) -> None:
    await claim.change(note="x" * ROOM_FOR_A_CLAIM)


async def never(_claim: Claim[Leased], failure: RunFailure) -> None:
    raise AssertionError(failure)


Work = Callable[[Claim[Leased]], Any]
GiveUp = Callable[[Claim[Leased], RunFailure], Any]


async def run(app: App, kind: Kind, id: Any, work: Work, give_up: GiveUp | None = None) -> None:
    doing: ClaimedRun[Claim[Leased]] = ClaimedRun("test", work, give_up or never, attempts=3)
    await run_claimed(app, kind.repo(app.store), id, doing, Claim[Leased])


def reasons(world: World) -> dict[tuple[str, Any], str]:
    return {(one["collection"], one["document_id"]): one["reason"] for one in world.db["quarantine"].find()}


@every_kind
async def test_what_becomes_too_large_is_set_aside_freed_and_named(
    name: str, kind: Kind, world: World, app: EngineApp
) -> None:
    large, neighbour, failures = insert(kind, world), insert(kind, world, n=1), list[Exception]()
    fill(world, name, large, ROOM_FOR_A_CLAIM)

    async def gives_up(claim: Claim[Leased], failure: RunFailure) -> None:
        failures.append(failure.error)
        await claim.release(error=failure.message * 10)

    await run(app, kind, large, notes_much, gives_up)

    assert [type(error) for error in failures] == [TooLarge]  # at once, without another attempt
    assert "cannot be ended" in reasons(world)[name, large]
    held = stored(kind, world, large)
    assert (held["token"], held["lease_owner"]) == (1, None)

    fill_up(world, name, large)
    await run(app, kind, large, ends)
    await run(app, kind, neighbour, ends)

    ((about, reason),) = reasons(world).items()
    assert about == (name, large)
    assert "cannot be claimed: the document" in reason
    assert "is too large: MongoDB stores at most 16 MB" in reason
    assert stored(kind, world, neighbour)["token"] == 1
    assert await kind.repo(app.store).available() == {"_id": {"$nin": [large]}}


async def test_a_clone_that_its_end_would_make_too_large_is_set_aside_alone(world: World, app: EngineApp) -> None:
    original = Original(world, steps=1)
    clone = new_clone(world, original)
    planned: Document = {"clone.planned": True, "clone.source_steps": [], "clone.steps_total": 0, "clone.attempts": 0}
    world.db["funnels"].update_one({"_id": clone}, {"$set": {**planned, "in_progress": True, "token": 1}})
    fill(world, "funnels", clone, spare=50)

    await run_end(app, CloneCache(1), clone)

    assert "cannot be ended" in reasons(world)["funnels", clone]
    assert await app.repos.funnels.find_planned() == []


async def test_a_step_too_large_to_claim_fails_its_clone_with_a_reason(
    world: World, app: EngineApp, run_clones: RunClones
) -> None:
    clone = new_clone(world, Original(world, steps=2))
    await run_plan(app, CloneCache(1), clone)
    step, _ = steps_of(world, clone)
    fill(world, "funnel.step", step["_id"])

    assert (await run_clones(clone_runs=1)).busy == 1
    assert (await run_clones(clone_runs=1)).failed == 1  # a daemon looks at once when a document is set aside

    assert "1 of 2 steps failed" in funnel_of(world, clone)["clone"]["error"]
    assert "quarantine" in funnel_of(world, clone)["clone"]["error"]


async def test_an_automation_without_room_for_its_end_is_set_aside(world: World, app: EngineApp) -> None:
    large = world.automation("note", note="x")
    world.deal()
    fill(world, "automations", large, spare=ROOM_FOR_A_LEASE)

    await run_slice(app, None, large)  # what it raises, the lane would repeat

    assert "cannot be ended" in reasons(world)["automations", large]


IDLE = {"crm.contact_sync", "crm.sheet_sync", "crm.credential_rotation", "crm.meeting_prep"}
"""Sweeps that find nothing: their integration is not configured, or there is no meeting."""
SWEEPS = [pytest.param(system, sweep, id=sweep.name) for system in workers.SYSTEMS for sweep in system.sweeps]


@pytest.mark.parametrize(("system", "sweep"), SWEEPS)
async def test_a_look_at_large_documents_takes_little_memory(
    system: Any, sweep: Sweep[Any], world: World, app: EngineApp
) -> None:
    events = [{"event_id": "x", "to": "socket", "event": "e", "user_ids": [], "data": {}}]
    world.deal()
    for name, kind in KINDS.items():
        fields: Document = (
            {"type": "note", "stage_id": world.stage, "createdAt": LONG_AGO} if name == "automations" else {}
        )
        fields |= {"events_due": events} if name == "queues" else {}
        insert(kind, world, n=ObjectId(), padding="x" * 2 * MAX_LOOK_BYTES, **fields)
    enrolled = {"status": "active", "sequence_id": ObjectId(), "contact_id": ObjectId(), "next_at": LONG_AGO}
    world.db["workflow_enrollments"].insert_one({"account_id": world.account, **enrolled, "padding": "x" * 2 * 2**20})
    event = {"account_id": world.account, "type": "t", "data": {}, "padding": "x" * 2 * MAX_LOOK_BYTES}
    onward = {"status": "done", "onward": ["activity", "workflows", "webhooks"]}
    world.db["crm_events"].insert_many([{**event, "status": "new"}, {**event, **onward}])
    scope = app.with_repos(system.open_repos)
    await sweep.find(scope)  # what is loaded once is not counted

    tracemalloc.start()
    try:
        found = await sweep.find(scope)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found or sweep.name in IDLE
    assert peak < MAX_LOOK_BYTES
