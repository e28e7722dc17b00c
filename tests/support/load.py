"""How busy the machine is with other things."""

from __future__ import annotations

import os


def load_factor() -> float:
    """How many times longer than on a quiet machine a program may take: twice the processes ready to run per core, and
    at least twice, since the load of the last minute shows neither pauses nor what other machines take of the cores."""
    return 2 * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
