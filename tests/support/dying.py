"""Runs that end in the middle: at any call that leaves the process, before it or after it took effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from pipeline_engine import failpoints
from pipeline_engine.failpoints import FaultPlan


class Died(BaseException):
    """Stands for the end of the process: no handler of the engine catches it."""


async def die_at(
    monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str, work: Callable[[], Awaitable[object]]
) -> bool:
    """Run `work` in a process that ends at the nth call of the failpoint. Returns whether it came to that call."""

    async def die(_plan: FaultPlan) -> None:
        raise Died

    monkeypatch.setattr(failpoints, "_inject", die)
    plan = {"failpoint": point, "do": "kill", "when": when, "nth": nth}
    failpoints.arm(msgspec.json.encode(plan).decode(), None)
    try:
        await work()
    except Died:
        return True
    finally:
        failpoints.disarm()
    return False
