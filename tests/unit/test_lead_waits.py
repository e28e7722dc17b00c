"""When waits end: in every zone, over changes of clocks, weekends and the end of the year."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.leads.waits import (
    Wait,
    WaitBusinessDays,
    WaitSeconds,
    WaitUntil,
    end_of,
    zone_for,
    zone_named,
)

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
NINE = time(9)
FIRST_MOMENT = datetime(1990, 1, 1, tzinfo=UTC)
moments = st.integers(0, 45 * 365 * 86_400).map(lambda seconds: FIRST_MOMENT + timedelta(seconds=seconds))


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ends(wait: Wait, begun: str, zone: str = "Europe/Berlin") -> datetime:
    return end_of(wait, at(begun), ZoneInfo(zone))


@pytest.mark.covers("LP-05", "LP-06")
def test_seconds_are_counted_through_a_change_of_clocks() -> None:
    assert ends(WaitSeconds(timedelta(days=1)), "2026-03-28T12:00") == at("2026-03-29T12:00")


@pytest.mark.covers("LP-05")
def test_until_a_time_is_later_today_or_tomorrow() -> None:
    assert ends(WaitUntil(NINE), "2026-01-12T07:59:59") == at("2026-01-12T08:00")
    assert ends(WaitUntil(NINE), "2026-01-12T08:00") == at("2026-01-13T08:00")


def test_until_a_time_follows_the_clocks_of_the_zone() -> None:
    assert ends(WaitUntil(NINE), "2026-03-28T12:00") == at("2026-03-29T07:00")
    assert ends(WaitUntil(NINE), "2026-10-24T12:00") == at("2026-10-25T08:00")


def test_until_a_time_waits_for_a_weekday_that_is_allowed() -> None:
    working = WaitUntil(NINE, frozenset(range(1, 6)))
    assert ends(working, "2026-01-16T12:00") == at("2026-01-19T08:00")  # Friday noon: Monday
    assert ends(WaitUntil(NINE, frozenset({5})), "2026-01-16T12:00") == at("2026-01-23T08:00")


def test_the_weekday_is_that_of_the_zone() -> None:
    sunday_evening_in_utc = "2026-01-18T20:00"
    assert ends(WaitUntil(NINE, frozenset({1})), sunday_evening_in_utc, "Pacific/Apia") == at("2026-01-18T20:00") + (
        timedelta(days=7)
    )


def test_a_time_that_clocks_skip_is_the_first_instant_after_the_gap() -> None:
    assert ends(WaitUntil(time(2, 30)), "2026-03-28T12:00") == at("2026-03-29T01:00")
    assert ends(WaitUntil(time(2, 15)), "2026-10-03T12:00", "Australia/Lord_Howe") == at("2026-10-03T15:30")


def test_a_time_that_clocks_show_twice_is_the_first_of_the_two() -> None:
    assert ends(WaitUntil(time(2, 30)), "2026-10-24T12:00") == at("2026-10-25T00:30")
    between_the_two = "2026-10-25T00:45"
    assert ends(WaitUntil(time(2, 30)), between_the_two) == at("2026-10-26T01:30")


def test_a_day_that_the_zone_skips_whole_ends_with_it() -> None:
    # Samoa had no 30 December 2011.
    assert ends(WaitUntil(NINE), "2011-12-29T20:00", "Pacific/Apia") == at("2011-12-30T10:00")


@pytest.mark.covers("LP-05")
def test_business_days_leave_out_saturdays_and_sundays() -> None:
    friday, saturday = "2026-01-16T10:20:30", "2026-01-17T10:20:30"
    assert ends(WaitBusinessDays(1), friday) == at("2026-01-19T10:20:30")
    assert ends(WaitBusinessDays(1), saturday) == at("2026-01-19T10:20:30")
    assert ends(WaitBusinessDays(5), friday) == at("2026-01-23T10:20:30")
    assert ends(WaitBusinessDays(11), friday) == at("2026-02-02T10:20:30")


def test_business_days_keep_the_time_of_day_over_a_change_of_clocks() -> None:
    assert ends(WaitBusinessDays(1), "2026-03-27T08:00") == at("2026-03-30T07:00")


def test_a_business_day_is_one_of_the_zone() -> None:
    friday_evening = "2026-01-16T23:30"  # Saturday in Berlin
    assert ends(WaitBusinessDays(1), friday_evening) == at("2026-01-18T23:30")
    assert ends(WaitBusinessDays(1), friday_evening, "UTC") == at("2026-01-19T23:30")


@given(
    moments,
    st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    st.frozensets(st.integers(1, 7), min_size=1),
    st.sampled_from(ZONES),
)
def test_the_end_is_later_than_the_beginning_and_within_eight_days(
    begun: datetime, time_of_day: time, weekdays: frozenset[int], zone: str
) -> None:
    end = end_of(WaitUntil(time_of_day, weekdays), begun, ZoneInfo(zone))
    local = end.astimezone(ZoneInfo(zone))
    assert begun < end <= begun + timedelta(days=9)
    skipped = local.utcoffset() != (end - timedelta(seconds=2)).astimezone(ZoneInfo(zone)).utcoffset()
    assert skipped or (local.time() == time_of_day and local.isoweekday() in weekdays)


@given(moments, st.integers(1, 30), st.sampled_from(ZONES))
def test_business_days_end_on_a_business_day(begun: datetime, days: int, zone: str) -> None:
    end = end_of(WaitBusinessDays(days), begun, ZoneInfo(zone)).astimezone(ZoneInfo(zone))
    assert end > begun
    assert end.isoweekday() <= 5 or zone == "Pacific/Apia"


def test_the_zone_is_the_leads_the_accounts_or_utc() -> None:
    lead, account = {"timezone": "Asia/Kolkata"}, {"timezone": "Europe/Berlin"}
    of_lead = WaitUntil(NINE, zone="lead")
    assert zone_for(of_lead, lead, account) == ZoneInfo("Asia/Kolkata")
    assert zone_for(WaitUntil(NINE), lead, account) == BERLIN
    assert zone_for(of_lead, {"timezone": "Mars/Base"}, account) == BERLIN
    assert zone_for(WaitBusinessDays(1), lead, {}) == ZoneInfo("UTC")
    assert zone_for(WaitSeconds(timedelta(1)), lead, account) == BERLIN


@pytest.mark.parametrize("name", [None, "", 7, "Nowhere/Land", "../../etc/passwd", "/etc/passwd", "Europe", "a\0b"])
def test_what_is_no_zone_is_none(name: object) -> None:
    assert zone_named(name) is None
