"""The jobs: each works for one account until nothing of its lane is due or its slice is over."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.leads.batch import work_off
from pipeline_engine.domain.leads.enter import let_in
from pipeline_engine.domain.leads.jobs import ACTING, wake, wake_at
from pipeline_engine.domain.leads.pausing import keep_to_pauses
from pipeline_engine.domain.leads.repair import close_ended
from pipeline_engine.domain.leads.signals import take_signals
from pipeline_engine.domain.leads.work import Slice
from pipeline_engine.errors import LeaseLost
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.lead_repos import LeadRepos

BEHIND_SECONDS = 0.25
"""Leads are let in while actions of the account begin no later than this after they are due."""

WorkOnce = Callable[[Slice], Awaitable[bool]]
"""Works off one batch; returns whether there may be another."""


async def run_enter(app: App[LeadRepos], _cache: None, account_id: ObjectId) -> Outcome | None:
    """Let the account's leads into their stages, as far as its places reach."""
    slice = await _begin(app, account_id, "enter")
    if slice is None:
        return None
    most = app.settings.leads_active_max
    slice.places = most - await app.repos.lead_stages.count_active(account_id, most)
    outcome = await _run(slice, _enter_once)
    if outcome is None and await _is_behind(slice):
        return Snooze(BEHIND_SECONDS)
    if outcome is None and slice.places > 0 and await app.repos.lead_stages.any_entering(account_id, slice.where):
        return Snooze()  # one came while this job was ending, when no other could be enqueued
    return outcome


async def run_acting(lane: str, app: App[LeadRepos], _cache: None, account_id: ObjectId) -> Outcome | None:
    """Perform the account's due actions of the lane."""
    slice = await _begin(app, account_id, lane)
    if slice is None:
        return None
    outcome = await _run(slice, _internal_once if lane == "internal" else _act_once)
    return outcome or await _until_next(slice)


async def _begin(app: App[LeadRepos], account_id: ObjectId, lane: str) -> Slice | None:
    """None when the account is not active, or paused."""
    account = await app.shared.accounts.get(account_id)
    slice = Slice(app, account_id, account, lane, time.monotonic() + app.settings.leads_slice_seconds)
    is_active = account.get("active", True) is not False
    return slice if is_active and await keep_to_pauses(slice) else None


async def _run(slice: Slice, work_once: WorkOnce) -> Outcome | None:
    try:
        while await work_once(slice):
            await _wake_others(slice)
            if time.monotonic() >= slice.until or slice.app.stopping.is_set():
                return Snooze()
            if not await keep_to_pauses(slice):
                return None
    except LeaseLost:
        return Snooze(1.0)
    finally:
        await _wake_others(slice)
        await slice.delays.store(slice.app.repos.lead_delays, slice.account_id)
    return None


async def _wake_others(slice: Slice) -> None:
    kinds, slice.wakes = slice.wakes, set()
    await wake(slice.app, kinds, slice.account_id)


async def _enter_once(slice: Slice) -> bool:
    batch = slice.app.settings.leads_batch
    may_begin = slice.places > 0 and not await _is_behind(slice)
    # A lead that a move brings had a place already.
    where = slice.where if may_begin else {**slice.where, "moves": {"$gt": 0}}
    limit = min(batch, slice.places) if may_begin else batch
    claimed = await slice.app.repos.lead_stages.claim_entering(slice.account_id, limit, where)
    if claimed:
        await let_in(slice, claimed)
        slice.places -= len(claimed)
    return bool(claimed)


async def _is_behind(slice: Slice) -> bool:
    """Whether the account's internal actions begin late already: leads that enter at once wait for those on their way,
    as each of them would make the others later."""
    due = await slice.app.repos.lead_stages.next_due_at(slice.account_id, "internal", slice.where)
    return due is not None and due < slice.app.clock.now() - timedelta(seconds=BEHIND_SECONDS)


async def _internal_once(slice: Slice) -> bool:
    closed = await close_ended(slice, slice.app.settings.leads_batch)
    settled = await take_signals(slice)
    return await _act_once(slice) or bool(closed or settled)


async def _act_once(slice: Slice) -> bool:
    settings = slice.app.settings
    limit = settings.leads_batch if slice.lane == "internal" else settings.leads_send_batch
    claimed = await slice.app.repos.lead_stages.claim_due(slice.account_id, slice.lane, limit, slice.where)
    if claimed:
        await work_off(slice, claimed)
    return bool(claimed)


async def _until_next(slice: Slice) -> Outcome | None:
    """Have the lane look again when the account's next action is due, if that is before the next sweep."""
    app, now = slice.app, slice.app.clock.now()
    retries = {"attempts": {"$gt": 0}} if app.queue.keys.ttl else {}  # `run-once` waits for retries only
    at = await app.repos.lead_stages.next_due_at(slice.account_id, slice.lane, {**slice.where, **retries})
    if at is None or at > now + timedelta(seconds=app.settings.leads_sweep_seconds):
        return None
    if at <= now:
        return Snooze()
    await wake_at(app, ACTING[slice.lane], slice.account_id, at, now)
    return None


async def run_internal(app: App[LeadRepos], cache: None, account_id: ObjectId) -> Outcome | None:
    """Perform the account's due actions that leave the engine's own documents, and end waits."""
    return await run_acting("internal", app, cache, account_id)


async def run_email(app: App[LeadRepos], cache: None, account_id: ObjectId) -> Outcome | None:
    """Send the account's due e-mails."""
    return await run_acting("email", app, cache, account_id)


async def run_sms(app: App[LeadRepos], cache: None, account_id: ObjectId) -> Outcome | None:
    """Send the account's due texts."""
    return await run_acting("sms", app, cache, account_id)
