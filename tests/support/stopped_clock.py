"""The engine's clock stands still while a test works something off, however slow the machine is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline_engine.clock import Clock


@contextmanager
def stopped(clock: Clock) -> Iterator[None]:
    """Let no time pass for the engine within the block; the server's time, and so its leases, goes on."""
    moment = clock.now()
    vars(clock)["now"] = lambda: moment
    try:
        yield
    finally:
        del vars(clock)["now"]
        clock.set(moment)
