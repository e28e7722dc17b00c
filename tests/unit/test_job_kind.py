"""A job kind names its unit the same way when it is enqueued and when it runs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from bson import ObjectId
from redis.asyncio import Redis

from pipeline_engine.lanes import Backoff, Codec, JobKind, Lane, LaneQueue, NewJob

LANE = Lane("orders", 2, Backoff.fixed(1))
KIND = JobKind("orders.ship", LANE, ObjectId)


class RecordingQueue(LaneQueue):
    """A queue without Redis: it keeps what it is given and reports every job as new."""

    def __init__(self) -> None:
        super().__init__(Redis(), Codec(bytes(32)))
        self.enqueued: dict[str, list[NewJob]] = {}

    async def enqueue_many(self, lane: str, jobs: Iterable[NewJob], *_: object, **__: object) -> int:
        given = list(jobs)
        self.enqueued.setdefault(lane, []).extend(given)
        return len(given)


def test_a_job_carries_its_units_id_as_only_argument_and_as_job_id() -> None:
    id = ObjectId()
    assert KIND.job(id) == NewJob("orders.ship", (str(id),), id=str(id))


def test_the_id_is_read_back_from_the_argument() -> None:
    id = ObjectId()
    (argument,) = KIND.job(id).args
    assert KIND.read_id(argument) == id
    assert JobKind("count", LANE, int).read_id(*JobKind("count", LANE, int).job(7).args) == 7


async def test_enqueue_puts_one_job_per_id_into_its_lane() -> None:
    queue, ids = RecordingQueue(), [ObjectId(), ObjectId()]
    assert await KIND.enqueue(queue, iter(ids)) == 2
    assert queue.enqueued == {"orders": [KIND.job(id) for id in ids]}


async def test_no_ids_are_no_jobs_and_no_call_to_redis() -> None:
    unconnected = LaneQueue(Redis(port=1), Codec(bytes(32)))
    assert await KIND.enqueue(unconnected, []) == 0


def test_a_job_kind_is_a_value() -> None:
    assert JobKind("orders.ship", LANE, ObjectId) == KIND
    with pytest.raises(AttributeError):
        KIND.name = "other"  # type: ignore[misc]


def test_an_id_that_no_job_has_room_for_cannot_be_named() -> None:
    kind = JobKind("texts", LANE, str)
    assert kind.can_name("x" * 1000)
    assert not kind.can_name("x" * 2_000_000)
