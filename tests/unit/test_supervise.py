"""Loops that must not end."""

from __future__ import annotations

import asyncio

import pytest

from pipeline_engine.supervise import Poke, supervise
from tests.support.eventually import eventually


async def test_a_loop_that_fails_starts_again() -> None:
    starts: list[int] = []

    async def loop() -> None:
        starts.append(len(starts))
        raise ConnectionError("gone")

    task = asyncio.create_task(supervise("test", loop, rest=0.001))
    await eventually(lambda: len(starts) >= 3, "the third start", 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_pokes_that_come_together_are_heard_once() -> None:
    poke = Poke()
    poke()
    poke()
    async with asyncio.timeout(1):
        await poke.wait()
    waiting = asyncio.create_task(poke.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    poke()
    await waiting


async def test_a_wait_ends_by_itself_after_the_longest_time_and_then_all_is_to_be_looked_at() -> None:
    async with asyncio.timeout(5):
        assert await Poke().wait(longest=0.01) is None


async def test_pokes_say_where_to_look_unless_one_of_them_does_not() -> None:
    poke = Poke()
    poke("a")
    poke("b")
    assert await poke.wait() == frozenset("ab")
    poke("c")
    poke()
    assert await poke.wait() is None
    poke("d")
    assert await poke.wait() == frozenset("d")
