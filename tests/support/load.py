"""How busy the machine is with other things."""

from __future__ import annotations

import os


def load_factor() -> float:
    """How many times longer than on a quiet machine a program may take: processes ready to run per core, at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
