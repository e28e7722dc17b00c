"""How the run of an import can end, as values. A failed attempt is an exception."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GoOn:
    """The slice is over: the next run goes on from here, after other imports that wait."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The import is over, as completed, failed or cancelled."""

    status: str
    error: str | None = None


Ending = GoOn | Ended
