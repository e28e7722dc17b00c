"""Mailboxes on a real Dovecot: (a) a first read, against a bare loop, (b) nothing new in 100,000, (c) 1,000 at rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.utils import format_datetime
from statistics import median
from typing import Any

from bson import ObjectId
from imapclient import IMAPClient

from bench.program import create_indexes, environment, run_once
from bench.row import Row
from pipeline_engine import settings, workers
from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.mailboxes.sync import run_sync
from pipeline_engine.domain.messages.open_mailbox import open_mailbox
from pipeline_engine.providers.mailbox import Mailbox
from pipeline_engine.repos.mailbox_repos import MailboxRepos
from tests.support.dovecot import Dovecot, start_dovecot
from tests.support.mailboxes import mail, mailbox
from tests.support.world import World

MESSAGES = 5_000
MANY = 100_000
QUIET = 1_000
ACCOUNTS = 100
BATCH = 200
LOOKS = 9
LAST_MONTH = datetime.now(UTC) - timedelta(days=30)
"""What arrived before a mailbox was connected is history: it sets off no events."""
PADDING = "A line as people write them, about this and that and the rest of it.\n" * 30

Document = dict[str, Any]


def run(servers: Mapping[str, str]) -> list[Row]:
    dovecot = asyncio.run(start_dovecot())
    try:
        return [_first(servers, dovecot), _nothing_new(servers, dovecot), _quiet(servers, dovecot)]
    finally:
        asyncio.run(dovecot.stop())


def _settings(servers: Mapping[str, str], dovecot: Dovecot, database: str) -> dict[str, str]:
    own = {"MAIL_CA_FILE": str(dovecot.ca_file), "ALLOW_PRIVATE_HOSTS": "true", "QM_EVENTS": "false"}
    return {**environment(servers, database), **own}


def _fill(dovecot: Dovecot, user: str, count: int, padding: str = PADDING) -> None:
    date = format_datetime(LAST_MONTH)
    with dovecot.client(user) as client:
        for start in range(0, count, 1000):
            texts = (mail(n, Date=date) + padding.encode() for n in range(start, min(count, start + 1000)))
            client.multiappend("INBOX", [{"msg": text, "date": LAST_MONTH} for text in texts])


def _first(servers: Mapping[str, str], dovecot: Dovecot) -> Row:
    given = _settings(servers, dovecot, "bench_mail1")
    world = World(given)
    create_indexes(given)
    _fill(dovecot, "first@example.org", MESSAGES)
    mailbox(world, dovecot, "first@example.org")
    ours = run_once(given, sweep="crm.email_sync").seconds
    assert world.db["email_messages"].count_documents({}) == MESSAGES
    began = time.perf_counter()
    with dovecot.client("first@example.org") as client:
        _bare(client, world)
    floor = time.perf_counter() - began
    world.close()
    return Row(
        f"first read of a mailbox of {MESSAGES:,} messages",
        f"{MESSAGES / ours:,.0f} messages/s",
        f"{MESSAGES / floor:,.0f} messages/s: a bare loop of fetch, `email`, insert_many, {BATCH} at a time",
        f"{floor / ours:.2f}",
        "≥ 0.5",
        "the floor knows no replies, bounces, threads or contacts",
    )


def _bare(client: IMAPClient, world: World) -> None:
    client.select_folder("INBOX", readonly=True)
    uids = client.search()
    for start in range(0, len(uids), BATCH):
        found = client.fetch(uids[start : start + BATCH], ["BODY.PEEK[]"])
        world.db["floor"].insert_many([_parsed(items[b"BODY[]"]) for items in found.values()])


def _parsed(raw: bytes) -> Document:
    message = message_from_bytes(raw, policy=policy.default)
    body = message.get_body(("plain", "html"))
    names = ("message-id", "in-reply-to", "references", "from", "to", "subject", "date")
    return {**{name: str(message.get(name, "")) for name in names}, "text": body.get_content() if body else ""}


def _nothing_new(servers: Mapping[str, str], dovecot: Dovecot) -> Row:
    given = _settings(servers, dovecot, "bench_mail2")
    world = World(given)
    create_indexes(given)
    _fill(dovecot, "many@example.org", MANY, "")
    id = mailbox(world, dovecot, "many@example.org")
    seconds, commands = asyncio.run(_looks(given, world, id, dovecot))
    world.close()
    return Row(
        f"nothing new in a mailbox of {MANY:,} messages",
        f"{seconds * 1000:.0f} ms, {commands} commands",
        "TLS and login among them",
        f"{seconds / 0.05:.2f} of 50 ms",
        "≤ 50 ms, ≤ 6 commands",
        f"median of {LOOKS}",
    )


async def _looks(given: Mapping[str, str], world: World, id: ObjectId, dovecot: Dovecot) -> tuple[float, int]:
    """Seconds and commands of a pass over a mailbox that is read up to its end."""
    with dovecot.client("many@example.org") as client:
        status = client.folder_status("INBOX", ["UIDVALIDITY", "UIDNEXT"])
    read = {"uidvalidity": status[b"UIDVALIDITY"], "last_uid": status[b"UIDNEXT"] - 1}
    world.db["email_accounts"].update_one({"_id": id}, {"$set": {"folders": {"INBOX": read}}})
    async with workers.open_app(settings.from_environment(given)) as connected:
        app = connected.with_repos(MailboxRepos.open)
        seconds = []
        for _ in range(LOOKS + 1):
            began = time.perf_counter()
            await run_sync(app, AccountPlaces(2), id)
            seconds.append(time.perf_counter() - began)
        found = await app.repos.email_accounts.get(id)
        assert found is not None
        assert found["status"] == "ok", found["last_error"]
        async with open_mailbox(app, found) as opened:
            commands = await _commands(opened)
    return median(seconds[1:]), commands


async def _commands(opened: Mailbox) -> int:
    """Commands of such a pass: those until the folders are listed with their status, and the farewell."""
    await opened.folders()
    return opened.commands + 1


def _quiet(servers: Mapping[str, str], dovecot: Dovecot) -> Row:
    given = _settings(servers, dovecot, "bench_mail3")
    world = World(given)
    create_indexes(given)
    accounts = [ObjectId() for _ in range(ACCOUNTS)]
    world.db["_accounts"].insert_many([{"_id": account, "active": True} for account in accounts])
    rows = [dovecot.account(f"quiet{n}@example.org", account_id=accounts[n % ACCOUNTS]) for n in range(QUIET)]
    world.db["email_accounts"].insert_many(rows)
    run_once(given, sweep="crm.email_sync")  # the server makes the mailboxes
    ours = run_once(given, sweep="crm.email_sync").seconds
    assert world.db["email_accounts"].count_documents({"status": "ok"}) == QUIET
    world.close()
    return Row(
        f"{QUIET:,} mailboxes of {ACCOUNTS} accounts with nothing new",
        f"{ours:.1f} s",
        f"{ours / QUIET * 1000:.0f} ms each, ten at a time",
        f"{ours / 60:.2f} of 60 s",
        "≤ 60 s",
    )
