"""What every command does first and last: read the settings, set up the logs, turn errors into exit codes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from pipeline_engine import logs, settings
from pipeline_engine.errors import ConfigError, EngineError, Unreachable
from pipeline_engine.settings import Settings

FAILED, USAGE, UNREACHABLE = 1, 2, 3

T = TypeVar("T")


def configured(**given: Any) -> Settings:
    """The settings, with the logs already as they say.

    Raises: ConfigError naming every bad variable.
    """
    found = settings.load(**given)
    logs.configure(found.log_level, found.log_style)
    return found


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; an error of ours becomes one line and the right exit code."""
    try:
        return asyncio.run(work)
    except ConfigError as error:
        leave(str(error), USAGE)
    except Unreachable as error:
        leave(str(error), UNREACHABLE)
    except EngineError as error:
        leave(str(error), FAILED)
    raise AssertionError  # pragma: no cover


def leave(message: str, code: int) -> None:
    """End the program with a message on stderr."""
    print(message, file=sys.stderr)  # noqa: T201 - this is the command line
    raise SystemExit(code)
