"""A waiting loop is woken once by many calls, and none of them is lost."""

from __future__ import annotations

import asyncio

from pipeline_engine.wake_up import WakeUp


async def test_calls_that_come_together_wake_once() -> None:
    wake_up = WakeUp()
    wake_up()
    wake_up()
    async with asyncio.timeout(1):
        await wake_up.wait()
    waiting = asyncio.create_task(wake_up.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    wake_up()
    await waiting


async def test_a_wait_that_times_out_returns_everything() -> None:
    async with asyncio.timeout(5):
        assert await WakeUp().wait(timeout=0.01) is None


async def test_places_are_returned_unless_one_call_names_none() -> None:
    wake_up = WakeUp()
    wake_up("a")
    wake_up("b")
    assert await wake_up.wait() == frozenset("ab")
    wake_up("c")
    wake_up()
    assert await wake_up.wait() is None
    wake_up("d")
    assert await wake_up.wait() == frozenset("d")
