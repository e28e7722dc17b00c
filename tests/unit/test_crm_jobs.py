"""The table of scheduled jobs, ids of slots, whose turn it is, places, zones and rules. Pure."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import Code, Decimal128, Int64, ObjectId

from pipeline_engine import settings, workers
from pipeline_engine.domain import jobs
from pipeline_engine.domain.jobs import lane
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.lane import LANE, MAX_OF_ACCOUNT, MAX_OF_JOB, SLOT, Places
from pipeline_engine.domain.jobs.lifecycle_rules import read_rules
from pipeline_engine.domain.jobs.run import added
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.jobs.slot_id import ONCE, SlotId, read_slot_id
from pipeline_engine.domain.jobs.sweep import slots_at
from pipeline_engine.domain.jobs.table import JOBS, job_named
from pipeline_engine.domain.jobs.turn import Turn, turn_of
from pipeline_engine.domain.jobs.zones import UTC_ZONE, named_zone, zone_of
from pipeline_engine.domain.scoring import has_expired, points_left
from tests.support.said import Said

MACHINERY = {
    *("crm_job", "follow", "lane", "lifecycle_rules", "run", "schedule", "slot_id", "sweep", "table", "timetable"),
    *("turn", "zones"),
}
"""Modules of the folder that are no job."""
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ACCOUNT = ObjectId("6b07c2f85537fb1c0e35d0e7")


async def nothing(_work: JobWork) -> JobResult:
    return JobResult()


@pytest.mark.covers("CL-X1")
def test_folder_and_table_hold_the_same_jobs() -> None:
    files = {file.stem for file in Path(jobs.__path__[0]).glob("*.py")} - MACHINERY - {"__init__"}
    assert sorted(job.short_name for job in JOBS) == sorted(files)
    assert {job.name for job in JOBS} <= set(workers.sweeps())


def test_a_job_that_follows_another_has_its_schedule() -> None:
    for job in JOBS:
        assert {before.schedule for name in job.after if (before := job_named(name))} <= {job.schedule}


def test_a_job_is_named_with_and_without_its_prefix() -> None:
    assert job_named("crm.lifecycle") is job_named("lifecycle") is not None
    assert job_named("crm.nothing") is None


@pytest.mark.covers("CL-31")
@pytest.mark.parametrize("off", ["stale", " crm.stale ,x", "umbrella", "x,crm.umbrella"])
def test_a_job_is_switched_off_by_its_name_or_that_of_its_umbrella(off: str) -> None:
    job = CrmJob("crm.stale", DailyAt(time(9)), nothing, needs=lambda _: "no key", part_of="crm.umbrella")
    configured = settings.load(_env_file=None, crm_jobs_off=off)
    assert job.skipped(configured) == "switched off by CRM_JOBS_OFF"
    assert job.skipped(settings.load(_env_file=None, crm_jobs_off="stal, deals")) == "no key"
    alone = CrmJob("crm.stale", DailyAt(time(9)), nothing)
    assert alone.skipped(settings.load(_env_file=None)) is None


@pytest.mark.parametrize("slot", ["2026-03-29", "2026-03-29T01:30Z", f"{ONCE}1a2b3c4d"])
def test_an_id_of_a_slot_is_read_back(slot: str) -> None:
    id = SlotId("crm.lifecycle", ACCOUNT, slot)
    assert read_slot_id(str(id)) == id
    assert SLOT.can_name(str(id))
    assert id.is_once is slot.startswith(ONCE)


@pytest.mark.parametrize("text", ["", "crm.x", f"crm.x:{ACCOUNT}", f"crm.x:{ACCOUNT}:", ":a:b", "crm.x:nobody:2026"])
def test_what_is_no_id_of_a_slot_is_none(text: str) -> None:
    assert read_slot_id(text) is None


def row(slot: str, state: str = "due", held: bool = False, **fields: Any) -> dict[str, Any]:
    return {
        "slot": slot,
        "state": state,
        "is_held": held,
        **({"is_once": True} if slot.startswith(ONCE) else {}),
        **fields,
    }


@pytest.mark.covers("R-11")
@pytest.mark.parametrize(
    ("mine", "claims", "others", "turn"),
    [
        ("2026-05-04", 1, [], Turn.GO),
        ("2026-05-04", 1, [row("2026-05-03")], Turn.WAIT),  # begun and not ended: it comes first
        ("2026-05-04", 1, [row("2026-05-03", held=True)], Turn.WAIT),
        ("2026-05-03", 1, [row("2026-05-04")], Turn.SKIP),  # never begun before the later one was there
        ("2026-05-03", 1, [row("2026-05-04", "done")], Turn.SKIP),
        ("2026-05-03", 2, [row("2026-05-04")], Turn.GO),  # was begun: it goes on, and the later one waits
        ("2026-05-03", 2, [row("2026-05-04", held=True)], Turn.WAIT),
        ("2026-05-04", 1, [row(f"{ONCE}1", held=True)], Turn.WAIT),
        ("2026-05-04", 1, [row(f"{ONCE}1")], Turn.GO),  # its process has ended
        (f"{ONCE}2", 1, [row("2026-05-04", held=True)], Turn.WAIT),
        (f"{ONCE}2", 1, [row("2026-05-04"), row("2026-05-05", "done")], Turn.GO),
        (f"{ONCE}2", 1, [row(f"{ONCE}1", held=True)], Turn.WAIT),
    ],
)
def test_slots_of_an_account_take_turns(mine: str, claims: int, others: list[dict[str, Any]], turn: Turn) -> None:
    assert turn_of(row(mine, claims=claims), others) is turn


def test_of_two_slots_that_begin_at_the_same_time_one_works() -> None:
    """Both rows are inserted and claimed before either run looks at the other's."""
    older, newer = row("2026-05-03", held=True, claims=1), row("2026-05-04", held=True, claims=1)
    assert (turn_of(older, [newer]), turn_of(newer, [older])) == (Turn.SKIP, Turn.WAIT)


async def test_neither_an_account_nor_a_job_takes_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "WAIT_SECONDS", 0.01)
    places, other = Places(), ObjectId()
    names = [f"crm.{n}" for n in range(MAX_OF_ACCOUNT)]
    assert [await places.take(SlotId(name, ACCOUNT, "x")) for name in names] == [True] * MAX_OF_ACCOUNT
    assert not await places.take(SlotId("crm.more", ACCOUNT, "x"))
    assert await places.take(SlotId("crm.more", other, "x"))
    places.give_back(SlotId(names[0], ACCOUNT, "x"))
    assert await places.take(SlotId("crm.more", ACCOUNT, "x"))
    assert await places.take(SlotId("crm.more", ObjectId(), "x"))
    assert not await places.take(SlotId("crm.more", ObjectId(), "x"))
    assert MAX_OF_ACCOUNT < MAX_OF_JOB < LANE.places


async def test_a_slot_waits_for_a_place_that_is_given_back_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every quick job would send most of its slots away for seconds."""
    monkeypatch.setattr(lane, "WAIT_SECONDS", 60.0)
    places, ids = Places(), [SlotId("crm.x", ObjectId(), "x") for _ in range(MAX_OF_JOB + 1)]
    assert [await places.take(id) for id in ids[:-1]] == [True] * MAX_OF_JOB
    waiting = asyncio.create_task(places.take(ids[-1]))
    await asyncio.sleep(0)
    assert not waiting.done()
    places.give_back(ids[0])
    assert await waiting


async def test_after_one_wait_in_vain_none_waits_until_a_place_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "WAIT_SECONDS", 0.01)
    places, ids = Places(), [SlotId("crm.x", ObjectId(), "x") for _ in range(MAX_OF_JOB)]
    assert [await places.take(id) for id in ids] == [True] * MAX_OF_JOB
    late = SlotId("crm.x", ObjectId(), "x")
    assert not await places.take(late)
    monkeypatch.setattr(lane, "WAIT_SECONDS", 3600.0)
    assert not await places.take(late)
    places.give_back(ids[0])
    assert await places.take(late)


def test_accounts_have_the_slots_of_their_zones() -> None:
    job = CrmJob("crm.x", DailyAt(time(2)), nothing)
    names = ["Pacific/Kiritimati", "America/Los_Angeles", None, "Mars/Olympus"]
    zones = {ObjectId(): name for name in names}
    assert list(slots_at(job, zones, datetime(2026, 5, 4, 12, tzinfo=UTC)).values()) == [
        "2026-05-05",
        "2026-05-04",
        "2026-05-04",
        "2026-05-04",
    ]
    assert list(slots_at(job, zones, datetime(2026, 5, 4, 8, tzinfo=UTC)).values())[1] == "2026-05-03"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "America", "a\0b", "Ä" * 300])
def test_an_unknown_zone_is_utc_and_is_logged_once(name: str, said: Said) -> None:
    named_zone.cache_clear()
    assert [zone_of({"timezone": name}, {}) for _ in range(3)] == [UTC_ZONE] * 3
    assert said().count("time_zone.unknown") == (1 if name else 0)


def test_the_profile_says_the_zone_then_the_account() -> None:
    berlin, tokyo = {"timezone": "Europe/Berlin"}, {"timezone": "Asia/Tokyo"}
    assert zone_of(berlin, tokyo) == ZoneInfo("Europe/Berlin")
    assert zone_of({}, tokyo) == ZoneInfo("Asia/Tokyo")
    assert zone_of({"timezone": ["x"]}, {}) == UTC_ZONE
    assert zone_of({"timezone": Code("Europe/Berlin")}, tokyo) == ZoneInfo(
        "Europe/Berlin"
    )  # no cache takes Code itself


def test_counts_of_slices_are_added() -> None:
    assert added({}, JobResult(3, 1)) == {"done": 3, "failed": 1}
    assert added({"done": 2, "failed": None}, JobResult(3, 1)) == {"done": 5, "failed": 1}


@pytest.mark.covers("CL-19", "CL-20")
def test_lifecycle_rules_are_the_seeds_unless_the_account_has_its_own() -> None:
    rules = read_rules({})
    assert (rules.mql_grades, rules.mql_intent, rules.mql_form) == (("A", "B"), 50, True)
    assert (rules.sql_grades, rules.sql_activities) == (("A",), ("call", "meeting"))
    own = {"mql": {"min_grade": "D", "min_intent": 10, "form_submission": False}, "sql": {"activities": ["note", 7]}}
    given = read_rules({"lifecycle_rules": own})
    assert (given.mql_grades, given.mql_intent, given.mql_form) == (("A", "B", "C", "D"), 10, False)
    assert (given.sql_grades, given.sql_activities) == (("A",), ("note",))


@pytest.mark.parametrize("junk", [None, 7, "x", [], {"mql": 3, "sql": [], "customer": "won", "opportunity": None}])
def test_rules_of_another_type_count_as_absent(junk: object) -> None:
    assert read_rules({"lifecycle_rules": junk}) == read_rules({})


@pytest.mark.covers("CL-16", "CL-17", "CL-X5")
@pytest.mark.parametrize(
    ("points", "hours", "left"),
    [(5, 23, 5), (5, 24, 3), (5, 71, 1), (5, 72, 0), (50, 24 * 10, 30), (3, 24, 1), ("many", 0, 0), (None, 0, 0)],
)
def test_a_signal_loses_two_points_a_day(points: Any, hours: int, left: float) -> None:
    signal = {"points": points, "occurred_at": NOW - timedelta(hours=hours)}
    assert points_left(signal, NOW, 2.0) == left
    assert has_expired(signal, NOW, 2.0, None) is (left <= 0)


@pytest.mark.parametrize("points", ["30", " 30.0 ", Decimal128("30"), 30, Int64(30)])
def test_points_are_read_however_the_crm_stored_their_number(points: Any) -> None:
    signal = {"type": "form_submission", "points": points, "occurred_at": NOW - timedelta(hours=25)}
    assert points_left(signal, NOW, 2.0) == 28


@pytest.mark.parametrize("points", ["many", "", True, [], math.nan, "NaN", Decimal128("sNaN"), None])
def test_points_that_are_no_number_count_as_absent(points: Any) -> None:
    signal = {"type": "form_submission", "points": points, "occurred_at": NOW - timedelta(hours=25)}
    assert points_left(signal, NOW, 2.0) == 18


def test_a_floor_counts_from_the_second_day_of_a_signal_on() -> None:
    view = {"points": 5, "occurred_at": NOW - timedelta(hours=23)}
    assert not has_expired(view, NOW, 2.0, 10.0)
    assert has_expired({**view, "occurred_at": NOW - timedelta(hours=25)}, NOW, 2.0, 10.0)
    assert not has_expired({"points": 50, "occurred_at": NOW - timedelta(days=20)}, NOW, 2.0, 10.0)
