"""How many jobs of a lane may start in a window, over all daemons."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `jobs` starts in any `seconds`. Redis keeps the last `jobs` start times, so stay in the hundreds."""

    jobs: int
    seconds: float
