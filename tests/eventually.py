"""Waits for a condition instead of a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(probe: Callable[[], Awaitable[T]], what: str, patience: float = 15) -> T:
    """The first answer of `probe` that is true; fails by name when none comes."""
    deadline = time.monotonic() + patience
    while not (answer := await probe()):
        assert time.monotonic() < deadline, f"still not after {patience:g} s: {what}"
        await asyncio.sleep(0.01)
    return answer
