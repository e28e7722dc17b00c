"""Failpoints: the named places where a call leaves the process. A test run can make one call of one of them fail.

Every adapter puts `async with failpoint("s3.get"):` around its outgoing calls, or `@failpoint("sockets.emit")` on the
method that makes them. While failpoints are not armed, that costs one comparison. Settings arm them, and only with
FAULT_TESTING=1: then each call is counted and written to FAULT_LOG, and at the call that FAULT_PLAN names the process
is killed, or the call raises, hangs or waits. So a dry run lists every point at which a kill can matter.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import msgspec

from pipeline_engine.errors import ConfigError, Transient

P = ParamSpec("P")
R = TypeVar("R")

When = Literal["before", "after"]


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fault of one call. `raise` with `after` means: the call took effect, and its answer was lost."""

    failpoint: str
    do: Literal["kill", "raise", "hang", "delay"]
    when: When = "before"
    nth: Annotated[int, msgspec.Meta(ge=1)] = 1  # which call of that failpoint in this process, from 1
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 1.0  # the length of a `delay`


class _Armed:
    def __init__(self, plan: FaultPlan | None, log: Path | None) -> None:
        self._plan = plan
        self._log = log
        self._calls: Counter[str] = Counter()

    def count(self, name: str) -> int:
        self._calls[name] += 1
        return self._calls[name]

    async def reach(self, name: str, nth: int, when: When) -> None:
        if self._log:
            _append(self._log, f"{name} {nth} {when}\n")
        plan = self._plan
        if plan and (plan.failpoint, plan.nth, plan.when) == (name, nth, when):
            await _inject(plan)


_armed: _Armed | None = None


class failpoint:  # noqa: N801 - callers use it like a keyword
    """Marks one place where a call leaves the process: a context manager and a decorator, named `<server>.<verb>`."""

    __slots__ = ("_nth", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._nth = 0

    async def __aenter__(self) -> None:
        if _armed is not None:
            self._nth = _armed.count(self.name)
            await _armed.reach(self.name, self._nth, "before")

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if _armed is not None and kind is None:
            await _armed.reach(self.name, self._nth, "after")

    def __call__(self, call: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        """Decorate a coroutine function: this failpoint surrounds each of its calls."""

        @wraps(call)
        async def through(*args: P.args, **kwargs: P.kwargs) -> R:
            if _armed is None:
                return await call(*args, **kwargs)
            async with failpoint(self.name):  # calls overlap, so each needs its own number
                return await call(*args, **kwargs)

        return through


def arm(plan: str | None, log: str | None) -> None:
    """Count and log every call from now on, and inject the fault that the plan names.

    `plan` is JSON, for example `{"failpoint": "s3.get", "nth": 3, "when": "after", "do": "kill"}`.
    `log` is a file to which each call appends the line `<failpoint> <nth> before` and, if it succeeds, `... after`.

    Raises: ConfigError when the plan is not valid.
    """
    global _armed
    try:
        fault = msgspec.json.decode(plan, type=FaultPlan) if plan else None
    except msgspec.MsgspecError as failure:
        raise ConfigError(f"FAULT_PLAN: given {plan!r}: {failure}") from None
    _armed = _Armed(fault, Path(log) if log else None)


def disarm() -> None:
    """Stop counting, logging and injecting faults."""
    global _armed
    _armed = None


async def _inject(plan: FaultPlan) -> None:
    match plan.do:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise Transient(f"planned fault {plan.when} call {plan.nth} of {plan.failpoint}")
        case "hang":
            await asyncio.get_running_loop().create_future()
        case "delay":
            await asyncio.sleep(plan.seconds)


def _append(log: Path, line: str) -> None:
    # Closing writes the line out; a buffered line would be lost in the SIGKILL that may follow.
    with log.open("a") as file:
        file.write(line)
