"""Mailboxes on a real Dovecot: every message once, the newest first, and what is left out with its reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline_engine.domain.mail.parsed_mail import parse_mail
from pipeline_engine.domain.mailboxes import take_in
from pipeline_engine.settings import Settings
from tests.support import mailboxes
from tests.support.dovecot import Dovecot
from tests.support.engine_app import EngineApp
from tests.support.mailboxes import (
    document,
    ids,
    mail,
    mailbox,
    parked,
    put,
    reconcile,
    renumber,
    short_slices,
    stored,
    stored_ids,
    sync,
    uids_without_row,
)
from tests.support.world import World

pytestmark = pytest.mark.covers("CL-14", "CL-X8")


@pytest.fixture
def configured(configured: Settings, dovecot: Dovecot) -> Settings:
    return configured.model_copy(update={"mail_ca_file": str(dovecot.ca_file)})


async def test_a_mailbox_is_read_once(app: EngineApp, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot)
    owner = document(world, id)["username"]
    with dovecot.client(owner) as client:
        put(client, "INBOX", [mail(n, Subject="Grüße") for n in range(5)])
        put(client, "Sent", [mail("out", From=owner, To="ada@example.com")])
        put(client, "Trash", [mail("rubbish")])
    await sync(app, id)

    assert stored_ids(world, id) == sorted(ids([*range(5), "out"]))
    one = stored(world, id)[0]
    found = next(row for row in stored(world, id) if row["message_id"] == "<m3@test.example>")
    assert found["account_id"] == world.account
    assert (found["from"], found["from_name"], found["to"]) == ("ada@example.com", "Ada", ["owner@example.org"])
    assert (found["subject"], found["direction"], found["folder"]) == ("Grüße", "in", "INBOX")
    assert "what mail 3 says" in found["text"]
    assert "follow_due" not in one
    assert {row["direction"] for row in stored(world, id) if row["folder"] == "Sent"} == {"out"}
    account = document(world, id)
    assert (account["status"], account["last_error"], account["failures"]) == ("ok", None, 0)
    assert account["folders"]["INBOX"]["last_uid"] == 5
    assert account["last_synced_at"] > datetime.now(UTC) - timedelta(minutes=1)

    await sync(app, id)
    assert len(stored(world, id)) == 6


async def test_the_newest_come_first_and_new_mail_before_the_rest(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_slices(monkeypatch, batch=10)
    monkeypatch.setattr(mailboxes, "MAX_RUNS", 1)
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(n) for n in range(40)])
        with pytest.raises(AssertionError):
            await sync(app, id)
        assert set(stored_ids(world, id)) == ids(range(30, 40))
        assert document(world, id)["folders"]["INBOX"]["last_uid"] == 0
        put(client, "INBOX", [mail("new")])
        with pytest.raises(AssertionError):
            await sync(app, id)
        assert "<mnew@test.example>" in stored_ids(world, id)
        monkeypatch.setattr(mailboxes, "MAX_RUNS", 50)
        await sync(app, id)
        assert set(stored_ids(world, id)) == ids([*range(40), "new"])
        assert document(world, id)["folders"]["INBOX"]["last_uid"] == 41


async def test_a_mail_in_two_folders_is_stored_once_and_followed_when_it_moves(
    app: EngineApp, world: World, dovecot: Dovecot
) -> None:
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(1), mail(2), mail(1)])
        put(client, "Work", [mail(2)])
        await sync(app, id)
        assert stored_ids(world, id) == sorted(ids([1, 2]))
        client.select_folder("INBOX")
        client.move(client.search(["HEADER", "Message-ID", "<m1@"]), "Work")
    await sync(app, id)
    moved = next(row for row in stored(world, id) if row["message_id"] == "<m1@test.example>")
    assert moved["folder"] == "Work"
    assert len(stored(world, id)) == 2


async def test_the_first_read_goes_back_to_the_window_and_later_mail_counts_whatever_its_date(
    app: EngineApp, world: World, dovecot: Dovecot
) -> None:
    id = mailbox(world, dovecot, sync={"since_days": 10})
    old = datetime.now(UTC) - timedelta(days=30)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail("old")], at=old)
        put(client, "INBOX", [mail("new")])
        await sync(app, id)
        assert set(stored_ids(world, id)) == ids(["new"])
        put(client, "INBOX", [mail("late")], at=old)
        put(client, "Work", [mail("first")], at=old)
        await sync(app, id)
    assert set(stored_ids(world, id)) == ids(["new", "late"])
    await reconcile(app, id)
    assert set(stored_ids(world, id)) == ids(["new", "late"])


async def test_what_cannot_be_read_is_parked_and_stops_nothing(
    app: EngineApp, world: World, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = parse_mail

    def failing(raw: bytes) -> object:
        if b"Mail bad" in raw:
            raise RecursionError("what the mail says")
        return real(raw)

    monkeypatch.setattr(take_in, "parse_mail", failing)
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(1), mail("bad"), mail(2)])
    await sync(app, id)
    assert set(stored_ids(world, id)) == ids([1, 2])
    (one,) = parked(world, id)
    assert (one["folder"], one["uid"], one["account_id"]) == ("INBOX", 2, world.account)
    assert "RecursionError" in one["reason"]
    assert "what the mail says" not in one["reason"]
    assert document(world, id)["folders"]["INBOX"]["last_uid"] == 3

    monkeypatch.setattr(take_in, "parse_mail", real)
    await reconcile(app, id)
    assert set(stored_ids(world, id)) == ids([1, 2, "bad"])
    assert parked(world, id) == []


async def test_broken_mails_are_stored_as_far_as_they_can_be_read(
    app: EngineApp, world: World, dovecot: Dovecot
) -> None:
    broken = [
        b"Subject: no id at all\r\nFrom: a@b.example\r\n\r\nbody\r\n",
        b"Message-ID: not an id\r\nSubject: x\r\n\r\n",
        b"Message-ID: <cut@b.example>\r\nContent-Type: multipart/mixed; boundary=z\r\n\r\n--z\r\nContent-Type: text",
        b"Message-ID: <bytes@b.example>\r\nSubject: \xff\xfe\x00\r\nFrom: \xff\r\n\r\n\x00\xff\r\n",
        b"no header line\r\n\r\nnothing\r\n",
        b"\r\n",
    ]
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [*broken, mail(1)])
    await sync(app, id)
    assert len(stored(world, id)) + len(parked(world, id)) == len(broken) + 1
    assert {"<cut@b.example>", "<bytes@b.example>", "<m1@test.example>"} <= set(stored_ids(world, id))
    before = stored_ids(world, id), len(parked(world, id))
    await reconcile(app, id)
    assert (stored_ids(world, id), len(parked(world, id))) == before
    assert uids_without_row(world, dovecot, id, "INBOX") == []


async def test_senders_on_the_blocklist_are_filtered(app: EngineApp, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot, sync={"blocklist": ["spam.example"]})
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(1), mail(2, From="x@spam.example")])
    await sync(app, id)
    assert set(stored_ids(world, id)) == ids([1])
    (one,) = parked(world, id, "filtered")
    assert one["message_id"] == "<m2@test.example>"
    await reconcile(app, id)
    assert len(parked(world, id, "filtered")) == 1


async def test_drafts_are_left_out_of_every_folder_until_they_are_none(
    app: EngineApp, world: World, dovecot: Dovecot
) -> None:
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(1)])
        put(client, "Sent", [mail(2)])
        for folder in ("INBOX", "Sent"):
            client.append(folder, mail(f"in-{folder}"), flags=[rb"\Draft"])
        await sync(app, id)
        assert set(stored_ids(world, id)) == ids([1, 2, "in-Sent"])
        assert [one["reason"] for one in parked(world, id, "filtered")] == ["it is a draft"]
        client.select_folder("INBOX")
        client.remove_flags(client.search(), [rb"\Draft"])
        client.unselect_folder()
    await reconcile(app, id)
    assert set(stored_ids(world, id)) == ids([1, 2, "in-INBOX", "in-Sent"])
    assert parked(world, id, "filtered") == []


async def test_of_a_large_mail_the_text_is_fetched_and_not_the_attachment(
    app: EngineApp, world: World, dovecot: Dovecot
) -> None:
    head = b"Message-ID: <big@b.example>\r\nContent-Type: multipart/mixed; boundary=z\r\n\r\n"
    text = b"--z\r\nContent-Type: text/plain\r\n\r\nthe text\r\n"
    attachment = b"--z\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUFB\r\n" * 500_000
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [head + text + attachment + b"--z--\r\n"])
    await sync(app, id)
    (row,) = stored(world, id)
    assert row["text"].strip() == "the text"
    assert row["size"] > 3_000_000
    assert document(world, id)["fetched"]["bytes"] < 300_000


async def test_a_resync_begins_anew_and_doubles_nothing(app: EngineApp, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot, sync={"blocklist": ["spam.example"]})
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(1), mail(2, From="x@spam.example")])
    await sync(app, id)
    world.db["email_accounts"].update_one({"_id": id}, {"$set": {"sync": {}}})
    await sync(app, id)
    assert set(stored_ids(world, id)) == ids([1])
    world.db["email_accounts"].update_one({"_id": id}, {"$set": {"resync_asked_at": datetime.now(UTC)}})
    await sync(app, id)
    assert stored_ids(world, id) == sorted(ids([1, 2]))
    assert parked(world, id, "filtered") == []


async def test_folders_with_odd_names_are_read(app: EngineApp, world: World, dovecot: Dovecot) -> None:
    odd = ["a.b", "$set", "Grüße & Küsse", "2024", "with space", 'qu"ote', "日本"]
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        for number, name in enumerate(odd):
            put(client, name, [mail(number)])
    await sync(app, id)
    await sync(app, id)
    assert stored_ids(world, id) == sorted(ids(range(len(odd))))
    assert set(document(world, id)["folders"]) == {*odd, "INBOX", "Sent"}


async def test_a_folder_that_is_gone_or_missing_keeps_no_other_from_being_read(
    app: EngineApp, world: World, dovecot: Dovecot
) -> None:
    id = mailbox(world, dovecot, sync={"folders": ["INBOX", "Nowhere"]})
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(1)])
    await sync(app, id)
    account = document(world, id)
    assert set(stored_ids(world, id)) == ids([1])
    assert account["status"] == "problems"
    assert "Nowhere" in account["last_error"]


async def test_renumbered_folders_are_read_again_without_doubles(
    app: EngineApp, world: World, dovecot: Dovecot, tmp_path: Path
) -> None:
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "Work", [mail(n) for n in range(10)])
        await sync(app, id)
        before = document(world, id)["folders"]["Work"]
        renumber(client, "Work")
        put(client, "Work", [mail("late")])
        await sync(app, id)
    after = document(world, id)["folders"]["Work"]
    assert after["uidvalidity"] != before["uidvalidity"]
    assert after["since"] == before["since"]
    assert stored_ids(world, id) == sorted(ids([*range(10), "late"]))
