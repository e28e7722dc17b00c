"""Stores what many tasks ask for, together: one write at a time, and what is asked for meanwhile goes out with the
next one. A write costs a round trip however many share it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")

MAX_PAUSE_SECONDS = 0.02


class GroupCommit(Generic[Request, Answer]):
    """`async with GroupCommit(write) as commit`: `write` stores requests and returns the answer or the error of each,
    in their order. What `write` raises is the error of those that it was given, and of no others.

    A write goes out when `together` tasks wait for their answers, and at the latest after a pause as long as the last
    write took. So one slow task holds up no other.

    Leaving waits until everything that was asked for is stored, also what cancelled tasks asked for.
    """

    def __init__(
        self, write: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]], together: int = 1
    ) -> None:
        self._write = write
        self._together = together
        self._asking = 0
        self._enough_ask = asyncio.Event()
        self._pause = 0.0
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> GroupCommit[Request, Answer]:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._writer and not self._writer.done():
            await asyncio.shield(self._writer)

    def ask(self, request: Request) -> asyncio.Future[Answer]:
        """As `add`, for a task that does nothing else until it has the answer."""
        self._asking += 1
        if self._asking >= self._together:
            self._enough_ask.set()
        return self.add(request)

    def add(self, request: Request) -> asyncio.Future[Answer]:
        """Have the request stored after all that came before. The future has its answer, or its error."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_on())
        return answer

    async def _write_on(self) -> None:
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._enough_ask.wait()
            carried, self._waiting = self._waiting, []
            self._asking = 0
            self._enough_ask.clear()
            began = time.monotonic()
            answers = await self._answers([request for request, _ in carried])
            self._pause = min(time.monotonic() - began, MAX_PAUSE_SECONDS)
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
