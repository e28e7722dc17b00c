"""A dead letter that is retried runs again as if it had never failed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from bson import ObjectId

from pipeline_engine.domain import dead_letters
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import Backoff, Context, Dead, Finished, Hook, Job, Lane, WorkerPool
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually

LANE = Lane("deals.import", places=1, backoff=Backoff.fixed(0), attempts=2)


class Patient:
    """A handler that fails until it is cured."""

    def __init__(self) -> None:
        self.cured = False
        self.ran: list[Job] = []

    async def run(self, context: Context[EngineApp], _import_id: str) -> None:
        self.ran.append(context.job)
        if not self.cured:
            raise ValueError("not yet")


@asynccontextmanager
async def working(app: EngineApp, patient: Patient, *hooks: Hook) -> AsyncIterator[None]:
    handlers, store = {"import.plan": patient.run}, app.shared.job_store
    worker_pool = WorkerPool(app.settings.redis, app.queue, [LANE], handlers, app, store, hooks)
    await worker_pool.start()
    try:
        yield
    finally:
        await worker_pool.drain(grace=5)


async def letter_of(app: EngineApp, status: str) -> ObjectId:
    letters = await eventually(lambda: app.shared.job_store.letters(status), f"a letter is {status}")
    await eventually(lambda: _is_empty(app), "its job is settled")
    return ObjectId(letters[0]["_id"])


async def _is_empty(app: EngineApp) -> bool:
    return (await app.queue.counts([LANE.name]))[LANE.name].unfinished == 0


@pytest.mark.covers("CL-09")
async def test_it_goes_back_with_its_attempts_at_zero_and_dies_again_as_another_letter(app: EngineApp) -> None:
    patient = Patient()
    async with working(app, patient):
        await app.queue.enqueue(LANE.name, "import.plan", "an id", id="the job")
        first = await letter_of(app, "dead")
        await dead_letters.retry(app, first)
        second = await letter_of(app, "dead")
        assert second != first
        assert [job.attempt for job in patient.ran] == [1, 2, 1, 2]

        patient.cured = True
        await dead_letters.retry(app, second)
        await eventually(lambda: len(patient.ran) >= 5, "the fifth run")
    assert patient.ran[-1].attempt == 1
    assert {job.id for job in patient.ran} == {"the job"}, "it keeps its identity"
    assert await app.shared.job_store.letters("dead") == []


async def test_a_letter_whose_job_is_not_settled_yet_can_be_retried_already(app: EngineApp) -> None:
    """The letter is written before the job leaves its lane: an operator may see it in between."""
    patient = Patient()

    async def retry_at_once(finished: Finished) -> None:
        if isinstance(finished.outcome, Dead):
            patient.cured = True
            (letter,) = await app.shared.job_store.letters("dead")
            await dead_letters.retry(app, letter["_id"])

    async with working(app, patient, retry_at_once):
        await app.queue.enqueue(LANE.name, "import.plan", "an id", id="the job")
        await eventually(lambda: len(patient.ran) == 3, "the third run")
        await eventually(lambda: _is_empty(app), "it is settled")
    assert [(job.id, job.attempt) for job in patient.ran] == [("the job", 1), ("the job", 2), ("the job", 1)]
    assert await app.shared.job_store.letters("dead") == []


async def test_a_crash_before_the_mark_puts_the_job_in_once(app: EngineApp) -> None:
    letter = {"lane": LANE.name, "job_id": "j", "function": "import.plan", "args": ["an id"], "status": "dead"}
    letter_id = (await app.database["dead_letters"].insert_one(letter)).inserted_id
    await dead_letters.retry(app, letter_id)
    await app.database["dead_letters"].update_one({"_id": letter_id}, {"$set": {"status": "dead"}})

    await dead_letters.retry(app, letter_id)

    assert (await app.queue.counts([LANE.name]))[LANE.name].waiting == 1


async def test_what_is_settled_stays_so(app: EngineApp) -> None:
    letter = {"lane": LANE.name, "job_id": "j", "function": "import.plan", "args": [], "status": "dead"}
    letter_id = (await app.database["dead_letters"].insert_one(letter)).inserted_id
    await dead_letters.discard(app, letter_id)

    with pytest.raises(Permanent, match="was discarded already"):
        await dead_letters.retry(app, letter_id)
    assert (await app.queue.counts([LANE.name]))[LANE.name].waiting == 0
