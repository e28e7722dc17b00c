"""Patches arq's worker: it waits while Redis is away instead of ending the process, and closes without Redis.

arq offers no hook for either: a lost connection ends its loop with an exception, `close` sends one more command, and
what it asks at the start only to log it ends the process with a traceback when the server refuses it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import arq.worker
from arq.worker import Worker
from redis.exceptions import ReadOnlyError, RedisError

from pipeline_engine import logs
from pipeline_engine.lanes.redis_problem import problem_of

RECONNECT_SECONDS = 1.0
DELETE_KEYS_TIMEOUT = 2.0

log = logs.get(__name__)

_arq_poll = Worker._poll_iteration


def patch_arq() -> None:
    """Patch every arq worker of this process. A second call changes nothing."""
    worker_class: Any = Worker
    worker_module: Any = arq.worker
    worker_module.log_redis_info = _log_nothing
    worker_class._poll_iteration = _poll
    worker_class.close = _close


async def _log_nothing(*_arguments: object) -> None:
    return


async def _poll(worker: Worker) -> None:
    try:
        await _arq_poll(worker)
        worker.ctx.pop("redis_problem", None)
    except (RedisError, OSError) as error:
        problem = problem_of(error)
        text = problem.text if problem else f"{type(error).__name__}: {error}"
        if text != worker.ctx.get("redis_problem"):
            worker.ctx["redis_problem"] = text
            log.warning("cron.redis_lost", error=text)
        if isinstance(error, ReadOnlyError):  # the next connection resolves the server's name anew
            await worker.pool.connection_pool.disconnect()
        # The jobs of the interrupted poll never release their places, so all places are made new.
        worker.job_counter, worker.sem = 0, asyncio.BoundedSemaphore(worker.max_jobs + 1)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _close(worker: Worker) -> None:
    tasks = list(worker.tasks.values())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if worker.on_shutdown:
        await worker.on_shutdown(worker.ctx)
    with suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(DELETE_KEYS_TIMEOUT):
            await worker.pool.delete(worker.queue_name, worker.health_check_key)
    with suppress(RedisError, OSError):
        await worker.pool.aclose(close_connection_pool=True)
