"""The engine's clock stands still while a test works something off, however slow the machine is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from pipeline_engine.clock import Clock


@contextmanager
def stopped(clock: Clock) -> Iterator[None]:
    """Let no time pass for the engine within the block but what `clock.set` says; leases follow the server's time.

    A block within a block moves the time of the outer one.
    """
    moment = clock.now()
    outer = {name: value for name, value in vars(clock).items() if name in ("now", "set")}

    def move(to: datetime) -> timedelta:
        nonlocal moment
        moved, moment = to - moment, to
        return moved

    vars(clock).update(now=lambda: moment, set=move)
    try:
        yield
    finally:
        del vars(clock)["now"], vars(clock)["set"]
        vars(clock).update(outer)
        clock.set(moment)
