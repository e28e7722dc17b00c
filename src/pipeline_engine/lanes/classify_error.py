"""What an exception means for the job that raised it. Pure."""

from __future__ import annotations

import traceback

from pipeline_engine.errors import ConfigError, EngineError, LeaseLost, Permanent, RateLimited, Transient, Unreachable
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.outcome import Dead, Done, Outcome, Retry, Snooze
from pipeline_engine.logs import clean

# A server that is away is not the job's fault: it comes back without having used an attempt.
REST = 5.0

LINES = 40
FRAMES = 8


def classify_error(error: Exception) -> Outcome:
    """The outcome that an exception stands for, attempts not looked at."""
    match error:
        case RateLimited():
            return Snooze(error.retry_after)
        case Unreachable():
            return Snooze(REST)
        case LeaseLost():
            return Done()
        case Permanent() | ConfigError():
            return Dead(full(error), trace(error))
        case _:
            return Retry(brief(error))


def last_word(outcome: Outcome, error: BaseException | None, attempt: int, lane: Lane) -> Outcome:
    """A retry that the lane grants no more is a death."""
    if isinstance(outcome, Retry) and attempt >= lane.attempts:
        return Dead(full(error), trace(error)) if error else Dead(outcome.error)
    return outcome


def expected(error: BaseException) -> bool:
    """Whether our own code raised it on purpose; if not, the log says where it came from."""
    return isinstance(error, (EngineError, TimeoutError))


def brief(error: BaseException) -> str:
    """Fit for Redis: our own messages; of a foreign exception, which may quote a cell, only its name and place."""
    if isinstance(error, EngineError):
        return full(error)
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].name}:{frames[-1].lineno}" if frames else type(error).__name__


def full(error: BaseException) -> str:
    """Fit for MongoDB: the message, secrets taken out."""
    if isinstance(error, Transient | Permanent):
        return clean(str(error))
    return clean(f"{type(error).__name__}: {error}")


def where(error: BaseException) -> str:
    """Fit for the log: the way down to the error, without its message."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)


def trace(error: BaseException) -> str:
    """The last lines of the traceback, secrets taken out."""
    text = "".join(traceback.format_exception(error))
    return "\n".join(clean(line) for line in text.splitlines()[-LINES:])
