"""The job of sequences: it sends an account's due mails until none is due or its slice is over."""

from __future__ import annotations

import time
from datetime import timedelta

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import wake_at
from pipeline_engine.domain.local_time import holidays_of
from pipeline_engine.domain.messages.policy import UTC_ZONE, zone_named
from pipeline_engine.domain.sequences.batch import work_off
from pipeline_engine.domain.sequences.jobs import SEND
from pipeline_engine.domain.sequences.pauses import keep_to_pauses
from pipeline_engine.domain.sequences.routes import Routes
from pipeline_engine.domain.sequences.work import Document, SendSlice
from pipeline_engine.errors import LeaseLost
from pipeline_engine.lanes import RACE_SECONDS, Outcome, Snooze
from pipeline_engine.providers.public_host import PublicHosts
from pipeline_engine.repos.sequence_repos import SequenceRepos

SLICE_SECONDS = 2.0


async def run_sequences(app: App[SequenceRepos], hosts: PublicHosts, account_id: ObjectId) -> Outcome | None:
    """Send what is due for the account, unless it is not active."""
    account = await app.shared.accounts.get(account_id)
    if account.get("active", True) is False:
        return None
    await keep_to_pauses(app, account_id)
    slice = await _slice(app, account_id, account)
    try:
        async with Routes(slice, hosts) as routes:
            repo, limit = app.repos.sequence_enrollments, app.settings.sequence_batch
            while claimed := await repo.claim_due(account_id, limit):
                await work_off(slice, routes, claimed)
                if slice.is_over:
                    return Snooze()
                await keep_to_pauses(app, account_id)
    except LeaseLost:
        return Snooze(1.0)
    return await _until_next(slice)


async def _slice(app: App[SequenceRepos], account_id: ObjectId, account: Document) -> SendSlice:
    profile = await app.repos.business_profiles.get(account_id)
    zone = zone_named(profile.get("timezone")) or zone_named(account.get("timezone")) or UTC_ZONE
    country = account.get("country")
    is_holiday = holidays_of(country if isinstance(country, str) else "")
    return SendSlice(app, account_id, zone, is_holiday, time.monotonic() + SLICE_SECONDS)


async def _until_next(slice: SendSlice) -> Outcome | None:
    """Have the account's mails sent when the next is due, if that is before the next sweep."""
    app, now = slice.app, slice.app.clock.now()
    # `run-once` waits for attempts, not for what is due later.
    is_pass = app.queue.keys.ttl is not None
    at = await app.repos.sequence_enrollments.next_due_at(slice.account_id, only_retries=is_pass)
    if at is None or at > now + timedelta(seconds=app.settings.sequence_sweep_seconds):
        return None
    if at <= now:
        return Snooze(RACE_SECONDS)
    await wake_at(app, SEND, slice.account_id, at)
    return None
