"""What follows from mails that came: timelines, events and replies of leads, each once."""

from __future__ import annotations

import pytest
from bson import ObjectId

from pipeline_engine.domain.mailboxes.late_contacts import link_late_contacts
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.domain.messages.unsubscribe import new_token
from pipeline_engine.repos.mail_records import MailRecords
from tests.support.crm_events import contact, work
from tests.support.dying import die_at
from tests.support.engine_app import EngineApp
from tests.support.followed_mails import enrolled, events, follow_again, mailbox, receive, rows, sent, sequence, store
from tests.support.mails import mail
from tests.support.world import World


@pytest.mark.covers("CL-14")
async def test_a_mail_of_a_contact_is_on_its_timeline_and_published_once(world: World, app: EngineApp) -> None:
    ada = contact(world, email="Ada@Example.com")
    row = await receive(app, world, mailbox(world), mail("Message-ID: <1@x>", "Subject: Chairs"))

    (event,) = events(world)
    assert (event["type"], event["data"]["contact_id"], event["data"]["message_id"]) == (
        "email.received",
        str(ada),
        "<1@x>",
    )
    await work(app, world)
    (activity,) = rows(world, "activities")
    assert (activity["type"], activity["contact_id"], activity["data"]["subject"]) == ("email", ada, "Chairs")
    assert rows(world, "email_messages")[0]["contact_id"] == ada == activity["contact_id"]
    assert row["_id"] == activity["data"]["email_message_id"]


@pytest.mark.covers("CL-14", "CL-X12")
async def test_a_reply_ends_the_sequence_whose_mail_it_answers(world: World, app: EngineApp) -> None:
    ada = contact(world, email="ada@example.com")
    enrollment = enrolled(world, ada, sequence(world))
    message_id = sent(world, f"sequence:{enrollment}:0")

    colleague = mail(f"In-Reply-To: {message_id}", "Subject: Re: Chairs", sender="Bob <bob@example.com>")
    await receive(app, world, mailbox(world), colleague)

    (event,) = events(world)
    assert (event["type"], event["data"]["contact_id"]) == ("email.replied", str(ada))
    await work(app, world)
    assert rows(world, "workflow_enrollments")[0]["status"] == "replied"


@pytest.mark.covers("R-13")
async def test_an_automatic_reply_is_received_and_ends_nothing(world: World, app: EngineApp) -> None:
    ada = contact(world, email="ada@example.com")
    enrollment = enrolled(world, ada, sequence(world))
    message_id = sent(world, f"sequence:{enrollment}:0")

    await receive(app, world, mailbox(world), mail(f"In-Reply-To: {message_id}", "Auto-Submitted: auto-replied"))

    (event,) = events(world)
    assert (event["type"], event["data"]["auto"]) == ("email.received", True)
    await work(app, world)
    assert rows(world, "workflow_enrollments")[0]["status"] == "active"


@pytest.mark.parametrize(("headers", "auto"), [([], None), (["Auto-Submitted: auto-replied"], True)])
async def test_the_reply_of_a_lead_is_a_response(
    world: World, app: EngineApp, headers: list[str], auto: bool | None
) -> None:
    lead, stage = ObjectId(), ObjectId()
    world.db["leads"].insert_one(
        {"_id": lead, "account_id": world.account, "status": "open", "email": "ada@example.com"}
    )
    world.db["lead_stages"].insert_one({"_id": stage, "account_id": world.account, "lead_id": lead})
    message_id = sent(world, f"lead:{stage}:2")

    raw = mail(f"References: <old@x> {message_id}", *headers, body="Yes!\n\nOn 3 May 2026, Us <us@x> wrote:\n> Well?")
    await receive(app, world, mailbox(world), raw)
    await work(app, world)

    (response,) = rows(world, "lead_responses")
    assert (response["lead_id"], response["channel"], response["text"]) == (lead, "email", "Yes!")
    assert response.get("auto") is auto


async def test_a_new_mail_of_an_open_lead_is_a_response_too(world: World, app: EngineApp) -> None:
    own = {"account_id": world.account, "email": "ada@example.com"}
    open, won = ObjectId(), ObjectId()
    world.db["leads"].insert_many([{"_id": open, **own, "status": "open"}, {"_id": won, **own, "status": "won"}])

    await receive(app, world, mailbox(world), mail())

    assert [one["lead_id"] for one in rows(world, "lead_responses")] == [open]


async def test_a_reply_to_an_automation_names_its_deal(world: World, app: EngineApp) -> None:
    ada, deal = contact(world, email="ada@example.com"), ObjectId()
    world.db["deals"].insert_one({"_id": deal, "account_id": world.account, "contact_id": str(ada)})
    message_id = sent(world, f"{ObjectId()}:{deal}:1759700000000.2")

    await receive(app, world, mailbox(world), mail(f"In-Reply-To: {message_id}"))

    (event,) = events(world)
    assert (event["type"], event["data"]["deal_id"], event["data"]["contact_id"]) == (
        "email.replied",
        str(deal),
        str(ada),
    )


@pytest.mark.covers("R-06")
@pytest.mark.parametrize("headers", [[], ["Auto-Submitted: auto-generated"], ["Precedence: bulk"]])
async def test_a_mail_that_unsubscribes_suppresses_and_is_no_reply(
    world: World, app: EngineApp, headers: list[str]
) -> None:
    ada = contact(world, email="ada@example.com")
    lead = {"_id": ObjectId(), "account_id": world.account, "status": "open", "email": "ada@example.com"}
    world.db["leads"].insert_one(lead)
    token = new_token(app.recipients_key, OptOut(world.account, "email", "Ada@example.com", "sequence:1"))

    # It comes to SMTP_FROM, which may be the mailbox of another account.
    other = {**mailbox(world), "account_id": ObjectId()}
    for box in (mailbox(world), other):
        await receive(app, world, box, mail(f"Subject: unsubscribe {token}", *headers))

    (row,) = rows(world, "suppressions")
    assert (row["account_id"], row["address"], row["reason"]) == (world.account, "ada@example.com", "unsubscribed")
    (event,) = events(world)
    assert (event["type"], event["data"]["contact_id"]) == ("email.unsubscribed", str(ada))
    assert rows(world, "lead_responses") == []


async def test_the_lead_of_a_mail_is_found_whatever_the_case_of_its_address(world: World, app: EngineApp) -> None:
    lead = {"_id": ObjectId(), "account_id": world.account, "status": "open", "email": "Ada@Example.com"}
    world.db["leads"].insert_one(lead)
    await receive(app, world, mailbox(world), mail(sender="ada@example.com"))
    assert [one["lead_id"] for one in rows(world, "lead_responses")] == [lead["_id"]]


async def test_a_forward_is_published_as_one(world: World, app: EngineApp) -> None:
    contact(world, email="ada@example.com")
    await receive(app, world, mailbox(world), mail("Subject: Fwd: Chairs"))
    assert [one["type"] for one in events(world)] == ["email.forwarded"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", ["activities.insert_many", "lead_responses.insert_many", "crm_events.insert_one"])
async def test_a_crash_in_the_middle_doubles_and_loses_nothing(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch, point: str, when: str
) -> None:
    contact(world, email="ada@example.com")
    lead = {"_id": ObjectId(), "account_id": world.account, "status": "open", "email": "ada@example.com"}
    world.db["leads"].insert_one(lead)
    box, raw = mailbox(world), mail("Subject: Chairs")
    row = store(world, box, raw)

    assert await die_at(monkeypatch, f"mongo.{point}", 1, when, lambda: follow_again(app, box, row, raw))
    await follow_again(app, box, row, raw)
    await work(app, world)

    assert [len(rows(world, name)) for name in ("activities", "lead_responses", "crm_events")] == [1, 1, 1]
    assert "contact_id" in rows(world, "email_messages")[0]


@pytest.mark.covers("CL-X8")
async def test_history_shows_on_the_timeline_and_sets_off_nothing(world: World, app: EngineApp) -> None:
    contact(world, email="ada@example.com")
    await receive(app, world, mailbox(world), mail("Date: Mon, 05 Jan 2015 12:00:00 +0000"))
    assert (len(rows(world, "activities")), events(world)) == (1, [])


async def test_other_accounts_have_no_part_in_it(world: World, app: EngineApp) -> None:
    other = ObjectId()
    world.db["contacts"].insert_one({"_id": ObjectId(), "account_id": other, "email": "ada@example.com"})
    world.db["leads"].insert_one({"_id": ObjectId(), "account_id": other, "status": "open", "email": "ada@example.com"})
    key = f"sequence:{ObjectId()}:0"
    world.db["effects"].insert_one({"_id": key, "account_id": other, "state": "sent"})

    await receive(app, world, mailbox(world), mail(f"In-Reply-To: <{key.replace(':', '.')}@example.com>"))

    (event,) = events(world)
    assert event["type"] == "email.received"
    assert event["data"].keys().isdisjoint({"contact_id", "lead_id"})
    assert rows(world, "activities") == rows(world, "lead_responses") == []


async def test_mails_that_the_user_wrote_are_on_the_timeline_of_their_receivers(world: World, app: EngineApp) -> None:
    ada, box = contact(world, email="ada@example.com"), mailbox(world)
    await receive(app, world, box, mail("To: ada@example.com", sender="us@example.com"), "out")
    message_id = sent(world, "welcome:" + str(ada))
    ours = mail(f"Message-ID: {message_id}", "To: ada@example.com", sender="us@example.com")
    await receive(app, world, box, ours, "out")

    (activity,) = rows(world, "activities")
    assert (activity["contact_id"], activity["data"]["direction"]) == (ada, "out")
    assert events(world) == []


@pytest.mark.covers("CL-14")
async def test_a_contact_that_gets_its_address_later_gets_its_mails(world: World, app: EngineApp) -> None:
    box = mailbox(world)
    for n in range(3):
        await receive(app, world, box, mail(f"Message-ID: <{n}@x>", sender="ada@example.com"))
        await receive(app, world, box, mail(f"Message-ID: <b{n}@x>", sender="bob@example.com"))
    assert await link_late_contacts(app, world.account) == 0

    ada = contact(world, email="Ada@example.com")
    assert [await link_late_contacts(app, world.account) for _ in range(2)] == [3, 0]

    assert {one["contact_id"] for one in rows(world, "activities")} == {ada}
    assert len(rows(world, "activities")) == 3
    assert len(rows(world, "email_messages", unlinked="bob@example.com")) == 3
    assert await MailRecords(app.store).link_mark(world.account) == ""
