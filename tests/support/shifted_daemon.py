"""The production daemon with a wall clock that a test sets while it runs.

CLOCK_FILE names a file with the seconds by which arq's wall clock is off; every reading adds a line to `<file>.read`.
The monotonic clock is left alone, as a host leaves it when its time is set.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import arq.worker

from pipeline_engine.daemon import worker_settings

CLOCK_FILE = Path(os.environ["CLOCK_FILE"])


def shift() -> float:
    seconds = float(CLOCK_FILE.read_text() or 0)
    with CLOCK_FILE.with_suffix(".read").open("a") as readings:
        readings.write(f"{seconds:g}\n")
    return seconds


class ShiftedDatetime(datetime):
    """What arq asks for the time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.now(tz) + timedelta(seconds=shift())


worker: Any = arq.worker
worker.datetime = ShiftedDatetime
worker.timestamp_ms = lambda: round((time.time() + shift()) * 1000)

WorkerSettings = worker_settings()
