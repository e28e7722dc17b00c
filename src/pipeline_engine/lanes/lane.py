"""A lane: a named queue and the rules by which its jobs run."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.lanes.backoff import Backoff
from pipeline_engine.lanes.rate import Rate
from pipeline_engine.lanes.retention import SEED, Retention


@dataclass(frozen=True, slots=True)
class Lane:
    """`places` jobs at once in each daemon, each at most `timeout` seconds, at most `attempts` times.

    `crashes` is how often a job may take its process down before it goes to the dead letters. None: the lane never
    gives it up, because the document behind the job counts crashes itself.
    """

    name: str
    places: int
    backoff: Backoff
    attempts: int = 3
    timeout: float = 300.0
    rate: Rate | None = None
    crashes: int | None = 3
    retention: Retention = SEED
