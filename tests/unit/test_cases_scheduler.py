"""The situations of tests/cases that speak of times of day, as far as they are a rule without a clock."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipeline_engine.domain.jobs.schedule import DailyAt
from tests.support.cases import read

SLOT_CHECK_SECONDS = DailyAt(time(2)).tick_seconds
CASE = "43-two-oclock-jobs"
ZONES = [account["timezone"] for account in read(CASE, "setup.json")["_accounts"]]
# Each pair of days holds a night in which the clocks of at least one of the zones change.
NIGHTS = [(3, 28), (10, 24), (3, 7), (10, 31), (4, 4), (10, 3), (9, 5)]
TIMES = [time(2), time(3), time(9)]


def starts(at: time, zone: str, begin: datetime, end: datetime, off: tuple[datetime, ...] = ()) -> dict[str, datetime]:
    """{slot: when its job runs} of a daemon that looks every SLOT_CHECK_SECONDS, but for between the two moments
    `off`. The slot of the first look is taken as done."""
    seen, ran, now = {DailyAt(at).slot(begin, ZoneInfo(zone))}, {}, begin
    while now < end:
        slot = DailyAt(at).slot(now, ZoneInfo(zone))
        if slot not in seen and not (off and off[0] <= now < off[1]):
            seen.add(slot)
            ran[slot] = now
        now += timedelta(seconds=SLOT_CHECK_SECONDS)
    return ran


@pytest.mark.parametrize("at", TIMES, ids=str)
@pytest.mark.parametrize("zone", ZONES)
def test_43_every_local_day_has_one_run(zone: str, at: time) -> None:
    for month, day in NIGHTS:
        begin = datetime(2026, month, day, 12, tzinfo=UTC)
        end = begin + timedelta(days=2)
        days = [(begin + timedelta(days=n)).date() for n in range(-1, 4)]
        # In a gap of the clock, zoneinfo takes the moment at which the gap begins.
        due = {day.isoformat(): datetime.combine(day, at, ZoneInfo(zone)).astimezone(UTC) for day in days}
        assert starts(at, zone, begin, end) == {day: moment for day, moment in due.items() if begin < moment < end}


@pytest.mark.parametrize(
    ("at", "zone", "slot", "utc"),
    [
        (time(2), "Europe/Berlin", "2026-03-29", "2026-03-29T01:00"),  # 02:00 does not exist
        (time(2), "Europe/Berlin", "2026-10-25", "2026-10-25T00:00"),  # 02:00 comes twice
        (time(9), "Europe/Berlin", "2026-03-28", "2026-03-28T08:00"),
        (time(9), "Europe/Berlin", "2026-03-29", "2026-03-29T07:00"),
        (time(9), "Europe/Berlin", "2026-10-25", "2026-10-25T08:00"),
        (time(2), "America/New_York", "2026-03-08", "2026-03-08T07:00"),
        (time(2), "Australia/Lord_Howe", "2026-10-04", "2026-10-03T15:30"),  # a gap of half an hour
    ],
)
def test_43_a_job_starts_at_the_first_moment_that_there_is(at: time, zone: str, slot: str, utc: str) -> None:
    expected = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert starts(at, zone, expected - timedelta(hours=20), expected + timedelta(hours=1))[slot] == expected


@pytest.mark.parametrize("at", TIMES, ids=str)
@pytest.mark.parametrize("zone", ZONES)
def test_43_a_night_without_a_daemon_is_caught_up_once(zone: str, at: time) -> None:
    midnight = datetime(2026, 3, 29, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    morning = midnight + timedelta(hours=5)
    ran = starts(at, zone, midnight - timedelta(hours=12), midnight + timedelta(hours=20), (midnight, morning))
    today = {slot: moment for slot, moment in ran.items() if slot == "2026-03-29"}
    assert len(today) == 1
    assert min(today.values()) >= morning
