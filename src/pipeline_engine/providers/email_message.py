"""Writes a mail as bytes for SMTP. No text, whatever it holds, can add a header or end its part."""

from __future__ import annotations

import re
import secrets
from binascii import b2a_qp
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime

from pipeline_engine.errors import Permanent

MAX_HEADER_CHARS = 900  # a line may have 998 with the header's name
FORBIDDEN_IN_HEADERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
FORBIDDEN_IN_TEXTS = dict.fromkeys({*range(0x20), 0x7F} - set(b"\t\n\r"))
LINE_END = re.compile(r"\r\n?|\n")
# Random, so that the author of a template cannot write it and end a part early.
BOUNDARY = f"=_{secrets.token_hex(16)}"


@dataclass(frozen=True)
class Mail:
    """One mail to one address. `text` is required, `html` is not."""

    to: str
    subject: str
    text: str
    html: str | None = None
    reply_to: str = ""
    """The address that answers go to; empty: the sender."""
    in_reply_to: str = ""
    """The Message-ID of the mail that this one follows, with its angle brackets; empty: it begins a thread."""
    references: tuple[str, ...] = ()
    """The Message-IDs of the thread so far, the oldest first."""
    auto_submitted: str = "auto-generated"
    """The value of `Auto-Submitted` (RFC 3834), by which other engines do not answer; empty: a person wrote the
    mail."""
    unsubscribe: tuple[str, ...] = ()
    """The addresses of `List-Unsubscribe` (`https:` and `mailto:`); the first also takes a POST
    (RFC 8058), also where PUBLIC_URL is plain http, for tests and intranets."""


def write_message(mail: Mail, sender: str, message_id: str, now: datetime) -> bytes:
    """The message in ASCII, its lines ended by CR LF. `sender` is the value of `From`, in ASCII.

    The standard library's EmailMessage is not used: it parses each header before it writes it, and up to Python 3.11.9
    it turns the subject `=?utf-8?q?a=0d=0aBcc:_…?=` into two headers. It also takes 1.3 ms, three times as long as
    sending.

    Raises: Permanent (`bad_mail`) when a header would hold a line break, NUL or another control character.
    """
    headers = {
        "From": _address("From", sender),
        "To": _address("To", mail.to),
        "Subject": _subject(mail.subject.strip()),
        "Date": format_datetime(now),
        "Message-ID": _address("Message-ID", message_id),
        **_optional_headers(mail),
        "MIME-Version": "1.0",
    }
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("ascii") + _body(mail)


def _optional_headers(mail: Mail) -> dict[str, str]:
    by_post = any(uri.startswith(("https://", "http://")) for uri in mail.unsubscribe)
    given = {
        "Reply-To": mail.reply_to,
        "In-Reply-To": mail.in_reply_to,
        "References": " ".join(_fitting(mail.references)),
        "Auto-Submitted": mail.auto_submitted,
        "List-Unsubscribe": ", ".join(f"<{uri}>" for uri in mail.unsubscribe),
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click" if by_post else "",
    }
    return {name: _address(name, value) for name, value in given.items() if value}


def _fitting(references: tuple[str, ...]) -> tuple[str, ...]:
    """The references that fit into one header: those in the middle of a long thread are left out, as RFC 5322 readers
    need the first and the last."""
    fitting = references
    while len(fitting) > 2 and len(" ".join(fitting)) > MAX_HEADER_CHARS:
        fitting = (fitting[0], *fitting[2:])
    return fitting


def _address(name: str, value: str) -> str:
    if not value.isascii():
        raise Permanent(f"the mail's {name} is not ASCII", "bad_mail")
    return _refuse_bad(name, value)


def _subject(text: str) -> str:
    """The text itself if it is plain ASCII; encoded as a whole if not, or if a mail reader would decode part of it."""
    if _refuse_bad("Subject", text).isascii() and "=?" not in text:
        return text
    return Header(text, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _refuse_bad(name: str, value: str) -> str:
    if FORBIDDEN_IN_HEADERS.search(value):
        raise Permanent(f"the mail's {name} holds a line break or another control character", "bad_mail")
    if len(value) > MAX_HEADER_CHARS:
        raise Permanent(f"the mail's {name} is longer than {MAX_HEADER_CHARS} characters", "bad_mail")
    return value


def _body(mail: Mail) -> bytes:
    text = _part("plain", mail.text)
    if not mail.html:
        return text
    between = f"--{BOUNDARY}\r\n".encode()
    head = f'Content-Type: multipart/alternative; boundary="{BOUNDARY}"\r\n\r\n'.encode()
    return head + between + text + between + _part("html", mail.html) + f"--{BOUNDARY}--\r\n".encode()


def _part(subtype: str, text: str) -> bytes:
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    lines = LINE_END.sub("\r\n", f"{text.translate(FORBIDDEN_IN_TEXTS).rstrip()}\n")
    return head.encode() + b2a_qp(lines.encode(errors="replace"), istext=True)
