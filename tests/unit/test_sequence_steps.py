"""The steps of a sequence: how they are read, and when a mail is due."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from pipeline_engine.domain.local_time import after_business_days, holidays_of
from pipeline_engine.domain.sequences.sequence import is_resting, read_steps
from pipeline_engine.domain.sequences.work import send_keys, step_number
from pipeline_engine.errors import Permanent

BERLIN = ZoneInfo("Europe/Berlin")
TEMPLATE = ObjectId()


def test_steps_are_numbered_and_their_delays_read() -> None:
    steps = read_steps(
        [
            {"email_template_id": TEMPLATE},
            {"email_template_id": str(TEMPLATE), "delay_seconds": 60},
            {"email_template_id": TEMPLATE, "delay_business_days": 2},
        ]
    )
    assert [(one.number, one.seconds, one.business_days) for one in steps] == [(0, 0, 0), (1, 60, 0), (2, 0, 2)]
    assert {one.template_id for one in steps} == {TEMPLATE}
    assert read_steps([]) == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "a list"),
        ([1], "step 1: an object"),
        ([{"email_template_id": "x"}], "step 1: email_template_id"),
        ([{"email_template_id": TEMPLATE, "delay_seconds": -1}], "delay_seconds"),
        ([{"email_template_id": TEMPLATE, "delay_seconds": float("nan")}], "delay_seconds"),
        ([{"email_template_id": TEMPLATE, "delay_seconds": True}], "delay_seconds"),
        ([{"email_template_id": TEMPLATE, "delay_business_days": 9999}], "delay_business_days"),
        ([{"email_template_id": TEMPLATE, "delay_seconds": 1, "delay_business_days": 1}], "only one"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(given: object, says: str) -> None:
    with pytest.raises(Permanent, match=says):
        read_steps(given)


@pytest.mark.parametrize(
    ("begun", "days", "country", "due"),
    [
        ("2026-11-27T10:00", 1, "", "2026-11-30T10:00"),  # over a weekend
        ("2026-12-24T10:00", 1, "DE", "2026-12-28T10:00"),  # Christmas Day is a Friday
        ("2026-12-24T10:00", 1, "", "2026-12-25T10:00"),
        ("2026-03-27T02:30", 1, "XX", "2026-03-30T02:30"),  # the clocks go forward on the Sunday between
    ],
)
def test_business_days_leave_out_weekends_and_holidays_and_keep_the_time_of_day(
    begun: str, days: int, country: str, due: str
) -> None:
    start = datetime.fromisoformat(begun).replace(tzinfo=BERLIN).astimezone(UTC)
    end = after_business_days(start, days, BERLIN, holidays_of(country))
    assert end == datetime.fromisoformat(due).replace(tzinfo=BERLIN)


def test_a_retry_by_hand_has_a_key_of_its_own() -> None:
    assert send_keys({"_id": "e"}, 1) == ["sequence:e:1"]
    assert send_keys({"_id": "e", "repeats": 2}, 1) == ["sequence:e:1", "sequence:e:1.1", "sequence:e:1.2"]


@pytest.mark.parametrize(("given", "number"), [(2, 2), (2.0, 2), (None, 0), ("x", 0), (-3, 0), (True, 0)])
def test_a_step_that_is_no_number_is_the_first(given: object, number: int) -> None:
    assert step_number({"step": given}) == number


def test_a_sequence_rests_when_it_is_not_active_or_paused() -> None:
    assert [is_resting(one) for one in ({}, {"active": False}, {"paused": {"since": 1}}, {"paused": False})] == [
        *(False, True, True, False)
    ]
