"""The values that make up a lane."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError

from pipeline_engine import workers
from pipeline_engine.lanes import Backoff
from pipeline_engine.lanes.claimed_job import MAX_FAILURES_KEPT, RetryState
from pipeline_engine.lanes.keys import Keys
from pipeline_engine.lanes.redis_problem import problem_of

LANES = workers.lanes()
AUTOMATION_TYPES = (
    *("add_tag", "remove_tag", "email", "sms", "note", "reminder", "owner", "follower", "stage"),
    *("instareport", "instasite"),
)


def no_chance() -> float:
    return 0.0


def test_backoffs_as_the_seeds_say() -> None:
    assert [Backoff.fixed(4).delay(n, no_chance) for n in (1, 2, 9)] == [4, 4, 4]
    assert [Backoff.steps(1, 5, 30).delay(n, no_chance) for n in (1, 2, 3, 4)] == [1, 5, 30, 30]
    assert [Backoff.doubling(4).delay(n, no_chance) for n in (1, 2, 3, 4)] == [4, 8, 16, 32]
    assert Backoff.doubling(4, longest=10).delay(5, no_chance) == 10
    with pytest.raises(ValueError, match="at least one"):
        Backoff.steps()


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1), first=st.floats(0.01, 100))
def test_jitter_only_adds_and_no_wait_passes_the_limit_by_more_than_it(
    failures: int, chance: float, first: float
) -> None:
    backoff = Backoff.doubling(first, longest=600)
    shortest = backoff.delay(failures, no_chance)
    assert shortest <= backoff.delay(failures, lambda: chance) <= shortest * 1.25
    assert shortest <= max(600, first)


@pytest.mark.covers("DI-11")
def test_import_and_automation_lanes_are_those_of_the_seeds() -> None:
    assert (LANES["deals.import"].places, LANES["deals.import.rows"].places) == (3, 8)
    automations = {name.removeprefix("deals.automations.") for name in LANES if name.startswith("deals.automations.")}
    assert automations == set(AUTOMATION_TYPES)
    slow = {"email", "sms", "instareport", "instasite"}
    assert {kind: LANES[f"deals.automations.{kind}"].places for kind in AUTOMATION_TYPES} == {
        kind: 5 if kind in slow else 10 for kind in AUTOMATION_TYPES
    }
    for name, lane in LANES.items():
        if name.startswith("deals."):
            assert (lane.attempts, lane.backoff) == (3, Backoff.fixed(4)), name


def test_only_lanes_whose_documents_count_crashes_leave_it_to_them() -> None:
    left = {name for name, lane in LANES.items() if lane.crashes is None}
    assert left == {
        name for name in LANES if name.startswith(("deals.", "funnels_", "events.", "leads.", "crm-", "crm."))
    }
    assert all(lane.name == name for name, lane in LANES.items())


def test_keys_of_run_once_are_apart_from_the_daemons() -> None:
    assert Keys("pe:").inbox("crm.jobs") == "pe:crm.jobs:inbox"
    assert Keys("pe:once:1:", ttl=3600).stem("crm.jobs") == "pe:once:1:crm.jobs:"
    assert (Keys().ttl_ms, Keys(ttl=3600).ttl_ms) == (0, 3_600_000)


def test_a_past_keeps_the_first_time_and_the_last_failures() -> None:
    past = RetryState()
    for number in range(1, 16):
        assert past.attempt == number
        past = past.failed(1000 + number, f"failure {number}")
    assert (past.attempts, past.first_failed_ms) == (15, 1001)
    assert [failure.attempt for failure in past.failures] == list(range(16 - MAX_FAILURES_KEPT, 16))


def test_a_doomed_job_stays_at_its_last_attempt() -> None:
    past = RetryState().failed(1, "first").failed(2, "second", exhausted=True)
    assert (past.attempts, past.attempt) == (2, 2)


@pytest.mark.parametrize("error", [BusyLoadingError(), AuthenticationError(), ConnectionResetError()])
def test_a_server_that_starts_or_refuses_is_away(error: Exception) -> None:
    assert problem_of(error)


def test_a_wrong_command_is_not_the_server_being_away() -> None:
    assert problem_of(ResponseError("wrong number of arguments")) is None
