"""Which forms' sheets are read, and when: accounts without any, more than a page, Google's quota."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.jobs import sheet_sync
from pipeline_engine.errors import RateLimited
from pipeline_engine.repos import sheet_syncs
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.run_once import run_once
from tests.support.engine_app import EngineApp, open_app
from tests.support.jobs import work
from tests.support.stand_ins.google import Google
from tests.support.world import World

SHEET = "sheet-1"
ROWS: list[list[object]] = [["E-mail"], ["p1@acme.com"]]


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google() as google:
        google.sheets[SHEET] = [*ROWS]
        yield google


@pytest.fixture
def environment(environment: dict[str, str], google: Google, tmp_path: Path) -> dict[str, str]:
    return {**environment, **google.environment(tmp_path)}


def add_form(world: World, **fields: Any) -> None:
    google_sheet = {"spreadsheet_id": SHEET, "range": "Form!A1:F", "column_map": {"E-mail": "email"}}
    own = {"account_id": world.account, "google_sheet": google_sheet}
    world.db["forms"].insert_one({**own, **fields})


async def test_only_accounts_with_a_sheet_have_slots(world: World, app: EngineApp) -> None:
    other = world.neighbour()
    add_form(world)
    add_form(other, google_sheet=None)
    add_form(other, account_id=["odd"])
    repos = app.with_repos(JobRepos.open).repos
    assert await sheet_sync.concerns(repos, app.clock.now()) == {world.account}
    other.close()


class Quota:
    """So many reads, then a refusal, after which a minute is over."""

    def __init__(self, reads: int) -> None:
        self.reads, self.left = reads, reads

    async def take_call(self, _app: object, _provider: str, name: str, _per_minute: int) -> None:
        if name == "reads":
            return
        if not self.left:
            self.left = self.reads
            raise RateLimited(60)
        self.left -= 1


async def to_the_end(app: EngineApp, world: World) -> None:
    """Slices of one slot, as the lane would have them."""
    cursor: dict[str, Any] = {}
    for _ in range(10):
        with suppress(RateLimited):
            result = await sheet_sync.run(work(app, world, cursor=cursor))
            if not result.more:
                return
            cursor = result.cursor


async def test_more_forms_than_a_page_and_a_quota_hold_are_all_read(
    world: World, app: EngineApp, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet_syncs, "MAX_FORMS", 2)
    monkeypatch.setattr(sheet_sync, "take_call", Quota(3).take_call)
    for id in (*(ObjectId() for _ in range(5)), "a", "b"):
        add_form(world, _id=id)
    for looks in (1, 2):  # at the second no row is new
        await to_the_end(app, world)
        assert len(google.reads) == looks * 7
    assert world.db["form_submissions"].count_documents({}) == 7


async def test_headers_that_are_translated_make_no_row_new(world: World, app: EngineApp, google: Google) -> None:
    add_form(world)
    rows: list[list[object]] = [[f"p{n}@acme.com", f"Person {n}", f"1/5/2026 10:{n:02}"] for n in range(9)]
    google.sheets[SHEET] = [["E-mail", "Name", "Timestamp"], *rows]
    await to_the_end(app, world)
    world.db["sheet_syncs"].update_one({}, {"$unset": {"headers": ""}})  # as an older engine leaves it
    await to_the_end(app, world)
    google.sheets[SHEET] = [["Correo", "Nombre", "Fecha"], *rows]
    world.db["forms"].update_one({}, {"$set": {"google_sheet.column_map": {"Correo": "email"}}})
    await to_the_end(app, world)
    submissions = list(world.db["form_submissions"].find())
    assert [one["data"].keys() for one in submissions] == [{"Correo", "Nombre", "Fecha"}] * 9
    assert world.db["crm_events"].count_documents({"type": "form.submitted"}) == 9


@pytest.mark.parametrize("pending", [2, 500])
async def test_renamed_headers_are_taken_up_in_parts(
    world: World, app: EngineApp, google: Google, monkeypatch: pytest.MonkeyPatch, pending: int
) -> None:
    monkeypatch.setattr(sheet_sync, "MAX_PENDING", pending)
    add_form(world)
    rows: list[list[object]] = [[f"p{n}@acme.com", f"Person {n}"] for n in range(5)]
    for header in (["E-mail", "Name"], ["E-mail", "Nombre"], ["E-mail", "Nom"]):
        google.sheets[SHEET] = [[*header], *rows]
        await to_the_end(app, world)
        found = world.db["form_submissions"].find()
        assert [{*one["data"]} for one in found] == [{*header}] * 5


async def test_googles_quota_is_counted_over_daemons(world: World, environment: dict[str, str], google: Google) -> None:
    for _ in range(4):
        add_form(world)
    configured = settings.from_environment({**environment, "GOOGLE_READS_PER_USER": "3"})
    async with open_app(configured) as one, open_app(configured) as other:
        first = await sheet_sync.run(work(one, world))
        with pytest.raises(RateLimited):
            await sheet_sync.run(work(other, world, cursor=first.cursor))
    assert (first.done, first.more, len(google.reads)) == (3, True, 3)


async def test_run_once_reads_the_sheets_and_events_reach_the_consumers(
    world: World, environment: dict[str, str], google: Google
) -> None:
    add_form(world)
    (result,) = (await run_once(settings.from_environment(environment), ["crm.sheet_sync"])).results
    assert (result.units, result.failed) == (1, 0)
    (person,) = world.db["contacts"].find()
    assert person["intent_score"] == 20  # a form's points
