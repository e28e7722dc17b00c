"""Wakes sweeps when a change in MongoDB makes work due, so that users do not wait for the timetable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.wake_up import DEBOUNCE_SECONDS

log = logs.get(__name__)

Wake = Callable[[Any], None]
SKEW_SECONDS = 1.0
"""How far the CRM's clock may be ahead: what it wrote just before the stream was opened becomes due so much later."""


async def watch(app: App, wake_ups: Mapping[str, Sequence[Wake]], index_check: Wake | None = None) -> None:
    """Call the wake-ups of a collection whenever a document in it becomes due; `wake_ups` is {collection: wake-ups}.

    `index_check` is called whenever a collection may have lost its indexes: one was dropped, or the stream was opened.
    Runs until cancelled. Without change streams it logs that and does nothing. Raises PyMongoError.
    """
    if not await app.server.has_change_streams():
        log.info(
            "change_stream.unavailable", reason="MongoDB is a standalone server, so sweeps run by the timetable only"
        )
        await asyncio.Event().wait()
    async with app.changes.listen() as changes:
        for wake in {wake for several in wake_ups.values() for wake in several}:
            wake(None)  # the stream does not report what changed before it was opened
            asyncio.get_running_loop().call_later(SKEW_SECONDS, wake, None)
        if index_check:
            index_check(None)
        async for change in changes:
            if change.dropped and index_check:
                index_check(None)
            for wake in wake_ups.get(change.collection, ()):
                for delay in delays(_wait(app, change.at)):
                    asyncio.get_running_loop().call_later(delay, wake, change.place)


def _wait(app: App, moment: datetime | None) -> float:
    """Seconds until the moment, plus 1 ms, the precision of MongoDB's times; 0 without a moment."""
    return (moment - app.clock.now()).total_seconds() + 0.001 if moment else 0.0


def delays(wait: float) -> tuple[float, ...]:
    """The seconds after which sweeps are woken for a document that becomes due in `wait` seconds. Pure.

    They look at once as well, for some prepare what is due later. When that is very soon, as with a writer whose clock
    is a little ahead, they would find nothing and rest for DEBOUNCE_SECONDS before they look again.
    """
    if wait <= 0:
        return (0.0,)
    return (wait,) if wait <= DEBOUNCE_SECONDS else (0.0, wait)
