"""Mailboxes under daemons that are killed one after the other, while mail comes and goes: nothing missing or double."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from imapclient import IMAPClient

from tests.support.daemon import Daemon
from tests.support.dovecot import Dovecot
from tests.support.eventually import eventually
from tests.support.mailboxes import (
    document,
    ids,
    mail,
    mailbox,
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
    for n in range(KILLS):
        daemon = await _started(given, tmp_path, f"daemon{n}")
        await asyncio.sleep(random.uniform(0.0, 0.7))
        sent |= _disturb(client, n, random)
        await asyncio.sleep(random.uniform(0.0, 0.7))
        daemon.kill()
        for folder in document(world, id).get("folders", {}):
            if not folder.startswith("Sent") and _is_same(client, world, id, folder):
                assert uids_without_row(world, dovecot, id, folder) == []

    world.db["email_accounts"].update_one({"_id": id}, [{"$set": {"reconcile_asked_at": "$$NOW", "due_at": None}}])
    daemon = await _started(given, tmp_path, "last")
    try:
        await eventually(lambda: document(world, id).get("reconciled_at"), "it is reconciled", 120, daemon)
    finally:
        daemon.kill()
    assert stored_ids(world, id) == sorted(ids(sent))
    assert not [row for row in stored(world, id) if "follow_due" in row]
    client.logout()


def _fill(client: IMAPClient) -> set[int | str]:
    for start, folder in enumerate(FOLDERS):
        put(client, folder, [mail(n) for n in range(start * FIRST, (start + 1) * FIRST)])
    return set(range(len(FOLDERS) * FIRST))


def _disturb(client: IMAPClient, n: int, random: Random) -> set[str]:
    """New mail, mail moved between folders and, twice, a folder with other UIDs. Returns what is new."""
    put(client, "INBOX", [mail(f"new{n}.{one}") for one in range(5)])
    client.select_folder("INBOX")
    client.move(random.sample(client.search(), 10), "Archive")
    client.unselect_folder()
    if n in (3, 7):
        renumber(client, "Work")
    return {f"new{n}.{one}" for one in range(5)}


def _is_same(client: IMAPClient, world: World, id: object, folder: str) -> bool:
    """Whether the folder has the UIDVALIDITY that is stored."""
    now = client.folder_status(folder, ["UIDVALIDITY"])[b"UIDVALIDITY"]
    found = world.db["email_accounts"].find_one({"_id": id}) or {}
    return bool(found["folders"][folder]["uidvalidity"] == now)


async def _started(environment: dict[str, str], folder: Path, name: str) -> Daemon:
    daemon = Daemon(environment, folder, name)
    await eventually(lambda: daemon.ready, "a daemon is ready", 30, daemon)
    return daemon
