"""2,000 messages while people and servers move things about: nothing is missing in the end, and nothing double."""

from __future__ import annotations

import random

import pytest
from bson import ObjectId
from imapclient import IMAPClient

from pipeline_engine.domain.mailboxes import folders, mailbox_pass, take_in
from pipeline_engine.domain.mailboxes.thread_assignment import ReadMail, put_in_threads
from pipeline_engine.settings import Settings
from tests.support.dovecot import Dovecot
from tests.support.engine_app import EngineApp
from tests.support.mailboxes import (
    document,
    ids,
    mail,
    mailbox,
    parked,
    put,
    reconcile,
    renumber,
    stored,
    stored_ids,
    sync,
    uids_without_row,
)
from tests.support.world import World

pytestmark = pytest.mark.covers("CL-14", "CL-X8")

FOLDERS = ("INBOX", "Work", "Archive")


@pytest.fixture
def configured(configured: Settings, dovecot: Dovecot) -> Settings:
    return configured.model_copy(update={"mail_ca_file": str(dovecot.ca_file)})


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many short runs, each with several turns of each folder."""
    monkeypatch.setattr(mailbox_pass, "SLICE_SECONDS", 0.2)
    monkeypatch.setattr(folders, "BATCH", 60)


def reply(number: int | str, to: int | str) -> bytes:
    refs = f"<m{to}@test.example>"
    return mail(number, In_Reply_To=refs, References=refs)


def threads(world: World, id: ObjectId) -> list[set[str]]:
    found: dict[str, set[str]] = {}
    for row in stored(world, id):
        found.setdefault(row["thread_id"], set()).add(row["message_id"])
    return sorted(found.values(), key=len, reverse=True)


BROKEN = b"Message-ID: <broken@x.example>\r\nContent-Type: multipart/mixed\r\n\r\n\xff\x00--\r\n"


@pytest.mark.usefixtures("small_steps")
async def test_a_mailbox_that_changes_under_the_engine(app: EngineApp, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        for start, folder in enumerate(FOLDERS):
            put(client, folder, [mail(n) for n in range(start * 660, start * 660 + 660)])
        put(client, "INBOX", [BROKEN] * 2)
        await sync(app, id)
        assert stored_ids(world, id) == sorted([*ids(range(1980)), "<broken@x.example>"])

        rng = random.Random(5)  # noqa: S311
        expunged = _move_and_expunge(client, rng)
        renumber(client, "Work")
        _refill(client, "Archive", [mail(n) for n in range(5000, 5010)])
        put(client, "INBOX", [reply(n, to=n % 30) for n in range(6000, 6020)])
        await sync(app, id)
        await reconcile(app, id)

        everything = ids([*range(1980), *range(5000, 5010), *range(6000, 6020)]) | {"<broken@x.example>"}
        assert stored_ids(world, id) == sorted(everything)
        assert expunged <= set(stored_ids(world, id))  # the CRM keeps what the mailbox lost
        assert parked(world, id) == []
        for folder in FOLDERS:
            assert uids_without_row(world, dovecot, id, folder) == []
        assert all(row["thread_id"] == row["message_id"] for row in stored(world, id) if not row["in_reply_to"])
        assert [len(one) for one in threads(world, id)[:20]] == [2] * 20


def _move_and_expunge(client: IMAPClient, rng: random.Random) -> set[str]:
    """Move some mails between the folders, and delete others for good. Returns the Message-IDs of the latter."""
    gone = set[str]()
    for source, target in (("INBOX", "Work"), ("Work", "INBOX")):
        client.select_folder(source)
        client.move(rng.sample(client.search(), 40), target)
        victims = rng.sample(client.search(), 10)
        envelopes = client.fetch(victims, ["ENVELOPE"]).values()
        gone |= {one[b"ENVELOPE"].message_id.decode() for one in envelopes}
        client.delete_messages(victims)
        client.expunge()
        client.unselect_folder()
    return gone


def _refill(client: IMAPClient, folder: str, mails: list[bytes]) -> None:
    client.select_folder(folder)
    client.delete_messages(client.search())
    client.expunge()
    client.unselect_folder()
    put(client, folder, mails)


@pytest.mark.usefixtures("small_steps")
async def test_mail_that_comes_in_the_middle_of_a_pass_is_not_lost(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(n) for n in range(200)])
        arrived: list[str] = []
        real = put_in_threads

        async def meanwhile(this: mailbox_pass.MailboxPass, mails: list[ReadMail]) -> None:
            if len(arrived) < 4:
                name = f"late{len(arrived)}"
                arrived.append(name)
                put(client, "INBOX", [mail(name)])
            await real(this, mails)

        monkeypatch.setattr(take_in, "put_in_threads", meanwhile)
        await sync(app, id)
        await sync(app, id)
        assert len(arrived) == 4
        assert stored_ids(world, id) == sorted(ids([*range(200), *arrived]))


async def test_threads_merge_when_the_parent_comes_late(app: EngineApp, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [reply("c", to="b")])
        await sync(app, id)
        put(client, "INBOX", [reply("z", to="y"), mail("alone")])
        await sync(app, id)
        put(client, "INBOX", [reply("b", to="a")])
        await sync(app, id)
        put(client, "INBOX", [mail("y", In_Reply_To="<ma@test.example>"), mail("a")])
        await sync(app, id)
        assert threads(world, id) == [ids(["a", "b", "c", "y", "z"]), ids(["alone"])]


async def test_a_reconcile_finds_what_a_cursor_lost(app: EngineApp, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(n) for n in range(30)])
    await sync(app, id)
    lost = {"email_account_id": id, "message_id": {"$in": list(ids(range(10, 20)))}}
    world.db["email_messages"].delete_many(lost)
    await sync(app, id)
    assert len(stored(world, id)) == 20
    await reconcile(app, id)
    assert stored_ids(world, id) == sorted(ids(range(30)))
    account = document(world, id)
    assert account["reconciled_at"] is not None
    assert "reconcile_asked_at" not in account or account["reconcile_asked_at"] is None
    assert "checked" not in account["folders"]["INBOX"]
