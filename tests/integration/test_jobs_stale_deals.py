"""Stale deals: one alert each, which ends by itself; one digest per user; deals at risk are escalated once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.jobs import stale_deals
from pipeline_engine.repos.deal_alerts import DealAlerts
from pipeline_engine.repos.notifications import Notifications
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.engine_app import EngineApp
from tests.support.job_slices import Document, Stop, activity, all_of, member, move_to, profile, run_job, stop_at
from tests.support.world import World

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
"""Half an hour into a slot."""


def deal(world: World, name: str = "Renewal", age: float = 8, **fields: Any) -> ObjectId:
    """An open deal that was made so many days before START, on which nothing has happened."""
    return world.deal(name=name, status="open", createdAt=START - age * DAY, **fields)


def notes_of(world: World, kind: str, **query: Any) -> list[Document]:
    return all_of(world, "ai_notifications", kind=kind, **query)


def tags(world: World, id: ObjectId) -> Any:
    return (world.db["deals"].find_one({"_id": id}) or {}).get("tags")


@pytest.fixture
def app(app: EngineApp) -> EngineApp:
    move_to(app, START)
    return app


@pytest.mark.covers("CL-23")
async def test_a_stale_deal_has_one_notification_and_one_task(world: World, configured: Settings) -> None:
    now = datetime.now(UTC)
    id = world.deal(name="Renewal", status="open", createdAt=now - 8 * DAY)
    world.deal(name="Fresh", status="open", createdAt=now - 6 * DAY)
    world.deal(name="Won", status="won", createdAt=now - 80 * DAY)

    for _ in range(2):
        (result,) = (await run_once(configured, ["crm.stale_deals"])).results
        assert (result.units, result.succeeded, result.failed) == (1, 1, 0)

    (alert,) = notes_of(world, "stale_deal")
    assert (alert["deal_id"], alert["user_id"], alert["status"]) == (id, world.user, "open")
    assert alert["title"] == "Deal inactive for 7 days"
    (task,) = all_of(world, "tasks")
    assert (task["deal_id"], task["assigned_to"], task["status"]) == (id, world.user, "open")
    assert task["title"] == "Follow up on stale deal"
    (digest,) = notes_of(world, "stale_deals_digest")
    assert (digest["user_id"], digest["title"]) == (world.user, "1 deal is inactive")
    assert tags(world, id) == []


@pytest.mark.slow
@pytest.mark.covers("CL-23", "CL-X9")
async def test_the_life_of_an_alert_over_seventy_days(world: World, app: EngineApp) -> None:
    admin = member(world, "admin")
    id = deal(world, age=0)
    opened: dict[int, int] = {}
    for day in range(70):
        move_to(app, START + day * DAY)
        if day == 40:
            activity(world, "call", START + day * DAY - timedelta(hours=1), deal_id=str(id))
        before = len(all_of(world, "ai_notifications"))
        await run_job(app, world, stale_deals.JOB)
        opened[day] = len(all_of(world, "ai_notifications")) - before
        assert len(notes_of(world, "stale_deal", status="open")) == (7 <= day < 40 or day >= 47)
        assert (tags(world, id) == ["at-risk"]) == (30 <= day < 40)

    # Day 7: alert and digest; day 30, a moment later: escalation; day 47: again alert and digest.
    assert {day: count for day, count in opened.items() if count} == {7: 2, 30: 1, 47: 2}
    first, second = notes_of(world, "stale_deal")
    assert (first["status"], first["closed_reason"]) == ("closed", "activity")
    assert second["status"] == "open"
    assert sorted(one["status"] for one in all_of(world, "tasks")) == ["done", "open"]
    (escalation,) = notes_of(world, "deals_at_risk")
    assert (escalation["user_id"], escalation["deal_id"]) == (admin, id)
    assert [one["status"] for one in notes_of(world, "stale_deals_digest")] == ["closed", "open"]


async def test_two_hundred_stale_deals_are_one_digest_per_user(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale_deals, "PAGE", 30)
    admins = [member(world, "admin") for _ in range(2)]
    other = member(world)
    for number in range(200):
        owner = world.user if number % 4 else other
        deal(world, f"Deal {number}", 40 if number < 50 else 10, owner=owner)

    await run_job(app, world, stale_deals.JOB, steps=True)

    assert len(notes_of(world, "stale_deal", status="open")) == 200
    digests = {one["user_id"]: one for one in notes_of(world, "stale_deals_digest")}
    assert digests.keys() == {world.user, other}
    assert digests[world.user]["title"] == "150 deals are inactive"
    assert digests[world.user]["body"].endswith("and 140 more")
    escalations = {one["user_id"]: one for one in notes_of(world, "deals_at_risk")}
    assert escalations.keys() == set(admins)
    assert escalations[admins[0]]["title"] == "50 deals at risk"
    assert len(escalations[admins[0]]["deal_ids"]) == 50


@pytest.mark.covers("CL-23")
async def test_what_counts_as_activity(world: World, app: EngineApp) -> None:
    recent, contact = START - DAY, ObjectId()
    kinds = ("email", "call", "meeting", "note", "email_received", "email_replied")
    for type in kinds:
        activity(world, type, recent, deal_id=deal(world, f"fresh {type}"))
    for type in ("page_view", "sequence_email", "deal_created"):
        activity(world, type, recent, deal_id=deal(world, f"stale {type}"))
    deal(world, "fresh by contact", contact_id=str(contact))
    activity(world, "call", recent, contact_id=contact)
    by_note, automatic = deal(world, "fresh by note"), deal(world, "stale automatic note")
    note = {"account_id": world.account, "createdAt": recent}
    world.db["notes"].insert_one({**note, "deal_id": by_note})
    world.db["notes"].insert_one({**note, "deal_id": automatic, "automation": ObjectId()})
    theirs = world.neighbour()
    activity(theirs, "call", recent, deal_id=deal(world, "stale by neighbour"))

    await run_job(app, world, stale_deals.JOB)

    alerted = {one["body"].split(":")[0] for one in notes_of(world, "stale_deal")}
    named = {one["name"] for one in all_of(world, "deals") if one["name"].startswith("stale")}
    assert alerted == named


async def test_a_snoozed_alert_is_left_alone_until_its_time(world: World, app: EngineApp) -> None:
    admin = member(world, "admin")
    id = deal(world, age=29)
    await run_job(app, world, stale_deals.JOB)
    until = START + 5 * DAY
    snooze = {"snoozed_until": until, "snooze_reason": "on holiday"}
    world.db["ai_notifications"].update_one({"deal_id": id}, {"$set": snooze})
    for day in range(1, 5):
        move_to(app, START + day * DAY)
        await run_job(app, world, stale_deals.JOB)
        assert notes_of(world, "deals_at_risk") == []
        assert tags(world, id) == []
    move_to(app, until)
    await run_job(app, world, stale_deals.JOB)
    assert [one["user_id"] for one in notes_of(world, "deals_at_risk")] == [admin]
    assert tags(world, id) == ["at-risk"]


async def test_what_people_do_is_not_undone(world: World, app: EngineApp) -> None:
    dismissed, untagged, tagged = deal(world, "a"), deal(world, "b", 40), deal(world, "c", 40, tags=["at-risk", "x"])
    null = deal(world, "d", 40, tags=None)
    await run_job(app, world, stale_deals.JOB)
    assert tags(world, null) == ["at-risk"]
    world.db["ai_notifications"].update_one({"deal_id": dismissed}, {"$set": {"status": "closed"}})
    world.db["deals"].update_one({"_id": untagged}, {"$set": {"tags": []}})
    move_to(app, START + DAY)
    await run_job(app, world, stale_deals.JOB)
    assert [one["status"] for one in notes_of(world, "stale_deal", deal_id=dismissed)] == ["closed"]
    assert tags(world, untagged) == []

    world.db["ai_notifications"].update_one({"deal_id": null}, {"$set": {"status": "closed"}})
    for id in (untagged, tagged, null):
        activity(world, "call", START + DAY, deal_id=id)
    move_to(app, START + 2 * DAY)
    await run_job(app, world, stale_deals.JOB)

    assert [tags(world, id) for id in (untagged, tagged, null)] == [[], ["at-risk", "x"], []]
    assert "at_risk" not in (world.db["deals"].find_one({"_id": null}) or {})


@pytest.mark.parametrize("end", [{"status": "won"}, {"status": "lost"}, None])
async def test_the_alert_of_a_deal_that_ended_is_closed(world: World, app: EngineApp, end: Document | None) -> None:
    id = deal(world)
    await run_job(app, world, stale_deals.JOB)
    deals = world.db["deals"]
    _ = deals.update_one({"_id": id}, {"$set": end}) if end else deals.delete_one({"_id": id})
    await run_job(app, world, stale_deals.JOB)
    (alert,) = notes_of(world, "stale_deal")
    assert alert["status"] == "closed"
    assert [one["status"] for one in all_of(world, "tasks")] == ["done"]
    assert [one["status"] for one in notes_of(world, "stale_deals_digest")] == ["closed"]


async def test_thresholds_of_the_account_and_an_owner_who_left(world: World, app: EngineApp) -> None:
    admin = member(world, "admin")
    profile(world, stale_days=3, critical_days=5)
    id = deal(world, age=4, owner=ObjectId())
    await run_job(app, world, stale_deals.JOB)
    (alert,) = notes_of(world, "stale_deal")
    assert (alert["title"], alert["user_id"], alert["deal_id"]) == ("Deal inactive for 3 days", admin, id)


@pytest.mark.parametrize(
    "odd",
    [
        {"name": None, "tags": "many"},
        {"status": ["open"], "owner": {"x": 1}},
        {"contact_id": "none", "created_by": None, "owner": None},
        {"createdAt": "long ago", "contact_id": {"x": 1}},
        {"status": None, "at_risk": "yes"},
    ],
)
async def test_odd_deals_do_no_harm(world: World, app: EngineApp, odd: Document) -> None:
    deal(world, "odd", 40)
    world.db["deals"].update_many({}, {"$set": odd})
    good = deal(world, "good", 40)
    activity(world, "call", "yesterday", deal_id=good)  # type: ignore[arg-type]
    activity(world, "call", datetime(9999, 1, 1, tzinfo=UTC), deal_id=good)
    world.db["ai_notifications"].insert_one({"account_id": world.account, "kind": "stale_deal", "status": "open"})
    await run_job(app, world, stale_deals.JOB)
    assert len(notes_of(world, "stale_deal", deal_id=good)) == 1
    assert tags(world, good) == ["at-risk"]


def state_of(world: World) -> list[Any]:
    """What users see, without ids."""
    notifications = sorted(
        (one["kind"], one["title"], one["body"], one["status"], one.get("closed_reason"), one.get("at_risk"))
        for one in all_of(world, "ai_notifications", kind="stale_deal")
    )
    others = sorted((one["kind"], one["status"]) for one in all_of(world, "ai_notifications", kind="deals_at_risk"))
    tasks = sorted((one["description"], one["status"]) for one in all_of(world, "tasks"))
    deals = sorted((one["name"], str(one["tags"]), "at_risk" in one) for one in all_of(world, "deals"))
    digests = [one["title"] for one in all_of(world, "ai_notifications", kind="stale_deals_digest", status="open")]
    return [notifications, others, tasks, deals, digests]


async def before_the_kill(world: World, app: EngineApp) -> None:
    """Deals of every kind, with the alerts of a day before."""
    member(world, "admin")
    for name, age in {
        "fresh": 3,
        "stale": 10,
        "critical": 40,
        "to come alive": 12,
        "at risk, to come alive": 45,
    }.items():
        deal(world, name, age)
    deal(world, "to be at risk", 29.5)
    move_to(app, START)
    await run_job(app, world, stale_deals.JOB)
    deal(world, "new and stale", 9)
    deal(world, "new and critical", 50)
    for name in ("to come alive", "at risk, to come alive"):
        (found,) = all_of(world, "deals", name=name)
        activity(world, "call", START, deal_id=found["_id"])
    move_to(app, START + DAY)


STEPS: list[tuple[object, str]] = [
    *((DealAlerts, name) for name in ("add_tasks", "end_tasks", "tag", "untag", "mark_at_risk")),
    *((DealAlerts, name) for name in ("begin_escalation", "end_escalation", "by_user")),
    *((Notifications, name) for name in ("open", "close")),
]


@pytest.mark.covers("CL-X9")
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=lambda one: one if isinstance(one, str) else "")
async def test_a_run_that_is_killed_anywhere_comes_to_the_same_end(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, nth: int
) -> None:
    whole = world.neighbour()
    await before_the_kill(whole, app)
    await run_job(app, whole, stale_deals.JOB)
    await before_the_kill(world, app)
    with monkeypatch.context() as patch:
        stop_at(patch, owner, name, at_call(nth))
        try:
            await run_job(app, world, stale_deals.JOB)
        except Stop:
            pass
        else:
            pytest.skip(f"{name} is not called {nth} times")

    await run_job(app, world, stale_deals.JOB)

    assert state_of(world) == state_of(whole)


def at_call(nth: int) -> Callable[[], bool]:
    calls: list[None] = []

    def reached() -> bool:
        calls.append(None)
        return len(calls) == nth

    return reached
