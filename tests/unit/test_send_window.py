"""The send window: hours, weekdays, holidays, zones, and clocks that are set forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline_engine.domain.messages.holding import decide_hold
from pipeline_engine.domain.messages.policy import SPREAD, Held, held_at, read_rules
from pipeline_engine.domain.messages.send_window import Opening, SendWindow, read_send_window
from pipeline_engine.errors import Permanent

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
OFFICE = {"from": "09:00", "to": "17:00", "weekdays": [1, 2, 3, 4, 5], "holidays": True, "zone": "contact"}
# Good Friday, clocks set forward on Sunday, Easter Monday.
EASTER = datetime(2027, 3, 25, tzinfo=UTC)


def window(**fields: Any) -> SendWindow:
    found = read_send_window({**OFFICE, **fields}, "DE")
    assert found
    return found


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def opens(one: SendWindow, now: datetime, zone: ZoneInfo = BERLIN) -> datetime:
    opening = one.next_opening(now, zone)
    assert opening
    return opening.begins


def test_no_window_is_open_at_any_hour() -> None:
    assert read_send_window(None, "DE") is None
    assert held_at(read_rules({}, {}), None, EASTER) is None


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2027-03-24T08:59:59", "2027-03-24T09:00"),
        ("2027-03-24T09:00:00", "2027-03-24T09:00"),
        ("2027-03-24T16:58:59", "2027-03-24T09:00"),
        ("2027-03-24T16:59:00", "2027-03-25T09:00"),  # a message that is begun now may be sent after the end
        ("2027-03-24T17:00:00", "2027-03-25T09:00"),
        ("2027-03-25T17:00:00", "2027-03-30T09:00"),  # Good Friday, weekend, Easter Monday
    ],
)
def test_it_opens_on_the_next_day_that_is_no_holiday(now: str, expected: str) -> None:
    assert opens(window(), at(now)) == at(expected)


def test_holidays_count_as_days_where_the_window_does_not_say_otherwise() -> None:
    assert opens(window(holidays=False), at("2027-03-25T18:00")) == at("2027-03-26T09:00")
    unknown = read_send_window(OFFICE, "XX")
    assert unknown
    assert opens(unknown, at("2027-03-25T18:00")) == at("2027-03-26T09:00")


def test_the_hour_is_that_of_the_clock_on_the_wall_before_and_after_it_is_set() -> None:
    every_day = window(weekdays=None, holidays=False)
    assert opens(every_day, at("2027-03-27T18:00")) == datetime(2027, 3, 28, 7, tzinfo=UTC)
    assert opens(every_day, at("2027-03-26T18:00")) == datetime(2027, 3, 27, 8, tzinfo=UTC)
    assert opens(every_day, at("2027-10-30T18:00")) == datetime(2027, 10, 31, 8, tzinfo=UTC)


def test_an_hour_that_clocks_skip_has_no_opening_and_part_of_one_begins_behind_the_gap() -> None:
    night = window(**{"from": "02:15", "to": "02:45"}, weekdays=None, holidays=False)
    assert opens(night, at("2027-03-28T00:00")) == at("2027-03-29T02:15")
    longer = window(**{"from": "02:15", "to": "04:00"}, weekdays=None, holidays=False)
    assert opens(longer, at("2027-03-28T00:00")) == at("2027-03-28T03:00")


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    night = window(**{"from": "20:00", "to": "02:00"}, weekdays=[5], holidays=False)
    assert opens(night, at("2027-03-20T01:58")) == at("2027-03-19T20:00")
    assert opens(night, at("2027-03-20T02:00")) == at("2027-03-26T20:00")


def test_a_whole_day() -> None:
    sunday = window(**{"from": "00:00", "to": "24:00"}, weekdays=[7], holidays=False)
    opening = sunday.next_opening(at("2027-03-28T12:00"), BERLIN)
    assert opening
    assert opening.ends - opening.begins == timedelta(hours=23)


@pytest.mark.parametrize(
    "wrong",
    [
        "always",
        {"from": "9 am"},
        {"from": "25:00"},
        {"to": 17},
        {"weekdays": []},
        {"weekdays": [0]},
        {"weekdays": [{}]},
        {"weekdays": "1"},
        {"zone": "mars"},
        {"form": "09:00"},
    ],
)
def test_a_window_that_cannot_be_read_holds_everything(wrong: Any) -> None:
    with pytest.raises(Permanent) as refused:
        read_send_window(wrong, "DE")
    assert refused.value.code == "bad_send_window"

    held = held_at(read_rules({}, {"send_window": wrong}), None, EASTER)

    assert held
    assert held.opening.begins == EASTER + timedelta(hours=1)


def test_the_contact_s_zone_counts_where_the_window_says_so() -> None:
    account = {"timezone": "Europe/Berlin", "country": "DE"}
    morning = at("2027-03-24T10:00")
    by_contact, by_account = (
        read_rules(account, {"send_window": {**OFFICE, "zone": zone}}) for zone in ("contact", "account")
    )
    held = held_at(by_contact, "America/New_York", morning)
    assert held
    assert held.opening.begins == at("2027-03-24T09:00", NEW_YORK)
    assert "2027-03-24 at 09:00 (America/New_York)" in str(held)
    assert held_at(by_contact, "Nowhere/Else", morning) is None
    assert held_at(by_account, "America/New_York", morning) is None


@given(
    some.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)),  # noqa: DTZ001
    some.sampled_from([BERLIN, NEW_YORK, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kathmandu")]),
)
def test_within_an_opening_the_clock_on_the_wall_shows_the_hours(moment: datetime, zone: ZoneInfo) -> None:
    now = moment.replace(tzinfo=UTC)
    opening = window(holidays=False).next_opening(now, zone)
    assert opening
    assert opening.ends > now
    for inside in (opening.begins, opening.ends - timedelta(seconds=1)):
        local = inside.astimezone(zone)
        assert 9 <= local.hour < 17
        assert local.isoweekday() <= 5


def test_held_messages_are_spread_over_the_first_minutes_of_the_opening() -> None:
    opening = Opening(EASTER, EASTER + timedelta(hours=8))
    held = Held("held: closed", opening, EASTER - timedelta(hours=1))
    due = [held.due_at(f"lead:{n}:1") for n in range(3000)]

    assert all(EASTER <= one < EASTER + SPREAD for one in due)
    minutes = [sum(int((one - EASTER).total_seconds()) // 60 == minute for one in due) for minute in range(15)]
    assert max(minutes) < 1.4 * 3000 / 15
    assert held.due_at("lead:1:1") == due[1]


def test_a_message_is_held_for_so_long_and_no_longer() -> None:
    longest, now = timedelta(days=7), EASTER
    held = Held("held: closed", Opening(now + timedelta(hours=9), now + timedelta(hours=10)), now)
    first = decide_hold("a", held, None, now, longest)
    assert first
    assert first.until == held.due_at("a")
    assert decide_hold("a", None, {"state": "held", "held_since": now - timedelta(days=6)}, now, longest) is None

    soon = decide_hold("a", held, {"state": "held", "held_since": now - longest + timedelta(hours=1)}, now, longest)
    late = decide_hold("a", None, {"state": "held", "held_since": now - longest}, now, longest)

    assert soon
    assert soon.until == now + timedelta(hours=1)
    assert late
    assert late.until is None
    assert "expired" in late.why
