"""Has done what follows from stored messages, and notes it: what a crash cut off, the next run goes on with."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

from pymongo.errors import PyMongoError

from pipeline_engine import error_reports, logs
from pipeline_engine.domain.claimed import blames_document
from pipeline_engine.domain.mail.mail_address import MailAddress
from pipeline_engine.domain.mail.parsed_mail import ParsedMail
from pipeline_engine.domain.mailboxes.address_book import AddressBook
from pipeline_engine.domain.mailboxes.follow import follow
from pipeline_engine.domain.mailboxes.follow_message import addressees
from pipeline_engine.domain.mailboxes.mailbox_pass import MailboxPass
from pipeline_engine.domain.mailboxes.message_row import mail_of_row
from pipeline_engine.domain.mailboxes.thread_assignment import ReadMail
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.lanes.classify_error import brief, expected
from pipeline_engine.repos.client import Document

MAX_FAILURES = 3
MAX_AT_ONCE = 100
PLACES = 12
"""So many threads of one mailbox are followed at a time."""

log = logs.get(__name__)


async def follow_left(this: MailboxPass) -> None:
    """Do what follows from messages that an earlier run stored and did not come to. Raises: as `follow_mails`."""
    tried = set[Any]()
    while rows := await this.repos.email_messages.to_follow(this.document, MAX_AT_ONCE):
        fresh = [(row, mail_of_row(row)) for row in rows if row["_id"] not in tried]
        if not fresh or this.is_over:
            return
        tried |= {row["_id"] for row, _ in fresh}
        await follow_mails(this, fresh)


async def follow_mails(this: MailboxPass, mails: Sequence[ReadMail]) -> None:
    """Do what follows from each of these stored messages; those of a thread in the order in which they were written.

    A message on which this fails is tried again by later runs, three times in all; it keeps no other from its turn.
    Raises: LeaseLost; what pymongo raises when MongoDB is away.
    """
    threads = defaultdict[str, list[ReadMail]](list)
    for row, mail in sorted(mails, key=lambda both: both[0]["date"]):
        threads[row["thread_id"]].append((row, mail))
    waiting, done = deque(threads.values()), list[tuple[Document, Document]]()
    people = _people(this, mails)

    async def place() -> None:
        while waiting:
            for row, mail in waiting.popleft():
                if (links := await _follow(this, row, mail, people)) is not None:
                    done.append((row, links))

    places = [asyncio.create_task(place()) for _ in range(min(PLACES, len(threads)))]
    try:
        await asyncio.gather(*places)
    finally:
        for one in places:
            one.cancel()
        await asyncio.gather(*places, return_exceptions=True)
    this.claim.check()
    for place_in_done, why in (await this.repos.email_messages.followed(done)).items():
        await _failed(this, done[place_in_done][0], Permanent(why))


def _people(this: MailboxPass, mails: Sequence[ReadMail]) -> AddressBook | None:
    """Whose the addresses in the mails are; None for a mailbox whose account is no id: it has no contacts."""
    if (account_id := object_id(this.document["account_id"])) is None:
        return None
    addresses = [one.address for row, mail in mails for one in _strangers(row, mail)]
    return AddressBook(this.app, account_id, addresses)


def _strangers(row: Document, mail: ParsedMail) -> Sequence[MailAddress]:
    """Those in the mail who may be contacts: its sender or, of a mail that left the mailbox, its receivers."""
    return addressees(mail) if row.get("direction") == "out" else [mail.from_]


async def _follow(this: MailboxPass, row: Document, mail: ParsedMail, people: AddressBook | None) -> Document | None:
    """Do what follows from the message, and return what is to be stored in its row; None when that failed, which is
    noted."""
    this.claim.check()
    try:
        return await follow(this.app, dict(this.document), row, mail, people) if people else {}
    except LeaseLost:
        raise
    except Exception as error:
        if isinstance(error, PyMongoError) and not blames_document(error):
            raise
        await _failed(this, row, error)
        return None


async def _failed(this: MailboxPass, row: Document, error: Exception) -> None:
    failures = int(row.get("follow_failures") or 0) + 1
    is_last = failures >= MAX_FAILURES or isinstance(error, Permanent)
    try:
        await this.repos.email_messages.not_followed(row, brief(error), is_last)
    except PyMongoError as refusal:
        if not blames_document(refusal):
            raise
        await this.repos.email_messages.give_up(row)
    ids = {"id": str(row["_id"]), "account_id": str(row["account_id"])}
    log.warning("mail.not_followed", **ids, error=brief(error), failures=failures, given_up=is_last)
    if not expected(error):
        error_reports.add(error, "mail", attempt=failures)
