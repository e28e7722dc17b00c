"""The engine's clock stands still while a test works something off, however slow the machine is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from pipeline_engine.clock import Clock


@contextmanager
def stopped(clock: Clock) -> Iterator[None]:
    """Let no time pass for the engine within the block but what `clock.set` says; leases follow the server's time."""
    moment = clock.now()

    def move(to: datetime) -> timedelta:
        nonlocal moment
        moved, moment = to - moment, to
        return moved

    vars(clock).update(now=lambda: moment, set=move)
    try:
        yield
    finally:
        del vars(clock)["now"], vars(clock)["set"]
        clock.set(moment)
