"""The job of one mailbox: reads what is new for a slice of time, and reconciles it once a night."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.claimed import ClaimedRun, RunFailure, run_claimed
from pipeline_engine.domain.mailboxes.folders import BATCH, list_folders, read_folders
from pipeline_engine.domain.mailboxes.followed import follow_left
from pipeline_engine.domain.mailboxes.jobs import ATTEMPTS, RETRY_SECONDS
from pipeline_engine.domain.mailboxes.late_contacts import link_late_contacts
from pipeline_engine.domain.mailboxes.mailbox_pass import MailboxClaim, MailboxPass
from pipeline_engine.domain.mailboxes.quotas import tomorrow
from pipeline_engine.domain.mailboxes.reconcile import is_due, next_night, reconcile
from pipeline_engine.domain.messages.open_mailbox import open_mailbox
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.providers.mailbox_errors import LOGIN
from pipeline_engine.repos.integration_credentials import REAUTH_REQUIRED
from pipeline_engine.repos.mailbox_repos import MailboxRepos

MAX_CRASHES = 3
FIRST_REST, LONGEST_REST = timedelta(minutes=5), timedelta(hours=1)
EARLY = 0.9
"""The next pass may begin a little before the interval is over, so that the sweep after this one finds the mailbox."""
MAX_PROBLEMS = 5

log = logs.get(__name__)


async def run_sync(app: App[MailboxRepos], places: AccountPlaces, mailbox_id: ObjectId) -> Outcome | None:
    """Read the mailbox, unless it is switched off. `places` counts the running jobs of each account here."""
    mailbox = await app.repos.email_accounts.get(mailbox_id)
    account_id = object_id((mailbox or {}).get("account_id"))
    if mailbox is None or account_id is None or mailbox.get("active") is not True:
        return None
    if wait := places.wait(account_id):
        return Snooze(wait)
    with places.taken(account_id):
        if not await app.shared.references.account_is_active(account_id):
            return None
        run = ClaimedRun(
            "mailbox", partial(_read, app), partial(_give_up, app), ATTEMPTS, pause=RETRY_SECONDS, crashes=MAX_CRASHES
        )
        return await run_claimed(app, app.repos.email_accounts, mailbox_id, run, MailboxClaim)


async def run_link(app: App[MailboxRepos], _places: AccountPlaces, account_id: ObjectId) -> None:
    """Link the account's messages to contacts that got their address after the message had come."""
    await link_late_contacts(app, account_id)


async def _read(app: App[MailboxRepos], claim: MailboxClaim) -> Outcome | None:
    await _keep_to_request(app, claim)
    if not isinstance(claim.document.get("first_read_at"), datetime):
        await claim.change(first_read_at=app.clock.now())
    went_wrong = bool(claim.document.get("failures") or claim.document.get("crashes"))
    async with open_mailbox(app, claim.document) as mailbox:
        this = MailboxPass(app, claim, mailbox, care=BATCH if went_wrong else 0)
        await follow_left(this)
        folders = await list_folders(this)
        more = await read_folders(this, folders)
        if not more and is_due(claim.document, app.clock.now()):
            more = await reconcile(this, folders)
        commands = mailbox.commands
    return await _end(this, more, commands)


async def _keep_to_request(app: App[MailboxRepos], claim: MailboxClaim) -> None:
    """An operator asked for a resync: forget how far the folders are read, and what was left out."""
    if claim.document.get("resync_asked_at"):
        await app.repos.email_parked.forget(claim.document)
        await claim.change(folders={}, resync_asked_at=None, trying=None)


async def _end(this: MailboxPass, more: bool, commands: int) -> Outcome | None:
    app, now = this.app, this.app.clock.now()
    values: dict[str, Any] = {"failures": 0, "crashes": 0, "trying": None, "last_synced_at": now}
    values |= _status(this)
    if not isinstance(this.document.get("reconcile_due_at"), datetime):
        values["reconcile_due_at"] = next_night(this.document, now)
    waits = this.is_exhausted
    interval = timedelta(seconds=app.settings.email_sync_seconds * EARLY)
    values["due_at"] = tomorrow(now) if waits else now if more else now + interval
    await this.claim.release(**values)
    if this.stored or this.left_out:
        ids = {"id": str(this.document["_id"]), "account_id": str(this.document["account_id"])}
        log.info("mailbox.read", **ids, stored=this.stored, left_out=this.left_out, commands=commands, more=more)
    return Snooze() if more and not waits else None


def _status(this: MailboxPass) -> dict[str, Any]:
    """What the mailbox's document says of this pass: `ok`, `quota` (the day's bytes are used up), or `problems` of
    single folders."""
    if this.is_exhausted:
        return {"status": "quota", "last_error": "the provider's bytes of today are used up: it goes on tomorrow"}
    if this.problems:
        return {"status": "problems", "last_error": "; ".join(this.problems[:MAX_PROBLEMS])}
    return {"status": "ok", "last_error": None}


async def _give_up(app: App[MailboxRepos], claim: MailboxClaim, failure: RunFailure) -> Outcome | None:
    """End the pass; the mailbox rests, the longer the more passes failed. What a person mends ends the rest."""
    code = failure.error.code if isinstance(failure.error, Permanent) else ""
    status = "login_refused" if code in (LOGIN, REAUTH_REQUIRED) else "failed"
    await app.repos.email_accounts.fail(claim.document, status, failure.message, rest_after(failure), code)
    return None


def rest_after(failure: RunFailure) -> timedelta:
    """How long a mailbox rests whose pass is given up: 5 minutes at first, then twice as long each time. Pure."""
    rests = failure.attempt - (1 if isinstance(failure.error, Permanent) else ATTEMPTS)
    return min(LONGEST_REST, FIRST_REST * (1 << min(max(rests, 0), 10)))
