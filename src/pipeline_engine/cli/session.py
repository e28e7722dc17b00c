"""What every command does first and last: reads the settings, sets up the logs, turns errors into exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO, TypeVar

import typer
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from typer.exceptions import TyperException

from pipeline_engine import logs, settings
from pipeline_engine.app import App, reason_of
from pipeline_engine.errors import ConfigError, EngineError, Transient, Unreachable
from pipeline_engine.lanes import refusal
from pipeline_engine.repos.client import is_away
from pipeline_engine.settings import Settings
from pipeline_engine.workers import open_app

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

T = TypeVar("T")


def configured(**given: Any) -> Settings:
    """The settings; the logs are set up by them.

    Raises: ConfigError naming every bad variable.
    """
    found = settings.load(**given)
    logs.configure(found.log_level, found.log_style)
    return found


def run(program: Callable[..., Any]) -> NoReturn:
    """Run the command line and end the process with the code of its outcome, never with a traceback.

    Ctrl-C, a usage error, a stdout that is closed or full and a fault of the engine's own are one line on stderr.
    """
    try:
        _prepare()
        with exit_codes():
            code = program(standalone_mode=False)
            if sys.stdout:
                sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        leave("interrupted", INTERRUPTED)
    except TyperException as error:
        leave(_usage(error), error.exit_code)
    except OSError as error:
        _drop(sys.stdout)
        leave(f"cannot read or write: {logs.visible(str(error))}", FAILED)
    except Exception as error:
        leave(_fault(error), FAILED)
    raise SystemExit(code if isinstance(code, int) else 0)


def _prepare() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from now on, and no text that is printed raise an error."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _drop(stream: TextIO) -> None:
    """Let Python's last flush of a stream that takes nothing, which would fail again, go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _usage(error: TyperException) -> str:
    """The message that Typer would print; the help alone when a command was given no word."""
    context, message = getattr(error, "ctx", None), error.format_message()
    if context is None or message == context.get_help():
        return message
    return f"{context.get_usage()}\nError: {message}"


def _fault(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}"
    if os.environ.get("LOG_LEVEL") == "DEBUG":
        return "".join(traceback.format_exception(error))
    reason = logs.clean(str(error))
    return f"a fault of the engine: {type(error).__name__} at {place}: {reason}: LOG_LEVEL=DEBUG shows the traceback"


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
    shown = "\n".join(map(logs.visible, message.split("\n")))
    try:
        if sys.stderr:
            print(shown, file=sys.stderr, flush=True)  # noqa: T201 - this is the command line
    except OSError:
        _drop(sys.stderr)
    raise SystemExit(code)
