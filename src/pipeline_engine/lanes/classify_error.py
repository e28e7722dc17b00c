"""What an exception means for the job that raised it, and what of it may be stored or logged. Pure."""

from __future__ import annotations

import traceback

from pipeline_engine.errors import ConfigError, EngineError, LeaseLost, Permanent, RateLimited, Transient, Unreachable
from pipeline_engine.lanes.job import Dead, Done, Outcome, Retry, Snooze
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.logs import clean

UNREACHABLE_SNOOZE_SECONDS = 5.0

MAX_TRACEBACK_LINES = 40
MAX_LOGGED_FRAMES = 8


def classify_error(error: Exception) -> Outcome:
    """The outcome that an exception stands for. The number of attempts plays no part here."""
    match error:
        case RateLimited():
            return Snooze(error.retry_after)
        case Unreachable():
            return Snooze(UNREACHABLE_SNOOZE_SECONDS)  # an absent server is no failure of the job: no attempt is used
        case LeaseLost():
            return Done()
        case Permanent() | ConfigError():
            return Dead(full(error), last_traceback_lines(error))
        case _:
            return Retry(brief(error))


def limit_attempts(outcome: Outcome, error: BaseException | None, attempt: int, lane: Lane) -> Outcome:
    """The outcome, or Dead in place of a Retry for which the lane has no attempt left."""
    if isinstance(outcome, Retry) and attempt >= lane.attempts:
        return Dead(full(error), last_traceback_lines(error)) if error else Dead(outcome.error)
    return outcome


def expected(error: BaseException) -> bool:
    """Whether our own code raised the error on purpose. If not, the log also shows where it was raised."""
    return isinstance(error, (EngineError, TimeoutError))


def brief(error: BaseException) -> str:
    """The error as text for Redis and the log. Of a foreign exception, whose message may quote a tenant's data, only
    the type and the place."""
    if isinstance(error, EngineError):
        return full(error)
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].name}:{frames[-1].lineno}" if frames else type(error).__name__


def full(error: BaseException) -> str:
    """The error as text for MongoDB: the message without secrets."""
    if isinstance(error, Transient | Permanent):
        return clean(str(error))
    return clean(f"{type(error).__name__}: {error}")


def where(error: BaseException) -> str:
    """The innermost frames of the traceback for the log, without the message."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_LOGGED_FRAMES:]
    return " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)


def last_traceback_lines(error: BaseException) -> str:
    """The last lines of the traceback for MongoDB, without secrets."""
    text = "".join(traceback.format_exception(error))
    return "\n".join(clean(line) for line in text.splitlines()[-MAX_TRACEBACK_LINES:])
