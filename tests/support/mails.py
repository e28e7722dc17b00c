"""Mails as bytes: what mailboxes hold, and the public samples under `tests/data/mail`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

NOW = format_datetime(datetime.now(UTC))
SAMPLES = Path(__file__).parents[1] / "data" / "mail"


def mail(*headers: str, body: str = "Hello", sender: str = "Ada <ada@example.com>") -> bytes:
    """A mail with these headers (`Name: value`), and a From, a Date and a Content-Type where they name none."""
    given = {one.partition(":")[0].lower() for one in headers}
    own = {
        "from": f"From: {sender}",
        "date": f"Date: {NOW}",
        "content-type": "Content-Type: text/plain; charset=utf-8",
    }
    lines = [line for name, line in own.items() if name not in given]
    return ("\r\n".join([*headers, *lines]) + f"\r\n\r\n{body}\r\n").encode()


def delivery_report(
    address: str, original: str, *, action: str = "failed", status: str = "5.1.1", more: str = ""
) -> bytes:
    """A delivery report (RFC 3464) about the mail with this Message-ID."""
    headers = 'Content-Type: multipart/report; report-type=delivery-status; boundary="b"'
    parts = [
        "--b\r\nContent-Type: text/plain\r\n\r\nYour mail was not delivered.",
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n"
        f"Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n{more}",
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {original}\r\nTo: {address}\r\n\r\n--b--",
    ]
    return mail(headers, "Return-Path: <>", body="\r\n".join(parts), sender="MAILER-DAEMON@mx.example.com")


def read_receipt(original: str, disposition: str = "manual-action/MDN-sent-manually; displayed") -> bytes:
    """A receipt (MDN, RFC 8098) that the mail with this Message-ID was opened, as Outlook writes it."""
    kind = 'Content-Type: multipart/report; report-type=disposition-notification; boundary="b"'
    parts = [
        "--b\r\nContent-Type: text/plain\r\n\r\nYour message was read on Monday.",
        "--b\r\nContent-Type: message/disposition-notification\r\n\r\n"
        "Final-Recipient: rfc822; ada@example.com\r\n"
        f"Original-Message-ID: {original}\r\nDisposition: {disposition}\r\n",
        "--b--",
    ]
    return mail(kind, "Subject: Read: Chairs", f"In-Reply-To: {original}", body="\r\n".join(parts))


def complaint(original: str, recipient: str = "") -> bytes:
    """A complaint (ARF, RFC 5965) about the mail with this Message-ID."""
    headers = 'Content-Type: multipart/report; report-type=feedback-report; boundary="b"'
    named = f"Original-Rcpt-To: <{recipient}>\r\n" if recipient else ""
    parts = [
        "--b\r\nContent-Type: text/plain\r\n\r\nThis is an abuse report.",
        f"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n{named}",
        f"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: {original}\r\n\r\nBuy\r\n--b--",
    ]
    return mail(headers, body="\r\n".join(parts), sender="fbl@provider.example")


def samples(name: str) -> Any:
    """What a JSON file of the public samples holds."""
    return json.loads((SAMPLES / name).read_text())
