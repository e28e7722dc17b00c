"""What every command does first and last: reads the settings, sets up the logs, turns errors into exit codes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from pipeline_engine import logs, settings
from pipeline_engine.app import App, reason_of
from pipeline_engine.errors import ConfigError, EngineError, Transient, Unreachable
from pipeline_engine.lanes import refusal
from pipeline_engine.repos.client import is_away
from pipeline_engine.settings import Settings
from pipeline_engine.workers import open_app

FAILED, USAGE, UNREACHABLE = 1, 2, 3

T = TypeVar("T")


def configured(**given: Any) -> Settings:
    """The settings; the logs are set up by them.

    Raises: ConfigError naming every bad variable.
    """
    found = settings.load(**given)
    logs.configure(found.log_level, found.log_style)
    return found


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn an EngineError, and a server that stops to answer, into one line on stderr and an exit code."""
    try:
        yield
    except ConfigError as error:
        leave(str(error), USAGE)
    except (Unreachable, Transient) as error:
        leave(str(error), UNREACHABLE)
    except EngineError as error:
        leave(str(error), FAILED)
    except PyMongoError as error:
        if not is_away(error):
            raise
        leave(f"MongoDB at MONGO_URL does not answer any more: {reason_of(error)}", UNREACHABLE)
    except RedisError as error:
        if known := refusal(error):
            leave(str(known), UNREACHABLE)
        leave(f"Redis at REDIS_URL does not answer any more: {reason_of(error)}", UNREACHABLE)


def with_app(work: Callable[[App], Awaitable[T]]) -> T:
    """The result of `work`, which gets every connection that the settings name.

    Raises: ConfigError, Unreachable, and what `work` raises.
    """

    async def connected() -> T:
        async with open_app(configured()) as app:
            return await work(app)

    return asyncio.run(connected())


def leave(message: str, code: int) -> NoReturn:
    """End the program with this exit code and a message on stderr."""
    print(message, file=sys.stderr)  # noqa: T201 - this is the command line
    raise SystemExit(code)
