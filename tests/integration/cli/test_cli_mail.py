"""`mail` as a command, and what `run-once` and `doctor` say of mailboxes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import ObjectId

from tests.support.command_line import CommandLine, InProcess
from tests.support.dovecot import Dovecot
from tests.support.mailboxes import document, ids, mail, mailbox, put, stored_ids
from tests.support.world import World

pytestmark = pytest.mark.covers("CL-14", "CL-X8")


@pytest.fixture
def engine(environment: dict[str, str], dovecot: Dovecot, tmp_path: Path) -> CommandLine:
    return InProcess({**environment, "MAIL_CA_FILE": str(dovecot.ca_file)}, tmp_path)


def row_of(text: str, id: ObjectId) -> list[str]:
    """The cells of the only row of a table with this id in it."""
    (line,) = [line for line in text.splitlines() if str(id) in line]
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_a_mailbox_is_read_shown_and_read_anew(engine: CommandLine, world: World, dovecot: Dovecot) -> None:
    id = mailbox(world, dovecot)
    with dovecot.client(document(world, id)["username"]) as client:
        put(client, "INBOX", [mail(1), mail(2)])
    assert row_of(engine("mail").stdout, id)[3] == "new"

    ran = engine("run-once", "crm.email_sync", "--json")
    (result,) = json.loads(ran.stdout.splitlines()[-1])["sweeps"]
    assert (result["units"], result["succeeded"], result["failed"]) == (1, 1, 0), ran
    assert stored_ids(world, id) == sorted(ids([1, 2]))
    assert row_of(engine("mail", "list", "--account", world.account).stdout, id)[3:6] == ["ok", "2", "0"]
    shown = engine("mail", "show", id).stdout
    assert dovecot.account("x")["password"] not in shown
    assert "messages stored      2" in shown
    assert "INBOX" in shown

    world.db["email_messages"].delete_one({"message_id": "<m1@test.example>"})
    asked = engine("mail", "reconcile", id)
    assert (asked.returncode, "No daemon runs" in asked.stdout) == (0, True)
    engine("run-once", "crm.email_sync")
    assert stored_ids(world, id) == sorted(ids([1, 2]))
    world.db["email_messages"].delete_one({"message_id": "<m1@test.example>"})
    assert engine("mail", "resync", id).returncode == 0
    engine("run-once", "crm.email_sync")
    assert stored_ids(world, id) == sorted(ids([1, 2]))
    assert f"{id} of account" not in engine("doctor").stdout


def test_what_is_wrong_with_mailboxes_is_said(engine: CommandLine, world: World, dovecot: Dovecot) -> None:
    refused = mailbox(world, dovecot, password="wrong")
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    late = mailbox(world, dovecot, last_synced_at=long_ago, due_at=datetime.now(UTC) + timedelta(hours=1))
    off = mailbox(world, dovecot, active=False)
    world.db["email_parked"].insert_one({"account_id": world.account, "email_account_id": late, "state": "parked"})
    world.db["email_accounts"].update_one({"_id": late}, {"$set": {"active": False}})
    ran = engine("run-once", "crm.email_sync")
    assert ran.returncode == 1
    world.db["email_accounts"].update_one({"_id": late}, {"$set": {"active": True}})

    said = engine("doctor").stdout
    assert f"{refused} of account {world.account} is not read: the mail server refuses the login" in said
    assert f"{late} of account {world.account} is late" in said
    assert "1 messages could not be read" in said
    assert row_of(engine("mail").stdout, refused)[3] == "login_refused"
    assert row_of(engine("mail").stdout, off)[3] == "off"


def test_mailboxes_that_do_not_exist_are_named(engine: CommandLine, world: World, dovecot: Dovecot) -> None:
    for words in (("show",), ("resync",), ("reconcile",)):
        failed = engine("mail", *words, ObjectId())
        assert (failed.returncode, "there is no mailbox" in failed.stderr) == (1, True)
    off = mailbox(world, dovecot, active=False)
    assert "switched off" in engine("mail", "resync", off).stderr
    assert engine("mail", "show", "x").returncode == 2
