"""What is wrong with Redis when a call fails, in words for an operator. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from pipeline_engine.errors import ConfigError, EngineError, Unreachable

MAX_TEXT = 200
COMMAND = re.compile(r"'([\w|]+)' (?:sub)?command")
"""How the server quotes the command that its access rules refuse."""
REFUSED_IN_SCRIPT = ("ACL failure in script", "The user executing the script can't")
"""What servers of several versions say when a script's command is refused."""
ERROR_STATES: dict[type[Exception], tuple[str, str]] = {
    ReadOnlyError: ("read_only", "is a read-only replica (READONLY)"),
    BusyLoadingError: ("loading", "is loading its data (LOADING)"),
    OutOfMemoryError: ("full", "has no memory left (OOM)"),
}
"""{class of redis-py: (state, text)}."""
SERVER_STATES = {
    "MISCONF": ("disk_failed", "cannot write to its disk (MISCONF)"),
    "NOREPLICAS": ("no_replicas", "has too few replicas to write (NOREPLICAS)"),
    "MASTERDOWN": ("read_only", "is a replica without a master (MASTERDOWN)"),
    "CLUSTERDOWN": ("away", "belongs to a cluster that is down (CLUSTERDOWN)"),
    "BUSY": ("busy", "is held up by a script (BUSY)"),
}
"""{first word of the server's refusal: (state, text)}, where redis-py has no class for it."""


@dataclass(frozen=True)
class RedisProblem:
    """`state` is one word for programs, as `/readyz` shows it; `text` follows the name of the server."""

    state: str
    text: str


def problem_of(error: BaseException) -> RedisProblem | None:
    """What is wrong with the server, which passes without a change of the engine; None for any other error."""
    if state := _state(error):
        return RedisProblem(*state)
    if isinstance(error, NoPermissionError) or _is_refusal_in_script(error):
        return RedisProblem("not_permitted", _refused(str(error)))
    if isinstance(error, AuthenticationError):
        return RedisProblem("not_permitted", f"refuses the user or the password: {_short(error)}")
    if isinstance(error, (RedisConnectionError, RedisTimeoutError, OSError)):
        return RedisProblem("away", f"does not answer: {type(error).__name__}: {_short(error)}")
    return None


def _is_refusal_in_script(error: BaseException) -> bool:
    return isinstance(error, ResponseError) and any(part in str(error) for part in REFUSED_IN_SCRIPT)


def _state(error: BaseException) -> tuple[str, str] | None:
    by_class = next((state for kind, state in ERROR_STATES.items() if isinstance(error, kind)), None)
    return by_class or SERVER_STATES.get(str(error).partition(" ")[0] if isinstance(error, ResponseError) else "")


def refusal(error: BaseException) -> EngineError | None:
    """The error for an operator when a server answers its first call with a refusal; None when it does not answer.

    ConfigError when the user lacks a right, Unreachable while the server loads, is full or is a replica.
    """
    problem = problem_of(error)
    if problem is None or problem.state == "away" or isinstance(error, AuthenticationError):
        return None
    text = f"Redis at REDIS_URL {problem.text}"
    return ConfigError(text) if problem.state == "not_permitted" else Unreachable(text, problem.state)


def _refused(text: str) -> str:
    command = COMMAND.search(text)
    what = f"the command {command[1].upper()}" if command else _short(text)
    return f"refuses its user {what} (NOPERM): give it the rights that docs/operations.md lists"


def _short(text: object) -> str:
    return str(text).partition("\n")[0][:MAX_TEXT]
