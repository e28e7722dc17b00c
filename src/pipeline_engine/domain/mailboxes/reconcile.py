"""Compares a mailbox with what is stored of it, once a night: what is missing is fetched, what was parked tried again.

The cursors stay as they are. A look at a folder goes on in the next slice where one ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine import logs
from pipeline_engine.domain.mailboxes.folders import note_problem, open_folder, wanted_uids
from pipeline_engine.domain.mailboxes.mailbox_pass import FolderPlace, MailboxPass, as_unread
from pipeline_engine.domain.mailboxes.suspect import retry_suspects
from pipeline_engine.domain.mailboxes.take_in import take_in
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import fingerprint
from pipeline_engine.providers.mailbox_folder import FolderStatus, MailboxFolder

BATCH = 500
NIGHT_HOUR = 2
NIGHT_HOURS = 4

log = logs.get(__name__)


def next_night(mailbox: Mapping[str, Any], now: datetime) -> datetime:
    """When the mailbox is reconciled next: between 2 and 6 o'clock UTC, mailboxes spread over the hours. Pure."""
    share = int.from_bytes(fingerprint("reconcile", mailbox["_id"], size=4)) / 2**32
    at = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0) + timedelta(hours=NIGHT_HOURS * share)
    return at if at > now else at + timedelta(days=1)


def is_due(mailbox: Mapping[str, Any], now: datetime) -> bool:
    """Whether a reconcile is asked for, or its night has come."""
    due = mailbox.get("reconcile_due_at")
    return mailbox.get("reconcile_asked_at") is not None or (isinstance(due, datetime) and due <= now)


async def reconcile(this: MailboxPass, folders: Sequence[MailboxFolder]) -> bool:
    """Look at the whole of each folder. Returns whether something is left because the slice is over."""
    for folder in folders:
        if this.state_of(folder.name).get("checked"):
            continue
        try:
            if await _reconcile_folder(this, folder):
                return True
        except Permanent as error:
            note_problem(this, folder, error)
    await _ended(this, folders)
    return False


async def _reconcile_folder(this: MailboxPass, folder: MailboxFolder) -> bool:
    state, mark = this.state_of(folder.name), _mark(folder.status)
    if mark and state.get("clean") == mark and not this.document.get("reconcile_asked_at"):
        await this.keep_state(folder.name, {**state, "checked": True})
        return False
    place, cursor = await open_folder(this, folder)
    suspects = await this.repos.email_parked.suspects(this.document, place.folder, place.uidvalidity)
    below = state.get("check_uid") or cursor.top_uid + 1
    uids = [uid for uid in await wanted_uids(this, as_unread(cursor)) if uid < below and uid not in suspects]
    new = int(state.get("check_new") or 0)
    while uids:
        if this.is_over or this.is_exhausted:
            return True
        batch, uids = uids[-BATCH:], uids[:-BATCH]
        new += await take_in(this, place, batch, retry_parked=True)
        this.batches += 1
        await this.keep_state(folder.name, {**this.state_of(folder.name), "check_uid": batch[0], "check_new": new})
    new += await retry_suspects(this, place, sorted(suspects))
    gone = await _forget_gone(this, place)
    if new:
        log.warning("mailbox.gap_filled", id=str(this.document["_id"]), folder=folder.name, messages=new)
    again = gone or await this.repos.email_parked.any_to_retry(this.document, place.folder, place.uidvalidity)
    checked = {"checked": True, "check_uid": None, "check_new": None, "clean": None if again else mark}
    await this.keep_state(folder.name, {**this.state_of(folder.name), **checked})
    return False


async def _forget_gone(this: MailboxPass, place: FolderPlace) -> int:
    """Forget what was parked and is not in the folder any more: moved, deleted, or stored from where it lies now.
    Returns how many that were: in case the server did not name them all, the next night looks again."""
    parked = this.repos.email_parked
    left, forgotten = await parked.parked(this.document, place.folder, place.uidvalidity), 0
    while left:
        uids, left = left[:BATCH], left[BATCH:]
        there = await this.mailbox.search([(uid, uid) for uid in uids])
        gone = sorted({*uids}.difference(there))
        await parked.take_back(this.document, place.folder, place.uidvalidity, gone)
        forgotten += len(gone)
    return forgotten


def _mark(status: FolderStatus | None) -> list[int] | None:
    """What is the same when nothing at all has changed in the folder; None where the server counts no changes."""
    if status is None or status.modseq is None or status.uidnext is None:
        return None
    return [status.uidvalidity, status.uidnext, status.messages, status.modseq]


async def _ended(this: MailboxPass, folders: Sequence[MailboxFolder]) -> None:
    for folder in folders:
        await this.keep_state(folder.name, {**this.state_of(folder.name), "checked": None})
    now = this.app.clock.now()
    due = {"reconciled_at": now, "reconcile_due_at": next_night(this.document, now), "reconcile_asked_at": None}
    await this.claim.change(**due)
