"""Dates that MongoDB holds and Python does not, anywhere in a document: they harm only that document."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from pipeline_engine.domain.automations import explain
from pipeline_engine.domain.imports import sweep as imports
from tests.integration.conftest import RunImports
from tests.support.automations import deal_of, run, work_off
from tests.support.engine_app import EngineApp
from tests.support.world import World

YEAR_0 = DatetimeMS(-62_167_219_200_000)
DATES = {"year 0": YEAR_0, "last": DatetimeMS(8_640_000_000_000_000)}
EDGES = {"year 9999": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}
TOO_LATE = datetime(2500, 1, 1, tzinfo=UTC)
"""Python can hold it, but the engine puts nothing off for so long."""

every_date = pytest.mark.parametrize("date", [*DATES.values(), *EDGES.values()], ids=[*DATES, *EDGES])

every_own_date = pytest.mark.parametrize(
    "date", [*DATES.values(), *EDGES.values(), TOO_LATE], ids=[*DATES, *EDGES, "year 2500"]
)


@every_date
async def test_a_custom_date_of_a_deal_stays_as_it_is(date: object, world: World, app: EngineApp) -> None:
    tag = ObjectId()
    world.automation("add_tag", tag=tag)
    world.automation("note", note="{{ deal.additional_info.born }}")
    odd, healthy = world.deal(additional_info={"born": date}), world.deal()

    await work_off(app)

    assert deal_of(world, healthy)["tags"] == [tag]
    marked = {"_id": odd, "tags": tag, "additional_info.born": date}
    assert world.db["deals"].count_documents(marked) == 1


@every_date
@pytest.mark.parametrize("field", ["createdAt", "active_from"])
async def test_a_date_that_matters_is_named_as_the_reason(
    field: str, date: object, world: World, app: EngineApp
) -> None:
    bad = world.automation("add_tag", tag=ObjectId(), **{field: date})
    good = world.automation("add_tag", tag=ObjectId())
    world.deal()

    assert good in await work_off(app)
    await run(app, bad)

    stored = world.db["automations"].find_one({"_id": bad}, projection=["paused_reason"])
    assert stored is not None
    assert field in stored["paused_reason"]
    assert "years" in stored["paused_reason"]


@every_own_date
@pytest.mark.parametrize("field", ["next_at", "paused_until", "lease_until", "watermark.looked_at", "updatedAt"])
async def test_a_date_of_our_own_that_we_never_write_counts_as_absent(
    field: str, date: object, world: World, app: EngineApp
) -> None:
    tag = ObjectId()
    automation, deal = world.automation("add_tag", tag=tag), world.deal()
    world.db["automations"].update_one({"_id": automation}, {"$set": {field: date}})

    assert await work_off(app) == {automation}

    assert deal_of(world, deal)["tags"] == [tag]
    assert (await explain.explain(app, automation, deal)).conditions


@every_own_date
@pytest.mark.parametrize("field", ["next_at", "lease_until", "updatedAt", "createdAt", "client_id"])
async def test_an_import_with_such_a_date_ends(
    field: str, date: object, world: World, app: EngineApp, run_imports: RunImports
) -> None:
    good, odd = world.submit("name\nAda\n", {"name": "name"}), world.submit("name\nAda\n", {"name": "name"})
    world.db["queues"].update_one({"_id": odd}, {"$set": {field: date}})

    await run_imports()

    ended = {one["_id"] for one in world.db["queues"].find({"status": "completed"}, projection=["_id"])}
    assert ended == {good, odd}
    assert [one["_id"] for one in await app.repos.imports.latest(10)] == [odd, good]
    assert await imports.find(app) == []


@every_date
async def test_a_deal_that_entered_at_such_a_time_never_fires(date: object, world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=ObjectId())
    odd = world.deal(automation_starts=date)

    assert await work_off(app) == set()
    explained = await explain.explain(app, automation, odd)

    assert explained.next.what in ("never", "fires")
