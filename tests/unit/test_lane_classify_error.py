"""What exceptions mean for a job."""

from __future__ import annotations

import pytest

from pipeline_engine.errors import ConfigError, LeaseLost, Permanent, RateLimited, Transient, Unreachable
from pipeline_engine.lanes import Backoff, Dead, Done, Lane, Outcome, Retry, Snooze
from pipeline_engine.lanes.classify_error import (
    UNREACHABLE_SNOOZE_SECONDS,
    brief,
    classify_error,
    full,
    last_traceback_lines,
    limit_attempts,
    where,
)

LANE = Lane("test", 3, Backoff.fixed(4))


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.covers("R-17")
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Transient("busy"), Retry("busy")),
        (RateLimited(7.5), Snooze(7.5)),
        (Unreachable("MongoDB is away"), Snooze(UNREACHABLE_SNOOZE_SECONDS)),
        (LeaseLost("taken over"), Done()),
        (TimeoutError("ran longer than 5 s"), Retry("TimeoutError")),
    ],
)
def test_judgement(error: Exception, outcome: Outcome) -> None:
    assert classify_error(error) == outcome


@pytest.mark.parametrize("error", [Permanent("no such stage"), ConfigError("SMTP_URL is missing")])
def test_what_no_repeat_can_help_is_dead_at_once(error: Exception) -> None:
    verdict = classify_error(raised(error))
    assert isinstance(verdict, Dead)
    assert str(error) in verdict.error
    assert "raise error" in verdict.traceback


def test_the_last_attempt_turns_a_retry_into_a_death() -> None:
    error = raised(Transient("busy"))
    assert limit_attempts(Retry("busy"), error, 2, LANE) == Retry("busy")
    assert limit_attempts(Retry("busy"), error, 3, LANE) == Dead("busy", last_traceback_lines(error))
    assert limit_attempts(Retry("busy"), None, 3, LANE) == Dead("busy")
    assert limit_attempts(Snooze(1), None, 99, LANE) == Snooze(1)
    assert limit_attempts(Done(), None, 99, LANE) == Done()


def test_a_foreign_message_goes_no_further_than_the_ledger() -> None:
    error = raised(ValueError("cell: Jane Miller"))
    assert brief(error).startswith("ValueError at raised:")
    assert where(error).startswith("test_lane_classify_error.py:")
    assert full(error) == "ValueError: cell: Jane Miller"
    assert "Jane" not in brief(error) + where(error)


def test_secrets_are_taken_out_everywhere() -> None:
    error = raised(Transient("mongodb://u:hunter2@db/crm does not answer"))
    assert "hunter2" not in full(error) + brief(error) + last_traceback_lines(error)
