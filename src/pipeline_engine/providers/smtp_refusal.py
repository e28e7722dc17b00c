"""Reads of whom a mail server's refusal speaks: of the login, the sender, the recipient, or this mail."""

from __future__ import annotations

import re

from aiosmtplib import SMTPAuthenticationError, SMTPDataError, SMTPRecipientRefused, SMTPResponseException

from pipeline_engine.errors import Permanent, SenderRefused

STATUS = re.compile(r"(?<![\d.])5\.(\d{1,3}\.\d{1,3})(?![\d]|\.\d)")
"""An enhanced status code (RFC 3463) anywhere in an answer: some servers put it behind their words."""
NO_SUCH_MAILBOX = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10"})
BAD_SENDER = frozenset({"1.7", "1.8", "4.5"})
"""4.5 is the daily limit of Google's accounts."""
UNSPECIFIC = frozenset({"0.0", "1.0", "2.1"})
"""2.1 is a disabled mailbox, and with others one that receives too much at the moment."""
ADDRESS = re.compile(r"\S*@\S*")
ABOUT_THE_SENDER = re.compile(
    r"relay|rcpthosts|polic|block|black|deny|denied|denies|prohibit|permit|allowed|authori[sz]|authenti|log ?in|"
    r"access|spam|junk|abus|reputation|listed|rbl|dnsbl|unsolicited|quota|full|exceed|limit|\brate\b|too many|too much|"
    r"sender|client|your ip|helo|ehlo|dns\b|spf|dkim|dmarc|tls",
    re.IGNORECASE,
)
"""Words of refusals that say nothing of whether the recipient exists."""


def refusal(failure: SMTPResponseException, reason: str) -> Permanent:
    """What was refused for good, as an error with this reason: SenderRefused where it is no matter of this mail.

    The code is `recipient_refused` only where the answer says that there is no such mailbox: the address is suppressed
    then. A server that does not relay, has too many mails of ours or blocks us says nothing of the recipient.
    """
    match failure:
        case SMTPAuthenticationError():
            return SenderRefused(reason, "smtp_login")
        case SMTPRecipientRefused() | SMTPDataError() if _status(failure) not in BAD_SENDER:
            return Permanent(reason, "recipient_refused" if _is_unknown_recipient(failure) else "smtp_refused")
    return SenderRefused(reason, "sender_refused")


def _is_unknown_recipient(failure: SMTPResponseException) -> bool:
    if not isinstance(failure, SMTPRecipientRefused):
        return False
    status = _status(failure)
    is_unclear = failure.code in (550, 551, 553) and (not status or status in UNSPECIFIC)
    words = ADDRESS.sub("", failure.message)
    return status in NO_SUCH_MAILBOX or (is_unclear and not ABOUT_THE_SENDER.search(words))


def _status(failure: SMTPResponseException) -> str:
    found = STATUS.search(failure.message)
    return found[1] if found else ""
