"""Failed enrolments are retried in bulk through the real lanes: the first one shows whether the cause is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from pipeline_engine.domain.bulk_retry import BulkResult, Pace, retry_all
from pipeline_engine.engine import Engine
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.workflows import Document, contact, enrollments, happened, step, work, workflow
from tests.support.world import World

FAST = Pace(per_second=1000, wait=60)
COUNT = 12


@contextmanager
def broken(error: Exception) -> Iterator[None]:
    """As long as this lasts, no task can be written."""

    async def fails(*_: object) -> dict[int, str]:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DerivedDocuments, "insert", fails)
        yield


async def failed(world: World, app: EngineApp, *after: Document) -> list[Document]:
    """The dead letters of enrolments that failed at their first step."""
    workflow(world, step("create_task", title="Call"), *after)
    for _ in range(COUNT):
        happened(world, "contact.created", contact(world))
    with broken(Permanent("on purpose", "refused")):
        await work(app.with_repos(WorkflowRepos.open), world)
    assert len(enrollments(world, status="failed")) == COUNT
    return list(world.db["dead_letters"].find())


@pytest.fixture
async def engine(app: EngineApp) -> AsyncIterator[Engine]:
    engine = Engine(app)
    yield engine
    await engine.stop(0)


@pytest.mark.covers("CL-09")
@pytest.mark.parametrize("error", [Permanent("no", "refused"), OSError("no")], ids=["at once", "after four attempts"])
async def test_while_the_cause_is_there_only_the_canary_is_retried(
    world: World, app: EngineApp, engine: Engine, error: Exception
) -> None:
    letters = await failed(world, app)
    await engine.start()
    with broken(error):
        assert await retry_all(app, letters, FAST) == BulkResult(1, COUNT - 1, "it failed again")
    assert len(enrollments(world, repeats=1)) == 1


@pytest.mark.covers("CL-09")
async def test_a_canary_whose_step_is_not_performed_says_nothing(world: World, app: EngineApp, engine: Engine) -> None:
    letters = await failed(world, app)
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}})
    await engine.start()
    result = await retry_all(app, letters, Pace(per_second=1000, wait=3))
    assert (result.retried, result.left) == (1, COUNT - 1)
    assert "0 of 1 had ended" in result.stopped


@pytest.mark.covers("CL-09")
@pytest.mark.parametrize("after", [[], [step("wait", seconds=600)]], ids=["ended", "waiting"])
async def test_when_the_cause_is_gone_all_go_on(
    world: World, app: EngineApp, engine: Engine, after: list[Document]
) -> None:
    letters = await failed(world, app, *after)
    await engine.start()
    assert await retry_all(app, letters, FAST) == BulkResult(COUNT, 0)
    status = {"status": "active", "deadline": {"$exists": True}} if after else {"status": "completed"}
    await eventually(lambda: len(enrollments(world, repeats=1, **status)) == COUNT, "all are behind the step", 60)
