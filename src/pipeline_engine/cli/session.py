"""What every command does first and last: read the settings, set up the logs, turn errors into exit codes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from pipeline_engine import logs, settings
from pipeline_engine.app import App
from pipeline_engine.errors import ConfigError, EngineError, Transient, Unreachable
from pipeline_engine.repos.client import is_away
from pipeline_engine.settings import Settings
from pipeline_engine.workers import open_app

FAILED, USAGE, UNREACHABLE = 1, 2, 3

T = TypeVar("T")


def configured(**given: Any) -> Settings:
    """The settings, with the logs already as they say.

    Raises: ConfigError naming every bad variable.
    """
    found = settings.load(**given)
    logs.configure(found.log_level, found.log_style)
    return found


@contextmanager
def exit_codes() -> Iterator[None]:
    """An error of ours, or a server that goes away, becomes one line on stderr and the right exit code."""
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
        leave(f"MongoDB at MONGO_URL does not answer any more: {type(error).__name__}", UNREACHABLE)
    except RedisError as error:
        leave(f"Redis at REDIS_URL does not answer any more: {type(error).__name__}", UNREACHABLE)


def with_app(work: Callable[[App], Awaitable[T]]) -> T:
    """Run `work` with every connection that the settings name."""

    async def connected() -> T:
        async with open_app(configured()) as app:
            return await work(app)

    return asyncio.run(connected())


def leave(message: str, code: int) -> NoReturn:
    """End the program with a message on stderr."""
    print(message, file=sys.stderr)  # noqa: T201 - this is the command line
    raise SystemExit(code)
