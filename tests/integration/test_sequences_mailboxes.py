"""Sequences through the mailbox of the contact's owner: as the owner, within the mailbox's cap and gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.sequences import copies, run
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
    work,
)
from tests.support.stand_ins.mail_server import MailServer
from tests.support.world import World

ANN, PASSWORD = "ann@crm.example", "the password of ann"


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        server.passwords[ANN] = PASSWORD
        yield server


@pytest.fixture
async def flow(environment: dict[str, str], server: MailServer) -> AsyncIterator[SequenceApp]:
    mail = {"SMTP_URL": server.url, "SMTP_FROM": "Sales <sales@crm.example>", "ALLOW_PRIVATE_HOSTS": "true"}
    async with open_sequences(settings.from_environment({**environment, **mail})) as app:
        yield app


def mailbox(world: World, server: MailServer, **fields: Any) -> ObjectId:
    """Ann's mailbox, which sends by the stand-in."""
    smtp = {"host": "127.0.0.1", "port": server.port, "security": "none"}
    own = {"account_id": world.account, "user_id": world.user, "provider": "gmail", "username": ANN, "active": True}
    found = {**own, "password": PASSWORD, "smtp": smtp, **fields}
    return ObjectId(world.db["email_accounts"].insert_one(found).inserted_id)


def enrolled(world: World, *delays: float, count: int = 1) -> list[ObjectId]:
    """Contacts of Ann in a sequence with these delays."""
    id = sequence(world, *delays)
    return [enroll(world, id, contact(world, owner=world.user)) for _ in range(count)]


def address(world: World, enrolled: ObjectId) -> str:
    """Of the contact of this enrolment."""
    person = world.db["contacts"].find_one({"_id": enrollment(world, enrolled)["contact_id"]})
    assert person
    return str(person["email"])


@pytest.mark.covers("CL-26")
async def test_the_owners_mailbox_sends_and_keeps_the_mail_among_its_messages(
    world: World, flow: SequenceApp, server: MailServer
) -> None:
    id = mailbox(world, server)
    (one,) = enrolled(world, 0, 60)
    await work(flow, world)
    await later(flow, world, seconds=61)

    assert [(mail.user, mail.sender) for mail in server.received] == [(ANN, ANN)] * 2
    first, second = (read(mail.raw) for mail in server.received)
    assert (first["From"], first["Reply-To"], second["In-Reply-To"]) == (ANN, ANN, first["Message-ID"])
    assert first["Message-ID"] == f"<sequence.{one}.0@crm.example>"
    rows = list(world.db["email_messages"].find({"email_account_id": id}).sort("date"))
    assert [(row["message_id"], row["direction"]) for row in rows] == [
        (first["Message-ID"], "out"),
        (second["Message-ID"], "out"),
    ]
    assert {row["thread_id"] for row in rows} == {first["Message-ID"]}


async def test_without_a_mailbox_that_sends_the_mail_leaves_by_smtp_url_and_answers_go_to_the_owner(
    world: World, flow: SequenceApp, server: MailServer
) -> None:
    mailbox(world, server, smtp=None)
    enrolled(world, 0)
    await work(flow, world)

    (mail,) = server.received
    assert (mail.user, mail.sender, read(mail.raw)["Reply-To"]) == ("", "sales@crm.example", ANN)
    assert world.db["email_messages"].count_documents({}) == 0


async def test_a_mailbox_sends_no_more_than_its_cap_a_day(world: World, flow: SequenceApp, server: MailServer) -> None:
    mailbox(world, server, daily_cap=3)
    ids = enrolled(world, 0, count=5)
    await work(flow, world)

    waiting = [found for id in ids if (found := enrollment(world, id))["status"] == "active"]
    assert (len(server.received), len(waiting)) == (3, 2)
    assert all(one["next_at"].hour == 0 and one["next_at"] > flow.clock.now() for one in waiting)
    assert not any(one.get("attempts") for one in waiting)
    await later(flow, world, days=1, minutes=1)
    assert len(server.received) == 5


async def test_a_slice_that_is_over_leaves_of_the_cap_what_it_did_not_send(
    world: World, flow: SequenceApp, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SLICE_SECONDS", 0.0)
    id = mailbox(world, server, daily_cap=12)
    ids = enrolled(world, 0, count=12)
    await work(flow, world)
    assert [enrollment(world, one)["status"] for one in ids] == ["completed"] * 12
    assert world.db["email_accounts"].find_one({"_id": id})["sends"]["count"] == 12  # type: ignore[index]


async def test_of_the_mails_that_fail_those_that_a_server_refuses_for_good_count_against_the_cap(
    world: World, flow: SequenceApp, server: MailServer
) -> None:
    id = mailbox(world, server, daily_cap=3)
    refused, busy, _ = enrolled(world, 0, count=3)
    server.unknown.add(address(world, refused))
    server.busy[address(world, busy)] = 1
    await work(flow, world)
    assert world.db["email_accounts"].find_one({"_id": id})["sends"]["count"] == 2  # type: ignore[index]

    await later(flow, world, seconds=2 * flow.settings.sequence_retry_seconds)
    assert enrollment(world, busy)["status"] == "completed"


async def test_between_two_mails_of_a_mailbox_lies_its_gap(world: World, flow: SequenceApp, server: MailServer) -> None:
    mailbox(world, server, min_gap_seconds=90)
    enrolled(world, 0, count=3)
    for sent in (1, 2, 3):
        await work(flow, world)
        assert len(server.received) == sent
        await later(flow, world, seconds=30)
        assert len(server.received) == sent
        flow.clock.set(flow.clock.now() + timedelta(seconds=64))


async def test_a_mailbox_that_refuses_the_login_rests_and_fails_no_enrolment(
    world: World, flow: SequenceApp, server: MailServer
) -> None:
    server.passwords[ANN] = "another one"
    id = mailbox(world, server, daily_cap=3)
    ids = enrolled(world, 0, count=3)
    other = enroll(world, sequence(world, 0))
    await work(flow, world)

    assert [enrollment(world, one)["status"] for one in ids] == ["active"] * 3
    assert all(enrollment(world, one)["next_at"] > flow.clock.now() for one in ids)
    assert (enrollment(world, other)["status"], len(server.received)) == ("completed", 1)
    assert "refuses" in world.db["email_accounts"].find_one({"_id": id})["send_error"]  # type: ignore[index]

    server.passwords[ANN] = PASSWORD
    await later(flow, world, seconds=HOUR)
    assert [enrollment(world, one)["status"] for one in ids] == ["completed"] * 3
    assert "send_error" not in world.db["email_accounts"].find_one({"_id": id})  # type: ignore[operator]


async def test_a_mailbox_with_a_credential_logs_in_by_its_token(
    world: World, flow: SequenceApp, server: MailServer
) -> None:
    server.tokens[ANN] = "the access token"
    far = flow.clock.now() + timedelta(days=1)
    grant = {"account_id": world.account, "provider": "gmail", "access_token": "the access token", "expires_at": far}
    credential = world.db["integration_credentials"].insert_one({**grant, "status": "ok"}).inserted_id
    mailbox(world, server, credential_id=credential, password=None)
    enrolled(world, 0)
    await work(flow, world)
    assert [mail.user for mail in server.received] == [ANN]


async def test_a_private_host_of_a_mailbox_is_not_connected_to(
    world: World, environment: dict[str, str], server: MailServer
) -> None:
    mailbox(world, server, smtp={"host": "127.0.0.1", "port": server.port, "security": "starttls"})
    (one,) = enrolled(world, 0)
    mail = {"SMTP_URL": server.url, "SMTP_FROM": "sales@crm.example"}
    async with open_sequences(settings.from_environment({**environment, **mail})) as app:
        await work(app, world)
    assert (server.received, enrollment(world, one)["status"]) == ([], "active")


async def test_follow_ups_keep_their_mailbox_when_the_contact_changes_hands(
    world: World, flow: SequenceApp, server: MailServer
) -> None:
    mailbox(world, server)
    person = contact(world, owner=world.user)
    enroll(world, sequence(world, 0, 60), person)
    await work(flow, world)
    world.db["contacts"].update_one({"_id": person}, {"$set": {"owner": ObjectId()}})
    await later(flow, world, seconds=61)
    assert [mail.sender for mail in server.received] == [ANN, ANN]


@pytest.mark.parametrize("odd", [{"provider": ["x"]}, {"provider": "imap", "security": {"x": 1}, "host": "127.0.0.1"}])
async def test_a_copy_that_cannot_be_kept_fails_no_enrolment(
    world: World, flow: SequenceApp, server: MailServer, odd: dict[str, Any]
) -> None:
    mailbox(world, server, **odd)
    ids = enrolled(world, 0, count=2)
    await work(flow, world)
    assert [enrollment(world, one)["status"] for one in ids] == ["completed"] * 2


async def test_a_copy_waits_for_no_server_that_hangs(
    world: World, flow: SequenceApp, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_arguments: object) -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(copies, "keep_copy", hang)
    monkeypatch.setattr(copies, "COPY_TIMEOUT", 0.05)
    mailbox(world, server)
    ids = enrolled(world, 0, count=2)
    await work(flow, world)
    assert [enrollment(world, one)["status"] for one in ids] == ["completed"] * 2
