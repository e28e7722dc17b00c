"""Intent decay over days: computed from the signals' times, so never twice and never missed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from bson.decimal128 import Decimal128

from pipeline_engine.domain.consumers.reactions import intent
from pipeline_engine.domain.jobs import intent_decay
from tests.support.contacts import ago, signal
from tests.support.crm_events import contact, contact_of, event_of, insert, profile
from tests.support.crm_events import work as consume
from tests.support.crm_jobs import NOON, SLOT, JobApp, relay_all, scope, work
from tests.support.dying import die_at
from tests.support.engine_app import EngineApp
from tests.support.world import World

NAME = intent_decay.NAME
POINTS = [
    ("mongo.contacts.bulk", 1),
    ("mongo.contacts.find", 2),
    ("mongo.crm_events.insert_one", 1),
    ("mongo.crm_events.insert_one", 2),
    ("mongo.contacts.update_one", 1),
    ("mongo.intent_signals.update_many", 1),
    ("mongo.cron_slots.find_one_and_update", 1),
    ("mongo.cron_slots.find_one_and_update", 2),
]


@pytest.fixture
def jobs(app: EngineApp) -> JobApp:
    return scope(app)


async def on_day(jobs: JobApp, world: World, day: int) -> dict[str, Any]:
    """The night that begins `day` days after NOON."""
    jobs.clock.set(NOON + timedelta(days=day))
    return await work(jobs, world.account, NAME, (NOON + timedelta(days=day)).date().isoformat())


def crossings(world: World, id: ObjectId) -> list[tuple[str, str]]:
    found = world.db["crm_events"].find({"type": "intent.crossed", "data.contact_id": str(id)}).sort("occurred_at")
    return [(one["data"]["from"], one["data"]["level"]) for one in found]


@pytest.mark.covers("CL-17")
@pytest.mark.parametrize(
    ("type", "points"),
    [("page_view", 5), ("email_open", 3), ("link_click", 10), ("form_submission", 20), ("demo_request", 50)],
)
async def test_a_signal_without_points_has_those_of_its_type(
    world: World, jobs: JobApp, type: str, points: int
) -> None:
    id = contact(world)
    signal(world, id, None, type=type)

    await on_day(jobs, world, 1)

    assert contact_of(world, id)["intent_score"] == points - 2


async def test_a_contact_without_a_level_has_had_that_of_its_score(world: World, jobs: JobApp) -> None:
    falling, staying = contact(world, intent_score=60), contact(world, intent_score=60)
    signal(world, falling, 40)
    signal(world, staying, 56)

    await on_day(jobs, world, 1)

    assert (crossings(world, falling), crossings(world, staying)) == ([("high", "medium")], [])


@pytest.mark.covers("CL-16", "CL-17", "CL-X5", "CL-X6", "CL-30")
async def test_scores_fade_night_by_night_until_nothing_is_left(world: World, jobs: JobApp) -> None:
    id = contact(world, company="Acme", title="CEO", intent_score=84.0, intent_level="high")
    demo, view = signal(world, id, 50), signal(world, id, 5)
    signal(world, str(id), 20, type="form_submission")
    signal(world, id, 10, days=1)
    scores = []
    for day in range(27):
        row = await on_day(jobs, world, day)
        assert row["state"] == "done"
        found = contact_of(world, id)
        scores.append((found["intent_score"], found["intent_level"], found["lead_score"]))

    expected = [sum(max(0, p - 2 * (d + age)) for p, age in ((50, 0), (5, 0), (20, 0), (10, 1))) for d in range(27)]
    assert [score for score, _, _ in scores] == expected
    assert [level for _, level, _ in scores] == [
        "high" if score >= 50 else "medium" if score >= 20 else "low" for score in expected
    ]
    assert [lead for _, _, lead in scores] == [40 + min(60, score) for score in expected]
    assert crossings(world, id) == [("high", "medium"), ("medium", "low")]
    signals = {one["_id"]: one for one in world.db["intent_signals"].find()}
    assert all(one["expired_at"] for one in signals.values())  # kept as facts
    assert signals[view]["expired_at"] < signals[demo]["expired_at"]
    assert signals[demo]["points"] == 50


@pytest.mark.covers("CL-X6")
async def test_days_without_a_daemon_and_days_with_many_runs_end_alike(world: World, jobs: JobApp) -> None:
    id = contact(world)
    signal(world, id, 50)
    await on_day(jobs, world, 1)
    for n in range(3):
        await work(jobs, world.account, NAME, f"once:{n}")
    assert contact_of(world, id)["intent_score"] == 48

    await on_day(jobs, world, 9)

    assert contact_of(world, id)["intent_score"] == 32


async def test_the_account_decides_on_decay_levels_and_floor(world: World, jobs: JobApp) -> None:
    profile(world, decay_per_day=5, intent_levels={"high": 30, "medium": 25}, decay_floor=10)
    id, fresh = contact(world, intent_score=99.0, intent_level="high"), contact(world)
    signal(world, id, 50, days=4)
    signal(world, id, 12, days=1)  # 7 are left, which is under the floor
    signal(world, fresh, 5)

    row = await on_day(jobs, world, 0)

    assert (contact_of(world, id)["intent_score"], contact_of(world, id)["intent_level"]) == (30, "high")
    assert contact_of(world, fresh)["intent_score"] == 5
    assert row["counts"] == {"done": 2, "failed": 0}
    assert world.db["intent_signals"].count_documents({"expired_at": {"$gt": ago(1)}}) == 1


@pytest.mark.covers("CL-X5")
async def test_without_a_floor_the_first_night_leaves_views_and_opens(world: World, jobs: JobApp) -> None:
    id = contact(world)
    for points in (5, 3, 10):
        signal(world, id, points, days=1)

    await on_day(jobs, world, 0)

    assert contact_of(world, id)["intent_score"] == 3 + 1 + 8


async def test_what_nobody_can_score_costs_nothing(world: World, jobs: JobApp) -> None:
    """Signals of contacts that are gone, with odd points and times, and of other accounts."""
    id, odd = contact(world, intent_score="many"), contact(world, intent_score=Decimal128("3.5"), events_due="x")
    signal(world, id, 20)
    for points in (-5, 1e12):
        signal(world, id, points)
    for no_number in ("many", True, float("nan"), [1]):
        signal(world, id, no_number, type="email_open")  # counts its type's 3
    signal(world, id, 7, occurred_at="yesterday")
    signal(world, odd, 6)
    for nowhere in (ObjectId(), "no id", 7, None, {"a": 1}):
        signal(world, nowhere, 5)
    other = world.neighbour()
    theirs = contact(other)
    signal(other, theirs, 5)
    signal(world, theirs, 5)

    row = await on_day(jobs, world, 0)

    assert (row["state"], row["counts"]["failed"]) == ("done", 0)
    assert (contact_of(world, id)["intent_score"], contact_of(world, odd)["intent_score"]) == (39, 6)
    assert "intent_score" not in contact_of(world, theirs)
    other.close()


async def test_a_contact_that_cannot_be_changed_fails_alone(world: World, jobs: JobApp) -> None:
    world.demand("contacts", {"$or": [{"locked": {"$ne": True}}, {"intent_score": None}]})
    good, bad = contact(world), contact(world, locked=True)
    for id in (good, bad):
        signal(world, id, 30)

    row = await on_day(jobs, world, 0)

    assert row["counts"] == {"done": 1, "failed": 1}
    assert contact_of(world, good)["intent_score"] == 30


async def test_many_contacts_take_several_slices_and_pages(
    world: World, jobs: JobApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intent_decay, "SIGNALS_PER_PAGE", 3)
    monkeypatch.setattr("pipeline_engine.domain.jobs.run.SLICE_SECONDS", -1.0)
    ids = [contact(world) for _ in range(10)]
    for id in ids:
        for place in range(3):
            signal(world, id if place else str(id), 5)

    row = await on_day(jobs, world, 0)

    assert {contact_of(world, id)["intent_score"] for id in ids} == {15}
    assert row["state"] == "done"
    assert row["claims"] > 5


@pytest.mark.covers("CL-X7")
async def test_a_signal_that_comes_in_between_is_not_lost(
    world: World, app: EngineApp, jobs: JobApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer scores the contact after the job has read its signals: the job's older score is not written."""
    id = contact(world, intent_score=0.0, intent_level="low")
    signal(world, id, 30)
    real = jobs.repos.contact_intent.set

    async def late(*given: Any) -> int:
        insert(world, "demo.requested", {"contact_id": id}, occurred_at=NOON)
        await consume(app, world)
        return await real(*given)

    monkeypatch.setattr(jobs.repos.contact_intent, "set", late)
    await on_day(jobs, world, 0)

    assert contact_of(world, id)["intent_score"] == 80
    assert set(intent.POINTS) == {"page.viewed", "email.opened", "email.clicked", "form.submitted", "demo.requested"}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("point", "nth"), POINTS)
@pytest.mark.covers("CL-X6")
async def test_a_kill_at_any_call_leads_to_the_same_end(
    world: World, jobs: JobApp, monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str
) -> None:
    ids = [contact(world, intent_score=60.0, intent_level="high") for _ in range(2)]
    for id in ids:
        signal(world, id, 50, days=10)
        signal(world, id, 5, days=9)

    assert await die_at(monkeypatch, point, nth, when, lambda: on_day(jobs, world, 0))
    if world.db["cron_slots"].count_documents({"state": "due", "lease_owner": {"$ne": None}}):
        world.abandon("cron_slots", f"{NAME}:{world.account}:{SLOT}")
    await on_day(jobs, world, 0)
    await relay_all(jobs)

    assert [contact_of(world, id)["intent_score"] for id in ids] == [30, 30]
    assert [crossings(world, id) for id in ids] == [[("high", "medium")]] * 2
    assert world.db["intent_signals"].count_documents({"expired_at": None}) == 2
    event = event_of(world, f"{NAME}:{ids[0]}:{SLOT}")
    assert event["data"] == {"contact_id": str(ids[0]), "level": "medium", "score": 30, "from": "high"}
