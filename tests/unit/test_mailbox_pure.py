"""What of a mailbox is read, how much of it in a day, and where it is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.mailboxes.quotas import bytes_left, tomorrow
from pipeline_engine.domain.mailboxes.reconcile import is_due, next_night
from pipeline_engine.domain.mailboxes.scope import folders_to_read, read_scope
from pipeline_engine.domain.mailboxes.take_in import MAX_GROUP, grouped
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.imap_connection import _xoauth2
from pipeline_engine.providers.mailbox import MessageHead
from pipeline_engine.providers.mailbox_errors import LOGIN, _login
from pipeline_engine.providers.mailbox_folder import MailboxFolder
from pipeline_engine.providers.mailbox_server import SETTINGS, MailboxServer, read_server

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)


def folder(name: str, *flags: str) -> MailboxFolder:
    return MailboxFolder(name, frozenset(flags))


def names(sync: dict[str, Any], *listed: MailboxFolder) -> tuple[list[str], list[str]]:
    wanted, missing = folders_to_read(read_scope({"sync": sync}), listed)
    return [one.name for one in wanted], missing


ALL = (folder("Sent", "sent"), folder("Work"), folder("INBOX"), folder("Trash", "trash"), folder("Group", "noselect"))


def test_all_folders_are_read_but_those_of_rubbish_the_inbox_first() -> None:
    assert names({}, *ALL, folder("INBOX.Spam"), folder("Drafts")) == (["INBOX", "Work", "Sent"], [])


def test_the_folder_that_holds_every_message_is_read_alone() -> None:
    gmail = (folder("INBOX"), folder("[Gmail]/All Mail", "all"), folder("[Gmail]/Sent Mail", "sent"))
    assert names({}, *gmail) == (["[Gmail]/All Mail"], [])


def test_named_folders_are_read_and_missing_ones_named() -> None:
    assert names({"folders": ["Inbox", "Work", "Nowhere"]}, *ALL) == (["INBOX", "Work"], ["Nowhere"])


@pytest.mark.parametrize("sync", [None, 3, {"since_days": "x", "blocklist": 5, "folders": "INBOX", "max_bytes": True}])
def test_senseless_settings_count_as_none(sync: object) -> None:
    assert read_scope({"sync": sync}) == read_scope({})


def test_the_blocklist_holds_addresses_and_domains() -> None:
    scope = read_scope({"sync": {"blocklist": ["Bot@Example.com", "spam.example", "@other.example"]}})
    blocked = ["bot@example.com", "a@spam.example", "a@deep.spam.example", "b@other.example"]
    assert all(map(scope.blocks, blocked))
    assert not any(map(scope.blocks, ["ada@example.com", "a@notspam.example", ""]))


def test_the_window_begins_a_day_early_for_the_zones_of_servers() -> None:
    assert read_scope({"sync": {"since_days": 30}}).since(NOW) == date(2026, 10, 26)


def test_gmail_lets_2500_megabytes_be_fetched_in_a_day() -> None:
    box = {"provider": "gmail", "fetched": {"day": "2026-11-26", "bytes": 1_500_000_000}}
    assert bytes_left(box, NOW) == 500_000_000  # four fifths of the quota, less what was fetched
    assert bytes_left(box, NOW + timedelta(days=1)) == 2_000_000_000
    assert bytes_left({"provider": "imap"}, NOW) is None
    assert tomorrow(NOW) == datetime(2026, 11, 27, tzinfo=UTC)


def test_reconciles_are_spread_over_the_night() -> None:
    boxes = [{"_id": ObjectId()} for _ in range(200)]
    nights = {next_night(box, NOW) for box in boxes}
    assert len(nights) > 150
    assert all(NOW < night <= NOW + timedelta(days=1) and 2 <= night.hour < 6 for night in nights)
    assert next_night(boxes[0], NOW) == next_night(boxes[0], NOW)


def test_a_reconcile_is_due_when_its_night_has_come_or_an_operator_asks() -> None:
    assert is_due({"reconcile_due_at": NOW}, NOW)
    assert is_due({"reconcile_asked_at": NOW}, NOW)
    assert not is_due({"reconcile_due_at": NOW + timedelta(hours=1)}, NOW)
    assert not is_due({}, NOW)


def test_fetches_are_bounded_in_messages_and_bytes_the_newest_first() -> None:
    heads = {uid: MessageHead(100, NOW, b"") for uid in range(1, 251)}
    groups = [sorted(group) for group in grouped(heads, 1000)]
    assert [len(group) for group in groups] == [MAX_GROUP, MAX_GROUP, 50]
    assert groups[0][-1] == 250
    large = {uid: MessageHead(2**30, NOW, b"") for uid in range(1, 11)}
    assert [len(group) for group in grouped(large, 2**20)] == [4, 4, 2]


def test_a_mailbox_names_its_server_or_its_provider_does() -> None:
    gmail = {"provider": "gmail", "username": "a@b.c"}
    assert read_server(gmail, False) == MailboxServer("imap.gmail.com", 993, "tls", "a@b.c")
    starttls = {"host": "mail.b.c", "security": "starttls", "username": "a"}
    assert read_server(starttls, False) == MailboxServer("mail.b.c", 143, "starttls", "a")


@pytest.mark.parametrize(
    "changes",
    [
        *({"host": host} for host in ("", 5)),
        *({"port": port} for port in ("x", 70_000)),
        *({"security": security} for security in ("ssl", "none")),
        *({"username": name} for name in (None, "a\r\nb")),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Permanent) as refusal:
        read_server({"host": "mail.b.c", "username": "a", **changes}, allow_plain=False)
    assert refusal.value.code == SETTINGS


def test_the_answer_to_a_refused_token_is_an_empty_line() -> None:
    answer = _xoauth2("a@b.c", "the token")
    assert answer(b"") == b"user=a@b.c\1auth=Bearer the token\1\1"
    assert answer(b'{"status":"400"}') == b""


def test_a_refused_login_is_final_unless_the_server_says_that_it_passes() -> None:
    final = _login("b'[AUTHENTICATIONFAILED] the password secret is wrong'")
    assert isinstance(final, Permanent)
    assert final.code == LOGIN
    assert "secret" not in str(final)
    assert isinstance(_login("b'[UNAVAILABLE] Temporary failure'"), Transient)
