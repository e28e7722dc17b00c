"""What many tasks ask to be stored goes out together, and each has its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pipeline_engine.domain.messages.group_commit import GroupCommit


class Store:
    """Takes one write at a time; `open` lets the writes through."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.under_way = 0

    async def write(self, requests: Sequence[str]) -> Sequence[str | Exception]:
        self.writes.append(list(requests))
        self.under_way += 1
        assert self.under_way == 1
        await self.open.wait()
        self.under_way -= 1
        if "breaks" in requests:
            raise OSError("the server is away")
        return [KeyError(one) if one == "refused" else one.upper() for one in requests]


async def all_ready() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_asked_for_at_one_moment_is_one_write() -> None:
    store = Store()
    async with GroupCommit(store.write) as commit:
        answers = await asyncio.gather(*(commit.ask(one) for one in "abc"))

    assert (answers, store.writes) == (["A", "B", "C"], [["a", "b", "c"]])


async def test_what_is_asked_for_during_a_write_is_the_next_write() -> None:
    store = Store()
    store.open.clear()
    async with GroupCommit(store.write) as commit:
        first = commit.ask("a")
        await all_ready()
        others = [commit.ask(one) for one in "bcd"]
        await all_ready()
        assert store.writes == [["a"]]
        assert not first.done()
        store.open.set()
        assert await asyncio.gather(*others) == ["B", "C", "D"]

    assert store.writes == [["a"], ["b", "c", "d"]]


async def test_a_write_that_fails_fails_what_it_carried_and_nothing_else() -> None:
    store = Store()
    store.open.clear()
    async with GroupCommit(store.write) as commit:
        carried = [commit.ask("breaks"), commit.ask("beside it")]
        await all_ready()
        later = [commit.ask("refused"), commit.ask("stored")]
        store.open.set()
        ended = await asyncio.gather(*carried, *later, return_exceptions=True)

    assert [type(one) for one in ended] == [OSError, OSError, KeyError, str]


async def test_what_a_cancelled_task_asked_for_is_stored_before_it_is_left() -> None:
    store = Store()
    store.open.clear()
    commit = GroupCommit(store.write)

    async def place() -> None:
        async with commit:
            await commit.ask("first")

    task = asyncio.create_task(place())
    await all_ready()
    end = commit.ask("reached its end")
    task.cancel()
    await all_ready()
    assert not task.done()
    store.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert store.writes == [["first"], ["reached its end"]]
    assert end.result() == "REACHED ITS END"


async def test_a_write_waits_until_every_task_asks() -> None:
    store = Store()
    async with GroupCommit(store.write, together=2) as commit:
        await asyncio.gather(commit.ask("a"), commit.ask("b"))
        commit._pause = 60.0  # as if the last write had taken a minute
        first = commit.ask("c")
        commit.add("an end")
        await all_ready()
        assert store.writes == [["a", "b"]]
        await asyncio.gather(first, commit.ask("d"))

    assert store.writes == [["a", "b"], ["c", "an end", "d"]]


async def test_a_write_waits_for_a_slow_task_no_longer_than_the_last_write_took() -> None:
    store = Store()
    async with GroupCommit(store.write, together=2) as commit:
        assert await commit.ask("a") == "A"
        assert await commit.ask("b") == "B"

    assert store.writes == [["a"], ["b"]]
