"""Puts new messages into threads, and makes one of threads that turn out to belong together."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_engine.domain.mail.parsed_mail import ParsedMail
from pipeline_engine.domain.mail.threads import choose_thread, related_ids
from pipeline_engine.domain.mailboxes.mailbox_pass import MailboxPass
from pipeline_engine.repos.client import Document

ReadMail = tuple[Document, ParsedMail]
"""The row of a message, and the message as it was read."""


async def put_in_threads(this: MailboxPass, mails: Sequence[ReadMail]) -> None:
    """Give each row its thread. Threads that a message joins are made one before it is stored, so that a run that ends
    in between leaves nothing that the next would not do again."""
    account_id = this.document["account_id"]
    ids = {id for _, mail in mails for id in related_ids(mail)}
    known = await this.repos.email_messages.threads(account_id, ids)
    merged = dict[str, str]()
    for row, mail in sorted(mails, key=lambda both: both[0]["date"]):
        choice = choose_thread(mail, known)
        merged |= dict.fromkeys(choice.merged, choice.thread_id)
        known = {id: choice.thread_id if thread in choice.merged else thread for id, thread in known.items()}
        known |= dict.fromkeys(related_ids(mail), choice.thread_id)
        row["thread_id"] = choice.thread_id
    for row, _ in mails:
        row["thread_id"] = _end_of(row["thread_id"], merged)
    for old in merged:
        await this.repos.email_messages.merge_threads(account_id, old, _end_of(old, merged))


def _end_of(thread: str, merged: dict[str, str]) -> str:
    """The thread into which a thread was merged, over however many steps."""
    seen = {thread}
    while (following := merged.get(thread)) and following not in seen:
        thread = following
        seen.add(thread)
    return thread
