"""Background loops: start each again when it fails, and stop them for certain."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pipeline_engine import logs

CANCEL_INTERVAL_SECONDS = 0.3
"""How long a cancelled task may clean up before it is cancelled again."""
REPEATED_LINE_SECONDS = 60.0

log = logs.get(__name__)


async def run_forever(name: str, loop: Callable[[], Awaitable[None]], pause: float = 1.0) -> None:
    """Await `loop()` again and again until this task is cancelled. An exception is logged and ends only that round.

    `pause` seconds, give or take half, pass between two rounds, so that no loop spins while a server is away. An error
    that repeats the one before is logged once a minute.
    """
    logged, logged_at = "", 0.0
    while True:
        try:
            await loop()
        except Exception as error:
            # One line instead of a traceback: the usual cause is a server that is away, and it lasts for many rounds.
            text = f"{type(error).__name__}: {error}"
            if text != logged or time.monotonic() > logged_at + REPEATED_LINE_SECONDS:
                logged, logged_at = text, time.monotonic()
                log.warning("loop.failed", loop=name, error=text)
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter


async def stop_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks, again and again, until every one has ended. Never raises what they raised.

    One `cancel()` is not enough: before Python 3.12, `asyncio.wait_for`, with which redis-py sends, drops a
    cancellation that arrives in the moment its call succeeds.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_INTERVAL_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
