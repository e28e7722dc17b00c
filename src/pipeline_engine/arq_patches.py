"""Makes arq's worker rest while Redis is away instead of ending the process, and end cleanly with or without Redis.

arq offers no hook for either: a lost connection leaves its loop as an exception, and closing asks Redis once more.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from arq.worker import Worker
from redis.exceptions import RedisError

from pipeline_engine import logs

REST = 1.0
FAREWELL = 2.0

log = logs.get(__name__)

_poll = Worker._poll_iteration


async def _patient_poll(worker: Worker) -> None:
    try:
        await _poll(worker)
    except (RedisError, OSError) as error:
        log.warning("Redis is away, cron rests", error=f"{type(error).__name__}: {error}")
        # What the broken poll had begun would otherwise hold its places for ever.
        worker.job_counter, worker.sem = 0, asyncio.BoundedSemaphore(worker.max_jobs + 1)
        await asyncio.sleep(REST)


async def _clean_close(worker: Worker) -> None:
    tasks = list(worker.tasks.values())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if worker.on_shutdown:
        await worker.on_shutdown(worker.ctx)
    with suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await worker.pool.delete(worker.queue_name, worker.health_check_key)
    with suppress(RedisError, OSError):
        await worker.pool.aclose(close_connection_pool=True)


def make_arq_patient() -> None:
    """For every arq worker of this process; doing it again changes nothing."""
    patient: Any = Worker
    patient._poll_iteration = _patient_poll
    patient.close = _clean_close
