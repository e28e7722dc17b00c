"""Of whom a mail server's refusal speaks: only a mailbox that does not exist may be suppressed."""

from __future__ import annotations

import pytest
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPConnectResponseError,
    SMTPDataError,
    SMTPHeloError,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from pipeline_engine.errors import SenderRefused
from pipeline_engine.providers.smtp_refusal import refusal


def of_recipient(answer: str) -> str:
    return refusal(SMTPRecipientRefused(int(answer[:3]), answer[4:], "a@b.example"), answer).code


@pytest.mark.parametrize(
    "answer",
    [
        "550 5.1.1 no such user",
        "550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in relay recipient table",
        "550-5.1.1 The email account that you tried to reach does not exist.\n5.1.1 Learn more",
        "550 5.1.2 bad destination system address",
        "553 5.1.3 bad syntax of the mailbox",
        "556 5.1.10 the domain takes no mail",
        "550 No such user here",
        "550 #5.1.0 Address rejected.",
        "550 5.2.1 The email account that you tried to reach is disabled.",
        "550 <relay-team@blockchain.example> is unknown",
        "551 user has moved",
        "553 sorry, this address isn't in my list of users",
        "550 Unknown user at 5.1.7.1",
    ],
)
def test_a_mailbox_that_does_not_exist(answer: str) -> None:
    assert of_recipient(answer) == "recipient_refused"


@pytest.mark.parametrize(
    "answer",
    [
        "550 relay not permitted",
        "550 relaying denied",
        "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        "550 5.7.1 policy",
        "550 blocked, see the RBL at blocklist.example",
        "550 5.7.606 Access denied, banned sending IP",
        "550 5.2.2 mailbox full",
        "550 mailbox quota exceeded",
        "550 5.2.1 The user is receiving mail at a rate that prevents additional messages",
        "550 Authentication required",
        "550 Must issue a STARTTLS command first (TLS)",
        "550 sender verify failed",
        "550 5.4.4 cannot route to the host",
        "552 the mailbox is unknown to me",
        "554 no",
    ],
)
def test_an_answer_that_says_nothing_of_whether_the_mailbox_exists(answer: str) -> None:
    assert of_recipient(answer) == "smtp_refused"


@pytest.mark.parametrize(
    "answer",
    ["550 5.4.5 Daily user sending limit exceeded", "550 5.1.8 Access denied, bad outbound sender", "553 5.1.7 no"],
)
def test_a_refused_sender_is_no_refused_recipient(answer: str) -> None:
    assert of_recipient(answer) == "sender_refused"


@pytest.mark.parametrize(
    ("failure", "code", "is_of_all"),
    [
        (SMTPConnectResponseError(554, "5.7.1 blocked"), "sender_refused", True),
        (SMTPHeloError(550, "5.7.1 blocked"), "sender_refused", True),
        (SMTPAuthenticationError(535, "5.7.8 wrong user or password"), "smtp_login", True),
        (SMTPSenderRefused(550, "5.1.1 no such sender", "a@b.example"), "sender_refused", True),
        (SMTPRecipientRefused(550, "5.4.5 daily limit", "a@b.example"), "sender_refused", True),
        (SMTPRecipientRefused(550, "5.1.1 no such user", "a@b.example"), "recipient_refused", False),
        (SMTPDataError(550, "5.1.1 no such user"), "smtp_refused", False),
        (SMTPDataError(550, "5.4.5 Daily user sending limit exceeded"), "sender_refused", True),
    ],
)
def test_the_step_that_was_refused_says_whether_other_mails_are_refused_too(
    failure: SMTPResponseException, code: str, is_of_all: bool
) -> None:
    found = refusal(failure, "why")
    assert (found.code, isinstance(found, SenderRefused), str(found)) == (code, is_of_all, "why")
