"""A process that ends at any call while it reads a mailbox: the next one goes on, and the outcome is the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import bson
import pytest
from bson import ObjectId

from pipeline_engine.domain.mailboxes import folders, followed, take_in
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.mailbox import Mailbox
from pipeline_engine.repos import email_parked
from pipeline_engine.settings import Settings
from tests.support.crm_events import contact
from tests.support.dovecot import Dovecot
from tests.support.dying import die_at
from tests.support.engine_app import EngineApp
from tests.support.mailboxes import document, ids, mail, mailbox, parked, put, reconcile, stored, stored_ids, sync
from tests.support.world import World

pytestmark = pytest.mark.covers("CL-14", "CL-X8")

POINTS = [
    "mongo.email_accounts.find_one_and_update",
    "mongo.email_messages.insert_many",
    "mongo.email_messages.update_many",
    "mongo.email_messages.bulk",
    "mongo.email_parked.insert_many",
    "imap.fetch_heads",
    "imap.fetch_bodies",
]


@pytest.fixture
def configured(configured: Settings, dovecot: Dovecot) -> Settings:
    return configured.model_copy(update={"mail_ca_file": str(dovecot.ca_file)})


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_run_that_ends_at_any_call_loses_and_doubles_nothing(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, point: str, when: str
) -> None:
    monkeypatch.setattr(folders, "BATCH", 3)
    id = mailbox(world, dovecot, sync={"blocklist": ["spam.example"]})
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(n) for n in range(7)])
        await sync(app, id)
        put(client, "INBOX", [mail(n) for n in range(7, 12)])
        put(client, "INBOX", [mail("spam", From="x@spam.example")])
        client.select_folder("INBOX")
        client.move([1, 2], "Sent")
    for nth in range(1, 30):
        if not await die_at(monkeypatch, point, nth, when, lambda: sync(app, id)):
            break
        world.abandon("email_accounts", id, crashes=0)
    world.db["email_accounts"].update_one({"_id": id}, {"$set": {"crashes": 0}})
    await sync(app, id)
    assert stored_ids(world, id) == sorted(ids(range(12)))
    assert len(parked(world, id, "filtered")) == 1
    assert not [row for row in stored(world, id) if "follow_due" in row]
    assert parked(world, id) == []


async def test_what_follows_from_a_message_is_tried_three_times(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    async def failing(_app: Any, _mailbox: Any, row: dict[str, Any], *_: Any) -> dict[str, Any]:
        calls.append(row["message_id"])
        if "m2@" in row["message_id"]:
            raise KeyError("a fault")
        if "m3@" in row["message_id"]:
            raise Permanent("not ever")
        return {}

    monkeypatch.setattr(followed, "follow", failing)
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(n) for n in range(5)])
    for _ in range(5):
        await sync(app, id)
    assert calls.count("<m2@test.example>") == 3
    assert calls.count("<m3@test.example>") == 1
    assert len(calls) == 7
    assert not [row for row in stored(world, id) if "follow_due" in row]
    assert [row["message_id"] for row in stored(world, id) if row.get("follow_error")]


async def test_a_row_that_the_server_refuses_to_change_keeps_no_other_from_its_turn(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact(world, email="ada@example.com")
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(n, From="ada@example.com") for n in range(3)])
        with monkeypatch.context() as patch:
            patch.setattr(followed, "follow", _failing)
            await sync(app, id)
        row = stored(world, id)[0]
        del row["follow_failures"]  # without it, `contact_id` is longer than what is removed
        room = 16 * 2**20 - len(bson.encode(row)) - len(bson.encode({"pad": ""})) + 5  # so that it is full
        world.db["email_messages"].delete_one({"_id": row["_id"]})
        world.db["email_messages"].insert_one({**row, "pad": "x" * room})
        put(client, "INBOX", [mail(n, From="ada@example.com") for n in range(3, 5)])
    await sync(app, id)
    await sync(app, id)
    linked = [one["_id"] for one in stored(world, id) if "contact_id" in one]
    assert len(linked) == 4
    assert row["_id"] not in linked
    assert not [one for one in stored(world, id) if "follow_due" in one]


async def _failing(*_: Any) -> dict[str, Any]:
    raise KeyError("a fault")


async def test_a_message_that_ends_processes_is_parked_and_the_rest_is_read(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Mailbox.bodies
    bad = 4

    async def ending(self: Any, uids: Any, max_bytes: int) -> dict[int, bytes]:
        if bad in uids:
            raise Ended
        return await real(self, uids, max_bytes)

    monkeypatch.setattr(Mailbox, "bodies", ending)
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(n) for n in range(1, 8)])
    for _ in range(10):
        try:
            await sync(app, id)
        except Ended:
            world.abandon("email_accounts", id)
        if len(stored(world, id)) == 6:
            break
    (one,) = parked(world, id)
    assert one["uid"] == bad
    assert document(world, id)["folders"]["INBOX"]["last_uid"] == 7
    assert take_in.MAX_GROUP > 7


async def test_a_message_at_which_processes_ended_by_chance_is_stored_by_the_next_reconcile(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = mailbox(world, dovecot)
    await _parked_by_chance(app, world, dovecot, monkeypatch, id)
    assert await die_at(monkeypatch, "imap.fetch_bodies", 1, "before", lambda: reconcile(app, id))
    world.abandon("email_accounts", id, crashes=0)
    await reconcile(app, id)
    assert len(parked(world, id)) == 1  # once in a night
    monkeypatch.setattr(email_parked, "RETRY_EVERY", timedelta(0))
    await reconcile(app, id)
    assert stored_ids(world, id) == sorted(ids(range(1, 8)))
    assert parked(world, id) == []


async def test_a_reconcile_forgets_parked_messages_that_are_gone_or_stored_from_elsewhere(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = mailbox(world, dovecot)
    await _parked_by_chance(app, world, dovecot, monkeypatch, id)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "Work", [])
        put(client, "INBOX", [mail("unreadable"), mail("unreadable too")])
        with monkeypatch.context() as patch:
            patch.setattr(take_in, "parse_mail", _unreadable)
            await sync(app, id)
        assert sorted(one["uid"] for one in parked(world, id)) == [7, 8, 9]
        client.select_folder("INBOX")
        client.copy([7], "Work")
        client.move([8], "Work")
        client.delete_messages([9])
        client.expunge()
    await sync(app, id)
    assert stored_ids(world, id) == sorted(ids([*range(1, 8), "unreadable"]))
    await reconcile(app, id)
    assert stored_ids(world, id) == sorted(ids([*range(1, 8), "unreadable"]))
    assert parked(world, id) == []


async def test_a_night_without_a_change_tries_a_message_again_that_was_tried_too_lately(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = mailbox(world, dovecot)
    await _parked_by_chance(app, world, dovecot, monkeypatch, id)
    assert await die_at(monkeypatch, "imap.fetch_bodies", 1, "before", lambda: reconcile(app, id))
    world.abandon("email_accounts", id, crashes=0)
    await reconcile(app, id)
    assert len(parked(world, id)) == 1
    monkeypatch.setattr(email_parked, "RETRY_EVERY", timedelta(0))
    world.db["email_accounts"].update_one({"_id": id}, [{"$set": {"reconcile_due_at": "$$NOW"}}])
    await sync(app, id)
    assert stored_ids(world, id) == sorted(ids(range(1, 8)))
    assert parked(world, id) == []


async def _parked_by_chance(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, id: ObjectId
) -> None:
    """Of seven messages the newest is parked, as three runs that came to it ended."""
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(n) for n in range(1, 8)])
    for point in ("imap.fetch_heads", "imap.fetch_bodies", "mongo.email_messages.insert_many"):
        assert await die_at(monkeypatch, point, 1, "before", lambda: sync(app, id))
        world.abandon("email_accounts", id, crashes=0)
    await sync(app, id)
    assert [one["uid"] for one in parked(world, id)] == [7]


def _unreadable(_raw: bytes) -> object:
    raise RecursionError


class Ended(BaseException):
    """Stands for the end of the process."""
