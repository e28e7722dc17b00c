"""Counts the daemons that run on this Redis, and warns when a command left work for a daemon and none runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer
from redis.asyncio import Redis

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.screen import Screen
from pipeline_engine.lanes import LaneQueue

NO_DAEMON = "No daemon runs at the moment: nothing happens before one starts, or `run-once` is called."

T = TypeVar("T")


async def count_daemons(redis: Redis, queue: LaneQueue) -> int:
    """How many daemons run on this Redis: each one listens for the doorbell of the lanes."""
    ((_, listening),) = await redis.pubsub_numsub(queue.keys.doorbell)
    return int(listening)


def no_daemon(sweep: str) -> str:
    """The warning after a request that waits for this sweep; empty: for some sweep."""
    command = f"run-once {sweep}".strip()
    return f"No daemon runs at the moment: the next one to start does it, or `{command}` now."


def ask(question: Callable[[App], Awaitable[T]]) -> T:
    """The answer to a question about what happens next; a warning on stderr when no daemon runs."""
    answer, running = session.with_app(lambda app: _with_count(app, question))
    if not running:
        typer.echo(NO_DAEMON, err=True)
    return answer


def request(change: Callable[[App], Awaitable[T]], sweep: str, line: Callable[[T], str]) -> None:
    """Make a change that a sweep takes up, and print `line` of its result; a warning when no daemon runs."""
    result, running = session.with_app(lambda app: _with_count(app, change))
    screen = Screen()
    screen.line(line(result))
    if not running:
        screen.line(no_daemon(sweep))


async def _with_count(app: App, work: Callable[[App], Awaitable[T]]) -> tuple[T, int]:
    return await work(app), await count_daemons(app.redis, app.queue)
