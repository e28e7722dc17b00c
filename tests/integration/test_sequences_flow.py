"""Sequences: each mail once, in its thread, after its delay; and what ends them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.sequences.control import run_retry
from pipeline_engine.providers.public_host import PublicHosts
from tests.support.sequences import (
    HOUR,
    SequenceApp,
    contact,
    enroll,
    enrollment,
    later,
    open_sequences,
    read,
    sequence,
    template,
    work,
)
from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.world import World


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtp]:
    async with ScriptedSmtp() as smtp:
        yield smtp


@pytest.fixture
async def flow(environment: dict[str, str], smtp: ScriptedSmtp) -> AsyncIterator[SequenceApp]:
    mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>"}
    async with open_sequences(settings.from_environment({**environment, **mail})) as app:
        yield app


@pytest.mark.covers("CL-26")
async def test_each_mail_is_sent_once_after_its_delay_and_the_last_one_completes(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp
) -> None:
    one = enroll(world, sequence(world, 0, HOUR, 2 * HOUR))
    await work(flow, world)
    await work(flow, world)
    assert (len(smtp.accepted), enrollment(world, one)["step"]) == (1, 1)
    await later(flow, world, seconds=HOUR - 60)
    assert len(smtp.accepted) == 1

    await later(flow, world, seconds=120)
    await later(flow, world, seconds=2 * HOUR)

    found = enrollment(world, one)
    assert (found["status"], found["step"], found["next_at"]) == ("completed", 3, None)
    mails = [read(raw) for raw in smtp.accepted]
    assert [mail["Subject"] for mail in mails] == ["Mail 0", "Mail 1", "Mail 2"]
    assert [entry["did"] for entry in found["log"]] == ["sent"] * 3


@pytest.mark.covers("CL-26", "R-14")
async def test_follow_ups_stand_in_the_thread_of_the_first_mail(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp
) -> None:
    id = sequence(world, 0, 60, 60)
    unnamed = {"account_id": world.account, "subject": "", "text": "Did you see my mail?"}
    last = world.db["email_templates"].insert_one(unnamed).inserted_id
    world.db["sequences"].update_one({"_id": id}, {"$set": {"steps.2.email_template_id": last}})
    one = enroll(world, id)
    await work(flow, world)
    await later(flow, world, seconds=61)
    await later(flow, world, seconds=61)

    first, second, third = (read(raw) for raw in smtp.accepted)
    assert (first["In-Reply-To"], first["References"]) == (None, None)
    assert (second["In-Reply-To"], second["References"]) == (first["Message-ID"], first["Message-ID"])
    assert third["In-Reply-To"] == second["Message-ID"]
    assert third["References"] == f"{first['Message-ID']} {second['Message-ID']}"
    assert third["Subject"] == "Re: Mail 0"
    assert first["Message-ID"] == f"<sequence.{one}.0@crm.example>"
    assert {mail["Auto-Submitted"] for mail in (first, second, third)} == {"auto-generated"}


async def test_every_mail_is_a_row_of_the_timeline(world: World, flow: SequenceApp, smtp: ScriptedSmtp) -> None:
    person = contact(world)
    id = sequence(world, 0, 60)
    enroll(world, id, person)
    await work(flow, world)
    await later(flow, world, seconds=61)

    rows = list(world.db["activities"].find({"contact_id": person}).sort("data.step"))
    assert [(row["type"], row["data"]["step"], row["data"]["sequence_id"]) for row in rows] == [
        ("sequence_email", 0, id),
        ("sequence_email", 1, id),
    ]
    assert [row["data"]["message_id"] for row in rows] == [read(raw)["Message-ID"] for raw in smtp.accepted]


async def test_steps_are_those_of_the_first_send(world: World, flow: SequenceApp, smtp: ScriptedSmtp) -> None:
    id = sequence(world, 0, 60)
    one = enroll(world, id)
    await work(flow, world)
    world.db["sequences"].update_one({"_id": id}, {"$set": {"steps": []}})

    await later(flow, world, seconds=61)

    assert (len(smtp.accepted), enrollment(world, one)["status"]) == (2, "completed")


async def test_an_enrolment_without_a_time_waits_for_the_delay_of_its_first_mail(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp
) -> None:
    enroll(world, sequence(world, HOUR), next_at=None)
    await work(flow, world)
    assert smtp.accepted == []
    await later(flow, world, seconds=HOUR + 1)
    assert len(smtp.accepted) == 1


@pytest.mark.covers("CL-X12", "R-12")
@pytest.mark.parametrize(
    ("fields", "answer", "status"),
    [
        ({"email": "x"}, "", "failed"),
        ({"email": "gone@x.example"}, "550 5.1.1 no such user", "bounced"),
        ({"email": "spam@x.example"}, "550 5.7.1 we do not want this", "failed"),
        ({"email": "no@x.example"}, "", "unsubscribed"),
    ],
)
async def test_who_cannot_be_written_to_ends_with_the_reason_and_no_other(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp, fields: dict[str, str], answer: str, status: str
) -> None:
    no = {"account_id": world.account, "channel": "email", "address": "no@x.example", "reason": "unsubscribed"}
    world.db["suppressions"].insert_one(no)
    id = sequence(world, 0, 60)
    if answer:
        smtp.script["RCPT"].append(answer)
    one = enroll(world, id, contact(world, **fields))
    await work(flow, world)
    other = enroll(world, id)
    await work(flow, world)

    found = enrollment(world, one)
    assert (found["status"], bool(found["reason"]), found["next_at"]) == (status, True, None)
    assert (enrollment(world, other)["status"], len(smtp.accepted)) == ("active", 1)
    bounces = list(world.db["crm_events"].find({"type": "email.bounced"}))
    assert [event["data"]["bounce_type"] for event in bounces] == ["hard"] * (status == "bounced")
    hard = world.db["suppressions"].find_one({"reason": "hard_bounce"})
    assert (hard["address"] if hard else None) == ("gone@x.example" if status == "bounced" else None)


async def test_what_is_gone_cancels_and_what_is_malformed_fails(world: World, flow: SequenceApp) -> None:
    good = sequence(world, 0)
    no_template = sequence(world, 0)
    world.db["sequences"].update_one({"_id": no_template}, {"$set": {"steps.0.email_template_id": ObjectId()}})
    bad = sequence(world, 0)
    world.db["sequences"].update_one({"_id": bad}, {"$set": {"steps": [{"delay_seconds": -1}]}})
    other = world.neighbour()
    ids = [
        enroll(world, good, ObjectId()),
        enroll(world, ObjectId()),
        enroll(world, no_template),
        enroll(world, bad),
        enroll(world, sequence(other, 0)),
        enroll(world, sequence(world)),
    ]
    await work(flow, world)

    assert [enrollment(world, id)["status"] for id in ids] == [
        *("cancelled", "cancelled", "failed", "failed", "cancelled", "completed")
    ]
    assert "email_template_id" in enrollment(world, ids[3])["reason"]
    assert world.db["dead_letters"].count_documents({"lane": "crm.sequences"}) == 2
    other.close()


async def test_an_operator_lets_a_failed_enrolment_go_on(world: World, flow: SequenceApp, smtp: ScriptedSmtp) -> None:
    id = sequence(world, 0, 60)
    template_id = world.db["sequences"].find_one({"_id": id})["steps"][0]["email_template_id"]  # type: ignore[index]
    kept = world.db["email_templates"].find_one_and_delete({"_id": template_id})
    assert kept
    one = enroll(world, id)
    await work(flow, world)
    assert enrollment(world, one)["status"] == "failed"
    world.db["email_templates"].insert_one(kept)

    await run_retry(flow, PublicHosts(allow_private=False), one)
    await work(flow, world)
    await later(flow, world, seconds=61)

    assert (enrollment(world, one)["status"], len(smtp.accepted)) == ("completed", 2)
    assert read(smtp.accepted[1])["In-Reply-To"] == read(smtp.accepted[0])["Message-ID"]


async def test_an_enrolment_that_fails_again_after_its_retry_has_another_dead_letter(
    world: World, flow: SequenceApp
) -> None:
    steps = [{"delay_seconds": 0, "email_template_id": ObjectId()}]
    one = enroll(world, sequence(world, steps=steps))
    for failures in (1, 2, 3):
        await work(flow, world)
        assert enrollment(world, one)["status"] == "failed"
        assert world.db["dead_letters"].count_documents({"job_id": str(one), "status": "dead"}) == failures
        await run_retry(flow, PublicHosts(allow_private=False), one)


async def test_a_send_that_fails_is_tried_again_and_given_up_in_the_end(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp
) -> None:
    smtp.script["RCPT"].extend(["451 later"] * 2)
    one = enroll(world, sequence(world, 0))
    await work(flow, world)
    assert (enrollment(world, one)["attempts"], enrollment(world, one)["error"]) == (
        1,
        "the mail server says: 451 later",
    )
    await later(flow, world, seconds=40)
    await later(flow, world, seconds=80)
    assert (enrollment(world, one)["status"], len(smtp.accepted)) == ("completed", 1)

    smtp.script["RCPT"].extend(["451 later"] * 5)
    other = enroll(world, sequence(world, 0))
    for _ in range(5):
        await later(flow, world, seconds=HOUR)
    assert (enrollment(world, other)["status"], len(smtp.accepted)) == ("failed", 1)


async def test_a_sequence_that_is_not_active_rests_and_goes_on_where_it_was(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp
) -> None:
    id = sequence(world, 0, HOUR)
    one = enroll(world, id)
    await work(flow, world)
    world.db["sequences"].update_one({"_id": id}, {"$set": {"active": False}})
    await work(flow, world)
    await later(flow, world, seconds=2 * HOUR)
    assert (len(smtp.accepted), enrollment(world, one)["status"]) == (1, "paused")

    world.db["sequences"].update_one({"_id": id}, {"$set": {"active": True}})
    await work(flow, world)
    found = enrollment(world, one)
    assert (found["status"], len(smtp.accepted)) == ("active", 1)
    await later(flow, world, seconds=HOUR)
    assert (len(smtp.accepted), enrollment(world, one)["status"]) == (2, "completed")


async def test_what_is_over_the_limit_waits_and_burns_no_attempt(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp
) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"limits": {"email": 2}}})
    id = sequence(world, 0)
    ids = [enroll(world, id) for _ in range(5)]
    await work(flow, world)

    waiting = [found for one in ids if (found := enrollment(world, one))["status"] == "active"]
    assert (len(smtp.accepted), len(waiting)) == (2, 3)
    assert all(one["next_at"] > flow.clock.now() and not one.get("attempts") for one in waiting)


async def test_business_days_leave_out_weekends_and_holidays_of_the_country(
    world: World, flow: SequenceApp, smtp: ScriptedSmtp
) -> None:
    place = {"country": "DE", "timezone": "Europe/Berlin"}
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": place})
    steps = [{"email_template_id": template(world)}, {"delay_business_days": 1, "email_template_id": template(world)}]
    one = enroll(world, sequence(world, steps=steps))
    flow.clock.set(datetime(2027, 3, 25, 10, tzinfo=UTC))  # the Thursday before Easter, and before summer time
    await work(flow, world)

    assert len(smtp.accepted) == 1
    due = enrollment(world, one)["next_at"]
    assert due - timedelta(minutes=1) < datetime(2027, 3, 30, 9, tzinfo=UTC) <= due
