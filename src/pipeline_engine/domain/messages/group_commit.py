"""Stores what many tasks ask for, together: one write at a time, and what is asked for meanwhile goes out with the
next one. So nothing waits for a timer, and a write costs a round trip however many share it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class GroupCommit(Generic[Request, Answer]):
    """`async with GroupCommit(write) as commit`: `write` stores requests and returns the answer or the error of each,
    in their order. What `write` raises is the error of those that it was given, and of no others.

    Leaving waits until everything that was asked for is stored, also what cancelled tasks asked for.
    """

    def __init__(self, write: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]]) -> None:
        self._write = write
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> GroupCommit[Request, Answer]:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._writer and not self._writer.done():
            await asyncio.shield(self._writer)

    def ask(self, request: Request) -> asyncio.Future[Answer]:
        """Have the request stored after all that were asked for before. The future has its answer, or its error."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_on())
        return answer

    async def _write_on(self) -> None:
        while self._waiting:
            carried, self._waiting = self._waiting, []
            answers = await self._answers([request for request, _ in carried])
            for (_, future), answer in zip(carried, answers, strict=True):
                _settle(future, answer)

    async def _answers(self, requests: Sequence[Request]) -> Sequence[Answer | Exception]:
        try:
            return await self._write(requests)
        except Exception as error:
            return [error] * len(requests)


def _settle(future: asyncio.Future[Answer], answer: Answer | Exception) -> None:
    if future.done():  # the task that asked was cancelled
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
        future.exception()  # counts as retrieved: a task that broke off no longer waits for it
    else:
        future.set_result(answer)
