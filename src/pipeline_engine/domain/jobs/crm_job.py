"""A scheduled CRM job: its declaration, what its function gets, and what it returns."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.jobs.schedule import Schedule
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.settings import Settings


def _unchecked() -> None:
    return None


@dataclass(frozen=True)
class JobWork:
    """One slice of a slot: the work of one account. A job keeps nothing in memory between slices."""

    app: App[JobRepos]
    account: Document
    """The document of `_accounts`."""
    profile: Document
    """The account's business profile; empty where the CRM keeps none."""
    zone: ZoneInfo
    slot: str
    """The local date or the start of the interval; `once:…` when an operator runs the job."""
    now: datetime
    until: float
    """The end of the slice by `time.monotonic()`."""
    cursor: Document = field(default_factory=dict)
    """What the slice before returned as its cursor; empty at the first, and as it was when a slice has crashed."""
    check: Callable[[], None] = _unchecked
    """Called before a new effect. Raises: LeaseLost when another run may hold the slot."""

    @property
    def account_id(self) -> ObjectId:
        return ObjectId(self.account["_id"])

    @property
    def is_over(self) -> bool:
        """Whether the job must return, with `more` if it is not done: the slice is over, or the process stops."""
        return time.monotonic() >= self.until or self.app.stopping.is_set()


@dataclass(frozen=True)
class JobResult:
    """What a slice did. `failed` counts things (contacts, deals) that could not be done, which fail no slot.

    With `more` the slot is not done: it comes back behind other accounts. With `skipped` it ends with this reason.
    """

    done: int = 0
    failed: int = 0
    more: bool = False
    skipped: str = ""
    cursor: Document = field(default_factory=dict)
    """With `more`: where the next slice goes on. It is stored in the slot's row."""


def _needs_nothing(_settings: Settings) -> str | None:
    return None


@dataclass(frozen=True)
class CrmJob:
    """A row of the table. (name, account, slot) is done once over all daemons; after downtime the newest slot only.

    `run` may be called again for a slot that it has worked on: after a crash, an error, or a slice. An error that it
    raises is one of three attempts; `RateLimited` puts the slot off and is none.
    """

    name: str
    schedule: Schedule
    run: Callable[[JobWork], Awaitable[JobResult]]
    needs: Callable[[Settings], str | None] = _needs_nothing
    """The reason for which the job is left out, such as an integration that is not configured; else None."""
    after: tuple[str, ...] = ()
    """Jobs of the same schedule that must have ended their slot of the account before this one begins."""
    part_of: str = ""
    """The job that switches this one off together with itself."""
    concerns: Callable[[JobRepos, datetime], Awaitable[Set[ObjectId]]] | None = None
    """The accounts that have anything for the job to look at, at a moment; others have no slot then. None: it concerns
    all."""
    also_due: Callable[[App[JobRepos]], Awaitable[Mapping[ObjectId, str]]] | None = None
    """{account: an extra slot} of accounts for which something has come up since their newest slot. Such a slot's name
    lies between those of two slots of the schedule."""
    watches: frozenset[str] = frozenset()
    """Collections whose changes make the daemon ask at once."""

    @property
    def short_name(self) -> str:
        """The name without `crm.`, as CRM_JOBS_OFF and `jobs` take it."""
        return self.name.removeprefix("crm.")

    def skipped(self, settings: Settings) -> str | None:
        """Why this process leaves the job out; None when it runs it."""
        off = {name.strip().removeprefix("crm.") for name in (settings.crm_jobs_off or "").split(",")}
        if off & {self.short_name, self.part_of.removeprefix("crm.") or self.short_name}:
            return "switched off by CRM_JOBS_OFF"
        return self.needs(settings)
