"""Reads reports about mails that we sent: delivery reports (RFC 3464, and what older servers write) and complaints
(ARF, RFC 5965)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from typing import Literal, NamedTuple

from flufl.bounce import all_failures

from pipeline_engine.domain.mail.mail_address import ADDRESS
from pipeline_engine.domain.mail.mail_body import inner, part_text, parts
from pipeline_engine.domain.mail.mail_headers import MESSAGE_ID, MailHeaders

MAX_BOUNCES = 100
MAX_SCANNED_BYTES = 64_000
MAX_SCANNED_LINE = 200
STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
REPLY_CODE = re.compile(r"(?<![\d.])([45])\d\d(?=[\s-])")
# Full mailboxes, mails too large, blocks by policy or reputation: the address exists.
SOFT_STATUS = re.compile(r"4\.|5\.2\.[23]|5\.3\.[124]|5\.7\.|5\.4\.[567]|5\.6\.|5\.5\.[245]")
SOFT_WORDS = re.compile(
    r"quota|mailbox[ ](is[ ])?full|too large|spam|blocked|blacklist|try again|temporar|greylist", re.I
)
SENDER = re.compile(
    r"(mailer-daemon|mail system|jetmail|smtp_gateways|postmaster|mail-daemon|mdaemon|postfix|mmdf|uucp|smtp|bounces?"
    r"|daemon)\b",
    re.I,
)
SUBJECT = re.compile(
    r"undeliver|delivery|returned (mail|to sender)|mail(er)? (delivery|daemon|system error|failure)"
    r"|failure (notice|delivery)"
    r"|non.?d[ée]livr|unzustellbar|unable to deliver|rejected|delivery status|mail failed|nondeliverable|message status"
    r"|not delivered|could not be delivered|mail error|non remis|non recens"
    r"|couldn.?t be delivered|bounce|non recapitabile|no se (puede|pudo) entregar|mislukt",
    re.I,
)
ANSWER = re.compile(r"\s*(re|aw|sv|antw)\s*:", re.I)
ORIGINAL_ID = re.compile(r"^[>\s]{0,10}message-id:\s{0,5}(<[^\s<>]{1,250}>)", re.I | re.M)


class Bounce(NamedTuple):
    """An address that a mail did not reach. `code` is the enhanced status (`5.1.1`), the SMTP code, or nothing."""

    address: str
    severity: Literal["hard", "soft"]
    code: str = ""


@dataclass(frozen=True)
class DeliveryReport:
    """`bounces` is empty for a complaint, `complainants` for a delivery report."""

    kind: Literal["bounce", "complaint", "notice"]
    """A notice is a report without a failure: the mail arrived, was passed on, or was opened (MDN, RFC 8098)."""
    bounces: tuple[Bounce, ...] = ()
    complainants: tuple[str, ...] = ()
    original_message_ids: tuple[str, ...] = ()


def read_delivery_report(message: Message, headers: MailHeaders, source: bytes) -> DeliveryReport | None:
    """What the mail reports about mails that we sent; None if it is no report. `source` are the mail's bytes."""
    found = list(parts(message))
    if feedback := next((one for one in found if one.get_content_type() == "message/feedback-report"), None):
        return DeliveryReport("complaint", (), _complainants(feedback, found), _original_ids(found, headers))
    statuses = [
        one for one in found if one.get_content_type() in ("message/delivery-status", "message/global-delivery-status")
    ]
    if statuses and (fields := list(_fields(statuses))):
        bounces = tuple(dict.fromkeys(filter(None, map(_bounce, fields))))[:MAX_BOUNCES]
        if bounces or all(one.word("action") in ("delivered", "relayed", "expanded") for one in fields):
            return DeliveryReport("bounce" if bounces else "notice", bounces, (), _original_ids(found, headers))
    if (statuses or _looks_like_report(headers)) and (bounces := _scan(source)):
        return DeliveryReport("bounce", bounces, (), _original_ids(found, headers))
    if any(one.get_content_type() == "message/disposition-notification" for one in found):
        return DeliveryReport("notice", (), (), _original_ids(found, headers))
    return None


def _fields(statuses: Iterable[Message]) -> Iterator[MailHeaders]:
    """The groups of fields that name a recipient."""
    for status in statuses:
        groups = inner(status) or [message_from_bytes(part_text(status).encode())]
        for group in groups[: 2 * MAX_BOUNCES]:
            fields = MailHeaders(group)
            if "final-recipient" in fields or "original-recipient" in fields:
                yield fields


def _bounce(fields: MailHeaders) -> Bounce | None:
    action = fields.word("action")
    address = _recipient(fields, "original-recipient") or _recipient(fields, "final-recipient")
    if not address or not action.startswith(("fail", "error", "delayed")):
        return None
    diagnostic = fields.raw("diagnostic-code")[:1_000]
    # The server that refused says more than the one that reports: many write 5.0.0 as status.
    status = STATUS.search(diagnostic) or STATUS.search(fields.raw("status"))
    code = status.group() if status else (one.group() if (one := REPLY_CODE.search(diagnostic)) else "")
    is_soft = action == "delayed" or is_soft_code(code) or bool(SOFT_WORDS.search(diagnostic))
    return Bounce(address, "soft" if is_soft else "hard", code)


def is_soft_code(code: str) -> bool:
    """Whether a failure with this code says nothing against the address itself."""
    return bool(SOFT_STATUS.match(code)) or code.startswith("4")


def _recipient(fields: MailHeaders, name: str) -> str:
    kind, _, rest = fields.raw(name).rpartition(";")
    found = ADDRESS.search(rest) if kind.strip().lower() in ("rfc822", "utf-8", "") else None
    return found.group().lower() if found else ""


def _looks_like_report(headers: MailHeaders) -> bool:
    senders, subject = [headers.raw("from"), headers.raw("sender")], headers.text("subject")
    return (
        headers.raw("return-path").replace(" ", "") == "<>"
        or "x-failed-recipients" in headers
        or any(SENDER.search(one[:300]) for one in senders)
        or bool(SUBJECT.search(subject) and not ANSWER.match(subject))
    )


def _scan(source: bytes) -> tuple[Bounce, ...]:
    """What the detectors of flufl.bounce find. They take quadratic time in the length of a line, so lines are cut."""
    lines = (line[:MAX_SCANNED_LINE] for line in source[:MAX_SCANNED_BYTES].splitlines())
    short = b"\n".join(lines)
    try:
        temporary, permanent = all_failures(message_from_bytes(short))
    except Exception:  # a detector that fails on a hostile mail has found nothing
        return ()
    text = short.decode("ascii", "replace")
    status = STATUS.search(text)
    code = status.group() if status and status.group(1) != "2" else ""
    severity: Literal["hard", "soft"] = "soft" if is_soft_code(code) or SOFT_WORDS.search(text) else "hard"
    found = [Bounce(one, severity, code) for one in _addresses(permanent)]
    found += [Bounce(one, "soft", code) for one in _addresses(temporary)]
    return tuple(sorted(found))[:MAX_BOUNCES]


def _addresses(found: Iterable[bytes]) -> Iterator[str]:
    texts = (one.decode("ascii", "replace").strip().lower() for one in found)
    return (one for one in texts if ADDRESS.fullmatch(one))


def _complainants(feedback: Message, found: Iterable[Message]) -> tuple[str, ...]:
    """Who complained: the report's own field, else the recipient of the mail that it encloses."""
    groups = [
        MailHeaders(one) for one in [feedback, *inner(feedback), message_from_bytes(part_text(feedback).encode())]
    ]
    named = [one for fields in groups for one in ADDRESS.findall(fields.raw("original-rcpt-to"))]
    enclosed = (one.address for original in _originals(found) for one in original.addresses("to"))
    return tuple(dict.fromkeys(one.lower() for one in (named or enclosed)))[:MAX_BOUNCES]


def _originals(found: Iterable[Message]) -> Iterator[MailHeaders]:
    """The headers of the mails that a report encloses."""
    for part in found:
        kind = part.get_content_type()
        if kind in ("message/rfc822", "message/global"):
            yield from (MailHeaders(one) for one in inner(part)[:1])
        elif kind in ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers"):
            yield MailHeaders(message_from_bytes(part_text(part).encode()))


def _original_ids(found: list[Message], headers: MailHeaders) -> tuple[str, ...]:
    """The Message-IDs of the mails that the report is about."""
    enclosed = [one for original in _originals(found) for one in original.ids("message-id")]
    referred = headers.ids("x-original-message-id", "in-reply-to", "references")
    texts = (part_text(one) for one in found if one.get_content_type() == "text/plain")
    written = enclosed or referred or [one for text in texts for one in ORIGINAL_ID.findall(text)]
    return tuple(dict.fromkeys(one for one in [*enclosed, *referred, *written] if MESSAGE_ID.fullmatch(one)))[
        :MAX_BOUNCES
    ]
