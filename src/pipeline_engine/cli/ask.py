"""Asks what will happen, and says on stderr when nobody is there to make it happen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.presence import daemons

NOBODY = "No daemon runs at the moment: nothing happens before one starts, or `run-once` is called."

T = TypeVar("T")


def ask(question: Callable[[App], Awaitable[T]]) -> T:
    """The answer."""

    async def work(app: App) -> tuple[T, int]:
        return await question(app), await daemons(app.redis, app.queue)

    answer, running = session.with_app(work)
    if not running:
        typer.echo(NOBODY, err=True)
    return answer
