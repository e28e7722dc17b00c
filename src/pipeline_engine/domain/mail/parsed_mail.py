# ruff: noqa: RUF001 (words of many languages)
"""Reads one mail from its bytes. What stands in it was written by a stranger, so nothing in it can raise or hang."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import Message
from hashlib import blake2b
from typing import Literal, TypeVar

from pipeline_engine.domain.mail.auto_reply import is_auto_reply
from pipeline_engine.domain.mail.delivery_report import Bounce, DeliveryReport, read_delivery_report
from pipeline_engine.domain.mail.mail_address import MailAddress
from pipeline_engine.domain.mail.mail_body import inner, parts, read_body
from pipeline_engine.domain.mail.mail_headers import MailHeaders
from pipeline_engine.domain.mail.reply_text import reply_text
from pipeline_engine.errors import Permanent

MAX_PARSED_BYTES = 5_000_000
MAX_HEADER_BYTES = 500_000
MAX_BOUNDARIES = 100
GROUP_WORK = 50
MAX_WORK = 2_000_000
"""Lines times depth: in proportion to these the parser of multiparts takes time."""
BOUNDARY = re.compile(rb"boundary\s*=", re.I)
HEADER_END = re.compile(rb"\r?\n\r?\n")
HEADER_LINE = re.compile(rb"^[!-9;-~]{1,100}:", re.M)
FORWARD = re.compile(r"\s*\[?(fwd?|wg|tr|rv|enc|i|vs|doorst|pd|vb|vl|továbbítva|转发)\s*[:：]", re.I)
REPLY = re.compile(r"\s*\[?(re|aw|antw?|sv|odp|rif|res|回复|答复)\s*(\[\d+\])?[:：]", re.I)
FORWARDED = re.compile(
    r"^\s*(-{2,}\s*(forwarded message|weitergeleitete nachricht|message transféré|mensaje reenviado)"
    r"|begin forwarded message:|anfang der weitergeleiteten)",
    re.I | re.M,
)

T = TypeVar("T")
MailKind = Literal["message", "auto_reply", "bounce", "complaint"]


@dataclass(frozen=True)
class ParsedMail:
    """What one mail says. Addresses are in lower case, Message-IDs keep their angle brackets."""

    message_id: str
    """Made from the mail's bytes when it has none, so that the same mail has the same id in every folder."""
    in_reply_to: str | None
    references: tuple[str, ...]
    """Oldest first, at most 200."""
    from_: MailAddress
    to: tuple[MailAddress, ...]
    cc: tuple[MailAddress, ...]
    subject: str
    date: datetime | None
    text: str
    """At most 100 kB; made from the HTML where the mail has no text part."""
    reply_text: str
    """The text without what it quotes and without the signature."""
    kind: MailKind
    bounces: tuple[Bounce, ...] = ()
    complainants: tuple[str, ...] = ()
    """The addresses that complained about a mail; many providers leave them out."""
    original_message_ids: tuple[str, ...] = ()
    """Of a bounce or complaint: the mails that it is about."""
    is_forward: bool = False
    list_unsubscribe: str | None = None
    received: datetime | None = None
    """When the last server on its way took it in, by that server's clock."""


def parse_mail(raw: bytes) -> ParsedMail:
    """Read the mail; of one larger than 5 MB the first 5 MB.

    Raises: Permanent (`unreadable_mail`) when not a single header can be found in it.
    """
    if not HEADER_LINE.search(raw[:MAX_HEADER_BYTES]):
        raise Permanent("the mail has no headers", "unreadable_mail")
    message = _parse(raw[:MAX_PARSED_BYTES])
    headers = MailHeaders(message)
    body = _or(lambda: read_body(message), "")
    report = _or(lambda: read_delivery_report(message, headers, raw), None)
    in_reply_to = headers.ids("in-reply-to")
    return ParsedMail(
        message_id=_message_id(headers, raw),
        in_reply_to=in_reply_to[-1] if in_reply_to else None,
        references=headers.ids("references"),
        from_=next(iter(headers.addresses("from") or headers.addresses("sender")), MailAddress("")),
        to=headers.addresses("to"),
        cc=headers.addresses("cc"),
        subject=headers.text("subject"),
        date=headers.date(),
        text=body,
        reply_text=_or(lambda: reply_text(body), body),
        kind=_kind(headers, report),
        bounces=report.bounces if report else (),
        complainants=report.complainants if report else (),
        original_message_ids=report.original_message_ids if report else (),
        is_forward=_is_forward(message, headers.text("subject"), body),
        list_unsubscribe=headers.raw("list-unsubscribe") or None,
        received=headers.received(),
    )


def _parse(raw: bytes) -> Message:
    """The mail's parts, or its headers alone when it is nested so deep that the parts cannot be read."""
    boundaries, found = len(BOUNDARY.findall(raw)), None
    work = raw.count(b"\n") * (1 + boundaries)
    if b"delivery-status" in raw:  # each of its groups becomes a message of its own
        work += GROUP_WORK * raw.count(b"\n\r\n")
    if boundaries <= MAX_BOUNDARIES:
        readable = raw if work <= MAX_WORK else raw[: len(raw) * MAX_WORK // work]
        found = _or(lambda: message_from_bytes(readable), None)
    return found or message_from_bytes(HEADER_END.split(raw[:MAX_HEADER_BYTES], maxsplit=1)[0])


def _or(read: Callable[[], T], otherwise: T) -> T:
    """What `read` returns, or the other value when it raises: some mail makes the standard parsers raise any error."""
    try:
        return read()
    except Exception:
        return otherwise


def _message_id(headers: MailHeaders, raw: bytes) -> str:
    return next(iter(headers.ids("message-id")), f"<{blake2b(raw, digest_size=16).hexdigest()}@missing.invalid>")


def _kind(headers: MailHeaders, report: DeliveryReport | None) -> MailKind:
    if report and report.kind != "notice":
        return report.kind
    return "auto_reply" if report or is_auto_reply(headers) else "message"


def _is_forward(message: Message, subject: str, body: str) -> bool:
    """By the subject; or, where that does not say that it is a reply, by what stands or is enclosed in the mail."""
    if FORWARD.match(subject) or REPLY.match(subject):
        return bool(FORWARD.match(subject))
    encloses = any(one.get_content_type() == "message/rfc822" and inner(one) for one in parts(message))
    return encloses or bool(FORWARDED.search(body[:20_000]))
