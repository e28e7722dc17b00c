"""E-mails and texts of workflows: once each, within the account's limit, and to none who must not be written to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.workflows import enroll, run
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import open_app
from tests.support.eventually import eventually
from tests.support.stand_ins.scripted_smtp import HANG, ScriptedSmtp
from tests.support.stand_ins.twilio import Twilio
from tests.support.stopped_clock import stopped
from tests.support.workflows import (
    Document,
    WorkflowApp,
    again,
    contact,
    contact_of,
    email_template,
    enrollment,
    enrollments,
    happened,
    later,
    step,
    work,
    workflow,
)
from tests.support.world import World


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtp]:
    async with ScriptedSmtp() as smtp:
        yield smtp


@pytest.fixture
async def flow(environment: dict[str, str], smtp: ScriptedSmtp) -> AsyncIterator[WorkflowApp]:
    async with Twilio() as twilio:
        mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>"}
        given = settings.from_environment({**environment, **mail, **twilio.environment()})
        async with open_app(given) as app:
            yield app.with_repos(WorkflowRepos.open)


def mailing(world: World, *after: Document) -> ObjectId:
    return workflow(world, step("send_email", email_template_id=email_template(world)), *after)


def enrolled(world: World, **fields: object) -> ObjectId:
    one = contact(world, **fields)
    happened(world, "contact.created", one)
    return one


async def test_an_email_and_a_text_are_sent_once(world: World, flow: WorkflowApp, smtp: ScriptedSmtp) -> None:
    mailing(world, step("send_sms", message="Hi {{ contact.name }}"), step("add_tag", tag="sent"))
    one = enrolled(world)

    await work(flow, world)

    assert (len(smtp.accepted), contact_of(world, one)["tags"]) == (1, ["sent"])
    assert b"Hello Ada" in smtp.accepted[0]
    effects = list(world.db["effects"].find())
    assert sorted(effect["channel"] for effect in effects) == ["email", "sms"]
    assert {effect["state"] for effect in effects} == {"sent"}


async def test_a_send_that_fails_is_tried_again(world: World, flow: WorkflowApp, smtp: ScriptedSmtp) -> None:
    smtp.script["RCPT"].extend(["451 later"] * 2)
    mailing(world)
    one = enrolled(world)
    with stopped(flow.clock):
        await work(flow, world)
        assert (enrollment(world, one)["attempts"], len(smtp.accepted)) == (1, 0)
        await later(flow, world, seconds=1.3)
        assert (enrollment(world, one)["attempts"], len(smtp.accepted)) == (2, 0)

        await later(flow, world, seconds=7)

    assert (enrollment(world, one)["status"], len(smtp.accepted)) == ("completed", 1)


async def test_who_must_not_be_written_to_is_unsubscribed_and_a_bad_address_fails_alone(
    world: World, flow: WorkflowApp, smtp: ScriptedSmtp
) -> None:
    mailing(world, step("add_tag", tag="sent"))
    away, bad, good = enrolled(world, email="no@x.example"), enrolled(world, email="x"), enrolled(world)
    suppressed = {"account_id": world.account, "channel": "email", "address": "no@x.example", "reason": "unsubscribed"}
    world.db["suppressions"].insert_one(suppressed)

    await work(flow, world)

    states = [enrollment(world, one)["status"] for one in (away, bad, good)]
    assert (states, len(smtp.accepted)) == (["unsubscribed", "failed", "completed"], 1)
    assert "e-mail address" in enrollment(world, bad)["reason"]


async def test_what_is_over_the_limit_waits_and_burns_no_attempt(
    world: World, flow: WorkflowApp, smtp: ScriptedSmtp
) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"limits": {"email": 2}}})
    mailing(world)
    for _ in range(5):
        enrolled(world)

    await work(flow, world)

    waiting = enrollments(world, status="active")
    assert (len(smtp.accepted), len(waiting)) == (2, 3)
    assert {one["attempts"] for one in waiting} == {0}
    assert all(one["next_at"] > flow.clock.now() for one in waiting)


async def test_a_call_that_hangs_holds_up_no_other_contact(world: World, flow: WorkflowApp, smtp: ScriptedSmtp) -> None:
    smtp.script["RCPT"].append(HANG)
    mailing(world, step("add_tag", tag="sent"))
    contacts = [enrolled(world) for _ in range(30)]
    await work(flow, world, rounds=0)
    await enroll.run_enroll(flow, None, world.account)
    stepping = asyncio.create_task(run.run_steps(flow, None, world.account))

    def sent() -> int:
        return sum(contact_of(world, one)["tags"] == ["sent"] for one in contacts)

    await eventually(lambda: sent() > 0, "others have gone on", 20)
    another = enrolled(world)
    await enroll.run_enroll(flow, None, world.account)
    await again(flow, world, run.run_steps)
    await eventually(lambda: sent() == 29, "all others have gone on", 20)
    assert contact_of(world, another)["tags"] == ["sent"]
    assert not stepping.done()
    stepping.cancel()
    await asyncio.gather(stepping, return_exceptions=True)


async def test_a_contact_that_was_paused_meanwhile_is_not_written_to(
    world: World, flow: WorkflowApp, smtp: ScriptedSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = mailing(world)
    one = enrolled(world)
    repo = type(flow.repos.enrollments)
    before = repo.holds

    async def paused_first(self: object, held: Document) -> bool:
        world.db["workflow_enrollments"].update_many({"workflow_id": id}, {"$set": {"status": "cancelled"}})
        return await before(self, held)  # type: ignore[arg-type]

    monkeypatch.setattr(repo, "holds", paused_first)
    await work(flow, world)

    assert (smtp.accepted, enrollment(world, one)["status"]) == ([], "cancelled")
