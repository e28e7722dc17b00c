"""Mailboxes under daemons that are killed one after the other, while mail comes and goes: nothing missing or double."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bson import ObjectId
from imapclient import IMAPClient

from tests.support.daemon import Daemon
from tests.support.dovecot import Dovecot
from tests.support.eventually import eventually
from tests.support.mailboxes import (
    document,
    ids,
    mail,
    mailbox,
    parked,
    put,
    renumber,
    stored,
    stored_ids,
    uids_without_row,
)
from tests.support.world import World

KILLS = 10
FOLDERS = ("INBOX", "Work", "Archive")
FIRST = 700
"""Mails in each folder at the beginning."""
BROKEN = b"Message-ID: <broken@x.example>\r\nContent-Type: multipart/mixed\r\n\r\n\xff\x00--\r\n"
BROKEN_ID = "<broken@x.example>"


@pytest.mark.slow
@pytest.mark.covers("CL-14", "CL-X8")
async def test_random_kills_lose_and_double_no_mail(
    world: World, environment: dict[str, str], dovecot: Dovecot, tmp_path: Path
) -> None:
    """Ten daemons in a row, each killed at a moment of its own; the eleventh reads what is left and reconciles."""
    own = {"MAIL_CA_FILE": str(dovecot.ca_file), "EMAIL_SYNC_SECONDS": "1", "ALLOW_PRIVATE_HOSTS": "true"}
    given, random = {**environment, **own}, Random(15)  # noqa: S311
    id = mailbox(world, dovecot)
    client = dovecot.client(document(world, id)["username"])
    sent = _fill(client)
    in_the_middle = 0
    for n in range(KILLS):
        world.db["email_accounts"].update_one({"_id": id}, {"$set": {"due_at": None}})  # it may rest after crashes
        daemon = await _started(given, tmp_path, f"daemon{n}", world, id)
        await asyncio.sleep(random.uniform(0.0, 0.7))
        sent |= _disturb(client, n, random)
        await asyncio.sleep(random.uniform(0.0, 0.7))
        daemon.kill()
        in_the_middle += bool(document(world, id).get("lease_owner"))
        for folder in document(world, id).get("folders", {}):
            if not folder.startswith("Sent") and _is_same(client, world, id, folder):
                assert uids_without_row(world, dovecot, id, folder) == []

    asked = {"reconcile_asked_at": "$$NOW", "reconciled_at": None, "due_at": None}
    world.db["email_accounts"].update_one({"_id": id}, [{"$set": asked}])
    daemon = await _started(given, tmp_path, "last", world, id)
    try:
        await eventually(lambda: _is_reconciled(document(world, id)), "it is reconciled", 300, daemon)
    finally:
        daemon.kill()
    assert in_the_middle >= KILLS / 2
    assert parked(world, id) == []
    assert stored_ids(world, id) == sorted([*ids(sent), BROKEN_ID])
    threads = {row["message_id"]: row["thread_id"] for row in stored(world, id)}
    for n in range(KILLS):
        assert threads[f"<mreply{n}@test.example>"] == threads[f"<mparent{n}@test.example>"]
    assert not [row for row in stored(world, id) if "follow_due" in row]
    client.logout()


def _fill(client: IMAPClient) -> set[int | str]:
    for start, folder in enumerate(FOLDERS):
        put(client, folder, [mail(n) for n in range(start * FIRST, (start + 1) * FIRST)])
    put(client, "INBOX", [BROKEN])
    return set(range(len(FOLDERS) * FIRST))


def _disturb(client: IMAPClient, n: int, random: Random) -> set[str]:
    """New mail, a reply before what it answers, mail moved between folders, and now and then a folder with other UIDs,
    or emptied and filled with the same again. Returns what is new."""
    above = f"<mparent{n}@test.example>"
    put(client, "INBOX", [mail(f"reply{n}", In_Reply_To=above, References=above)])
    put(client, "INBOX", [mail(f"new{n}.{one}") for one in range(5)])
    put(client, "Work", [mail(f"parent{n}")])
    client.select_folder("INBOX")
    client.move(random.sample(client.search(), 10), "Archive")
    client.unselect_folder()
    if n in (3, 7):
        renumber(client, "Work")
    if n in (5, 8):
        _refill(client, "Archive")
    return {f"new{n}.{one}" for one in range(5)} | {f"reply{n}", f"parent{n}"}


def _refill(client: IMAPClient, folder: str) -> None:
    client.select_folder(folder)
    mails = [items[b"BODY[]"] for items in client.fetch(client.search(), ["BODY.PEEK[]"]).values()]
    client.delete_messages(client.search())
    client.expunge()
    client.unselect_folder()
    put(client, folder, mails)


def _is_reconciled(account: dict[str, Any]) -> bool:
    return bool(account.get("reconciled_at")) and not account.get("lease_owner")


def _is_same(client: IMAPClient, world: World, id: ObjectId, folder: str) -> bool:
    """Whether the folder has the UIDVALIDITY that is stored."""
    now = client.folder_status(folder, ["UIDVALIDITY"])[b"UIDVALIDITY"]
    found = world.db["email_accounts"].find_one({"_id": id}) or {}
    return bool(found["folders"][folder]["uidvalidity"] == now)


async def _started(environment: dict[str, str], folder: Path, name: str, world: World, id: ObjectId) -> Daemon:
    """A daemon that has begun to read the mailbox."""
    before = document(world, id).get("token", 0)
    daemon = Daemon(environment, folder, name)
    await eventually(lambda: document(world, id).get("token", 0) > before, "it reads the mailbox", 60, daemon)
    return daemon
