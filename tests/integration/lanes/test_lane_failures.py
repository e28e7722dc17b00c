"""What becomes of jobs that fail: retries, releases, dead letters, and everything around a job that may fail too."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode

import pytest
from redis.asyncio import Redis

from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.lanes import (
    Codec,
    Context,
    Dead,
    Done,
    Finished,
    LaneQueue,
    runner,
)
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import Book, lane
from tests.support.eventually import eventually
from tests.support.said import Said


@pytest.mark.covers("R-17")
async def test_a_failing_job_is_retried_and_then_becomes_a_dead_letter(
    crews: Crews, queue: LaneQueue, book: Book
) -> None:
    """arq fails a job for good at its first exception, keeps no earlier error, and writes no dead letter."""
    attempts: list[int] = []

    async def handler(context: Context[None], deal: str) -> None:
        attempts.append(context.job.attempt)
        raise Transient(f"try {context.job.attempt} of {deal}")

    await crews(lane(attempts=3), {"f": handler})
    await queue.enqueue("test", "f", "d1", id="one")
    await eventually(lambda: len(book.letters) == 1, "the dead letter")
    (letter,) = book.letters
    assert attempts == [1, 2, 3]
    assert (letter.lane, letter.job_id, letter.function, letter.args) == ("test", "one", "f", ["d1"])
    assert (letter.attempts, letter.error) == (3, "try 3 of d1")
    assert [failure["error"] for failure in letter.errors] == ["try 1 of d1", "try 2 of d1", "try 3 of d1"]
    assert letter.first_failed_at < letter.last_failed_at
    await eventually(lambda: _is_empty(queue), "the lane is empty")


async def test_a_foreign_exception_is_retried_and_its_text_reaches_the_ledger_but_neither_redis_nor_the_log(
    crews: Crews, queue: LaneQueue, book: Book, redis: Redis, said: Said
) -> None:
    async def handler(context: Context[None]) -> None:
        if context.job.attempt == 2:
            await asyncio.Event().wait()
        raise ValueError("cell: Jane Miller")

    async def raising(_: Context[None]) -> None:
        raise ValueError("cell: Jane Miller")

    await crews(lane(attempts=2, timeout=0.5), {"f": handler, "g": raising})
    await queue.enqueue("test", "f", id="one")
    states: list[bytes] = []

    async def remembered() -> bool:
        states[:] = await redis.hvals(queue.keys.stem("test") + "state")  # type: ignore[misc]
        return bool(states)

    await eventually(remembered, "the first failure is remembered")
    state = b64decode(states[0])
    assert b"ValueError" in state
    assert b"Jane" not in state
    await eventually(lambda: len(book.letters) == 1, "the dead letter")
    (letter,) = book.letters
    assert letter.error == "TimeoutError: ran longer than 0.5 s"
    assert letter.errors[0]["error"].startswith("ValueError at handler:")

    await queue.enqueue("test", "g")
    await eventually(lambda: len(book.letters) == 2, "the second dead letter")
    assert book.letters[1].error == "ValueError: cell: Jane Miller"
    assert "raise ValueError" in book.letters[1].traceback
    assert "> test_lane_failures.py" in said()
    assert "Jane" not in said()


async def test_a_dead_letter_that_cannot_be_written_keeps_the_job_but_does_not_run_it_again(
    crews: Crews, queue: LaneQueue, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "DEAD_LETTER_RETRY_SECONDS", 0.02)
    runs: list[int] = []

    async def handler(context: Context[None]) -> None:
        runs.append(context.job.attempt)
        raise Permanent("no")

    book.closed = True
    await crews(lane(), {"f": handler})
    await queue.enqueue("test", "f", id="one")
    await eventually(lambda: book.refusals >= 3, "three tries to write the letter")
    assert runs == [1]
    assert not await queue.enqueue("test", "f", id="one"), "the job is still there"
    book.closed = False
    await eventually(lambda: len(book.letters) == 1, "the letter")
    await eventually(lambda: _is_empty(queue), "the lane is empty")
    assert runs == [1]
    assert (book.letters[0].error, book.letters[0].attempts) == ("no", 1)


async def test_a_hook_that_raises_or_hangs_ends_nothing(
    crews: Crews, queue: LaneQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In arq it ends the worker."""
    monkeypatch.setattr(runner, "HOOK_TIMEOUT", 0.05)
    heard: list[Finished] = []

    async def raising(_: Finished) -> None:
        raise RuntimeError("hook")

    async def hanging(_: Finished) -> None:
        await asyncio.Event().wait()

    async def good(finished: Finished) -> None:
        heard.append(finished)

    async def handler(_: Context[None], number: int) -> None:
        if number == 1:
            raise Permanent("no")

    await crews(lane(places=1), {"f": handler}, hooks=[raising, hanging, good])
    for number in range(3):
        await queue.enqueue("test", "f", number)
    await eventually(lambda: len(heard) == 3, "all hooks were called for all jobs")
    assert [type(finished.outcome) for finished in heard] == [Done, Dead, Done], "terminal failures do not skip hooks"
    assert isinstance(heard[1].error, Permanent)
    await eventually(lambda: _is_empty(queue), "the lane is empty")


async def test_an_unknown_function_waits_for_a_newer_daemon(crews: Crews, queue: LaneQueue, book: Book) -> None:
    """arq destroys the job."""
    attempts: list[int] = []

    async def handler(context: Context[None], _: int) -> None:
        attempts.append(context.job.attempt)

    old = await crews(lane(), {}, look_every=0.05)
    await queue.enqueue("test", "new", 1, id="one")
    await eventually(lambda: old.stats()["test"].unknown == 1, "the old daemon saw it")
    await eventually(lambda: _holds(queue, parked=1), "it is parked")
    assert not await queue.enqueue("test", "new", 1, id="one"), "its id is still taken"
    await crews(lane(), {"new": handler}, look_every=0.05)
    await eventually(lambda: attempts == [1], "the new daemon ran it though the old one is still there")
    await eventually(lambda: _is_empty(queue), "the lane is empty")
    assert not book.letters


async def test_a_planted_past_is_ignored(crews: Crews, queue: LaneQueue, redis: Redis) -> None:
    attempts: list[int] = []

    async def handler(context: Context[None]) -> None:
        attempts.append(context.job.attempt)

    forged = Codec(b"the key of another program entirely").serialize([99, 1, [], True])
    for name, planted in (("a", b64encode(forged).decode()), ("b", "no base64 ÿ"), ("c", "c2hvcnQ=")):
        await queue.enqueue("test", "f", id=name)
        await redis.hset(queue.keys.stem("test") + "state", name, planted)  # type: ignore[misc]
    worker_pool = await crews(lane(), {"f": handler})
    await eventually(lambda: attempts == [1, 1, 1], "all ran")
    assert worker_pool.stats()["test"].refused == 3


async def test_a_handler_that_is_cancelled_from_inside_is_retried(crews: Crews, queue: LaneQueue) -> None:
    attempts: list[int] = []

    async def handler(context: Context[None]) -> None:
        attempts.append(context.job.attempt)
        if context.job.attempt == 1:
            raise asyncio.CancelledError

    await crews(lane(), {"f": handler})
    await queue.enqueue("test", "f")
    await eventually(lambda: attempts == [1, 2], "the second attempt")
    await eventually(lambda: _is_empty(queue), "the lane is empty")


async def test_wrong_arguments_are_a_failure_like_any_other(crews: Crews, queue: LaneQueue, book: Book) -> None:
    async def handler(_: Context[None]) -> None: ...

    await crews(lane(attempts=2), {"f": handler})
    await queue.enqueue("test", "f", "one too many")
    await eventually(lambda: len(book.letters) == 1, "the dead letter")
    assert "TypeError" in book.letters[0].error


async def test_logs_carry_ids_and_never_arguments(crews: Crews, queue: LaneQueue, book: Book, said: Said) -> None:
    """arq logs the arguments of every job."""

    async def handler(_: Context[None], secret: str, fate: str) -> None:
        match fate:
            case "retry":
                raise Transient("not now")
            case "die":
                raise Permanent("no")

    await crews(lane(attempts=2), {"f": handler})
    for fate in ("live", "retry", "die"):
        await queue.enqueue("test", "f", "CANARY", fate, id=f"job-{fate}")
    await eventually(lambda: len(book.letters) == 2, "two died")
    await eventually(lambda: _is_empty(queue), "the lane is empty")
    assert "CANARY" not in said()
    for fate in ("live", "retry", "die"):
        assert f"job-{fate}" in said()


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0


async def _holds(queue: LaneQueue, **expected: int) -> bool:
    counts = (await queue.counts(["test"]))["test"]
    return all(getattr(counts, name) == value for name, value in expected.items())
