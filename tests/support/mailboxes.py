"""Mailboxes on a real mail server, and what must stand in MongoDB afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from bson import ObjectId
from imapclient import IMAPClient

from pipeline_engine.app import App
from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.mailboxes import folders, mailbox_pass
from pipeline_engine.domain.mailboxes.sync import run_sync
from pipeline_engine.lanes import Snooze
from pipeline_engine.repos.mailbox_repos import MailboxRepos
from tests.support.dovecot import Dovecot
from tests.support.world import World

MAX_RUNS = 200


def mail(number: int | str, **headers: str) -> bytes:
    """A mail with the Message-ID `<m{number}@test.example>`; headers by their names with `_` for `-`."""
    message = EmailMessage()
    defaults = {
        "From": "Ada <ada@example.com>",
        "To": "owner@example.org",
        "Subject": f"Mail {number}",
        "Message-ID": f"<m{number}@test.example>",
        "Date": format_datetime(datetime.now(UTC) - timedelta(hours=1)),
    }
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in {**defaults, **given}.items():
        if value:
            message[name] = value
    message.set_content(f"This is what mail {number} says.\n")
    return message.as_bytes()


def ids(numbers: Iterable[int | str]) -> set[str]:
    return {f"<m{number}@test.example>" for number in numbers}


def put(client: IMAPClient, folder: str, mails: Sequence[bytes], at: datetime | None = None) -> None:
    """Put mails into the folder, which is made when it is missing."""
    if not client.folder_exists(folder):
        client.create_folder(folder)
    for start in range(0, len(mails), 200):
        if at is None:
            client.multiappend(folder, mails[start : start + 200])
        else:
            for one in mails[start : start + 200]:
                client.append(folder, one, msg_time=at)


def renumber(client: IMAPClient, folder: str) -> None:
    """Give the folder another UIDVALIDITY: the same mails in a new folder of the old name."""
    client.create_folder("for a moment")
    client.select_folder(folder)
    if client.search():
        client.move(client.search(), "for a moment")
    client.unselect_folder()
    client.delete_folder(folder)
    client.rename_folder("for a moment", folder)


def mailbox(world: World, dovecot: Dovecot, user: str | None = None, **fields: Any) -> ObjectId:
    """Insert an active mailbox of the user, who is a new one unless named."""
    own = dovecot.account(user or f"{ObjectId()}@example.org", **fields)
    document = {"account_id": world.account, "user_id": world.user, **own}
    return ObjectId(world.db["email_accounts"].insert_one(document).inserted_id)


async def sync(app: App[Any], id: ObjectId) -> int:
    """Read the mailbox as the lane does, until nothing is left to read. Returns after how many runs that was."""
    repos = app.with_repos(MailboxRepos.open)
    places = AccountPlaces(10)
    for number in range(1, MAX_RUNS + 1):
        await app.heartbeat.beat()
        if not isinstance(await run_sync(repos, places, id), Snooze):
            return number
    raise AssertionError(f"the mailbox is not read after {MAX_RUNS} runs")


async def reconcile(app: App[Any], id: ObjectId) -> None:
    """Compare the mailbox with what is stored, as in the night."""
    assert await app.with_repos(MailboxRepos.open).repos.email_accounts.ask(id, "reconcile")
    await sync(app, id)


def document(world: World, id: ObjectId) -> dict[str, Any]:
    found = world.db["email_accounts"].find_one({"_id": id})
    assert found is not None
    return found


def stored(world: World, id: ObjectId) -> list[dict[str, Any]]:
    return list(world.db["email_messages"].find({"email_account_id": id}).sort("_id"))


def stored_ids(world: World, id: ObjectId) -> list[str]:
    """The Message-IDs of what is stored, each as often as it is."""
    return sorted(one["message_id"] for one in stored(world, id))


def parked(world: World, id: ObjectId, state: str = "parked") -> list[dict[str, Any]]:
    return list(world.db["email_parked"].find({"email_account_id": id, "state": state}))


def uids_without_row(world: World, dovecot: Dovecot, id: ObjectId, folder: str) -> list[int]:
    """UIDs up to the stored cursor of which no message is stored or left out: the cursor must not pass these."""
    account = document(world, id)
    cursor = account["folders"][folder]
    with dovecot.client(account["username"]) as client:
        assert client.select_folder(folder, readonly=True)[b"UIDVALIDITY"] == cursor["uidvalidity"]
        heads = client.fetch(client.search(), ["ENVELOPE"])
    known = set(stored_ids(world, id))
    place = {"email_account_id": id, "folder": folder, "uidvalidity": cursor["uidvalidity"]}
    rows = [*world.db["email_parked"].find(place), *world.db["email_messages"].find(place)]
    has_row = {one["uid"] for one in rows}
    return [
        uid
        for uid, items in heads.items()
        if uid <= cursor["last_uid"]
        and (items[b"ENVELOPE"].message_id or b"").decode() not in known
        and uid not in has_row
    ]


def short_slices(monkeypatch: Any, seconds: float = 0.0, batch: int = 7) -> None:
    """Let a run end after its first batch, and that be a small one."""
    monkeypatch.setattr(mailbox_pass, "SLICE_SECONDS", seconds)
    monkeypatch.setattr(folders, "BATCH", batch)
