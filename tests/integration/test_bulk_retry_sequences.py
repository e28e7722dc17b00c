"""Failed enrolments in sequences are retried in bulk: the mail of the first one shows whether the cause is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pipeline_engine import settings
from pipeline_engine.domain.bulk_retry import BulkResult, Pace, retry_all
from pipeline_engine.engine import Engine
from pipeline_engine.repos.sequence_repos import SequenceRepos
from pipeline_engine.settings import Settings
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.sequences import Document, enroll, sequence, work
from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.world import World

FAST = Pace(per_second=1000, wait=60)
COUNT = 12


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtp]:
    async with ScriptedSmtp() as smtp:
        yield smtp


@pytest.fixture
def configured(environment: dict[str, str], smtp: ScriptedSmtp) -> Settings:
    mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>"}
    return settings.from_environment({**environment, **mail})


@pytest.fixture
async def engine(app: EngineApp) -> AsyncIterator[Engine]:
    engine = Engine(app)
    yield engine
    await engine.stop(0)


async def failed(world: World, app: EngineApp) -> tuple[list[Document], Document]:
    """The dead letters of enrolments whose template is gone, and the template."""
    id = sequence(world, 0)
    for _ in range(COUNT):
        enroll(world, id)
    template = world.db["email_templates"].find_one_and_delete({})
    await work(app.with_repos(SequenceRepos.open), world)
    letters = list(world.db["dead_letters"].find())
    assert template
    assert len(letters) == COUNT
    return letters, template


@pytest.mark.covers("CL-09")
async def test_while_the_cause_is_there_only_the_canary_is_retried(
    world: World, app: EngineApp, engine: Engine
) -> None:
    letters, _ = await failed(world, app)
    await engine.start()
    assert await retry_all(app, letters, FAST) == BulkResult(1, COUNT - 1, "it failed again")
    assert world.db["workflow_enrollments"].count_documents({"repeats": 1}) == 1


@pytest.mark.covers("CL-09")
async def test_a_canary_whose_mail_is_not_tried_says_nothing(world: World, app: EngineApp, engine: Engine) -> None:
    letters, _ = await failed(world, app)
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}})
    await engine.start()
    result = await retry_all(app, letters, Pace(per_second=1000, wait=3))
    assert (result.retried, result.left) == (1, COUNT - 1)
    assert "0 of 1 had ended" in result.stopped


@pytest.mark.covers("CL-09")
async def test_when_the_cause_is_gone_all_are_sent(
    world: World, app: EngineApp, engine: Engine, smtp: ScriptedSmtp
) -> None:
    letters, template = await failed(world, app)
    world.db["email_templates"].insert_one(template)
    await engine.start()
    assert await retry_all(app, letters, FAST) == BulkResult(COUNT, 0)
    await eventually(lambda: len(smtp.accepted) == COUNT, "all are sent", 60)
