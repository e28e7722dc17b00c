"""A sequence that leaves through a mailbox on a real Dovecot: the copy in Sent, and the reply that ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import format_datetime

import pytest

from pipeline_engine import settings
from pipeline_engine.repos.sequence_repos import SequenceRepos
from tests.support import crm_events
from tests.support.dovecot import PASSWORD, Dovecot
from tests.support.engine_app import EngineApp, open_app
from tests.support.mailboxes import mail, mailbox, put, sync
from tests.support.sequences import SequenceApp, contact, enroll, enrollment, later, read, sequence, work
from tests.support.stand_ins.mail_server import MailServer
from tests.support.world import World


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


@pytest.fixture
async def app(environment: dict[str, str], server: MailServer, dovecot: Dovecot) -> AsyncIterator[EngineApp]:
    own = {"SMTP_URL": server.url, "SMTP_FROM": "sales@crm.example", "ALLOW_PRIVATE_HOSTS": "true"}
    given = {**environment, **own, "MAIL_CA_FILE": str(dovecot.ca_file)}
    async with open_app(settings.from_environment(given)) as app:
        yield app


def later_than(app: SequenceApp) -> str:
    """A date to come, which counts as now."""
    return format_datetime(app.clock.now() + timedelta(minutes=1))


@pytest.mark.covers("CL-26", "CL-X12")
async def test_a_copy_stands_in_sent_and_the_reply_ends_the_sequence(
    world: World, app: EngineApp, server: MailServer, dovecot: Dovecot
) -> None:
    smtp = {"host": "127.0.0.1", "port": server.port, "security": "none"}
    id = mailbox(world, dovecot, user_id=world.user, smtp=smtp)
    owner = world.db["email_accounts"].find_one({"_id": id})["username"]  # type: ignore[index]
    server.passwords[owner] = PASSWORD
    flow = app.with_repos(SequenceRepos.open)
    ids = sequence(world, 0, 3600)
    people = [contact(world, owner=world.user) for _ in range(2)]
    replies, silent = (enroll(world, ids, one) for one in people)
    await work(flow, world)

    sent = {read(one.raw)["To"]: read(one.raw) for one in server.received}
    with dovecot.client(owner) as client:
        client.select_folder("Sent", readonly=True)
        assert len(client.search()) == 2
        first = sent[f"{people[0]}@example.com"]
        about = {"From": f"{people[0]}@example.com", "To": owner, "In_Reply_To": first["Message-ID"]}
        client.unselect_folder()
        put(client, "INBOX", [mail("answer", **about, Subject="Re: Mail 0", Date=later_than(flow))])
    await sync(app, id)
    await crm_events.work(app, world)

    assert (enrollment(world, replies)["status"], enrollment(world, silent)["status"]) == ("replied", "active")
    rows = list(world.db["email_messages"].find({"direction": "out"}))
    assert sorted(row["message_id"] for row in rows) == sorted(str(one["Message-ID"]) for one in sent.values())
    await later(flow, world, hours=1, seconds=1)
    assert len(server.received) == 3
