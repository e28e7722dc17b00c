"""`queues`: lists the lanes; pauses, resumes and cleans one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated, Literal

import typer
from pymongo.errors import PyMongoError

from pipeline_engine import lane_pauses, workers
from pipeline_engine.app import App, open_redis, reason_of
from pipeline_engine.cli import session
from pipeline_engine.cli.arguments import read_duration
from pipeline_engine.cli.screen import Screen
from pipeline_engine.errors import ConfigError, EngineError
from pipeline_engine.lanes import Codec, LaneQueue

COLUMNS = ("lane", "waiting", "active", "delayed", "completed", "failed", "paused")

program = typer.Typer(help="The lanes: list, pause, resume, clean.", invoke_without_command=True)

Lane = Annotated[str, typer.Argument(metavar="LANE", help="As `queues list` names it.")]


@program.callback()
def default(context: typer.Context) -> None:
    """The lanes: list (also without a word), pause, resume, clean."""
    if context.invoked_subcommand is None:
        show()


@program.command("list")
def show() -> None:
    """Jobs and history of every lane. History: completed jobs and failed attempts."""
    Screen().table(COLUMNS, session.with_app(_rows))


async def _rows(app: App) -> list[tuple[object, ...]]:
    held = await app.queue.counts(list(workers.lanes()))
    past = {lane: await app.shared.job_store.counts(lane) for lane in held}
    return [
        (
            lane,
            count.waiting,
            count.active,
            count.delayed,
            past[lane]["completed"],
            past[lane]["failed"],
            "paused" if count.paused else "",
        )
        for lane, count in held.items()
    ]


@program.command()
def pause(lane: Lane) -> None:
    """Make every daemon start no more jobs of this lane until `resume`. Running jobs go on."""
    known = _known(lane)
    try:
        session.with_app(lambda app: lane_pauses.pause(app, known))
    except (EngineError, PyMongoError) as error:
        # The command may stop an emergency, so it does what it can, unless Redis is away as well.
        asyncio.run(_pause_in_redis(known))
        lasts = "until Redis loses its data, so pause it again once this is mended"
        session.leave(f"{lane} is paused in Redis alone, {lasts}: {reason_of(error)}", session.FAILED)
    Screen().line(f"{lane} is paused")


async def _pause_in_redis(lane: str) -> None:
    settings = session.configured()
    async with AsyncExitStack() as stack:
        redis = await open_redis(settings, stack)
        # No job is written or read here, so any key does for the digest.
        await LaneQueue(redis, Codec(bytes(32)), prefix=settings.redis_prefix).pause(lane)


@program.command()
def resume(lane: Lane) -> None:
    """Let the daemons start jobs of a paused lane again."""
    known = _known(lane)
    session.with_app(lambda app: lane_pauses.resume(app, known))
    Screen().line(f"{lane} goes on")


@program.command()
def clean(
    lane: Lane,
    state: Annotated[Literal["completed", "failed"], typer.Option(help="The rows of history to remove.")],
    older_than: Annotated[str, typer.Option(metavar="AGE", help="As in 90s, 30m, 24h, 7d.")] = "24h",
) -> None:
    """Remove old rows of a lane's history. Jobs that wait or run stay."""
    known, age = _known(lane), read_duration(older_than, "--older-than")
    removed = session.with_app(lambda app: app.shared.job_store.clean(known, state, age))
    Screen().line(f"{lane}: {removed} {state} rows older than {older_than} removed")


def _known(lane: str) -> str:
    known = workers.lanes()
    if lane not in known:
        raise ConfigError(f"no such lane: {lane!r}; there are {', '.join(known)}")
    return lane
