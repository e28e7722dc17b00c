"""How a run over an import can end, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GoOn:
    """The slice is over: others come first, then the next run goes on from here."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The attempt failed, and another one is left."""

    error: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The import is over, as completed, failed or cancelled."""

    status: str
    error: str | None = None


Ending = GoOn | TryAgain | Ended
