"""Reads the folders of a mailbox: turn by turn, so that none waits for another's heap, the newest messages first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline_engine.domain.mailboxes.cursor import FolderCursor, read_cursor
from pipeline_engine.domain.mailboxes.mailbox_pass import FolderPlace, MailboxPass
from pipeline_engine.domain.mailboxes.scope import folders_to_read
from pipeline_engine.domain.mailboxes.suspect import begun, got_past, park_suspect
from pipeline_engine.domain.mailboxes.take_in import take_in
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.mailbox_errors import REFUSED, UNREADABLE_ANSWER
from pipeline_engine.providers.mailbox_folder import FolderStatus, MailboxFolder

BATCH = 200
BATCHES_OF_TURN = 3
MAX_UID = 2**32 - 1


async def list_folders(this: MailboxPass) -> list[MailboxFolder]:
    """The folders that the mailbox's settings want read. What they name and the mailbox lacks is noted as a problem."""
    wanted, missing = folders_to_read(this.scope, await this.mailbox.folders())
    this.problems += [f"{name}: there is no such folder" for name in missing]
    return wanted


async def read_folders(this: MailboxPass, folders: Sequence[MailboxFolder]) -> bool:
    """Read what is new in the folders. Returns whether something is left because the slice, or the day's quota, is
    over. Raises: Transient when the connection breaks."""
    waiting = [one for one in folders if not await _is_read(this, one)]
    waiting.sort(key=lambda one: _open_uids(this, one))
    while waiting:
        left = []
        for folder in waiting:
            if this.is_over or this.is_exhausted:
                return True
            if await _turn_or_problem(this, folder):
                left.append(folder)
        waiting = left
    return False


async def _is_read(this: MailboxPass, folder: MailboxFolder) -> bool:
    """Whether the server's status says that nothing is new, so that the folder need not be opened."""
    cursor = read_cursor(this.state_of(folder.name))
    if cursor is None or cursor.open:
        return False
    status = folder.status or await _status(this, folder)
    if status is None:
        return True
    return status.uidvalidity == cursor.uidvalidity and status.uidnext == cursor.top_uid + 1


async def _status(this: MailboxPass, folder: MailboxFolder) -> FolderStatus | None:
    try:
        return await this.mailbox.status(folder.name)
    except Permanent as error:
        note_problem(this, folder, error)
        return None


def _open_uids(this: MailboxPass, folder: MailboxFolder) -> int:
    """How much there may be to read; little goes first."""
    cursor = read_cursor(this.state_of(folder.name))
    top = folder.status.uidnext if folder.status and folder.status.uidnext else 0
    if cursor is None:
        return top
    return sum(high - low + 1 for low, high in cursor.open) + max(0, top - cursor.top_uid)


async def _turn_or_problem(this: MailboxPass, folder: MailboxFolder) -> bool:
    """As `_turn`; a folder that the server does not open is a problem of its own and keeps no other from its turn."""
    try:
        return await _turn(this, folder)
    except Permanent as error:
        note_problem(this, folder, error)
        return False


def note_problem(this: MailboxPass, folder: MailboxFolder, error: Permanent) -> None:
    """Note, once a pass, what is wrong with this folder alone. Raises: the error, when it is of the whole mailbox."""
    if error.code not in (REFUSED, UNREADABLE_ANSWER):
        raise error
    if (problem := f"{folder.name}: {error}") not in this.problems:
        this.problems.append(problem)


async def _turn(this: MailboxPass, folder: MailboxFolder) -> bool:
    """Read a few batches of the folder. Returns whether more is open in it."""
    place, cursor = await open_folder(this, folder)
    await park_suspect(this, place)
    uids = this.found.get(folder.name)
    if uids is None:
        uids = await wanted_uids(this, cursor)
        shunned = await this.repos.email_parked.suspects(this.document, place.folder, place.uidvalidity)
        uids = [uid for uid in uids if uid not in shunned]
    for _ in range(BATCHES_OF_TURN):
        size = 1 if this.care[folder.name] else BATCH
        batch, uids = uids[-size:], uids[:-size]
        if batch:
            await begun(this, place, batch)
            await take_in(this, place, batch)
            got_past(this, place)
            this.batches += 1
        cursor = cursor.read_down_to(batch[0]) if uids else replace(cursor, open=())
        await this.keep(folder.name, cursor)
        if not uids or this.is_over or this.is_exhausted:
            break
    this.found[folder.name] = uids
    return bool(uids)


async def open_folder(this: MailboxPass, folder: MailboxFolder) -> tuple[FolderPlace, FolderCursor]:
    """Open the folder; returns it with its cursor, in which what is new is open."""
    status = await this.mailbox.open(folder.name)
    top = status.uidnext - 1 if status.uidnext else await _highest_uid(this, folder, status)
    cursor = this.cursor_of(folder.name, status, top)
    known = read_cursor(this.state_of(folder.name))
    if known is None or known.uidvalidity != cursor.uidvalidity:
        this.found.pop(folder.name, None)
        await this.repos.email_parked.forget_others(this.document, folder.name, cursor.uidvalidity)
    elif folder.name in this.found and cursor.top_uid > known.top_uid:  # mail that came in during this slice
        new = await this.mailbox.search([(known.top_uid + 1, cursor.top_uid)])
        this.found[folder.name] += [uid for uid in new if uid > known.top_uid]
    return FolderPlace(folder.name, status.uidvalidity, folder.is_sent), cursor


async def _highest_uid(this: MailboxPass, folder: MailboxFolder, status: FolderStatus) -> int:
    """For servers that do not say UIDNEXT."""
    cursor = read_cursor(this.state_of(folder.name))
    seen = cursor.top_uid if cursor and cursor.uidvalidity == status.uidvalidity else 0
    return max(await this.mailbox.search([(seen + 1, MAX_UID)]), default=seen)


async def wanted_uids(this: MailboxPass, cursor: FolderCursor) -> list[int]:
    """The UIDs in the cursor's open ranges that exist and lie within the mailbox's window, ascending."""
    windowed, whole = cursor.open_by_window
    found: list[Any] = []
    if windowed:
        found += await this.mailbox.search(windowed, cursor.since)
    if whole:
        found += await this.mailbox.search(whole)
    return sorted(set(found))
