"""Pauses: which are in force, and when what they held back is due again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from pipeline_engine.domain.leads.pauses import SPREAD_OVER, Pause, due_after, longest, read_pause, spread

NOON = datetime(2026, 1, 12, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EARLIER = NOON - 5 * HOUR
RESUMED = NOON + 2 * HOUR
durations = st.integers(-(10**6), 10**6).map(lambda seconds: timedelta(seconds=seconds))


def test_a_pause_is_read_and_written_back() -> None:
    pause = Pause(NOON, RESUMED, "keep")
    assert read_pause({"automation_paused": pause.document()}) == pause
    assert read_pause({"automation_paused": {"since": NOON}}) == Pause(NOON, None, "extend")


@pytest.mark.parametrize("document", [None, {}, {"automation_paused": None}, {"automation_paused": False}])
def test_without_the_field_there_is_no_pause(document: dict[str, object] | None) -> None:
    assert read_pause(document) is None


@pytest.mark.parametrize("value", [True, "yes", {}, {"since": "noon", "waits": "extend"}])
def test_a_pause_that_is_not_well_formed_still_holds(value: object) -> None:
    pause = read_pause({"automation_paused": value})
    assert pause is not None
    assert pause.holds(NOON)
    assert pause.waits == "keep"


def test_a_pause_with_an_end_holds_until_then() -> None:
    pause = Pause(NOON, RESUMED)
    assert pause.holds(RESUMED - timedelta(seconds=1))
    assert not pause.holds(RESUMED)


def test_of_several_pauses_the_last_to_end_counts() -> None:
    short, long, endless = Pause(NOON, NOON + HOUR), Pause(NOON, RESUMED), Pause(NOON)
    assert longest([short, None, long], NOON) == long
    assert longest([endless, long], NOON) == endless
    assert longest([short, long], RESUMED) is None


def test_extended_waits_take_as_long_as_without_the_pause() -> None:
    assert due_after(Pause(NOON), NOON + HOUR, EARLIER, RESUMED) == RESUMED + HOUR
    assert due_after(Pause(NOON), NOON + 3 * HOUR, EARLIER, RESUMED) == NOON + 5 * HOUR


def test_only_the_part_of_a_pause_since_the_wait_began_extends_it() -> None:
    begun = NOON + HOUR
    assert due_after(Pause(NOON), begun + HOUR, begun, RESUMED) == RESUMED + HOUR
    assert due_after(Pause(NOON), RESUMED + 2 * HOUR, RESUMED + HOUR, RESUMED) == RESUMED + 2 * HOUR


def test_kept_waits_are_caught_up_or_go_on() -> None:
    assert due_after(Pause(NOON, waits="keep"), NOON + HOUR, EARLIER, RESUMED) == RESUMED
    assert due_after(Pause(NOON, waits="keep"), NOON + 3 * HOUR, EARLIER, RESUMED) == NOON + 3 * HOUR


def test_what_was_due_before_the_pause_is_due_when_it_ends() -> None:
    assert due_after(Pause(NOON), NOON - HOUR, EARLIER, RESUMED) == RESUMED


@given(durations, durations, durations.map(abs), st.sampled_from(["extend", "keep"]))
def test_a_pause_makes_nothing_early(perform: timedelta, began: timedelta, length: timedelta, waits: str) -> None:
    resumed = NOON + length
    pause = Pause(NOON, waits="keep" if waits == "keep" else "extend")
    due = due_after(pause, NOON + perform, NOON + began, resumed)
    assert due >= max(NOON + perform, resumed)


def test_what_is_due_at_the_end_is_spread_evenly_over_the_window() -> None:
    moments = [spread(NOON, RESUMED, ObjectId()) for _ in range(6000)]
    assert all(RESUMED <= moment < RESUMED + SPREAD_OVER for moment in moments)
    per_second = [sum(1 for one in moments if (one - RESUMED).total_seconds() // 6 == n) for n in range(10)]
    assert max(per_second) < 2 * 600


def test_the_spread_of_a_lead_is_the_same_on_every_call_and_later_times_stay() -> None:
    id = ObjectId()
    assert spread(NOON, RESUMED, id) == spread(EARLIER, RESUMED, id)
    assert spread(RESUMED + HOUR, RESUMED, id) == RESUMED + HOUR
