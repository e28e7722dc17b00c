"""Alerts of stale deals stay true: what is logged late, what people take away, and deals that end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.jobs import stale_deals
from tests.support.engine_app import EngineApp
from tests.support.job_slices import activity, all_of, member, move_to, profile, run_job
from tests.support.world import World

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.fixture
def app(app: EngineApp) -> EngineApp:
    move_to(app, START)
    return app


async def next_day(world: World, app: EngineApp, days: int = 1) -> None:
    move_to(app, START + days * DAY)
    await run_job(app, world, stale_deals.JOB)


@pytest.mark.covers("CL-23", "CL-X9")
async def test_a_call_that_is_logged_late_replaces_the_alert(world: World, app: EngineApp) -> None:
    member(world, "admin")
    id = world.deal(name="Renewal", status="open", createdAt=START - 40 * DAY)
    await run_job(app, world, stale_deals.JOB)
    activity(world, "call", START - 9 * DAY, deal_id=id)

    for day in (1, 2):
        await next_day(world, app, day)

    alerts = all_of(world, "ai_notifications", kind="stale_deal")
    assert [(one["status"], one["body"]) for one in alerts] == [
        ("closed", "Renewal: nothing since 2026-01-21 (its creation)."),
        ("open", "Renewal: nothing since 2026-02-21 (call)."),
    ]
    assert [one["status"] for one in all_of(world, "tasks")] == ["done", "open"]
    assert all_of(world, "deals")[0]["tags"] == [], "ten days are no risk"


async def test_deals_with_ids_of_both_types_are_looked_at(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale_deals, "PAGE", 2)
    ids = [*(str(ObjectId()) for _ in range(3)), *(ObjectId() for _ in range(3))]
    for id in ids:
        world.deal(_id=id, status="open", createdAt=START - 8 * DAY)

    await run_job(app, world, stale_deals.JOB)

    assert {one["deal_id"] for one in all_of(world, "ai_notifications", kind="stale_deal")} == {*ids}


async def test_what_a_user_has_closed_and_deleted_does_not_come_back(world: World, app: EngineApp) -> None:
    world.deal(status="open", createdAt=START - 8 * DAY)
    await run_job(app, world, stale_deals.JOB)
    world.db["ai_notifications"].update_one({"kind": "stale_deal"}, {"$set": {"status": "closed"}})
    world.db["tasks"].delete_many({})

    await next_day(world, app)

    assert all_of(world, "tasks") == []
    assert all_of(world, "ai_notifications", status="open") == []


@pytest.mark.parametrize("end", ["won", "lost"])
async def test_a_deal_that_ended_is_at_risk_no_more(world: World, app: EngineApp, end: str) -> None:
    world.deal(status="open", createdAt=START - 40 * DAY, tags=["vip"])
    await run_job(app, world, stale_deals.JOB)
    assert all_of(world, "deals")[0]["tags"] == ["vip", "at-risk"]
    world.db["deals"].update_one({}, {"$set": {"status": end}})

    await next_day(world, app)

    assert all_of(world, "deals")[0]["tags"] == ["vip"]


async def test_a_planned_call_keeps_a_deal_from_being_stale(world: World, app: EngineApp) -> None:
    id = world.deal(status="open", createdAt=START - 20 * DAY)
    activity(world, "call", START + 3 * DAY, deal_id=id)

    await run_job(app, world, stale_deals.JOB)
    assert all_of(world, "ai_notifications") == []
    await next_day(world, app, 10)

    assert len(all_of(world, "ai_notifications", kind="stale_deal", status="open")) == 1


@pytest.mark.covers("CL-23")
async def test_days_are_those_of_the_account_when_the_clocks_change(world: World, app: EngineApp) -> None:
    """New York's clocks go forward on 2026-03-08. A deal of the evening before is stale a week later."""
    profile(world, timezone="America/New_York")
    world.deal(name="Renewal", status="open", createdAt=datetime(2026, 3, 8, 2, tzinfo=UTC))
    opened = {}
    for day in range(5, 18):
        move_to(app, datetime(2026, 3, day, 13 + (day < 8), tzinfo=UTC))  # 09:00 in New York
        for _ in range(2):
            await run_job(app, world, stale_deals.JOB)
        opened[day] = len(all_of(world, "ai_notifications"))
    assert opened == {day: 2 if day >= 15 else 0 for day in range(5, 18)}
    (alert,) = all_of(world, "ai_notifications", kind="stale_deal")
    assert alert["body"] == "Renewal: nothing since 2026-03-07 (its creation)."


async def test_an_admin_who_has_left_is_not_notified(world: World, app: EngineApp) -> None:
    here, left = member(world, "admin"), member(world, "admin")
    world.db["users"].update_one({"_id": left}, {"$set": {"active": False}})
    world.deal(status="open", createdAt=START - 40 * DAY)
    await run_job(app, world, stale_deals.JOB)
    assert [one["user_id"] for one in all_of(world, "ai_notifications", kind="deals_at_risk")] == [here]


@pytest.mark.parametrize("odd", [[], [ObjectId()], {"x": 1}, 7])
async def test_an_alert_with_an_odd_escalation_is_escalated_with_the_others(
    world: World, app: EngineApp, odd: object
) -> None:
    admin = member(world, "admin")
    id = world.deal(name="good", status="open", createdAt=START - 40 * DAY)
    waiting = {"kind": "stale_deal", "deal_id": ObjectId(), "status": "closed", "escalation_due": True}
    world.db["ai_notifications"].insert_one({"account_id": world.account, "escalation": odd, **waiting})
    await run_job(app, world, stale_deals.JOB)
    (escalation,) = all_of(world, "ai_notifications", kind="deals_at_risk", user_id=admin)
    assert escalation["deal_ids"] in ([id, waiting["deal_id"]], [waiting["deal_id"], id])
