"""What a server marks as a draft is left out, and what it marks as sent was written by the mailbox's user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from bson import ObjectId
from imapclient.response_parser import parse_fetch_response

from pipeline_engine.domain.mail.parsed_mail import parse_mail
from pipeline_engine.domain.mailboxes.mailbox_pass import FolderPlace
from pipeline_engine.domain.mailboxes.message_row import message_row
from pipeline_engine.domain.mailboxes.scope import read_scope
from pipeline_engine.providers.imap_connection import Wire
from pipeline_engine.providers.mailbox import Mailbox, MessageHead
from tests.support.mails import mail

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
HEADER = b"Message-ID: <a@b.c>\r\n\r\n"


class Server:
    """Answers a FETCH as imaplib hands it on."""

    def __init__(self, marks: bytes, capabilities: Sequence[str] = ()) -> None:
        self.marks, self.capabilities = marks, capabilities
        self.asked: list[str] = []

    def has_capability(self, name: str) -> bool:
        return name in self.capabilities

    def fetch(self, _uids: Sequence[int], items: list[str]) -> dict[int, dict[bytes, Any]]:
        self.asked = items
        beginning = (
            b'1 (%b UID 7 RFC822.SIZE 9 INTERNALDATE "26-Nov-2026 04:00:00 +0000" BODY[HEADER.FIELDS (FROM)] {%d}'
        )
        answer: list[Any] = [(beginning % (self.marks, len(HEADER)), HEADER), b")"]
        return dict(parse_fetch_response(answer, normalise_times=False))

    def head(self) -> MessageHead:
        unused = cast("Any", None)
        return Mailbox(cast("Any", self), Wire(), unused, 1.0)._heads([7])[7]


def head(*marks: str) -> MessageHead:
    return MessageHead(9, NOW, HEADER, frozenset(marks))


@pytest.mark.parametrize(
    ("marks", "is_draft", "is_sent"),
    [
        (rb"FLAGS (\Seen \Draft)", True, False),
        (rb'FLAGS (\Seen) X-GM-LABELS ("\\Important" "\\Sent" 2026)', False, True),
        (rb'FLAGS () X-GM-LABELS ("\\Drafts")', True, False),
        (rb'FLAGS (Draft) X-GM-LABELS (Sent Drafts "the \\Sent")', False, False),
        (rb"FLAGS NIL X-GM-LABELS NIL", False, False),
    ],
)
def test_flags_and_labels_of_the_server_say_what_a_message_is(marks: bytes, is_draft: bool, is_sent: bool) -> None:
    found = Server(marks, ["X-GM-EXT-1"]).head()
    assert (found.is_draft, found.is_sent, found.header) == (is_draft, is_sent, HEADER)


@pytest.mark.parametrize(("capabilities", "labels"), [([], False), (["X-GM-EXT-1"], True)])
def test_labels_are_asked_for_where_the_server_has_them(capabilities: list[str], labels: bool) -> None:
    server = Server(b"FLAGS ()", capabilities)
    server.head()
    assert ("X-GM-LABELS" in server.asked) == labels
    assert "FLAGS" in server.asked


def test_a_draft_is_left_out_unless_it_lies_among_the_sent_mails() -> None:
    scope = read_scope({"sync": {"blocklist": ["spam.example"]}})
    assert scope.leaves_out(head("seen", "draft"), "ann@example.com", is_sent=False) == "it is a draft"
    assert not scope.leaves_out(head("draft"), "ann@example.com", is_sent=True)
    assert not scope.leaves_out(head("draft", "sent"), "ann@example.com", is_sent=False)
    assert not scope.leaves_out(head("seen"), "ann@example.com", is_sent=False)
    assert "blocklist" in scope.leaves_out(head(), "ann@spam.example", is_sent=False)


@pytest.mark.parametrize(("marks", "direction"), [(["sent"], "out"), (["inbox"], "in")])
def test_what_the_server_calls_sent_the_user_wrote_from_whatever_address(marks: list[str], direction: str) -> None:
    box = {"_id": ObjectId(), "account_id": ObjectId(), "username": "ann@gmail.com"}
    parsed = parse_mail(mail("From: Ann <ann@alias.example>"))
    row = message_row(box, FolderPlace("[Gmail]/All Mail", 1), 7, head(*marks), parsed, NOW)
    assert row["direction"] == direction
