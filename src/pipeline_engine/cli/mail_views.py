"""How `mail` shows mailboxes: rows of tables and facts, without passwords and texts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine import logs
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.mailboxes.control import MailboxReport
from pipeline_engine.domain.mailboxes.cursor import read_cursor
from pipeline_engine.domain.mailboxes.quotas import fetched_today

Document = Mapping[str, Any]

MAILBOX_COLUMNS = ("id", "account", "mailbox", "status", "folders", "UIDs to read", "lag", "read (UTC)", "last error")
FOLDER_COLUMNS = ("folder", "UIDVALIDITY", "last UID", "newest UID", "UIDs to read", "since")
PARKED_COLUMNS = ("folder", "UIDVALIDITY", "UID", "when (UTC)", "reason")


def mailbox_row(mailbox: Document, now: datetime) -> tuple[object, ...]:
    """One mailbox."""
    who = (mailbox["_id"], mailbox.get("account_id"), mailbox.get("username"), status_of(mailbox))
    read_at = mailbox.get("last_synced_at")
    work = (len(_folders(mailbox)), to_read(mailbox), lag_of(mailbox, now))
    return (*who, *work, read_at, _clean(mailbox.get("last_error")))


def status_of(mailbox: Document) -> str:
    """What state the mailbox is in: `off`, `reading`, `new`, or how its last pass ended."""
    if mailbox.get("active") is not True:
        return "off"
    if mailbox.get("lease_owner"):
        return "reading"
    return str(mailbox.get("status") or "new")


def lag_of(mailbox: Document, now: datetime) -> str | None:
    """How long ago the mailbox was read as a whole."""
    read_at = usable_date(mailbox.get("last_synced_at"))
    return str(timedelta(seconds=max(0, round((now - read_at).total_seconds())))) if read_at else None


def to_read(mailbox: Document) -> int:
    """How many UIDs of the mailbox's folders are known to be still unread by the engine; not all need exist."""
    return sum(map(_open_uids, _folders(mailbox).values()))


def facts(report: MailboxReport, now: datetime) -> list[tuple[str, object]]:
    """One mailbox and what is stored of it."""
    mailbox = report.mailbox
    server = f"{mailbox.get('host') or mailbox.get('provider')}, {mailbox.get('security') or 'tls'}"
    return [
        ("id", mailbox["_id"]),
        ("account", mailbox.get("account_id")),
        ("mailbox", _clean(mailbox.get("username"))),
        ("server", _clean(server)),
        ("login", "OAuth credential" if mailbox.get("credential_id") else "password"),
        ("status", status_of(mailbox)),
        ("last error", _clean(mailbox.get("last_error"))),
        ("failures in a row", mailbox.get("failures") or None),
        ("lag", lag_of(mailbox, now)),
        ("read", mailbox.get("last_synced_at")),
        ("next", mailbox.get("due_at")),
        ("reconciled", mailbox.get("reconciled_at")),
        ("next reconcile", mailbox.get("reconcile_due_at")),
        ("bytes fetched today", fetched_today(mailbox, now)),
        ("messages stored", report.messages),
        ("messages parked", report.left_out.get("parked", 0)),
        ("messages filtered", report.left_out.get("filtered", 0)),
        ("held by", mailbox.get("lease_owner")),
    ]


def folder_rows(mailbox: Document) -> list[tuple[object, ...]]:
    """The folders that were read, each with its cursor."""
    return [_folder_row(name, state) for name, state in sorted(_folders(mailbox).items())]


def _folder_row(name: str, state: object) -> tuple[object, ...]:
    if (cursor := read_cursor(state)) is None:
        return (name, None, None, None, None, None)
    # UIDs are names: shown as text, they get no commas.
    numbers = (str(cursor.uidvalidity), str(cursor.last_uid), str(cursor.top_uid))
    return (name, *numbers, _open_uids(state), cursor.since)


def parked_row(row: Document) -> tuple[object, ...]:
    """One message that could not be read."""
    uids = (str(row.get("uidvalidity")), str(row.get("uid")))
    return (row.get("folder"), *uids, row.get("createdAt"), _clean(row.get("reason")))


def _open_uids(state: object) -> int:
    cursor = read_cursor(state)
    return sum(high - low + 1 for low, high in cursor.open) if cursor else 0


def _folders(mailbox: Document) -> Mapping[str, object]:
    found = mailbox.get("folders")
    return found if isinstance(found, Mapping) else {}


def _clean(text: object) -> str | None:
    return logs.clean(str(text)) if text else None
