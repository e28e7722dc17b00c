"""Every row of a Google sheet becomes one submission, whatever is done to the sheet between two looks."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.jobs import sheet_sync
from pipeline_engine.domain.sheets import submit as submitting
from tests.support.engine_app import EngineApp
from tests.support.jobs import contact, events, finish, stored, work
from tests.support.said import Said
from tests.support.stand_ins.google import Google
from tests.support.world import World

HEADER: list[object] = ["Timestamp", "E-mail", "Full name", "Company", "Message"]
COLUMNS = {"E-mail": "email", "Full name": "name", "Company": "company"}
SHEET = "sheet-1"


class Killed(BaseException):
    """What no handler of errors sees, as little as it sees SIGKILL."""


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with Google() as google:
        google.sheets[SHEET] = [HEADER]
        yield google


@pytest.fixture
def environment(environment: dict[str, str], google: Google, tmp_path: Path) -> dict[str, str]:
    return {**environment, **google.environment(tmp_path)}


@pytest.fixture
def form(world: World) -> ObjectId:
    return add_form(world, SHEET)


def add_form(world: World, sheet: object, **fields: Any) -> ObjectId:
    google_sheet = {"spreadsheet_id": sheet, "range": "Form!A1:F", "column_map": COLUMNS}
    own = {"account_id": world.account, "google_sheet": google_sheet}
    return ObjectId(world.db["forms"].insert_one({**own, **fields}).inserted_id)


def row(number: int, **changes: str) -> list[object]:
    cells = {"time": f"1/5/2026 10:{number:02}", "email": f"p{number}@acme.com", "name": f"Person {number}"}
    return [*{**cells, "company": "Acme", "message": "Hello", **changes}.values()]


def submissions(world: World, **query: Any) -> list[dict[str, Any]]:
    return list(world.db["form_submissions"].find(query).sort("_id"))


@pytest.mark.covers("CL-27")
async def test_a_row_becomes_a_submission_a_contact_and_an_event(
    world: World, app: EngineApp, google: Google, form: ObjectId
) -> None:
    google.sheets[SHEET] += [row(1), row(2)]
    assert (await finish(sheet_sync.run, app, world)).done == 2
    one = next(one for one in submissions(world) if one["data"]["E-mail"] == "p1@acme.com")
    assert (one["form_id"], one["account_id"]) == (form, world.account)
    assert one["data"] == dict(zip(HEADER, row(1), strict=True))
    person = stored(world, "contacts", one["contact_id"])
    assert (person["email"], person["name"], person["company"]) == ("p1@acme.com", "Person 1", "Acme")
    assert (person["lead_score"], person["lead_grade"]) == (24, "D")
    published = events(world, "form.submitted")
    assert {event["data"]["submission_id"] for event in published} == {str(one["_id"]) for one in submissions(world)}
    assert {event["data"]["contact_id"] for event in published} == {
        event["data"]["contact_id"] for event in events(world, "contact.created")
    }


async def test_nothing_happens_twice(world: World, app: EngineApp, google: Google, form: ObjectId) -> None:
    google.sheets[SHEET] += [row(1), row(2)]
    for _ in range(3):
        await finish(sheet_sync.run, app, world)
    assert (len(submissions(world)), len(events(world, "form.submitted"))) == (2, 2)
    assert world.db["contacts"].count_documents({}) == 2


@pytest.mark.covers("CL-X12")
async def test_rows_inserted_deleted_moved_and_edited_between_looks(
    world: World, app: EngineApp, google: Google, form: ObjectId
) -> None:
    """Thirty looks at a sheet that is changed in every way in between: each submission is made once."""
    chance = random.Random(14)  # noqa: S311 - the same at every run
    sheet, number, deleted = list[list[object]](), 0, set[object]()
    for look in range(30):
        for _ in range(chance.randrange(4)):
            number += 1
            sheet.insert(chance.randint(0, len(sheet)), row(number % 60, time=f"time {number}"))
        if sheet and chance.random() < 0.4:
            deleted.add(sheet.pop(chance.randrange(len(sheet)))[0])
        if chance.random() < 0.3:
            chance.shuffle(sheet)
        if sheet and chance.random() < 0.6:
            place = chance.randrange(len(sheet))
            sheet[place] = [*sheet[place][:4], f"edited at look {look}"]
        google.sheets[SHEET] = [HEADER, *sheet]
        await finish(sheet_sync.run, app, world)
    times = [one["data"]["Timestamp"] for one in submissions(world)]
    assert sorted(times) == sorted(set(times))
    assert {*times} >= {cells[0] for cells in sheet}
    assert {*times} - {cells[0] for cells in sheet} <= deleted
    assert len(events(world, "form.submitted")) == len(times)
    data = {one["data"]["Timestamp"]: one["data"]["Message"] for one in submissions(world)}
    assert {cells[0]: cells[4] for cells in sheet}.items() <= data.items()


async def test_an_edit_changes_the_submission_and_what_the_contact_has_from_it(
    world: World, app: EngineApp, google: Google, form: ObjectId
) -> None:
    google.sheets[SHEET] += [row(1), row(2)]
    await finish(sheet_sync.run, app, world)
    world.db["contacts"].update_one({"email": "p2@acme.com"}, {"$set": {"company": "by a person"}})
    google.sheets[SHEET][1:] = [row(1, company="Acme Inc."), row(2, company="Acme Inc.")]
    await finish(sheet_sync.run, app, world)
    companies = {one["email"]: one["company"] for one in world.db["contacts"].find()}
    assert companies == {"p1@acme.com": "Acme Inc.", "p2@acme.com": "by a person"}
    assert [one["data"]["Company"] for one in submissions(world)] == ["Acme Inc."] * 2
    assert (len(events(world, "form.submitted")), len(events(world, "contact.updated"))) == (2, 1)


async def test_a_known_contact_is_found_by_address_and_keeps_what_it_has(
    world: World, app: EngineApp, google: Google, form: ObjectId
) -> None:
    id = contact(world, "P1@Acme.com", name="By hand", account_id=str(world.account))
    contact(world, "p1@acme.com", account_id=ObjectId())
    google.sheets[SHEET] += [row(1, company="$name")]
    await finish(sheet_sync.run, app, world)
    (one,) = submissions(world)
    assert one["contact_id"] == id
    found = stored(world, "contacts", id)
    assert (found["name"], found["company"], found["lead_score"]) == ("By hand", "$name", 24)
    assert not events(world, "contact.created")
    (event,) = events(world, "contact.updated")
    assert event["data"] == {"contact_id": str(id), "source": "form"}


async def test_two_rows_of_one_person_are_two_submissions_of_one_contact(
    world: World, app: EngineApp, google: Google, form: ObjectId
) -> None:
    google.sheets[SHEET] += [row(1), row(2, email="P1@ACME.com"), row(3, email="p1@acme.com")]
    await finish(sheet_sync.run, app, world)
    assert len({one["contact_id"] for one in submissions(world)}) == 1
    assert (len(submissions(world)), world.db["contacts"].count_documents({})) == (3, 1)


async def test_two_forms_make_one_contact(world: World, app: EngineApp, google: Google, form: ObjectId) -> None:
    google.sheets["sheet-2"] = [HEADER, row(1)]
    add_form(world, "sheet-2")
    google.sheets[SHEET] += [row(1)]
    await finish(sheet_sync.run, app, world)
    assert (len(submissions(world)), world.db["contacts"].count_documents({})) == (2, 1)


async def test_a_row_without_an_address_is_a_submission_without_a_contact(
    world: World, app: EngineApp, google: Google, form: ObjectId
) -> None:
    google.sheets[SHEET] += [row(1, email=""), row(2, email="=HYPERLINK(1)"), ["", "", ""], []]
    await finish(sheet_sync.run, app, world)
    assert [one["contact_id"] for one in submissions(world)] == [None, None]
    assert all("contact_id" not in event["data"] for event in events(world, "form.submitted"))


@pytest.mark.parametrize("point", ["contacts", "add_contacts", "add", "_publish", "settle"])
async def test_a_run_that_is_killed_anywhere_ends_as_if_it_had_not_been(
    world: World, app: EngineApp, google: Google, form: ObjectId, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.sheets[SHEET] += [row(1), row(2), row(3)]
    slice = work(app, world)
    owner: Any = {"settle": slice.app.repos.sheet_syncs, "_publish": submitting}.get(
        point, slice.app.repos.form_submissions
    )
    real, calls = getattr(owner, point), list[int]()

    async def killed(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2 or point != "_publish":
            raise Killed
        return await real(*given)

    monkeypatch.setattr(owner, point, killed)
    with pytest.raises(Killed):
        await sheet_sync.run(slice)
    monkeypatch.undo()
    google.sheets[SHEET].pop(2)  # a row that was taken up is deleted before the next run
    google.sheets[SHEET].insert(1, row(9))
    await finish(sheet_sync.run, app, world)
    assert sorted(one["data"]["Full name"] for one in submissions(world)) == [f"Person {n}" for n in (1, 2, 3, 9)]
    assert len(events(world, "form.submitted")) == len(events(world, "contact.created")) == 4
    assert world.db["contacts"].count_documents({}) == 4


async def test_a_lost_memory_of_the_sheet_makes_no_submission_again(
    world: World, app: EngineApp, google: Google, form: ObjectId
) -> None:
    google.sheets[SHEET] += [row(1), row(1), row(2)]
    await finish(sheet_sync.run, app, world)
    world.db["sheet_syncs"].delete_many({})
    await finish(sheet_sync.run, app, world)
    assert (len(submissions(world)), len(events(world, "form.submitted"))) == (3, 3)


@pytest.mark.slow
async def test_a_long_sheet_is_worked_off_in_slices(
    world: World, app: EngineApp, google: Google, form: ObjectId
) -> None:
    google.sheets[SHEET] += [row(n % 60, time=f"t{n}", email=f"p{n}@acme.com") for n in range(1200)]
    first = await sheet_sync.run(work(app, world, until=0.0))
    assert (first.done, first.more) == (0, True)
    assert (await finish(sheet_sync.run, app, world)).done == 1200
    assert len(submissions(world)) == 1200


async def test_a_sheet_that_cannot_be_read_keeps_no_other_from_being_read(
    world: World, app: EngineApp, google: Google, said: Said
) -> None:
    odd = [add_form(world, "not shared"), add_form(world, 7), add_form(world, SHEET, google_sheet={"column_map": []})]
    nonsense: object
    for nonsense in ("nonsense", [{}], [{"spreadsheet_id": SHEET}]):
        add_form(world, SHEET, google_sheet=nonsense)
    add_form(world, SHEET, account_id=ObjectId())
    good = add_form(world, SHEET)
    google.sheets[SHEET] += [row(1)]
    result = await finish(sheet_sync.run, app, world)
    assert (result.done, result.failed) == (1, 3)
    assert [one["form_id"] for one in submissions(world)] == [good]
    assert "share it with" in stored(world, "sheet_syncs", odd[0])["error"]
    assert "sheet.not_read" in said()
    google.sheets["not shared"] = [HEADER]
    await finish(sheet_sync.run, app, world)
    assert stored(world, "sheet_syncs", odd[0])["error"] is None


@pytest.mark.parametrize("first", [["Leads 2026"], [*HEADER[:1], "Correo", "Nombre", *HEADER[3:]], []])
async def test_a_sheet_without_its_mapped_headers_says_so_and_makes_nothing(
    world: World, app: EngineApp, google: Google, form: ObjectId, first: list[object]
) -> None:
    google.sheets[SHEET] += [row(1), row(2)]
    await finish(sheet_sync.run, app, world)
    rows = google.sheets[SHEET]
    google.sheets[SHEET] = [first, *(rows[1:] if len(first) > 1 else rows)]
    for _ in range(2):
        assert (await finish(sheet_sync.run, app, world)).failed == 1
    assert "E-mail" in stored(world, "sheet_syncs", form)["error"]
    assert len(submissions(world)) == 2

    google.sheets[SHEET] = [*rows, row(3)]
    await finish(sheet_sync.run, app, world)
    assert (len(submissions(world)), len(events(world, "form.submitted"))) == (3, 3)
    assert stored(world, "sheet_syncs", form)["error"] is None


async def test_a_wrong_column_map_loses_no_contact(
    world: World, app: EngineApp, google: Google, form: ObjectId
) -> None:
    google.sheets[SHEET] += [row(1)]
    wrong = {"google_sheet.column_map": {"Email": "email"}}
    right = {"google_sheet.column_map": {"E-mail": "email"}}
    for column_map in (wrong, right):
        world.db["forms"].update_one({"_id": form}, {"$set": column_map})
        await finish(sheet_sync.run, app, world)
    (one,) = submissions(world)
    assert stored(world, "contacts", one["contact_id"])["email"] == "p1@acme.com"


async def test_odd_headers_and_cells_are_kept(world: World, app: EngineApp, google: Google, form: ObjectId) -> None:
    google.sheets[SHEET] = [
        ["E-mail", "$where", "a.b", "", "E-mail", "$id", "$ref", "Full name", "Company"],
        ["jo@acme.com", "1", "2", "3", "4", "5", "6", "", "", "beyond"],
        [7, True, None, "\ud800", "x" * 50_000, "", "\x00"],
    ]
    await finish(sheet_sync.run, app, world)
    one = next(one for one in submissions(world) if one["contact_id"])
    assert one["data"] == {
        "E-mail": "jo@acme.com",
        "where": "1",
        "a.b": "2",
        "4": "3",
        "E-mail (2)": "4",
        "id": "5",
        "ref": "6",
        "10": "beyond",
    }
    assert len(submissions(world)) == 2
