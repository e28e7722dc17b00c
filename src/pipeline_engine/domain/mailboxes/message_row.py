"""Mails as rows of `email_messages`, and rows as mails again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from email.parser import BytesHeaderParser
from typing import Any

from pipeline_engine.domain.mail.delivery_report import Bounce
from pipeline_engine.domain.mail.mail_address import MailAddress
from pipeline_engine.domain.mail.mail_headers import MailHeaders
from pipeline_engine.domain.mail.parsed_mail import ParsedMail
from pipeline_engine.domain.mail.threads import related_ids
from pipeline_engine.domain.mailboxes.mailbox_pass import FolderPlace
from pipeline_engine.providers.mailbox import MessageHead
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.email_messages import message_row_id

MAX_PEOPLE = 200
"""Of the recipients of one mail so many are stored."""


def read_head(head: MessageHead) -> tuple[str, str]:
    """The Message-ID ('' where there is none that can be used) and the sender's address."""
    headers = MailHeaders(BytesHeaderParser().parsebytes(head.header))
    sender = next(iter(headers.addresses("from")), MailAddress(""))
    return next(iter(headers.ids("message-id")), ""), sender.address


def message_row(
    mailbox: Mapping[str, Any], place: FolderPlace, uid: int, head: MessageHead, mail: ParsedMail, now: datetime
) -> Document:
    """The row of a mail, in which is noted that what follows from it is still to be done."""
    return {
        "_id": message_row_id(mailbox["_id"], mail.message_id),
        "account_id": mailbox["account_id"],
        "email_account_id": mailbox["_id"],
        "thread_id": mail.message_id,
        "folder": place.folder,
        "uidvalidity": place.uidvalidity,
        "uid": uid,
        "direction": _direction(mailbox, place, head, mail),
        "size": head.size,
        # A folder that was moved to another server may have lost its times; the mail's own server left its own in it.
        "received_at": min(head.received_at, mail.received or head.received_at),
        **_contents(mail),
        "date": mail.date or head.received_at,
        "follow_due": now,
        "createdAt": now,
        "updatedAt": now,
    }


def _direction(mailbox: Mapping[str, Any], place: FolderPlace, head: MessageHead, mail: ParsedMail) -> str:
    own = str(mailbox.get("username") or "").lower()
    return "out" if place.is_sent or head.is_sent or mail.from_.address == own else "in"


def _contents(mail: ParsedMail) -> Document:
    return {
        "message_id": mail.message_id,
        "in_reply_to": mail.in_reply_to,
        "references": list(mail.references),
        "related_ids": list(related_ids(mail)),
        "from": mail.from_.address,
        "from_name": mail.from_.name,
        "to": [one.address for one in mail.to[:MAX_PEOPLE]],
        "cc": [one.address for one in mail.cc[:MAX_PEOPLE]],
        "subject": mail.subject,
        "text": mail.text,
        "reply_text": mail.reply_text,
        "kind": mail.kind,
        "bounces": [{"address": one.address, "severity": one.severity, "code": one.code} for one in mail.bounces],
        "complainants": list(mail.complainants),
        "original_message_ids": list(mail.original_message_ids),
        "is_forward": mail.is_forward,
        "list_unsubscribe": mail.list_unsubscribe,
    }


def mail_of_row(row: Mapping[str, Any]) -> ParsedMail:
    """The mail as it was parsed, for a run that goes on where another ended."""
    return ParsedMail(
        message_id=row["message_id"],
        in_reply_to=row.get("in_reply_to"),
        references=tuple(row.get("references") or ()),
        from_=MailAddress(row.get("from") or "", row.get("from_name") or ""),
        to=_people(row.get("to")),
        cc=_people(row.get("cc")),
        subject=row.get("subject") or "",
        date=row.get("date"),
        text=row.get("text") or "",
        reply_text=row.get("reply_text") or "",
        kind=row.get("kind") or "message",
        bounces=tuple(Bounce(**one) for one in row.get("bounces") or ()),
        complainants=tuple(row.get("complainants") or ()),
        original_message_ids=tuple(row.get("original_message_ids") or ()),
        is_forward=bool(row.get("is_forward")),
        list_unsubscribe=row.get("list_unsubscribe"),
    )


def _people(addresses: Sequence[str] | None) -> tuple[MailAddress, ...]:
    return tuple(MailAddress(one) for one in addresses or ())
