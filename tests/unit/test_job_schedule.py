"""Slots of scheduled jobs: once per local day or interval, whatever the clocks of a zone do."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.jobs.schedule import DailyAt, EveryMinutes, slots_since
from pipeline_engine.domain.local_time import first_instant

# Zones whose clocks change in every way there is: by an hour, by half an hour, at midnight and before it, twice a year
# the other way round, during Ramadan, by a whole day, and not at all.
ZONES = (
    *("Europe/Berlin", "Europe/Dublin", "Europe/London", "America/New_York", "America/St_Johns", "America/Havana"),
    *("America/Sao_Paulo", "America/Asuncion", "America/Nuuk", "America/Caracas", "Africa/Casablanca", "Africa/Cairo"),
    *("Asia/Beirut", "Asia/Tehran", "Asia/Kolkata", "Asia/Pyongyang", "Australia/Lord_Howe", "Pacific/Apia"),
    *("Pacific/Chatham", "Antarctica/Troll", "UTC"),
)
TIMES = [time(0), time(0, 30), time(2), time(2, 30), time(3), time(8), time(9), time(23, 30)]
FROM, TO = datetime(2005, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(int(FROM.timestamp()), int(TO.timestamp())).map(lambda at: datetime.fromtimestamp(at, UTC))
HOUR = timedelta(hours=1)
LEFT_OUT = {("Pacific/Apia", date(2011, 12, 30))}
"""Days that a zone did not have."""


@cache
def transitions(zone: ZoneInfo) -> list[datetime]:
    """The moments, to the second, at which the zone's clocks change."""
    found, moment, before = [], FROM, FROM.astimezone(zone).utcoffset()
    while moment < TO:
        moment += 12 * HOUR
        if (offset := moment.astimezone(zone).utcoffset()) != before:
            found.append(_edge(zone, moment - 12 * HOUR, moment))
            before = offset
    return found


def _edge(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high


def shown(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


@pytest.mark.parametrize("at", TIMES, ids=str)
@pytest.mark.parametrize("name", ZONES)
@pytest.mark.covers("CL-X12", "R-11")
def test_around_every_transition_each_local_day_has_one_slot_that_begins_in_time(name: str, at: time) -> None:
    zone, daily = ZoneInfo(name), DailyAt(at)
    for change in transitions(zone):
        moment, begun = change - 49 * HOUR, Counter[str]()
        slot = daily.slot(moment, zone)
        while moment < change + 49 * HOUR:
            moment += timedelta(minutes=15)
            new = daily.slot(moment, zone)
            if new != slot:
                assert new > slot, f"{name} went back from {slot} to {new} at {moment}"
                begun[new] += 1
                # It begins when the clock shows its time or a later one, and did not a tick before.
                assert shown(moment, zone) >= datetime.combine(date.fromisoformat(new), at) or moment > change
                assert daily.start(new, zone) <= moment < daily.start(new, zone) + timedelta(minutes=15)
                slot = new
        days = {(shown(change, zone).date() + timedelta(days=n)).isoformat() for n in (-1, 0, 1)}
        days -= {day.isoformat() for left_out, day in LEFT_OUT if left_out == name}
        assert set(begun.values()) == {1}
        assert days <= {*begun, *_not_due(daily, zone, days, change)}, f"{name}: a day without a slot at {change}"


def _not_due(daily: DailyAt, zone: ZoneInfo, days: set[str], change: datetime) -> set[str]:
    """The days whose slot begins outside of what was walked through."""
    return {day for day in days if not change - 49 * HOUR < daily.start(day, zone) <= change + 49 * HOUR}


def test_the_zones_have_transitions_of_every_kind() -> None:
    assert len(ZONES) >= 20
    assert sum(len(transitions(ZoneInfo(name))) for name in ZONES) > 600
    assert {name for name in ZONES if not transitions(ZoneInfo(name))} == {"Asia/Kolkata", "UTC"}


@given(
    now=MOMENTS,
    name=st.sampled_from(ZONES),
    at=st.times(),
    hours=st.integers(0, 100),
)
def test_a_slot_never_goes_back_and_holds_its_moment(now: datetime, name: str, at: time, hours: int) -> None:
    zone, daily = ZoneInfo(name), DailyAt(at.replace(microsecond=0))
    slot, following = daily.slot(now, zone), daily.next_start(now, zone)
    assert daily.start(slot, zone) <= now < following
    assert daily.slot(following, zone) > slot
    assert daily.slot(following - timedelta(seconds=1), zone) == slot
    assert daily.slot(now + hours * HOUR, zone) >= slot


@pytest.mark.parametrize(
    ("name", "local", "utc"),
    [
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:00"),  # a gap: its end, not half an hour behind it
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30"),  # twice: the first
        ("America/Nuuk", "2024-03-30T23:30", "2024-03-31T01:00"),  # a gap at the end of the day
        ("Africa/Cairo", "2026-04-24T00:00", "2026-04-23T22:00"),  # a day that begins at 01:00
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30"),  # a gap of half an hour
    ],
)
def test_a_time_that_does_not_exist_means_the_end_of_the_gap(name: str, local: str, utc: str) -> None:
    expected = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert first_instant(datetime.fromisoformat(local), ZoneInfo(name)) == expected


def test_a_slot_does_not_end_again_when_its_time_comes_twice() -> None:
    """At 02:00 of the second time the clock shows less than 02:30, and the slot of that day goes on."""
    berlin, daily = ZoneInfo("Europe/Berlin"), DailyAt(time(2, 30))
    moments = [datetime(2026, 10, 25, 0, 29, tzinfo=UTC) + timedelta(minutes=15 * n) for n in range(10)]
    assert [daily.slot(one, berlin)[-2:] for one in moments] == ["24", *["25"] * 9]


def test_a_day_that_a_zone_leaves_out_has_no_slot() -> None:
    apia, daily = ZoneInfo("Pacific/Apia"), DailyAt(time(2))
    walked = {daily.slot(datetime(2011, 12, 28, tzinfo=UTC) + HOUR * n, apia) for n in range(120)}
    assert {"2011-12-29", "2011-12-31"} < walked
    assert "2011-12-30" not in walked


@given(now=MOMENTS, minutes=st.sampled_from([5, 10, 30, 120, 1440]))
def test_intervals_follow_each_other_without_a_gap(now: datetime, minutes: int) -> None:
    schedule, utc = EveryMinutes(minutes), ZoneInfo("UTC")
    slot = schedule.slot(now, utc)
    assert schedule.start(slot, utc) <= now < schedule.next_start(now, utc)
    assert schedule.next_start(now, utc) - schedule.start(slot, utc) == timedelta(minutes=minutes)
    assert schedule.slot(now, ZoneInfo("Asia/Kolkata")) == slot


@pytest.mark.parametrize("minutes", [0, -5, 7, 2880])
def test_an_interval_that_does_not_divide_a_day_is_refused(minutes: int) -> None:
    with pytest.raises(ValueError, match="do not divide a day"):
        EveryMinutes(minutes)


def test_slots_since_a_moment_are_all_that_may_have_ended() -> None:
    now, utc = datetime(2026, 5, 4, 1, 7, tzinfo=UTC), ZoneInfo("UTC")
    assert slots_since(EveryMinutes(30), now - HOUR, now, utc) == [
        "2026-05-04T00:00Z",
        "2026-05-04T00:30Z",
        "2026-05-04T01:00Z",
    ]
    assert slots_since(DailyAt(time(2)), now - 2 * HOUR, now, utc) == ["2026-05-03"]
    assert slots_since(DailyAt(time(1)), now - 2 * HOUR, now, utc) == ["2026-05-03", "2026-05-04"]
