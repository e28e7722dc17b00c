"""A lane: a named queue and the rules by which its jobs run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pipeline_engine.lanes.backoff import Backoff


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `jobs` starts in any `seconds`, over all daemons.

    Redis keeps the last `jobs` start times of the lane, so stay in the hundreds.
    """

    jobs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Retention:
    """The history keeps a row while it is younger than the age and among the newest `rows` of its kind."""

    completed_age: timedelta = timedelta(hours=24)
    completed_rows: int = 1_000
    failed_age: timedelta = timedelta(days=7)
    failed_rows: int = 5_000


DEFAULT_RETENTION = Retention()


@dataclass(frozen=True, slots=True)
class Lane:
    """`places` jobs at once in each daemon, each for at most `timeout` seconds and with at most `attempts` attempts.

    `crashes` is how often a job may end its process before it becomes a dead letter. None: the lane never gives up the
    job, because the document behind it counts the crashes itself.
    """

    name: str
    places: int
    backoff: Backoff
    attempts: int = 3
    timeout: float = 300.0
    rate: Rate | None = None
    crashes: int | None = 3
    retention: Retention = DEFAULT_RETENTION
