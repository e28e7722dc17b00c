"""Stages are found by name however it is written, and made once however many ask for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.csv.values import name_key
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.world import Document, World

MAPPINGS = {"Deal": "name", "Stage": "stage_id"}


def file_with_stages(*stages: str) -> str:
    return "Deal|Stage\n" + "".join(f"Deal|{stage}\n" for stage in stages)


def crm_stage(world: World, name: str, **fields: Any) -> ObjectId:
    """A stage as the CRM makes one: no `name_key`, ids as text."""
    owner = {"account_id": str(world.account), "pipeline_id": str(world.pipeline)}
    stage: Document = {"_id": ObjectId(), "name": name, **owner, **fields}
    world.db["pipeline_stages"].insert_one(stage)
    return ObjectId(stage["_id"])


def stages_of(world: World, queue_id: ObjectId) -> list[Any]:
    return [deal.get("stage_id") for deal in world.deals_of(queue_id)]


@pytest.mark.covers("DI-15", "DI-16", "DI-X9")
async def test_spellings_of_one_name_are_one_stage(world: World, run_imports: RunImports) -> None:
    spellings = ["Closed Won", "closed won", " CLOSED   WON ", "closed\u00a0won", "\uff23losed Won"]
    queue_id = world.submit(file_with_stages(*spellings), MAPPINGS)

    await run_imports()

    assert len(set(stages_of(world, queue_id))) == 1
    (stage,) = world.db["pipeline_stages"].find()
    owner = (stage["account_id"], stage["pipeline_id"], stage["user"])
    assert owner == (world.account, world.pipeline, world.user)
    assert (stage["name"], stage["name_key"], stage["position"]) == ("closed won", "closed won", 0)


@pytest.mark.parametrize("pair", ["Straße STRASSE", "Ἀθήνα ἈΘΉΝΑ", "Ko\u0308ln K\u00f6ln", "\ufb01nal final"])
async def test_names_are_compared_as_unicode_says(world: World, run_imports: RunImports, pair: str) -> None:
    queue_id = world.submit(file_with_stages(*pair.split()), MAPPINGS)

    await run_imports()

    assert len(set(stages_of(world, queue_id))) == 1


@pytest.mark.covers("DI-24")
async def test_the_files_spelling_may_be_kept(world: World, run_imports: RunImports) -> None:
    world.submit(file_with_stages("Closed  Won", "closed won"), MAPPINGS)

    await run_imports(stage_name_case="keep")

    assert list(world.stage_names().values()) == ["Closed Won"]


async def test_a_stage_may_be_called_like_an_operator(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(file_with_stages("$lost", "$$NOW", "a.b"), MAPPINGS)

    await run_imports(stage_name_case="keep")

    names = world.stage_names()
    assert [names[stage] for stage in stages_of(world, queue_id)] == ["$lost", "$$NOW", "a.b"]


@pytest.mark.covers("DI-16", "DI-24")
async def test_stages_of_the_crm_are_used_as_they_are(world: World, run_imports: RunImports) -> None:
    won = crm_stage(world, "Closed Won", position=4)
    queue_id = world.submit(file_with_stages("closed won", "new one"), MAPPINGS)

    await run_imports()

    assert stages_of(world, queue_id)[0] == won
    stages = {stage["name"]: stage for stage in world.db["pipeline_stages"].find()}
    assert set(stages) == {"Closed Won", "new one"}
    assert stages["Closed Won"]["name_key"] == "closed won"
    assert stages["new one"]["position"] == 5


async def test_where_names_clash_the_oldest_stage_has_it(world: World, run_imports: RunImports) -> None:
    oldest = crm_stage(world, "won", position=9)
    crm_stage(world, "Won", position=1)
    crm_stage(world, " WON", position=0)
    queue_id = world.submit(file_with_stages("Won"), MAPPINGS)

    await run_imports()

    assert stages_of(world, queue_id) == [oldest]
    assert world.db["pipeline_stages"].count_documents({"name_key": {"$exists": True}}) == 1


async def test_stages_of_another_pipeline_are_not_used(world: World, run_imports: RunImports) -> None:
    elsewhere = crm_stage(world, "won", pipeline_id=str(ObjectId()))
    queue_id = world.submit(file_with_stages("won"), MAPPINGS)

    await run_imports()

    assert elsewhere not in stages_of(world, queue_id)
    assert "name_key" not in next(world.db["pipeline_stages"].find({"_id": elsewhere}))


@pytest.mark.covers("DI-X9")
async def test_an_empty_stage_is_a_row_error_and_makes_no_stage(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(file_with_stages("won", "", "  ", "won"), MAPPINGS)

    await run_imports()

    report = world.report_of(queue_id)
    assert [(log["position"], log["column"], log["code"]) for log in report["logs"]] == [
        (2, "Stage", "required"),
        (3, "Stage", "required"),
    ]
    assert list(world.stage_names().values()) == ["won"]


async def test_without_a_stage_column_deals_go_where_the_pipeline_begins(world: World, run_imports: RunImports) -> None:
    crm_stage(world, "second", position=2)
    first = crm_stage(world, "first", position=1)
    queue_id = world.submit("Deal\nOne\nTwo\n", {"Deal": "name"})

    await run_imports()

    assert stages_of(world, queue_id) == [first, first]


async def test_without_a_stage_column_and_without_stages_deals_have_none(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit("Deal\nOne\n", {"Deal": "name"})

    await run_imports()

    assert "stage_id" not in world.deals_of(queue_id)[0]
    assert list(world.db["pipeline_stages"].find()) == []


@pytest.mark.covers("DI-X8")
async def test_fifty_chunks_that_need_the_same_new_stages_make_each_once(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(file_with_stages(*["Won", "LOST", "won ", "Lost"] * 25), MAPPINGS)

    await run_imports(import_chunk_rows=2, import_chunks_ahead=50)

    assert sorted(world.stage_names().values()) == ["lost", "won"]
    assert world.db["import_chunks"].count_documents({"queue_id": queue_id, "state": "done"}) == 50
    assert len(set(stages_of(world, queue_id))) == 2


@pytest.mark.covers("DI-X8")
async def test_fifty_who_ask_at_once_get_one_stage(world: World, app: EngineApp) -> None:
    def ask(n: int) -> Any:
        name = f"{' ' * n}Brand New"
        return app.repos.stages.find_or_create(world.account, world.pipeline, name_key(name), name, world.user)

    ids = await asyncio.gather(*map(ask, range(50)))

    (stage,) = world.db["pipeline_stages"].find()
    assert set(ids) == {stage["_id"]}


async def test_giving_keys_again_or_twice_at_once_changes_nothing(world: World, app: EngineApp) -> None:
    for name in ("Won", "won", "Lost", "", "Straße"):
        crm_stage(world, name)

    await asyncio.gather(*[app.repos.stages.give_keys(world.account, world.pipeline, name_key) for _ in range(10)])
    first = list(world.db["pipeline_stages"].find())
    await app.repos.stages.give_keys(world.account, world.pipeline, name_key)

    assert list(world.db["pipeline_stages"].find()) == first
    keys = [stage.get("name_key") for stage in sorted(first, key=lambda stage: str(stage["_id"]))]
    assert keys == ["won", None, "lost", None, "strasse"]
