"""What follows from one stored mail of a mailbox: timeline, events, replies of leads, suppressions."""

from __future__ import annotations

from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.mail.parsed_mail import ParsedMail
from pipeline_engine.domain.mailboxes.address_book import AddressBook
from pipeline_engine.domain.mailboxes.follow_message import follow_message, follow_sent
from pipeline_engine.domain.mailboxes.follow_report import follow_report
from pipeline_engine.domain.mailboxes.stored_mail import StoredMail
from pipeline_engine.domain.messages.suppress import unsubscribe_by_mail
from pipeline_engine.repos.client import Document

log = logs.get(__name__)


async def follow(app: App[Any], mailbox: Document, stored: Document, mail: ParsedMail, people: AddressBook) -> Document:
    """Do all that follows from the message `stored` (a row of `email_messages`), which `mail` was read from. Returns
    what is to be stored in the row: to whom the mail belongs.

    Everything is written under ids that follow from the row, so that a repeat after a crash does nothing more. A mail
    by which a person unsubscribes is no reply: nothing else follows from it.
    """
    one = StoredMail(app, people.account_id, mailbox, stored, mail, people)
    if one.is_own:
        await follow_sent(one)
    elif await unsubscribe_by_mail(app, mail.subject):
        log.info("recipient.opted_out_by_mail", account_id=str(one.account_id), email_account_id=str(mailbox["_id"]))
    elif mail.kind in ("bounce", "complaint"):
        await follow_report(one)
    else:
        await follow_message(one)
    return one.links
