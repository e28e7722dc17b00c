"""When a mail happened: its sender may have any clock, the mail server's counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId

from pipeline_engine.clock import Clock
from pipeline_engine.domain.mail.parsed_mail import parse_mail
from pipeline_engine.domain.mailboxes.mailbox_pass import FolderPlace
from pipeline_engine.domain.mailboxes.message_row import message_row
from pipeline_engine.domain.mailboxes.stored_mail import SERVER_PRECISION, StoredMail
from pipeline_engine.providers.mailbox import MessageHead
from tests.support.mails import mail

NOW = datetime.now(UTC)
CONNECTED = NOW - timedelta(days=30)
AN_HOUR_AGO = NOW.replace(microsecond=0) - timedelta(hours=1)
YEARS_AGO = "Mon, 05 Jan 2015 12:00:00 +0000"
IN_1970 = "Thu, 01 Jan 1970 00:00:00 +0000"


def stored(*headers: str, arrived: datetime = AN_HOUR_AGO, is_sent: bool = False) -> StoredMail:
    """A mail as the sync stores it that came into its folder at this time."""
    app: Any = SimpleNamespace(clock=Clock())
    account = ObjectId()
    box = {"_id": ObjectId(), "account_id": account, "username": "us@example.com", "createdAt": CONNECTED}
    raw, people = mail(*headers), cast("Any", None)
    parsed = parse_mail(raw)
    place = FolderPlace("INBOX", 1, is_sent=is_sent)
    row = message_row(box, place, 7, MessageHead(len(raw), arrived, b""), parsed, NOW)
    return StoredMail(app, account, box, row, parsed, people)


@pytest.mark.parametrize("date", [IN_1970, YEARS_AGO, "Fri, 31 Dec 2100 12:00:00 +0000", "soon"])
def test_a_mail_happened_when_the_server_took_it_in_whatever_its_sender_says(date: str) -> None:
    one = stored(f"Date: {date}")
    assert (one.occurred_at, one.is_history) == (AN_HOUR_AGO + SERVER_PRECISION, False)


def test_a_mail_that_was_moved_to_another_server_came_when_its_own_server_took_it() -> None:
    one = stored(f"Received: from a by b (x)\r\n for <us@example.com>; {YEARS_AGO}", "Received: from c by a; odd")
    assert (one.occurred_at.year, one.is_history) == (2015, True)


def test_a_server_that_says_nothing_usable_leaves_the_time_in_the_folder() -> None:
    assert stored("Received: from a by b", f"Date: {IN_1970}").occurred_at == AN_HOUR_AGO + SERVER_PRECISION


def test_what_the_user_wrote_has_its_own_date() -> None:
    assert stored(f"Date: {YEARS_AGO}", is_sent=True).occurred_at.year == 2015


def test_nothing_happens_later_than_now() -> None:
    assert stored(arrived=NOW + timedelta(days=2)).occurred_at < NOW + timedelta(days=1)


def test_an_answer_within_the_second_in_which_it_is_waited_for_is_no_older_one() -> None:
    waited_since = AN_HOUR_AGO + timedelta(milliseconds=700)
    assert stored(arrived=AN_HOUR_AGO).occurred_at > waited_since
