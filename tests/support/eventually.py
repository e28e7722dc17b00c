"""Waits for a condition instead of a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, overload

T = TypeVar("T")

POLL_SECONDS = 0.01


class Witness(Protocol):
    """A process whose log explains why a condition was not met."""

    def tail(self) -> str: ...


@overload
async def eventually(probe: Callable[[], Awaitable[T]], what: str, timeout: float = 15, *witnesses: Witness) -> T: ...
@overload
async def eventually(probe: Callable[[], T], what: str, timeout: float = 15, *witnesses: Witness) -> T: ...
async def eventually(probe: Callable[[], object], what: str, timeout: float = 15, *witnesses: Witness) -> object:
    """Returns the first true answer of `probe`, which may be a coroutine function or not.

    Raises AssertionError after `timeout` seconds, with `what` did not happen and the end of the witnesses' logs.
    """
    deadline = time.monotonic() + timeout
    while True:
        asked = time.monotonic()
        answer = probe()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError("\n".join([f"not within {timeout:g} s: {what}", *(one.tail() for one in witnesses)]))
        # A probe that takes long on a busy machine leaves the processor to what it waits for.
        await asyncio.sleep(max(POLL_SECONDS, 2 * (time.monotonic() - asked)))
