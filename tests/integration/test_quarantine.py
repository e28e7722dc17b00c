"""Documents that cannot be claimed, decoded or ended are set aside: named, left out, and released by an operator."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations import sweep as automations
from pipeline_engine.domain.events import relay
from pipeline_engine.domain.imports import plan
from pipeline_engine.repos.quarantine import entry_id
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import look
from tests.integration.conftest import RunClones, RunImports
from tests.support.engine_app import EngineApp
from tests.support.funnels import new_clone
from tests.support.large import fill
from tests.support.world import World

IDS: list[Any] = ["text", str(ObjectId()), 7, 2.5, True, {"_id": 1}, ""]


def held_back(world: World) -> list[tuple[str, Any]]:
    return [(one["collection"], one["document_id"]) for one in world.db["quarantine"].find()]


@pytest.mark.parametrize("collection", ["queues", "funnels", "automations"])
async def test_ids_that_no_job_can_name_take_no_place(
    collection: str, world: World, configured: Settings, app: EngineApp
) -> None:
    wanted: dict[str, Any] = {
        "queues": {"source": "deals", "status": "pending"},
        "funnels": {"pending": True, "original_funnel_id": ObjectId()},
        "automations": {"status": "ACTIVE", "module": "DEAL", "type": "note", "note": "x", "stage_id": world.stage},
    }
    ids = IDS if collection != "queues" else [*IDS, *(f"import {n}" for n in range(40))]
    world.db[collection].insert_many([{"_id": id, "account_id": world.account, **wanted[collection]} for id in ids])
    healthy = {"_id": ObjectId(), "account_id": ObjectId(), **wanted[collection]}
    if collection != "automations":
        world.db[collection].insert_one(healthy)

    await run_once(configured, [])

    assert sorted(map(repr, held_back(world))) == sorted(repr((collection, id)) for id in ids)
    assert world.db["dead_letters"].count_documents({}) == 0
    if collection == "queues":
        assert world.import_of(healthy["_id"])["status"] == "failed"
    if collection == "funnels":
        assert world.db["funnels"].count_documents({"_id": healthy["_id"], "pending": True}) == 0
    assert await look(app, lambda: automations.find(app)) == []


async def test_a_document_too_large_to_claim_is_set_aside_and_can_be_released(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    large, healthy = world.submit("name\nAda\n", {"name": "name"}), world.submit("name\nAda\n", {"name": "name"})
    fill(world, "queues", large)

    await run_imports()

    assert held_back(world) == [("queues", large)]
    (entry,) = await app.shared.quarantine.latest(5)
    assert "cannot be claimed" in entry["reason"]
    assert (entry["account_id"], entry["count"]) == (world.account, 1)
    assert world.import_of(healthy)["status"] == "completed"
    assert not await app.shared.quarantine.add("queues", large, "seen again")
    assert (await app.shared.quarantine.latest(5))[0]["count"] == 2

    world.db["queues"].update_one({"_id": large}, {"$unset": {"padding": ""}})
    await app.shared.quarantine.release(entry["_id"])
    await run_imports()
    assert world.import_of(large)["status"] == "completed"


async def test_three_clones_too_large_to_claim_do_not_stop_the_others(world: World, run_clones: RunClones) -> None:
    large = [new_clone(world, ObjectId()) for _ in range(3)]
    for id in large:
        fill(world, "funnels", id)
    healthy = new_clone(world, ObjectId())

    await run_clones()

    assert sorted(held_back(world), key=str) == [("funnels", id) for id in large]
    assert world.db["funnels"].count_documents({"_id": healthy, "original_funnel_deleted": True}) == 1


async def test_a_document_that_cannot_be_ended_is_set_aside_and_freed(
    world: World, run_imports: RunImports, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends_badly(*_: object) -> None:
        raise KeyError("figures")

    monkeypatch.setattr(plan, "finish", ends_badly)
    odd = world.submit("name\nAda\n", {"name": "name"})

    await run_imports(import_attempts=1)

    assert held_back(world) == [("queues", odd)]
    assert world.import_of(odd)["lease_owner"] is None
    assert world.db["dead_letters"].count_documents({}) == 0


MALFORMED: list[Any] = [
    {"event_id": "x"},
    [{"event_id": "x"}],
    [{"event_id": "x", "to": "nobody"}],
    [{"event_id": 5, "to": "socket"}],
    [{"event_id": "a", "to": "socket", "event": "e", "user_ids": 5, "data": {}}],
    ["x", {"event_id": "b", "to": "socket", "$set": 1}],
]


async def test_malformed_events_do_not_stop_the_relay(world: World, app: EngineApp, configured: Settings) -> None:
    sent: dict[str, Any] = {"event_id": "good", "to": "crm_events", "type": "t", "user_id": None, "data": {}}
    for number, events in enumerate([*MALFORMED, [sent]]):
        world.db["queues"].insert_one({"source": "deals", "status": "failed", "n": number, "events_due": events})
    for id in (str(ObjectId()), "x" * 2_000_000):
        world.db["queues"].insert_one({"_id": id, "source": "deals", "status": "failed", "events_due": [sent]})
    odd: list[Any] = ["no account", "x" * 2_000_000, 5, ObjectId(), {"an": "object"}]
    world.db["outbox"].insert_many([{"_id": id, "state": "waiting", "next_at": app.clock.now()} for id in odd])

    await run_once(configured, ["events.outbox"])

    assert world.db["crm_events"].count_documents({"_id": "good"}) == 1
    assert world.db["queues"].count_documents({"events_due": {"$exists": True}}) == 2
    assert {collection for collection, _ in held_back(world)} == {"queues", "outbox", "crm_events"}  # no account
    assert world.db["dead_letters"].count_documents({}) == 0
    assert await look(app, lambda: relay.find(app)) == []


def test_an_entry_has_the_same_id_in_every_process_and_another_for_another_type() -> None:
    assert entry_id("queues", "7") == entry_id("queues", "7")
    assert entry_id("queues", "7") != entry_id("queues", 7)
