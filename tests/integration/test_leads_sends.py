"""E-mails and texts of lead pipelines: retries, limits, and one slow call that holds up no other lead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.leads import control, run
from pipeline_engine.domain.leads.jobs import INTERNAL
from pipeline_engine.domain.leads.turns import Turns
from tests.support.engine_app import EngineApp, open_app
from tests.support.eventually import eventually
from tests.support.leads import action, entered, entry, later, lead_of, reply, rows, stage, statuses, template, work
from tests.support.stand_ins.scripted_smtp import HANG, ScriptedSmtp
from tests.support.stand_ins.twilio import Twilio
from tests.support.stopped_clock import stopped
from tests.support.world import World


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtp]:
    async with ScriptedSmtp() as smtp:
        yield smtp


@pytest.fixture
async def app(environment: dict[str, str], smtp: ScriptedSmtp) -> AsyncIterator[EngineApp]:
    async with Twilio() as twilio:
        mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>"}
        given = settings.from_environment({**environment, **mail, **twilio.environment()})
        async with open_app(given) as app:
            yield app


def mailing(world: World, *after: dict[str, object], **fields: object) -> ObjectId:
    return stage(world, action("email", email_template_id=template(world)), *after, **fields)


def to(smtp: ScriptedSmtp, world: World, id: ObjectId) -> int:
    """How many accepted mails went to the lead."""
    return sum(lead_of(world, id)["email"].encode() in mail for mail in smtp.accepted)


@pytest.mark.covers("LP-05", "LP-08", "LP-13")
async def test_an_email_is_sent_once_and_the_run_goes_on(world: World, app: EngineApp, smtp: ScriptedSmtp) -> None:
    here = mailing(world, action("sms", message="Hello {{ lead.name }}"), action("add_tag", tag="sent"))
    id, entry_id = entered(world, here)

    await work(app, world)

    assert statuses(world, entry_id) == ["done"] * 3
    assert (to(smtp, world, id), lead_of(world, id)["tags"]) == (1, ["sent"])
    keys = {f"lead:{entry_id}:1", f"lead:{entry_id}:2"}
    assert {one["_id"] for one in world.db["effects"].find({"state": "sent"})} == keys
    assert all(row["started_at"] and row["performed_at"] for row in rows(world, entry_id))


@pytest.mark.covers("LP-09")
async def test_a_send_that_fails_is_tried_again_after_a_pause_that_doubles(
    world: World, app: EngineApp, smtp: ScriptedSmtp
) -> None:
    smtp.script["RCPT"].extend(["451 later"] * 2)
    id, entry_id = entered(world, mailing(world))
    with stopped(app.clock):
        await work(app, world)
        first = entry(world, entry_id)
        wait = (first["perform_at"] - app.clock.now()).total_seconds()
        assert (first["attempts"], first["current_status"]) == (1, "pending")
        assert 3 < wait <= 5
        assert "451" in rows(world, entry_id)[0]["last_error"]

        await later(app, world, seconds=5.1)
        second = entry(world, entry_id)
        assert second["attempts"] == 2
        assert 7 < (second["perform_at"] - app.clock.now()).total_seconds() <= 10

        await later(app, world, seconds=10.1)
    assert (entry(world, entry_id)["status"], to(smtp, world, id)) == ("completed", 1)


@pytest.mark.covers("LP-09", "LP-15")
async def test_after_five_attempts_the_run_stops_and_says_why(world: World, app: EngineApp, smtp: ScriptedSmtp) -> None:
    smtp.script["RCPT"].extend(["451 not today"] * 9)
    id, entry_id = entered(world, mailing(world, action("add_tag", tag="never")))
    await work(app, world)

    for _ in range(4):
        assert entry(world, entry_id)["status"] == "active"
        await later(app, world, seconds=90)

    found = entry(world, entry_id)
    assert (found["status"], "not today" in found["reason"]) == ("failed", True)
    assert (statuses(world, entry_id), lead_of(world, id)["tags"]) == (["failed", "cancelled"], [])


@pytest.mark.covers("LP-15")
async def test_one_bad_recipient_fails_alone(world: World, app: EngineApp, smtp: ScriptedSmtp) -> None:
    here = mailing(world)
    _, bad = entered(world, here, email="no address")
    _, good = entered(world, here)

    await work(app, world)

    assert (entry(world, bad)["status"], entry(world, good)["status"]) == ("failed", "completed")
    assert "e-mail address" in entry(world, bad)["reason"]


@pytest.mark.parametrize(
    ("exits", "ends", "actions"),
    [
        ({}, ("cancelled", "unsubscribed"), ["cancelled", "cancelled"]),
        ({"unsubscribed": False}, ("completed", None), ["skipped", "done"]),
    ],
)
async def test_a_suppressed_lead_ends_or_goes_on_as_its_stage_says(
    world: World,
    app: EngineApp,
    smtp: ScriptedSmtp,
    exits: dict[str, bool],
    ends: tuple[str, str | None],
    actions: list[str],
) -> None:
    before = ObjectId.from_datetime(datetime(2020, 1, 1, tzinfo=UTC))  # so that the look-out for exits has passed it
    suppression = {"_id": before, "account_id": world.account, "channel": "email", "address": "no@example.com"}
    world.db["suppressions"].insert_one(suppression)
    _, entry_id = entered(world, mailing(world, action("add_tag", tag="x"), exits=exits), email="no@example.com")

    await work(app, world)

    found = entry(world, entry_id)
    assert ((found["status"], found["reason"]), statuses(world, entry_id)) == (ends, actions)
    assert smtp.accepted == []


@pytest.mark.covers("LP-10", "LP-11")
async def test_what_is_over_the_limit_is_due_later_and_burns_no_attempt(
    world: World, app: EngineApp, smtp: ScriptedSmtp
) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"limits": {"email": 2}}})
    here = mailing(world)
    entries = [entered(world, here)[1] for _ in range(5)]

    await work(app, world)

    states = [entry(world, one) for one in entries]
    waiting = [one for one in states if one["status"] == "active"]
    assert len(smtp.accepted) == 2
    assert len(waiting) == 3
    assert {one["attempts"] for one in waiting} == {0}
    assert {one["lease_owner"] for one in waiting} == {None}
    times = sorted(one["perform_at"] for one in waiting)
    assert times[0] > app.clock.now()
    assert (times[-1] - times[0]).total_seconds() == pytest.approx(60, abs=1)  # thirty seconds from one to the next


@pytest.mark.covers("LP-08")
async def test_a_call_that_hangs_holds_up_no_other_lead(world: World, app: EngineApp, smtp: ScriptedSmtp) -> None:
    smtp.script["RCPT"].append(HANG)
    here = mailing(world, action("add_tag", tag="sent"))
    entries = [entered(world, here)[1] for _ in range(8)]
    await app.heartbeat.beat()
    await run.run_enter(app, Turns(), world.account)

    sending = asyncio.create_task(run.run_email(app, Turns(), world.account))
    await eventually(lambda: len(smtp.accepted) == 7, "the others were sent", 10)

    def past() -> int:
        found = [entry(world, one) for one in entries]
        return sum(one["current_sequence"] == 2 and one["lease_owner"] is None for one in found)

    await eventually(lambda: past() == 7, "the others have gone on", 10)

    async def is_woken() -> bool:
        return (await app.queue.counts([INTERNAL.lane.name]))[INTERNAL.lane.name].unfinished > 0

    await eventually(is_woken, "their next actions have a job", 10)
    assert not sending.done()
    await run.run_internal(app, Turns(), world.account)
    assert sum(entry(world, one)["status"] == "completed" for one in entries) == 7
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.covers("LP-X4")
async def test_an_introduction_and_a_wait_for_its_answer(world: World, app: EngineApp, smtp: ScriptedSmtp) -> None:
    responded = stage(world, action("add_tag", tag="responded"))
    wait = action("wait_for_response", channel="any", timeout_seconds=600, on_response={"move": responded})
    here = mailing(world, action("wait", seconds=60), wait, action("add_tag", tag="silent"))
    one, _ = entered(world, here)
    other, _ = entered(world, here)
    await work(app, world)
    await later(app, world, seconds=61)

    reply(world, one, received_at=app.clock.now())
    await work(app, world)
    await later(app, world, seconds=601)

    assert (lead_of(world, one)["tags"], lead_of(world, other)["tags"]) == (["responded"], ["silent"])
    assert len(smtp.accepted) == 2


@pytest.mark.covers("LP-05", "LP-X4")
async def test_a_reply_that_was_handled_while_the_email_was_on_its_way_counts(
    world: World, app: EngineApp, smtp: ScriptedSmtp
) -> None:
    wait = action("wait_for_response", channel="any", timeout_seconds=600)
    id, _ = entered(world, mailing(world, wait, action("add_tag", tag="replied")))
    await work(app, world, jobs=[run.run_enter], rounds=1)
    smtp.seconds = 1.0
    sending = asyncio.create_task(run.run_email(app, Turns(), world.account))
    await smtp.reached["MAIL"].wait()
    reply(world, id)
    await run.run_internal(app, Turns(), world.account)
    assert world.db["lead_responses"].count_documents({"handled_at": None}) == 0  # no run waited for it yet

    await sending
    await work(app, world)
    assert lead_of(world, id)["tags"] == ["replied"]


async def test_a_text_of_which_a_crash_left_no_answer_is_flagged(world: World, app: EngineApp) -> None:
    _, entry_id = entered(world, stage(world, action("sms", message="Hi")))
    await work(app, world, jobs=[run.run_enter], rounds=1)
    record = {"channel": "sms", "state": "sending", "attempts": 1, "ambiguous": False, "history": []}
    world.db["effects"].insert_one({"_id": f"lead:{entry_id}:1", "account_id": world.account, **record})
    world.abandon("lead_stages", entry_id)

    await work(app, world)

    found = world.db["effects"].find_one({"_id": f"lead:{entry_id}:1"})
    assert found
    assert (found["state"], found["ambiguous"], entry(world, entry_id)["status"]) == ("unknown", True, "failed")


@pytest.mark.parametrize(("state", "following"), [("unknown", ("sent", True)), ("sent", None)])
async def test_a_retry_of_a_text_that_may_have_gone_out_is_flagged_and_of_one_that_did_sends_nothing(
    world: World, app: EngineApp, state: str, following: tuple[str, bool] | None
) -> None:
    id, entry_id = entered(world, stage(world, action("sms", message="Hi")))
    await work(app, world, jobs=[run.run_enter], rounds=1)
    first = f"lead:{entry_id}:1"
    record = {"channel": "sms", "state": "sending", "attempts": 1, "ambiguous": False, "history": []}
    world.db["effects"].insert_one({"_id": first, "account_id": world.account, **record})
    world.abandon("lead_stages", entry_id)
    await work(app, world)
    assert entry(world, entry_id)["status"] == "failed"
    world.db["effects"].update_one({"_id": first}, {"$set": {"state": state}})

    await control.retry(app, id)
    await work(app, world)

    found = world.db["effects"].find_one({"_id": f"{first}.1"})
    assert entry(world, entry_id)["status"] == "completed"
    assert (found and (found["state"], found["ambiguous"])) == following
