"""`arq pipeline_engine.WorkerSettings`: the production daemon.

arq supplies the entry point, the process and the cron. Its queue is private to this daemon and carries only wake-ups.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NoReturn

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from pipeline_engine import gc_tuning, ids, lane_pauses, logs, malloc_tuning, settings, workers
from pipeline_engine.app import FIRST_ANSWER_TIMEOUT, App
from pipeline_engine.arq_patches import patch_arq
from pipeline_engine.cron import cron_jobs, timetable
from pipeline_engine.engine import Engine, watched
from pipeline_engine.errors import ConfigError, EngineError, Unreachable
from pipeline_engine.index_check import keep_indexes, log_problems
from pipeline_engine.lanes import Codec, LaneStats, refusal, sentinel
from pipeline_engine.redis_loss import watch_for_redis_loss
from pipeline_engine.repos.indexes import create_indexes
from pipeline_engine.repos.quarantine import QUARANTINE
from pipeline_engine.run_forever import stop_tasks
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import Sweeper
from pipeline_engine.wake_up import WakeUp
from pipeline_engine.watcher import watch

CONFIG_ERROR, UNREACHABLE = 2, 3
EXIT_SECONDS = 4.5
"""The process exits this long after SHUTDOWN_GRACE, whatever still runs, so that a grace of 20 s ends within 25 s."""
POLL_SECONDS = 0.5
FRUGAL_POLL_SECONDS = 6 * 3600.0
"""In the frugal profile arq has no cron and polls for nothing: sweeps wake by the monotonic clock (`sweeper.py`)."""
REDIS_TIMEOUTS: dict[str, Any] = {
    "socket_timeout": FIRST_ANSWER_TIMEOUT,
    "socket_connect_timeout": FIRST_ANSWER_TIMEOUT,
}

log = logs.get(__name__)


class Daemon:
    """Everything that runs in the process beside arq's own loop."""

    def __init__(self, configured: Settings) -> None:
        self.settings = configured
        self.timetable = timetable(workers.enabled(configured), configured)
        self.wake_ups = {row.name: WakeUp() for _, row in self.timetable}
        self._stack = AsyncExitStack()
        self._engine: Engine | None = None
        self._worker_task: asyncio.Task[Any] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def start(self, _context: dict[Any, Any]) -> None:
        """arq's `on_startup`: connects, creates indexes, starts the engine. Exits with code 2 or 3 when it cannot."""
        malloc_tuning.return_large_blocks()
        logs.configure(self.settings.log_level, self.settings.log_style)
        self._take_over_signals()
        try:
            app = await self._stack.enter_async_context(workers.open_app(self.settings))
            await lane_pauses.restore(app)  # before any lane opens
        except EngineError as error:
            _leave(error)
        log_problems((await create_indexes(app.database, app.collections)).problems)
        for system in workers.SYSTEMS:
            if not system.enabled(self.settings):
                log.info("system.switched_off", system=system.name, setting=system.switch)
        self._log_skipped()
        if self.settings.http_enabled:
            await self._serve_http(app)
        self._engine = Engine(app)
        await self._engine.start()
        self._watch(app, self._engine)
        gc_tuning.collect_less()
        log.info("daemon.started", daemon=app.owner, sweeps=list(self.wake_ups))

    def _log_skipped(self) -> None:
        sweeps = [sweep for system in workers.enabled(self.settings) for sweep in system.sweeps]
        for name, reason in [(sweep.name, sweep.skipped(self.settings)) for sweep in sweeps]:
            if reason:
                log.info("sweep.skipped", sweep=name, reason=reason)

    def _watch(self, app: App, engine: Engine) -> None:
        alone = self.settings.profile == "frugal"
        for sweep, scope in engine.sweeps():
            sweeper = Sweeper(sweep, scope, self.wake_ups[sweep.name], alone)
            engine.watch(f"sweep {sweep.name}", sweeper.run)
            if sweep.find_abandoned:
                engine.watch(f"take over {sweep.name}", sweeper.take_over)
        by_collection = watched([sweep for sweep, _ in engine.sweeps()], self.wake_ups)
        by_collection[QUARANTINE.name].insert(0, lambda _place: app.shared.quarantine.forget())
        index_check = WakeUp()
        engine.watch("watcher", partial(watch, app, by_collection, index_check))
        engine.watch("index check", partial(keep_indexes, app, index_check))
        engine.watch("redis loss", partial(watch_for_redis_loss, app, self.wake_ups.values()))

    async def _serve_http(self, app: App) -> None:
        from pipeline_engine.admin.server import listening  # takes 0.1 s, which a daemon without HTTP saves

        try:
            await self._stack.enter_async_context(listening(app, self.wake_ups, self._is_stopping, self._lane_stats))
        except EngineError as error:
            _leave(error)

    def _take_over_signals(self) -> None:
        # arq's own handling cancels running work and, while Redis is away, never calls on_shutdown.
        self._worker_task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._on_signal, name)

    def _on_signal(self, name: signal.Signals) -> None:
        log.info("daemon.stop_requested", signal=name.name)
        if self._worker_task and not self._ending:
            self._ending = asyncio.create_task(stop_tasks(self._worker_task))
            _exit_after(self.settings.shutdown_grace + EXIT_SECONDS)

    def _is_stopping(self) -> bool:
        return self._ending is not None

    def _lane_stats(self) -> Mapping[str, LaneStats]:
        return self._engine.worker_pool.stats() if self._engine else {}

    async def stop(self, _context: dict[Any, Any]) -> None:
        """arq's `on_shutdown`: stops the engine and closes all connections. A second call changes nothing."""
        engine, self._engine = self._engine, None
        if engine:
            await engine.stop()
        await self._stack.aclose()


def _exit_after(seconds: float) -> None:
    """Exit the process with code 0 after `seconds`, unless it exits by itself before.

    At exit Python waits for threads that call MongoDB; while the server hangs, that takes up to MONGO_TIMEOUT.
    """
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


def worker_settings() -> type:
    """The class that arq reads.

    Wrong settings (code 2) or an absent Redis (code 3) end the program, with one line each.
    """
    try:
        configured = settings.load()
        _ping(configured.redis)
    except EngineError as error:
        _leave(error)
    patch_arq()
    daemon = Daemon(configured)
    queue_name = f"{configured.redis_prefix}cron:{ids.daemon_id()}"
    # No other process reads or writes this queue, so its key need not outlive this one.
    codec = Codec(secrets.token_bytes(32))
    pool = sentinel.connection_pool(configured.redis, **REDIS_TIMEOUTS)
    frugal = configured.profile == "frugal"
    names = {
        "functions": [_nothing],  # arq wants one
        "cron_jobs": [] if frugal else cron_jobs(daemon.timetable, daemon.wake_ups),
        "queue_name": queue_name,
        "redis_pool": ArqRedis(pool, codec.serialize, codec.deserialize, queue_name),
        "job_serializer": codec.serialize,
        "job_deserializer": codec.deserialize,
        "on_startup": daemon.start,
        "on_shutdown": daemon.stop,
        "handle_signals": False,
        "keep_result": 0,
        "log_results": False,
        "max_jobs": 100,
        "poll_delay": FRUGAL_POLL_SECONDS if frugal else POLL_SECONDS,
    }
    return type("WorkerSettings", (), names)


async def _nothing(_context: dict[Any, Any]) -> None:
    return


def _ping(url: str) -> None:
    try:
        sentinel.ping(url, **REDIS_TIMEOUTS)
    except ValueError as error:
        _leave(ConfigError(f"REDIS_URL: given (not shown): {error}"))
    except (RedisError, OSError) as error:
        away = Unreachable(f"Redis at REDIS_URL does not answer within {FIRST_ANSWER_TIMEOUT:g} s: {error}")
        raise refusal(error) or away from None


def _leave(error: EngineError) -> NoReturn:
    print(error, file=sys.stderr)  # noqa: T201 - the operator reads why the program ends
    raise SystemExit(UNREACHABLE if isinstance(error, Unreachable) else CONFIG_ERROR) from None
