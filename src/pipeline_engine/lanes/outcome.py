"""How a job can end, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Retry:
    """This attempt failed; the next one comes `after` seconds, or as the lane's backoff says."""

    error: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Snooze:
    """The place is free again and no attempt is used: a limit, a slice that ends, a shutdown.

    The job comes back after `after` seconds at the end of its line, or, with `first`, at its head.
    """

    after: float = 0.0
    first: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """No repeat can help: the job becomes a dead letter."""

    error: str
    traceback: str = ""


Outcome = Done | Retry | Snooze | Dead
