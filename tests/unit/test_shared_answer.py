"""However many ask, the answer is found once at a time, and seldom enough."""

from __future__ import annotations

import asyncio

import pytest

from pipeline_engine.admin.shared_answer import SharedAnswer


class Source:
    """Answers with how often it was asked, once it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def find(self) -> int:
        self.asked += 1
        number = self.asked
        await self.may_answer.wait()
        return number


async def test_all_who_ask_meanwhile_and_soon_after_get_the_same_answer() -> None:
    source = Source()
    shared = SharedAnswer(source.find, seconds=60)
    assert await asyncio.gather(*(shared.get() for _ in range(1000))) == [1] * 1000
    assert await shared.get() == 1


async def test_an_answer_that_is_too_old_is_found_anew() -> None:
    shared = SharedAnswer(Source().find, seconds=0)
    assert [await shared.get(), await shared.get()] == [1, 2]


async def test_one_that_is_slow_is_waited_for_however_long_it_takes() -> None:
    source = Source()
    source.may_answer.clear()
    shared = SharedAnswer(source.find, seconds=0)
    asking = [asyncio.create_task(shared.get()) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()  # a client that went away takes nothing from the others
    source.may_answer.set()
    assert await asyncio.gather(*asking[1:]) == [1, 1]
    assert source.asked == 1


async def test_a_failure_is_an_answer_like_any_other() -> None:
    calls = 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        raise ValueError("broken")

    shared = SharedAnswer(fail, seconds=60)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            await shared.get()
    assert calls == 1
