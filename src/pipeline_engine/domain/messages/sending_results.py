"""Sends the messages of many units and says how each ended as soon as it has, so that a slow call holds up no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.message import Deliver
from pipeline_engine.domain.messages.send_all import send_all
from pipeline_engine.domain.messages.send_result import SendResult
from pipeline_engine.domain.messages.wanted import StillWanted

LOOK_SECONDS = 0.05
"""How often the ends of sends are taken up while others are under way."""
HANGS_SECONDS = 1.0
"""So long after its time a call counts as hanging."""


async def sending_results(
    app: App,
    account_id: ObjectId,
    channel: str,
    units: Mapping[str, Deliver | Exception],
    *,
    still_wanted: StillWanted,
    places: int,
    until: float,
    attempts: int,
    when_hanging: Callable[[], Awaitable[None]],
) -> AsyncIterator[dict[str, SendResult]]:
    """As `send_all`; yields {unit key: how it ended} of those that have ended since the last time, and at the end once
    more. `when_hanging` is called once when a call hangs."""
    ended: dict[str, SendResult] = {}
    options = {"still_wanted": still_wanted, "places": places, "until": until, "attempts": attempts}
    sending = asyncio.create_task(send_all(app, account_id, channel, units, **options, results=ended))  # type: ignore[arg-type]
    taken: set[str] = set()
    is_hanging = False
    try:
        while not sending.done():
            await asyncio.wait([sending], timeout=LOOK_SECONDS)
            if new := {key: ended[key] for key in ended.keys() - taken}:
                taken |= new.keys()
                yield new
            if not is_hanging and time.monotonic() > until + HANGS_SECONDS:
                is_hanging = True
                await when_hanging()
        await sending
        yield {key: ended[key] for key in ended.keys() - taken}
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
