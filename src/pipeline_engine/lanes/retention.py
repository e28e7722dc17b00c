"""How much of a lane's history is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """The history keeps a row while it is younger than the age and among the newest `rows` of its kind."""

    completed_age: timedelta = timedelta(hours=24)
    completed_rows: int = 1_000
    failed_age: timedelta = timedelta(days=7)
    failed_rows: int = 5_000


SEED = Retention()
