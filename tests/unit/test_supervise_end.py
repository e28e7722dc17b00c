"""Cancelled tasks end, even those that overhear the first time."""

from __future__ import annotations

import asyncio

from pipeline_engine.supervise import end


async def test_every_task_has_ended() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(3)]

    await end(*tasks)

    assert all(task.cancelled() for task in tasks)


async def test_a_call_that_succeeds_while_it_is_cancelled_does_not_keep_its_loop_alive() -> None:
    """`asyncio.wait_for` hands the result on and forgets the cancellation, before Python 3.12."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    turns: list[int] = []

    async def call() -> None:
        await answer

    async def loop() -> None:
        await asyncio.wait_for(call(), 3600)
        turns.append(1)
        await asyncio.sleep(3600)

    task = asyncio.create_task(loop())
    for _ in range(3):
        await asyncio.sleep(0)
    answer.set_result(None)
    await asyncio.sleep(0)  # the call is through, and whoever waits for it has not heard of it yet

    async with asyncio.timeout(10):
        await end(task)

    assert task.cancelled()


async def test_tasks_that_failed_or_were_through_before_are_no_trouble() -> None:
    async def fail() -> None:
        raise ConnectionError("gone")

    failed, through = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait([failed, through])

    await end(failed, through)
