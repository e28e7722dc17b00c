"""Bounces and complaints: what is suppressed and when, and when sequences are paused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from tests.support.crm_events import contact, work
from tests.support.engine_app import EngineApp
from tests.support.followed_mails import enrolled, events, mailbox, receive, rows, sent, sequence
from tests.support.mails import complaint, delivery_report
from tests.support.world import World

BOB = "bob@example.com"


def enrolled_and_sent(world: World, sequence_id: ObjectId) -> str:
    return sent(world, f"sequence:{enrolled(world, contact(world, email=BOB), sequence_id)}:0")


def suppressed(world: World) -> dict[str, str]:
    return {one["address"]: one["reason"] for one in rows(world, "suppressions")}


def activities(world: World, count: int, **data: Any) -> None:
    own = {"account_id": world.account, "type": "sequence_email", "data": data}
    at = datetime.now(UTC) - timedelta(days=1)
    world.db["activities"].insert_many([{**own, "occurred_at": at} for _ in range(count)])


@pytest.mark.covers("R-12")
async def test_a_hard_bounce_suppresses_at_once_and_ends_the_sequence(world: World, app: EngineApp) -> None:
    message_id = enrolled_and_sent(world, sequence(world))
    await receive(app, world, mailbox(world), delivery_report(BOB, message_id))

    assert suppressed(world) == {BOB: "hard_bounce"}
    (event,) = events(world)
    assert (event["type"], event["data"]["bounce_type"], event["data"]["code"]) == ("email.bounced", "hard", "5.1.1")
    await work(app, world)
    assert rows(world, "workflow_enrollments")[0]["status"] == "bounced"


@pytest.mark.covers("R-12")
async def test_the_third_soft_bounce_within_30_days_suppresses(world: World, app: EngineApp) -> None:
    box = mailbox(world)
    ids = [enrolled_and_sent(world, sequence(world)) for _ in range(3)]
    for again in range(3):  # one mail is reported as late several times
        report = delivery_report(BOB, ids[0], action="delayed", status="4.4.1", more=f"X-Again: {again}\r\n")
        await receive(app, world, box, report)
    await receive(app, world, box, delivery_report(BOB, ids[1], status="5.2.2"))
    assert suppressed(world) == {}

    await receive(app, world, box, delivery_report(BOB, ids[2], status="4.2.2"))
    assert suppressed(world) == {BOB: "soft_bounces"}


async def test_soft_bounces_of_long_ago_count_no_more(world: World, app: EngineApp) -> None:
    old = {"account_id": world.account, "address": BOB, "at": datetime.now(UTC) - timedelta(days=31)}
    world.db["email_bounces"].insert_many([dict(old) for _ in range(5)])
    await receive(
        app, world, mailbox(world), delivery_report(BOB, enrolled_and_sent(world, sequence(world)), status="4.2.2")
    )
    assert suppressed(world) == {}


@pytest.mark.parametrize("report", [delivery_report(BOB, "<forged@x>"), complaint("<forged@x>", BOB)])
async def test_a_report_about_a_mail_that_this_account_never_sent_suppresses_no_address(
    world: World, app: EngineApp, report: bytes
) -> None:
    contact(world, email=BOB)
    await receive(app, world, mailbox(world), report)

    assert suppressed(world) == {}
    assert {one["data"]["bounce_type"] for one in events(world)} <= {"soft"}


@pytest.mark.covers("R-12")
@pytest.mark.parametrize("named", [BOB, ""])
async def test_a_complaint_suppresses_who_complained(world: World, app: EngineApp, named: str) -> None:
    message_id = enrolled_and_sent(world, sequence(world))
    await receive(app, world, mailbox(world), complaint(message_id, named))

    assert suppressed(world) == {BOB: "complaint"}
    assert [one["type"] for one in events(world)] == ["email.unsubscribed"]


async def bounce(
    app: EngineApp, world: World, box: dict[str, Any], sequence_id: ObjectId, count: int, **fields: Any
) -> None:
    """Let mails of the sequence bounce."""
    for _ in range(count):
        message_id = enrolled_and_sent(world, sequence_id)
        if fields:
            own = {"account_id": world.account, "message_id": message_id, "direction": "out", **fields}
            world.db["email_messages"].insert_one(own)
        await receive(app, world, box, delivery_report(BOB, message_id))


@pytest.mark.covers("CL-26")
async def test_an_account_of_which_too_much_bounces_has_its_sequences_paused(world: World, app: EngineApp) -> None:
    box, one, other = mailbox(world), sequence(world), sequence(world)
    activities(world, 100)
    await bounce(app, world, box, one, 5)
    assert [found.get("paused") for found in rows(world, "sequences")] == [None, None]

    await bounce(app, world, box, one, 1)
    assert {found["_id"] for found in rows(world, "sequences") if found["paused"]["by"] == "bounce_rate"} == {
        one,
        other,
    }
    assert len(rows(world, "ai_notifications", kind="sequences_paused")) == 1

    world.db["sequences"].update_many({}, {"$unset": {"paused": ""}})  # a person resumes them
    await bounce(app, world, box, one, 1)
    assert [found.get("paused") for found in rows(world, "sequences")] == [None, None]


@pytest.mark.covers("CL-26")
async def test_a_mailbox_of_which_too_much_bounces_pauses_its_own_sequences(world: World, app: EngineApp) -> None:
    box, sick, well = mailbox(world), sequence(world), sequence(world)
    activities(world, 100, email_account_id=box["_id"])
    activities(world, 900)
    await bounce(app, world, box, sick, 6, email_account_id=box["_id"])

    paused = {found["_id"]: bool(found.get("paused")) for found in rows(world, "sequences")}
    assert paused == {sick: True, well: False}


async def test_few_sends_allow_no_conclusion(world: World, app: EngineApp) -> None:
    box, one = mailbox(world), sequence(world)
    activities(world, 99)
    await bounce(app, world, box, one, 8)
    assert rows(world, "sequences")[0].get("paused") is None
