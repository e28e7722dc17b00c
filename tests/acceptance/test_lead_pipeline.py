"""The pipeline of the seed for a thousand leads: an introduction, a move, a wait, and a reply or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from email import message_from_bytes
from pathlib import Path

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.run_once import run_once
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.leads import action, enter, lead, reply, stage, template
from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.world import World

LEADS, REPLIES = 1000, 300
HOUR_MS = 3_600_000


class Pipeline:
    """Inquired → responded → replied or silent."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.replied, self.silent = stage(world), stage(world)
        branches = {"on_response": {"move": str(self.replied)}, "on_timeout": {"move": str(self.silent)}}
        wait = action("wait_for_response", channel="email", timeout_seconds=HOUR_MS // 1000, **branches)
        self.responded = stage(world, action("wait", seconds=1), wait)
        introduction = action("email", email_template_id=template(world))
        self.inquired = stage(world, introduction, action("move", stage_id=self.responded))
        self.leads = [lead(world) for _ in range(LEADS)]
        enter(world, self.inquired, *self.leads)

    def count(self, **query: object) -> int:
        return self.world.db["lead_stages"].count_documents(query)

    def all_wait_for_a_reply(self) -> bool:
        return self.count(current_status="waiting_response") == LEADS

    def some_reply(self) -> None:
        for one in self.leads[:REPLIES]:
            reply(self.world, one)

    def an_hour_goes_by(self, type: str) -> None:
        """For the leads that stand at an action of this type."""
        earlier = {"$set": {"perform_at": {"$subtract": ["$perform_at", HOUR_MS]}}}
        self.world.db["lead_stages"].update_many({"status": "active", "current_type": type}, [earlier])

    def check(self, smtp: ScriptedSmtp) -> None:
        """Each lead was written to once, and each went the way that its reply, or the lack of one, led."""
        written = Counter(message_from_bytes(message)["To"] for message in smtp.accepted)
        assert (len(written), set(written.values())) == (LEADS, {1})
        assert self._leads_in(self.replied) == set(self.leads[:REPLIES])
        assert self._leads_in(self.silent) == set(self.leads[REPLIES:])
        assert (self.count(status="left"), self.count()) == (2 * LEADS, 3 * LEADS)
        assert self.world.db["lead_stage_actions"].count_documents({"status": {"$ne": "done"}}) == 0

    def _leads_in(self, stage_id: ObjectId) -> set[ObjectId]:
        return set(self.world.db["lead_stages"].distinct("lead_id", {"stage_id": stage_id, "status": "completed"}))


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtp]:
    async with ScriptedSmtp() as smtp:
        yield smtp


@pytest.mark.slow
@pytest.mark.covers("LP-01", "LP-04", "LP-05", "LP-08")
async def test_a_thousand_leads_in_the_daemon(
    world: World, environment: dict[str, str], tmp_path: Path, smtp: ScriptedSmtp
) -> None:
    pipeline = Pipeline(world)
    mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>", "LEADS_SWEEP_SECONDS": "2"}
    daemon = Daemon({**environment, **mail}, tmp_path, "daemon", cold=True)
    try:
        await eventually(pipeline.all_wait_for_a_reply, "all wait for a reply", 90, daemon)
        pipeline.some_reply()
        await eventually(lambda: pipeline.count(stage_id=pipeline.replied) == REPLIES, "replies count", 60, daemon)
        pipeline.an_hour_goes_by("wait_for_response")
        await eventually(lambda: pipeline.count(status="completed") == LEADS, "all have ended", 60, daemon)
        pipeline.check(smtp)
        assert not daemon.said("lead.action_failed")
    finally:
        daemon.kill()


@pytest.mark.slow
@pytest.mark.covers("LP-05", "LP-12")
async def test_a_thousand_leads_by_run_once(world: World, environment: dict[str, str], smtp: ScriptedSmtp) -> None:
    pipeline = Pipeline(world)
    mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>"}
    configured = settings.from_environment({**environment, **mail})

    async def pass_through() -> None:
        (result,) = (await run_once(configured, ["leads.actions"])).results
        assert (result.failed, result.busy) == (0, 0)

    await pass_through()
    assert len(smtp.accepted) == LEADS
    pipeline.an_hour_goes_by("wait")
    await pass_through()
    assert pipeline.all_wait_for_a_reply()
    pipeline.some_reply()
    await pass_through()
    assert pipeline.count(stage_id=pipeline.replied, status="completed") == REPLIES
    pipeline.an_hour_goes_by("wait_for_response")
    await pass_through()
    pipeline.check(smtp)
