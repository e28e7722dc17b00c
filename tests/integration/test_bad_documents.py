"""Values of any type in any field: at most their document fails or is set aside, and its neighbours go on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations import sweep as automations
from pipeline_engine.domain.funnels import sweep as funnels
from pipeline_engine.domain.imports import sweep as imports
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.integration.conftest import RunClones, RunImports
from tests.support.automations import deal_of, due, run, work_off
from tests.support.engine_app import EngineApp
from tests.support.funnels import Original, funnel_of, new_clone
from tests.support.fuzz.rows import socket_event
from tests.support.fuzz.strangers import DATES, STRANGERS
from tests.support.world import World

OWN = (
    "lease_until",
    "lease_owner",
    "token",
    "crashes",
    "attempts",
    "updatedAt",
    "flag_seen_at",
    "events_due",
    "next_at",
)


def slowly(quick: int, *fields: str) -> list[Any]:
    """The fields as parameters, of which the quick suite tries the first ones; the fuzz run draws from all."""
    return [*fields[:quick], *(pytest.param(name, marks=pytest.mark.slow) for name in fields[quick:])]


OWN_FIELDS = slowly(2, *OWN)


@pytest.fixture
def neighbour(world: World) -> Iterator[World]:
    neighbour = world.neighbour()
    yield neighbour
    neighbour.close()


def spread(world: World, collection: str, ids: list[Any], field: str) -> None:
    """Write another stranger into the field of each document."""
    for id, stranger in zip(ids, STRANGERS, strict=True):
        # As an expression, because an update by operators would look into what begins with `$`.
        world.db[collection].update_one({"_id": id}, [{"$set": {field: {"$literal": stranger}}}])


@pytest.mark.parametrize("field", ["account_id", "user_id", "csv", "mappings", "additional_data"])
async def test_imports_with_strangers_leave_others_alone(
    field: str, world: World, neighbour: World, app: EngineApp, run_imports: RunImports
) -> None:
    spread(world, "queues", [world.queue("none.csv") for _ in STRANGERS], field)
    healthy = neighbour.submit("name\nAda\n", {"name": "name"})

    assert str(healthy) in {unit.id for unit in await imports.find(app)}
    await run_imports(import_attempts=1)

    assert world.import_of(healthy)["status"] == "completed"
    assert world.db["queues"].count_documents({"status": {"$in": ["pending", "processing"]}}) == 0
    assert world.db["dead_letters"].count_documents({}) == 0


@pytest.mark.parametrize("field", [*OWN_FIELDS, *slowly(1, "plan", "progress", "generation", "started_at", "error")])
async def test_strangers_in_our_own_fields_of_an_import_count_as_absent(
    field: str, world: World, run_imports: RunImports
) -> None:
    odd = [world.submit("name\nAda\n", {"name": "name"}) for _ in STRANGERS]
    spread(world, "queues", odd, field)

    await run_imports()

    assert world.db["dead_letters"].count_documents({}) == 0
    left = list(world.db["queues"].find({"status": {"$ne": "completed"}}, projection=["status", "error"]))
    assert [one for one in left if one["status"] != "failed" or not one["error"]] == []
    # A plan that is an object counts as one, and so does a number of attempts; these fail with a reason.
    assert len(left) <= (6 if field in ("attempts", "crashes", "plan") else 0), left


@pytest.mark.parametrize("field", ["account_id", "original_funnel_id", "clone", "name", "steps", "error", *OWN_FIELDS])
async def test_funnels_with_strangers_leave_others_alone(
    field: str, world: World, neighbour: World, app: EngineApp, run_clones: RunClones
) -> None:
    spread(world, "funnels", [new_clone(world, ObjectId()) for _ in STRANGERS], field)
    healthy = new_clone(neighbour, Original(neighbour, steps=1, chat=False))

    assert await funnels.find(app)
    await run_clones(clone_attempts=1, clone_runs=1)

    assert funnel_of(world, healthy)["clone"]["finished_at"]
    left = list(world.db["funnels"].find({"$or": [{"pending": True}, {"in_progress": True}]}))
    assert left == []
    assert world.db["dead_letters"].count_documents({}) == 0


@pytest.mark.slow
async def test_plans_that_others_wrote_end(world: World, run_clones: RunClones) -> None:
    clones = [new_clone(world, Original(world, steps=1, chat=False)) for _ in STRANGERS]
    spread(world, "funnels", clones, "clone.source_steps")
    world.db["funnels"].update_many({"_id": {"$in": clones}}, {"$set": {"clone.planned": True, "in_progress": True}})
    world.db["funnels"].update_many({"_id": {"$in": clones}}, {"$unset": {"updatedAt": ""}})
    world.db["funnels"].update_many(
        {"_id": {"$in": clones}}, {"$set": {"flag_seen_at": datetime(2020, 1, 1, tzinfo=UTC)}}
    )

    await run_clones(clone_attempts=1, clone_runs=1)

    assert world.db["funnels"].count_documents({"_id": {"$in": clones}, "clone.finished_at": None}) == 0
    assert world.db["dead_letters"].count_documents({}) == 0


@pytest.mark.slow
async def test_a_planned_clone_that_is_no_longer_in_progress_begins_anew(world: World, run_clones: RunClones) -> None:
    originals = [Original(world, steps=1, chat=False) for _ in STRANGERS]
    numbers: dict[str, Any] = {"steps_total": 1, "steps_done": 0, "attempts": 1}
    clones = [
        new_clone(world, one, token=1, clone={"planned": True, "source_steps": one.steps, **numbers})
        for one in originals
    ]
    spread(world, "funnels", clones, "in_progress")
    world.db["funnels"].update_many({"in_progress": True}, {"$set": {"in_progress": "no stranger"}})

    await run_clones()

    done = {"_id": {"$in": clones}, "pending": False, "in_progress": False, "clone_failed": {"$ne": True}}
    assert world.db["funnels"].count_documents(done) == len(clones)


async def test_the_run_of_an_automation_that_lost_its_type_is_ended(world: World, app: EngineApp) -> None:
    odd = [world.automation("note", note="x", run={"id": "x", "told": True}) for _ in STRANGERS]
    spread(world, "automations", odd, "type")

    for unit in await automations.find_abandoned(app):
        await run(app, ObjectId(unit.id))

    assert world.db["automations"].count_documents({"run": {"$ne": None}}) == 0
    assert await automations.find_abandoned(app) == []


@pytest.mark.parametrize("field", [*OWN_FIELDS, *slowly(2,
    "account_id", "run", "stage_id", "delay", "createdAt", "active_from", "reentry", "tags", "created_by", "type",
    "module", "watermark", "brake", "paused_until", "paused_reason",
)])  # fmt: skip
async def test_automations_with_strangers_leave_others_alone(
    field: str, world: World, neighbour: World, app: EngineApp
) -> None:
    odd = [world.automation("note", note="x") for _ in STRANGERS]
    spread(world, "automations", odd, field)
    tag = ObjectId()
    sibling, healthy = world.automation("add_tag", tag=tag), neighbour.automation("add_tag", tag=tag)
    deals = world.deal(), neighbour.deal()

    assert {sibling, healthy} <= await work_off(app)

    assert [deal_of(world, deal)["tags"] for deal in deals] == [[tag], [tag]]
    stuck = {unit.id for unit in await automations.find(app)}
    assert len(stuck) == 0


@pytest.mark.parametrize("type", ["note", "email", "add_tag"])
@pytest.mark.parametrize("reentry", ["once", "per_entry"])
@pytest.mark.parametrize("field", ["automation_generation", "automation_triggered", "automation_starts"])
async def test_deals_with_strangers_leave_others_of_their_batch_alone(
    field: str, reentry: str, type: str, world: World, app: EngineApp
) -> None:
    template = world.db["email_templates"].insert_one({"account_id": world.account, "subject": "s", "text": "t"})
    config = {"note": "x", "tag": ObjectId(), "email_template_id": template.inserted_id}
    automation = world.automation(type, reentry=reentry, **config)
    odd, healthy = [world.deal() for _ in STRANGERS], world.deal()
    spread(world, "deals", odd, field)

    await run(app, automation)

    marks = deal_of(world, healthy)
    assert automation in [*marks["automation_triggered"], *marks.get("automation_failed", [])]
    assert world.db["automations"].find_one({"_id": automation, "paused_reason": {"$exists": True}}) is None


@pytest.mark.parametrize("reentry", ["once", "per_entry"])
async def test_a_repeat_of_a_deal_with_a_strange_generation_is_done(reentry: str, world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", reentry=reentry, tag=ObjectId())
    strangers = [*STRANGERS, [None], [{"x": 1}, {"x": 2}]]
    for id, stranger in zip([world.deal(retry_automations=[automation]) for _ in strangers], strangers, strict=True):
        change = [{"$set": {"automation_generation": {"$literal": stranger}}}]
        world.db["deals"].update_one({"_id": id}, change)
    for id, stranger in zip([world.deal(retry_automations=[automation]) for _ in strangers], strangers, strict=True):
        values = {f"{automation}": {"$literal": stranger}}
        world.db["deals"].update_one({"_id": id}, [{"$set": {"automation_generation": values}}])

    await run(app, automation)

    assert world.db["deals"].count_documents({"retry_automations": automation}) == 0
    assert world.db["deals"].count_documents({"automation_triggered": automation}) == 2 * len(strangers)
    assert world.db["automations"].count_documents({"run.id": {"$exists": True}}) == 0


@pytest.mark.parametrize("reentry", ["once", "per_entry"])
async def test_a_deal_whose_id_is_not_equal_to_itself_is_left_out(reentry: str, world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", reentry=reentry, tag=ObjectId())
    healthy = world.deal(retry_automations=[automation])
    world.db["deals"].insert_one({**deal_of(world, healthy), "_id": math.nan})

    await run(app, automation)

    assert deal_of(world, healthy)["automation_triggered"] == [automation]
    assert world.db["automations"].count_documents({"run.id": {"$exists": True}}) == 0
    assert await due(app) == set()


@pytest.mark.parametrize("lists", [{"module": ["DEAL"]}, {"status": ["ACTIVE"]}, {"status": ["ACTIVE", "INACTIVE"]}])
async def test_a_list_that_contains_the_word_switches_no_automation_on(
    world: World, app: EngineApp, lists: dict[str, Any]
) -> None:
    tag, healthy = ObjectId(), world.automation("add_tag", tag=ObjectId())
    odd = world.automation("add_tag", tag=tag)
    world.deal()
    world.db["automations"].update_one({"_id": odd}, {"$set": lists})

    assert await work_off(app) == {healthy}
    assert await work_off(app) == set()
    assert world.db["deals"].count_documents({"tags": tag}) == 0


async def test_a_socket_event_without_a_name_is_set_aside_at_once(world: World, configured: Settings) -> None:
    for name in (["e"], None, {"e": 1}):
        world.db["outbox"].update_one({"_id": socket_event(world)}, {"$set": {"event": name}})
    good = socket_event(world)

    await run_once(configured, ["events.outbox"])

    assert world.db["quarantine"].count_documents({"collection": "outbox"}) == 3
    assert [one["_id"] for one in world.db["outbox"].find({"state": "delivered"})] == [good]
    assert world.db["outbox"].count_documents({"attempts": {"$gt": 0}}) == 1


async def test_socket_events_with_strangers_for_their_next_attempt_are_delivered(
    world: World, configured: Settings
) -> None:
    values = [*STRANGERS, *DATES]
    for stranger in values:
        change = [{"$set": {"next_at": {"$literal": stranger}}}]
        world.db["outbox"].update_one({"_id": socket_event(world)}, change)

    await run_once(configured, ["events.outbox"])

    assert world.db["outbox"].count_documents({"state": "delivered"}) == len(values)


async def test_run_once_ends_with_all_of_them(world: World, configured: Settings) -> None:
    for type in ("note", "add_tag"):
        spread(world, "automations", [world.automation(type, note="x") for _ in STRANGERS], "account_id")
    ended = await run_once(configured, [])

    assert {result.name for result in ended.results} >= {"deals.import", "deals.automations", "funnels.clone"}
