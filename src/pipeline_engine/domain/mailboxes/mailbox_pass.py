"""One slice of work on one mailbox: the connection, the claim, and what has to be remembered between batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from time import monotonic
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import Claim
from pipeline_engine.domain.mailboxes.cursor import FolderCursor, first_cursor, read_cursor, read_since
from pipeline_engine.domain.mailboxes.quotas import bytes_left, fetched_today
from pipeline_engine.domain.mailboxes.scope import read_scope
from pipeline_engine.providers.mailbox import Mailbox
from pipeline_engine.providers.mailbox_folder import FolderStatus
from pipeline_engine.repos.email_accounts import EmailAccounts
from pipeline_engine.repos.mailbox_repos import MailboxRepos

SLICE_SECONDS = 10.0
MailboxClaim = Claim[EmailAccounts]


@dataclass(frozen=True)
class FolderPlace:
    """A folder that is open, in which UIDs mean what they mean under this UIDVALIDITY."""

    folder: str
    uidvalidity: int
    is_sent: bool = False


class MailboxPass:
    """What one run needs to read a mailbox. Every change of the document is made under the claim."""

    def __init__(self, app: App[MailboxRepos], claim: MailboxClaim, mailbox: Mailbox, care: int) -> None:
        """`care`: so many messages of each folder are taken one by one, as an earlier run failed or died."""
        self.app, self.claim, self.mailbox = app, claim, mailbox
        self.care = defaultdict[str, int](lambda: care)
        self.scope = read_scope(claim.document)
        self.until = monotonic() + SLICE_SECONDS
        self.problems: list[str] = []
        self.found: dict[str, list[int]] = {}
        """{folder: open UIDs that exist and are not read yet, ascending}, as searched for in this slice."""
        self.stored = self.left_out = self.batches = 0
        self._fetched = 0

    @property
    def document(self) -> Mapping[str, Any]:
        return self.claim.document

    @property
    def repos(self) -> MailboxRepos:
        return self.app.repos

    @property
    def is_over(self) -> bool:
        """Whether this run ends now; it takes in one batch at least, however slow the server is."""
        return (self.batches > 0 and monotonic() > self.until) or self.app.stopping.is_set()

    @property
    def first_read_at(self) -> datetime:
        """When the mailbox was first read: what it received before is history, from which nothing is triggered."""
        found = self.document.get("first_read_at")
        return found if isinstance(found, datetime) else self.app.clock.now()

    @property
    def is_exhausted(self) -> bool:
        """Whether the provider's quota lets nothing more be fetched today."""
        left = bytes_left(self.document, self.app.clock.now())
        return left is not None and left <= self._fetched

    def count_bytes(self, fetched: int) -> None:
        """Count bytes that were fetched; they are stored with the next cursor."""
        self._fetched += fetched

    def state_of(self, folder: str) -> dict[str, Any]:
        """What is stored about the folder."""
        found = (self.document.get("folders") or {}).get(folder)
        return dict(found) if isinstance(found, Mapping) else {}

    def cursor_of(self, folder: str, status: FolderStatus, top_uid: int) -> FolderCursor:
        """The folder's cursor, grown to what the folder holds now. After a change of UIDVALIDITY it is read anew, from
        the day on from which it was read at first."""
        state = self.state_of(folder)
        cursor = read_cursor(state)
        if cursor is None or cursor.uidvalidity != status.uidvalidity:
            return first_cursor(status.uidvalidity, top_uid, self._since(state))
        return cursor.grown_to(top_uid)

    def _since(self, state: Mapping[str, Any]) -> date:
        return read_since(state) or self.scope.since(self.first_read_at)

    async def keep(self, folder: str, cursor: FolderCursor, **more: Any) -> None:
        """Store the folder's cursor, and what was fetched. Raises: LeaseLost."""
        await self.keep_state(folder, {**_without_cursor(self.state_of(folder)), **cursor.stored(), **more})

    async def keep_state(self, folder: str, state: Mapping[str, Any]) -> None:
        """Store what is known of a folder; values that are None are dropped. Raises: LeaseLost."""
        kept = {name: value for name, value in state.items() if value is not None}
        folders = {**(self.document.get("folders") or {}), folder: kept}
        now = self.app.clock.now()
        fetched = {"day": f"{now:%Y-%m-%d}", "bytes": fetched_today(self.document, now) + self._fetched}
        # The message that was being tried, if one was, did no harm.
        tried = {"trying": None} if self.document.get("trying") else {}
        await self.claim.change(folders=folders, fetched=fetched, **tried)
        self._fetched = 0


def _without_cursor(state: Mapping[str, Any]) -> dict[str, Any]:
    cursor = {"open", "since", "since_uid", "uidvalidity", "last_uid", "top_uid"}
    return {name: value for name, value in state.items() if name not in cursor}


def as_unread(cursor: FolderCursor) -> FolderCursor:
    """The cursor as if nothing were read: for a look at the whole folder."""
    return replace(cursor, open=((1, cursor.top_uid),) if cursor.top_uid else ())
