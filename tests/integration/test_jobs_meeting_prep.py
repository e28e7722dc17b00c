"""Meetings are prepared once, by rules, whatever the records hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.jobs import meeting_prep, sweep
from pipeline_engine.domain.jobs.briefs.meeting import Meeting
from pipeline_engine.domain.jobs.briefs.read_meeting import read_meeting
from pipeline_engine.domain.jobs.crm_job import JobWork
from pipeline_engine.domain.jobs.slot_id import SlotId
from pipeline_engine.domain.jobs.timetable import job_status
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.repos.meetings import Meetings
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.crm_jobs import run_slot
from tests.support.engine_app import EngineApp
from tests.support.job_slices import Document, Stop, activity, all_of, move_to, pass_time, run_job, stop_at
from tests.support.meetings import NOW, brief_of, event, john
from tests.support.world import World


@pytest.fixture
def app(app: EngineApp) -> EngineApp:
    move_to(app, NOW)
    return app


@pytest.mark.covers("CL-22", "CL-32")
async def test_a_meeting_that_begins_soon_has_a_brief(world: World, configured: Settings) -> None:
    now = datetime.now(UTC)
    john(world, now)
    id = event(world, 30, "joHn@ACME.example", {"email": "stranger@x.example"}, now=now)

    for _ in range(2):
        (result,) = (await run_once(configured, ["crm.meeting_prep"])).results
        assert (result.units, result.succeeded, result.failed) == (1, 1, 0)

    brief = brief_of(world, id)
    assert brief["headline"].endswith(": John Doe @ Acme Corp and 1 other")
    assert brief["written_by"] == "rules"
    assert brief["key_points"][:3] == [
        "Last contact with John Doe: 2 weeks ago (call) [1]",
        "Open deal: Renewal, worth 50,000, Proposal stage [2]",
        "Note of 3 days ago (competitor): “Currently using HubSpot.” [3]",
    ]
    assert all(line.endswith("]") for part in ("key_points", "talking_points", "questions") for line in brief[part])
    assert [one["collection"] for one in brief["sources"][:3]] == ["activities", "deals", "notes"]
    for source in brief["sources"]:
        assert world.db[source["collection"]].find_one({"_id": source["id"], "account_id": world.account})
    (notification,) = all_of(world, "ai_notifications")
    assert (notification["user_id"], notification["kind"]) == (world.user, "meeting_brief")
    assert notification["title"] == brief["headline"]
    assert (notification["status"], notification["calendar_event_id"]) == ("open", id)


@pytest.mark.covers("CL-X10")
async def test_which_meetings_are_prepared(world: World, app: EngineApp) -> None:
    john(world)
    wanted = {event(world, minutes, "john@acme.example") for minutes in (-10, 1, 29, 59)}
    for minutes in (-29, -40, 70):
        event(world, minutes, ends_at=NOW - timedelta(seconds=1))
    event(world, 20, status="cancelled")
    event(world, 20, starts_at="soon")
    event(world.neighbour(), 20)
    ready = event(world, 20)
    world.db["meetings"].insert_one(
        {"account_id": world.account, "calendar_event_id": ready, "brief": {"headline": "the CRM's own"}}
    )

    result = await run_job(app, world, meeting_prep.JOB, steps=True)

    assert result.done == len(wanted)
    assert {one["calendar_event_id"] for one in all_of(world, "meetings")} == wanted | {ready}
    assert brief_of(world, ready)["headline"] == "the CRM's own"


@pytest.mark.covers("CL-X10")
async def test_a_meeting_that_is_booked_late_makes_an_extra_slot(world: World, app: EngineApp) -> None:
    scope = app.with_repos(JobRepos.open)
    move_to(app, NOW.replace(minute=7, second=0))
    hour = NOW.replace(minute=0, second=0)

    async def find() -> list[str]:
        return [unit.id for unit in await sweep.find(meeting_prep.JOB, scope) if unit.account == str(world.account)]

    name = f"crm.meeting_prep:{world.account}:{hour:%Y-%m-%dT%H}"
    event(world, starts_at=hour + timedelta(minutes=20), ends_at=hour + timedelta(minutes=50))
    assert await find() == [f"{name}:00Z"], "the slot itself comes first"
    await run_slot(scope, SlotId("crm.meeting_prep", world.account, f"{hour:%Y-%m-%dT%H}:00Z"))
    assert await find() == []

    event(world, starts_at=hour + timedelta(minutes=61), ends_at=hour + timedelta(minutes=90))
    event(world, starts_at=hour + timedelta(minutes=15), status="cancelled")
    assert await find() == [], "the next slot comes early enough for what begins in more than an hour"

    late = event(world, starts_at=hour + timedelta(minutes=12), ends_at=hour + timedelta(minutes=40))
    assert await find() == [f"{name}:07Z"]
    await run_slot(scope, SlotId("crm.meeting_prep", world.account, f"{hour:%Y-%m-%dT%H}:07Z"))
    assert brief_of(world, late)["key_points"]
    assert await find() == []


@pytest.mark.covers("CL-X10")
async def test_only_accounts_with_a_meeting_of_the_next_hour_have_slots(world: World, app: EngineApp) -> None:
    scope, ready = app.with_repos(JobRepos.open), world.neighbour()
    other, idle = world.neighbour(), world.neighbour()
    event(world, 59)
    event(other, 61)
    event(ready, 20, prepared_for=NOW + timedelta(minutes=20))
    event(idle, 20, status="cancelled")
    event(world, 20, account_id=["odd"])

    async def found() -> set[str]:
        return {unit.account for unit in await sweep.find(meeting_prep.JOB, scope)}

    assert await found() == {str(world.account)}
    await run_slot(scope, SlotId("crm.meeting_prep", world.account, f"{NOW:%Y-%m-%d}T09:30Z"))
    assert await found() == set()
    pass_time(app, minutes=2)
    assert await found() == {str(other.account)}
    for one in (other, ready, idle):
        one.close()


async def test_an_account_is_late_only_with_meetings_that_it_had_time_for(world: World, app: EngineApp) -> None:
    repos = app.with_repos(JobRepos.open).repos
    account = ObjectId.from_datetime(NOW - timedelta(days=1))
    world.db["_accounts"].insert_one({"_id": account, "active": True})
    event(world, 59, account_id=account)

    async def late() -> set[ObjectId]:
        return set((await job_status(meeting_prep.JOB, repos, app.clock.now())).late)

    assert await late() == set()
    pass_time(app, minutes=35)
    assert await late() == {account}


@pytest.mark.parametrize("form", [ObjectId, str])
async def test_the_meeting_of_the_crm_gets_the_brief(world: World, app: EngineApp, form: type) -> None:
    id = event(world)
    own = {"account_id": form(world.account), "calendar_event_id": form(id), "room": "blue"}
    world.db["meetings"].insert_one(own)
    assert (await run_job(app, world, meeting_prep.JOB)).done == 1
    (meeting,) = world.db["meetings"].find({"calendar_event_id": form(id)})
    assert meeting["room"] == "blue"
    assert meeting["brief"]["key_points"] == ["Nothing is known about those who come [1]"]


async def test_a_meeting_that_was_moved_far_is_prepared_again(world: World, app: EngineApp) -> None:
    id = event(world, 30)
    assert (await run_job(app, world, meeting_prep.JOB)).done == 1
    world.db["calendar_events"].update_one({"_id": id}, {"$set": {"starts_at": NOW + timedelta(minutes=50)}})
    assert (await run_job(app, world, meeting_prep.JOB)).done == 0
    moved = NOW + timedelta(days=1, minutes=30)
    world.db["calendar_events"].update_one({"_id": id}, {"$set": {"starts_at": moved}})
    pass_time(app, days=1)
    assert (await run_job(app, world, meeting_prep.JOB)).done == 1
    assert len(all_of(world, "meetings")) == 1
    assert len(all_of(world, "ai_notifications")) == 2


async def test_a_kill_before_the_brief_is_stored_makes_no_second_notification(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    john(world)
    id = event(world, 30, "john@acme.example")
    with monkeypatch.context() as patch:
        stop_at(patch, Meetings, "store_brief")
        with pytest.raises(Stop):
            await run_job(app, world, meeting_prep.JOB)
    await run_job(app, world, meeting_prep.JOB)
    assert len(all_of(world, "ai_notifications")) == 1
    assert brief_of(world, id)["key_points"]


async def test_records_of_other_accounts_stay_theirs(world: World, app: EngineApp) -> None:
    other = world.neighbour()
    theirs = john(other)
    world.deal(contact_id=theirs, name="Mine", status="open")
    id = event(world, 30, "john@acme.example")
    await run_job(app, world, meeting_prep.JOB)
    brief = brief_of(world, id)
    assert "John" not in str(brief)
    assert "Renewal" not in str(brief)
    assert brief["key_points"] == ["1 attendee is not among the contacts: john@acme.example [1]"]


async def test_a_busy_contact_hides_no_other(world: World, app: EngineApp) -> None:
    """However much happened with one of those who come, the last contact with each of them is found."""
    busy, rare = john(world), ObjectId()
    world.db["contacts"].insert_one(
        {"_id": rare, "account_id": str(world.account), "name": "Rare", "email": "rare@x.example"}
    )
    activity(world, "call", NOW - timedelta(days=90), contact_id=str(rare))
    for minutes in range(60):
        activity(world, "email_sent", NOW - timedelta(minutes=minutes), contact_id=busy)
    activity(world, "meeting", NOW + timedelta(minutes=30), contact_id=rare)
    id = event(world, 30, "john@acme.example", "rare@x.example")
    await run_job(app, world, meeting_prep.JOB)
    lines = [line.partition(" [")[0] for line in brief_of(world, id)["key_points"]]
    assert {"Last contact with John Doe: today (e-mail)", "Last contact with Rare: 3 months ago (call)"} <= {*lines}


async def test_colleagues_are_no_strangers(world: World, app: EngineApp) -> None:
    world.db["users"].update_one({"_id": world.user}, {"$set": {"email": "me@own.example"}})
    id = event(world, 30, "me@own.example")
    await run_job(app, world, meeting_prep.JOB)
    assert brief_of(world, id)["key_points"] == ["Nothing is known about those who come [1]"]


@pytest.mark.parametrize(
    "odd",
    [
        {"attendees": "all"},
        {"attendees": [None, 5, {"email": ["x"]}, "john@acme.example"]},
        {"title": {"a": 1}, "owner": None},
        {"ends_at": "late"},
        {"owner": "a name"},
    ],
)
async def test_odd_events_do_no_harm(world: World, app: EngineApp, odd: Document) -> None:
    john(world, name=["odd"], title=5, intent_level={"x": 1})
    world.db["deals"].update_many({}, {"$set": {"name": None, "value": "many", "stage_id": "none"}})
    world.db["notes"].insert_one({"account_id": world.account, "text": 5, "createdAt": "x"})
    activity(world, "call", "yesterday", contact_id=5)  # type: ignore[arg-type]
    first, second = event(world, 10, **odd), event(world, 20, "john@acme.example")
    assert (await run_job(app, world, meeting_prep.JOB)).done == 2
    assert brief_of(world, first)["key_points"]
    assert brief_of(world, second)["key_points"]


async def test_an_event_that_cannot_be_prepared_keeps_no_other_from_it(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = event(world, 10), event(world, 20)

    async def read(work: JobWork, found: Document) -> Meeting:
        if found["_id"] == bad:
            raise TypeError("on purpose")
        return await read_meeting(work, found)

    monkeypatch.setattr(meeting_prep, "read_meeting", read)
    result = await run_job(app, world, meeting_prep.JOB)
    assert (result.done, result.failed) == (1, 1)
    assert [one["calendar_event_id"] for one in all_of(world, "meetings")] == [good]
    again = await run_job(app, world, meeting_prep.JOB)
    assert (again.done, again.failed) == (0, 0), "what cannot be prepared makes no slot each minute"
