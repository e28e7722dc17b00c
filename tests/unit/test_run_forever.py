"""Background loops start again after a failure, and stop when they are stopped."""

from __future__ import annotations

import asyncio

from pipeline_engine.run_forever import run_forever, stop_tasks


async def test_a_loop_that_fails_starts_again() -> None:
    starts: list[int] = []
    three_starts = asyncio.Event()

    async def loop() -> None:
        starts.append(len(starts))
        if len(starts) >= 3:
            three_starts.set()
        raise ConnectionError("gone")

    task = asyncio.create_task(run_forever("test", loop, pause=0.001))
    async with asyncio.timeout(5):
        await three_starts.wait()
        await stop_tasks(task)
    assert task.cancelled()


async def test_every_task_has_ended() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(3)]

    await stop_tasks(*tasks)

    assert all(task.cancelled() for task in tasks)


async def test_a_call_that_succeeds_while_it_is_cancelled_does_not_keep_its_loop_alive() -> None:
    """Before Python 3.12, `asyncio.wait_for` returns the result and drops the cancellation."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def call() -> None:
        await answer

    async def loop() -> None:
        await asyncio.wait_for(call(), 3600)
        await asyncio.sleep(3600)

    task = asyncio.create_task(loop())
    for _ in range(3):
        await asyncio.sleep(0)
    answer.set_result(None)
    await asyncio.sleep(0)  # the call has succeeded, and its caller has not resumed yet

    async with asyncio.timeout(10):
        await stop_tasks(task)

    assert task.cancelled()


async def test_tasks_that_failed_or_ended_before_raise_nothing() -> None:
    async def fail() -> None:
        raise ConnectionError("gone")

    failed, ended = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait([failed, ended])

    await stop_tasks(failed, ended)
