"""What may come back for a mail: an answer, a note that its receiver is away, a report that it did not arrive. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

ANSWER = """\
From: {To}
To: {From}
Subject: Re: {Subject}
Message-ID: <answer-{To}>
In-Reply-To: {Message-ID}
Date: {now}

Yes, please call me on Monday.

On {Date}, {From} wrote:
> may I introduce us?
"""
AWAY = """\
From: {To}
To: {From}
Subject: Out of office
Message-ID: <away-{To}>
In-Reply-To: {Message-ID}
Auto-Submitted: auto-replied
Date: {now}

I am back next week.
"""
REPORT = """\
From: MAILER-DAEMON@mx.example
To: {From}
Subject: Undelivered mail
Message-ID: <report-{To}>
Content-Type: multipart/report; report-type=delivery-status; boundary="part"
Date: {now}

--part
Content-Type: text/plain

The address {To} does not exist.
--part
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {To}
Action: failed
Status: 5.1.1
--part
Content-Type: text/rfc822-headers

Message-ID: {Message-ID}
To: {To}

--part--
"""


def returned(template: str, sent: Mapping[str, str]) -> bytes:
    """The mail that comes back for one with the headers `sent`."""
    text = template.format_map({**sent, "now": format_datetime(datetime.now(UTC))})
    return text.replace("\n", "\r\n").encode()
