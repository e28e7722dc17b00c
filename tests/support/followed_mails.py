"""Mails that lie in a mailbox of the world, as the sync stores them, and what the engine has sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.mail.parsed_mail import parse_mail
from pipeline_engine.domain.mailboxes.address_book import AddressBook
from pipeline_engine.domain.mailboxes.follow import follow
from pipeline_engine.repos.mailbox_repos import MailboxRepos
from tests.support.world import World

Document = dict[str, Any]
CONNECTED = datetime.now(UTC) - timedelta(days=30)


def mailbox(world: World, **fields: Any) -> Document:
    """A mailbox of the world's user."""
    one = {"_id": ObjectId(), "account_id": world.account, "user_id": world.user, "username": "us@example.com"}
    one |= {"createdAt": CONNECTED, "active": True, **fields}
    world.db["email_accounts"].insert_one(one)
    return one


def store(world: World, box: Document, raw: bytes, direction: str = "in") -> Document:
    """The row that the sync writes for a mail."""
    mail = parse_mail(raw)
    row = {"_id": ObjectId(), "account_id": world.account, "email_account_id": box["_id"], "direction": direction}
    row |= {"message_id": mail.message_id, "from": mail.from_.address, "subject": mail.subject, "date": mail.date}
    world.db["email_messages"].insert_one(row)
    return row


async def follow_again(app: App[Any], box: Document, row: Document, raw: bytes) -> None:
    """Do what follows from a stored mail."""
    links = await follow(app, box, row, parse_mail(raw), AddressBook(app, row["account_id"]))
    await app.with_repos(MailboxRepos.open).repos.email_messages.followed([(row, links)])


async def receive(app: App[Any], world: World, box: Document, raw: bytes, direction: str = "in") -> Document:
    """Store a mail and do what follows from it, twice, as after a crash."""
    row = store(world, box, raw, direction)
    for _ in range(2):
        await follow_again(app, box, row, raw)
    return row


def sent(world: World, key: str) -> str:
    """Note that the engine sent a mail for this unit. Returns its Message-ID."""
    effect = {"_id": key, "account_id": world.account, "channel": "email", "state": "sent", "attempts": 1}
    world.db["effects"].insert_one(effect)
    return f"<{key.replace(':', '.')}@example.com>"


def sequence(world: World, **fields: Any) -> ObjectId:
    id = ObjectId()
    world.db["sequences"].insert_one({"_id": id, "account_id": world.account, "active": True, **fields})
    return id


def enrolled(world: World, contact: ObjectId, sequence_id: ObjectId) -> ObjectId:
    """An enrolment of the contact that is under way."""
    id = ObjectId()
    own = {"account_id": world.account, "contact_id": contact, "sequence_id": sequence_id, "status": "active"}
    world.db["workflow_enrollments"].insert_one({"_id": id, **own, "step": 1, "createdAt": CONNECTED})
    return id


def rows(world: World, collection: str, **query: Any) -> list[Document]:
    return list(world.db[collection].find(query).sort("_id"))


def events(world: World) -> list[Document]:
    """The CRM events about mails, the newest last."""
    return rows(world, "crm_events", type={"$regex": "^email"})
